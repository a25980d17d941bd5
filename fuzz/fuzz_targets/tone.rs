//! Any bytes as samples through `media::tone`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::dtmf::goertzel::exercise(bytes));
