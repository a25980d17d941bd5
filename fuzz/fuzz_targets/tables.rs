//! Any text as a table of recordings or of call detail records.
#![no_main]

#[path = "../bodies/tables.rs"]
mod body;
#[path = "../bodies/capped_memory.rs"]
mod capped_memory;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
