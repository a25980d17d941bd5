//! Any sequence of metadata documents in a call.
#![no_main]

#[path = "../bodies/siprec_transfers.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
