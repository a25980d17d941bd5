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

mod accounts;
mod answers;
pub mod body;
mod callers;
pub mod config;
pub mod departments;
mod extension;
mod invite;
pub mod kept;
mod links;
pub mod listen;
pub mod media;
pub mod metadata;
mod moving;
mod opening;
mod own;
pub mod parties;
pub mod profile;
mod refusals;
mod replacing;
mod requests;
pub mod server;
pub mod session;
mod snapshot;
pub mod stats;
mod steering;
pub mod taking;
pub mod transfer;
pub mod view;
pub mod xml;
