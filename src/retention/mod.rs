//! The end of recordings: erased on request, on withdrawal, and when their time is up.

pub mod deletion_log;
pub mod erase;
pub mod sweep;
pub mod trusted_time;
