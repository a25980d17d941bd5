//! Session recording over SIP: a client (SRC) sends copies of a call's streams, the server
//! (SRS, this) takes them in.
//!
//! In: SIP requests of clients, and what the [`Feed`](super::feed::Feed) answers. Out: calls
//! to admit and controls on them, answers to clients. `server` is the sans-IO whole;
//! `metadata`, `view` and `parties` read who takes part; `media` decides which streams are
//! taken; `session` holds one recording session. Not here: sockets (`listen`).
//!
//! Source: RFC 7866 (protocol), RFC 7865 (metadata), RFC 8068 (call flows), RFC 9806 (media
//! type).

pub mod body;
mod call_names;
pub mod client_profile;
mod consent_signals;
mod invite;
pub mod metadata;
mod outbound;
pub mod parties;
mod replaces;
mod requests;
mod responses;
pub mod server;
pub mod service;
pub mod session;
pub mod settings;
pub mod stats;
pub mod streams;
