//! What is kept. In: what leaves the media engine. Out: a durable log of sealed records, and recordings
//! as objects in a store, read back. Not here: who may listen, and when something is erased.

pub mod archive;
pub mod spool;
pub mod store;
