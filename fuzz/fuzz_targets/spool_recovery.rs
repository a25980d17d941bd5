//! Any bytes through `spool::recover`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag::spool::recover::exercise(bytes));
