//! Any bytes through `media::rtp::packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::rtp::packet::exercise(bytes));
