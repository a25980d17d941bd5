//! Any sequence of SIP messages against the recording server.
#![no_main]

#[path = "../bodies/sip_server.rs"]
mod body;
#[path = "../bodies/srs.rs"]
mod srs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
