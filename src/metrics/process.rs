//! Figures of the process, and its certificates.

use std::time::Duration;

use ::metrics::{counter, gauge};

use super::catalog as c;
use optag_core::clock::WallTime;

/// Figures of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Processor time so far.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// When it started. Units: s since 1970.
    pub started_s: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open files, and how many it may have.
    pub files: Option<(u64, u64)>,
}

/// Figures of the process.
pub fn process(figures: &ProcessFigures) {
    counter!(c::PROCESS_CPU_SECONDS_TOTAL.name).absolute(figures.cpu.as_secs());
    gauge!(c::PROCESS_THREADS.name).set(figures.threads as f64);
    gauge!(c::PROCESS_START_TIME_SECONDS.name).set(figures.started_s as f64);
    gauge!(c::PROCESS_VIRTUAL_MEMORY_BYTES.name).set(figures.virtual_bytes as f64);
    gauge!(c::PROCESS_RESIDENT_MEMORY_BYTES.name).set(figures.resident_bytes as f64);
    if let Some((open, most)) = figures.files {
        gauge!(c::PROCESS_OPEN_FDS.name).set(open as f64);
        gauge!(c::PROCESS_MAX_FDS.name).set(most as f64);
    }
}

/// When the first of the certificates for a use expires.
pub fn certificate_expires(of: &'static str, at: WallTime) {
    gauge!(c::CERTIFICATE_EXPIRES.name, "use" => of).set(at.as_unix_micros() as f64 / 1e6);
}
