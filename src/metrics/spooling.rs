//! What the spool, and the engine before it, record.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::metrics::{counter, gauge, histogram};

use super::catalog as c;
use super::record::flag;
use optag_media::timebase::FRAME_MS;

/// Frames of a second.
const FRAMES_A_SECOND: u64 = 1_000 / FRAME_MS as u64;

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

/// Calls taken in to be encoded later, since the last time.
pub fn calls_spilled(count: u64) {
    counter!(c::CALLS_SPILLED_TOTAL.name).increment(count);
}

/// Audio that waits to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// How long it is, of all streams.
    pub audio: Duration,
    /// How long the call that waits longest has ended.
    pub oldest: Duration,
    /// What its records take. Units: bytes.
    pub bytes: u64,
}

/// What waits to be encoded.
pub fn backlog(backlog: &Backlog) {
    gauge!(c::BACKLOG_SECONDS.name).set(backlog.audio.as_secs_f64());
    gauge!(c::BACKLOG_OLDEST_SECONDS.name).set(backlog.oldest.as_secs_f64());
    gauge!(c::BACKLOG_BYTES.name).set(backlog.bytes as f64);
}

/// What the configuration allows to wait: for how long, and how much of the spool. Units: bytes.
pub fn backlog_limits(within: Duration, bytes: u64) {
    gauge!(c::BACKLOG_LIMIT_SECONDS.name).set(within.as_secs_f64());
    gauge!(c::BACKLOG_LIMIT_BYTES.name).set(bytes as f64);
}

/// Audio that waited was encoded. Units: frames of 20 ms.
pub fn backlog_encoded(frames: u64) {
    // The counter has whole seconds; what is left of one is kept for the next.
    static FRAMES: AtomicU64 = AtomicU64::new(0);
    let before = FRAMES.fetch_add(frames, Ordering::Relaxed);
    let (from, to) = (before / FRAMES_A_SECOND, (before + frames) / FRAMES_A_SECOND);
    counter!(c::BACKLOG_ENCODED_SECONDS.name).increment(to - from);
}
