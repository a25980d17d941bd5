//! Key presses: as tones in the audio and as events, each press once, matched to sequences.

pub mod goertzel;
pub(crate) mod key_dedup;
pub mod keypad;
pub mod sequences;
pub mod tone_listener;
