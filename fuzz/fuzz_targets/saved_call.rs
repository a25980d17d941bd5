//! Any text as a call that an earlier process saved.
#![no_main]

#[path = "../bodies/saved_call.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
