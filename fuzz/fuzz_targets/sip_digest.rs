//! Any sequence of requests with credentials.
#![no_main]

#[path = "../bodies/sip_digest.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
