//! Datagrams in, Opus packets out, by a tick and not by a task a packet.
//!
//! In: [`engine::Engine`]'s requests and the datagrams of each stream's socket. Out: one batch
//! of [`output::Output`] a tick. Not here: files, databases, HTTP, tokio.

pub mod axis;
pub mod background;
mod bands;
pub mod call;
mod capture;
pub mod carried;
pub mod codec;
mod cuts;
mod decoded;
pub mod ear;
pub mod encoder;
mod encoder_state;
mod ending;
pub mod engine;
pub mod exercise;
pub mod fault;
pub mod feedback;
mod gap;
pub mod governor;
mod holes;
mod interleave;
pub mod jitter;
mod joining;
pub mod keypad;
pub mod keys;
pub mod leg;
mod numbering;
mod open;
mod opus_fill;
pub mod output;
pub mod pass_track;
pub mod pcm;
pub mod pcm_track;
pub mod plan;
pub mod ports;
mod press;
mod pressed;
mod refusals;
mod replay;
pub mod resume;
pub mod rtp;
pub mod saved;
mod seat;
mod sender_clock;
pub mod socket;
pub mod stats;
pub mod timeline;
pub mod tone;
mod tracks;

#[cfg(test)]
mod tests;
