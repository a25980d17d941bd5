//! Settings of a spool.

use std::path::PathBuf;

/// Settings of a spool.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// Size of a segment file. Units: bytes.
    pub segment_bytes: u64,
    /// Maximum size of all segments. Units: bytes.
    pub max_bytes: u64,
    /// Maximum size of records waiting for the disk. Units: bytes.
    pub queue_bytes: usize,
    /// Free space on the file system below which new calls are refused, whoever uses the rest. Units: bytes.
    pub min_free_bytes: u64,
    /// Part of the cap that unencoded audio may use; beyond it, new calls may not add any. Units: bytes.
    pub packed_max_bytes: u64,
}
