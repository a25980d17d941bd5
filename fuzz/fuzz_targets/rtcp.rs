//! Any bytes through `media::rtp::rtcp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag::media::rtp::rtcp::exercise(bytes));
