//! Recordings of an earlier system. In: a table and audio files. Out: what the spool would hold
//! of such calls, ready to be delivered as any other; and a word on each file.
//!
//! Not here: the store, the index (`app::importing` puts them together).

pub mod decode;
pub mod encode;
pub mod file;
pub mod opus;
pub mod report;
pub mod resample;
pub mod speech;
pub mod table;
pub mod wave;
