//! Any bytes through `media::rtp::rtcp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::rtp::rtcp::exercise(bytes));
