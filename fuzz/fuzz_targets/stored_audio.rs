//! Any bytes in the place of a recording that is played.
#![no_main]

#[path = "../bodies/stored_audio.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
