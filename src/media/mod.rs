//! Datagrams in, Opus packets out, by a tick and not by a task a packet.
//!
//! In: [`engine::Command`]s and the datagrams of each stream's socket. Out: one batch of
//! [`output::Output`] a tick. Not here: files, databases, HTTP, tokio, wall-clock reads.

pub mod codec;
pub mod output;
