//! Opus: packets as they are, frames encoded, noise told from talk, what stands in where packets are lost.

pub(crate) mod concealment;
pub mod encoder;
pub(crate) mod encoder_memory;
pub mod noise_classifier;
pub(crate) mod noise_reuse;
pub mod packet;
