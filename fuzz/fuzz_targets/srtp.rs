//! Any bytes through `media::rtp::srtp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::rtp::srtp::exercise(bytes));
