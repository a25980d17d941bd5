//! What the spool, and the engine before it, record.

use std::time::Duration;

use ::metrics::{counter, gauge, histogram};

use super::catalog as c;
use super::record::flag;

/// What waits in the spool, and how old the oldest of it is.
pub fn spool_depth(bytes: u64, limit_bytes: u64, oldest: Duration) {
    gauge!(c::SPOOL_BYTES.name).set(bytes as f64);
    gauge!(c::SPOOL_LIMIT_BYTES.name).set(limit_bytes as f64);
    gauge!(c::SPOOL_SECONDS.name).set(oldest.as_secs_f64());
}

/// Bytes that the spool moved since the last time.
pub fn spool_moved(bytes: u64) {
    counter!(c::SPOOL_MOVED_BYTES_TOTAL.name).increment(bytes);
}

/// Whether the spool takes new calls, and what its file system has left.
pub fn spool_room(accepting: bool, disk_free_bytes: u64) {
    gauge!(c::SPOOL_ACCEPTING.name).set(flag(accepting));
    gauge!(c::SPOOL_DISK_FREE_BYTES.name).set(disk_free_bytes as f64);
}

/// Facts that were merged since the last time.
pub fn facts_merged(count: u64) {
    counter!(c::FACTS_MERGED_TOTAL.name).increment(count);
}

/// How long until new calls are refused, if the spool goes on growing.
pub fn spool_full_in(left: Option<Duration>) {
    gauge!(c::SPOOL_FULL_SECONDS.name).set(left.map_or(-1.0, |left| left.as_secs_f64()));
}

/// Group commits of one class of length since the last time: their mean and their number.
pub fn spool_synced(took: Duration, count: usize) {
    histogram!(c::SPOOL_SYNC_SECONDS.name).record_many(took, count);
}

/// Records that were not written, since the last time.
pub fn spool_records_dropped(count: u64) {
    counter!(c::SPOOL_RECORDS_DROPPED_TOTAL.name).increment(count);
}

/// The disk refused a write or sync.
pub fn spool_failed() {
    counter!(c::SPOOL_FAILURES_TOTAL.name).increment(1);
}
