//! Any bytes as packets of a right sender and of strangers through a call: `media::exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::fuzzing::exercise(bytes));
