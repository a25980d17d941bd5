//! Asking callers for consent before their call reaches its department.
//!
//! In: INVITEs to the asking address. Out: a prompt to play, the caller's answer, and the call sent on to its
//! department, whatever happened. A call is never lost for the sake of the question: where anything fails, it
//! goes on unrecorded. Not here: audio (`optag-media::announce`), where answers are kept (the recorder).
//!
//! `machine` decides what is asked and what counts, as a pure state machine; `server` is SIP without sockets;
//! `service` has the sockets.

mod caller;
mod dialog;
pub mod events;
mod invite;
pub mod machine;
pub mod outcome;
pub mod port;
mod requests;
mod sending_on;
pub mod server;
pub mod service;
pub mod settings;
#[cfg(test)]
mod tests;
