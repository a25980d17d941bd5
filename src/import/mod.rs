//! Imports recordings of an earlier system. In: a table and audio files. Out: recordings in store and index, and a
//! report on each file.
//!
//! Decoding and encoding do not know store and index; `importer` connects the two halves.

pub mod decode;
mod decode_error;
pub mod encode;
pub mod file;
pub mod importer;
pub mod opus;
pub mod report;
pub mod speech;
pub mod table;
pub mod wave;
