//! Erasure of recordings: on request, on withdrawal of consent, and at expiry.

pub mod anchor;
pub mod comparison;
pub mod consistency_check;
pub mod deletion_guard;
pub mod deletion_log;
pub mod expired;
pub mod holds;
pub mod receipt;
pub mod replay;
pub mod report;
pub mod report_runs;
pub mod service;
pub mod shared_orders;
pub mod steps;
pub mod sweep_horizon;
pub mod sweeper;
pub mod unfinished;

#[cfg(test)]
mod interleaving_tests;

#[cfg(test)]
mod log_tests;
