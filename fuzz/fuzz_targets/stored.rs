//! Any bytes in the place of what a store gives back: manifests, sealed files, day keys, rules, names, signatures.
#![no_main]

#[path = "../bodies/stored.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
