//! Any bytes through an offer and its answer.
#![no_main]

#[path = "../bodies/sdp_offer.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
