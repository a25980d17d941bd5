//! Any text as a recording session that an earlier process kept.
#![no_main]

#[path = "../bodies/saved_dialog.rs"]
mod body;
#[allow(dead_code)]
#[path = "../bodies/srs.rs"]
mod srs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
