//! Datagrams in, Opus packets out, driven by a tick instead of a task per packet.
//!
//! In: requests to [`engine::Engine`] and the datagrams of each stream's socket. Out: one batch of
//! [`call::output::Output`] per tick. Not here: files, databases, HTTP, tokio.

pub mod announce;
pub mod call;
pub mod codec;
pub mod dtmf;
pub mod engine;
pub mod fact;
mod filters;
pub mod fuzzing;
pub mod net;
pub mod opus;
pub mod playout;
pub mod rtp;
pub mod spill;
pub mod stats;
pub mod stream;
pub mod timebase;

#[cfg(test)]
mod tests;
