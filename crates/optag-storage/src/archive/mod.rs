//! Recordings as objects. In: a call's spool records. Out: an Ogg Opus object and a manifest
//! in the store, read back; and samples again for those who may listen. Not here: who may.

pub mod assemble;
pub mod deferred;
pub mod deliver;
pub mod manifest;
pub mod multistream;
pub mod ogg;
pub mod render;
pub mod resample;
pub mod seal;
pub mod stream_verdict;
pub mod unencoded;
pub mod vault;
