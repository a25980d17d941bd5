//! A SIPREC session recording server (SRS): session recording clients (SRC) send it copies of a
//! call's streams.
//!
//! In: SIP requests of clients, and what the [`Feed`](super::feed::Feed) answers. Out: calls
//! to admit and controls on them, answers to clients. `server` is the sans-IO machine;
//! `metadata` and `parties` determine who takes part; `streams` decides which streams are recorded;
//! `session` holds one recording session; `timers` wakes them. Not here: sockets (`service`).
//!
//! Source: RFC 7866 (protocol), RFC 7865 (metadata), RFC 8068 (call flows), RFC 9806 (media
//! type).

mod accounted;
pub mod body;
pub(crate) mod call_names;
pub(crate) mod capabilities;
pub mod client_profile;
mod client_quota;
mod consent_signals;
mod generations;
mod invite;
pub mod metadata;
mod new_call;
mod outbound;
mod own_requests;
pub mod parties;
mod replaces;
mod requests;
pub mod response_counts;
mod responses;
pub mod server;
pub mod service;
pub mod session;
pub mod settings;
pub mod stats;
pub mod streams;
mod timers;
