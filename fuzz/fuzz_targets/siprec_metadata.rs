//! Any bytes through the metadata reader.
#![no_main]

#[path = "../bodies/siprec_metadata.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
