//! Any bytes as a client's answer to an offer of ours.
#![no_main]

#[path = "../bodies/sdp_answer.rs"]
mod body;
#[allow(dead_code)]
#[path = "../bodies/srs.rs"]
mod srs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
