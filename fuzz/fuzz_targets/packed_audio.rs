//! Any bytes through `media::spill::packed_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag_media::spill::packed_frame::exercise(bytes));
