//! Any bytes through `media::rtp::telephone_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::rtp::telephone_event::exercise(bytes));
