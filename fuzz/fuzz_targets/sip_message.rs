//! Any bytes through the SIP reader and back.
#![no_main]

#[path = "../bodies/sip_message.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
