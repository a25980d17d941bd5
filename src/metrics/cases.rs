//! Requests of callers.

use ::metrics::gauge;

use super::catalog as c;

/// Cases that are not closed, and those of them that are overdue.
pub fn cases(open: u64, overdue: u64) {
    gauge!(c::CASES_OPEN.name).set(open as f64);
    gauge!(c::CASES_OVERDUE.name).set(overdue as f64);
}
