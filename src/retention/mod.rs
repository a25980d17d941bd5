//! The end of recordings: erased on request, on withdrawal, and when their time is up.

pub mod custody;
pub mod deletion_log;
pub mod erase;
pub mod holds;
pub mod horizon;
pub mod log_entry;
pub mod log_file;
mod log_state;
pub mod log_table;
pub mod receipt;
pub mod sweep;
pub mod trusted_time;
pub mod under_way;

#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod log_tests;
