//! Any request at every route of the API.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag::http::fuzzing::exercise(bytes));
