//! Orders to erase on a disk that fails, and any bytes in place of the deletion log or its table.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| optag::erasure::deletion_log::fuzzing::exercise(bytes));
