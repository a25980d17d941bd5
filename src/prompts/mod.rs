//! Consent prompts as audio: how they are read, levelled, stored and checked.
//!
//! In: audio files in any format that imports read. Out: mono WAV at 16 kHz, trimmed and levelled, beside its text
//! and a table like `[[prompt]]` in the prompt store. Not here: which prompt a caller hears (`optag_sip::ask`), how it
//! is sent (`optag_media::announce`).

pub mod audio;
pub mod level;
pub mod store;
