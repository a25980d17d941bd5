//! Any bytes through `spool::recover`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_storage::spool::recover::exercise(bytes));
