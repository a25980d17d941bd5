//! Opus: packet parsing, encoding, classification of background noise, loss concealment.

pub(crate) mod concealment;
pub mod encoder;
pub(crate) mod encoder_memory;
pub mod noise_classifier;
pub(crate) mod noise_reuse;
pub mod packet;
