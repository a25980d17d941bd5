//! Any bytes as a recording of an earlier system.
#![no_main]

#[path = "../bodies/capped_memory.rs"]
mod capped_memory;
#[path = "../bodies/imported_audio.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
