//! Why a spool refuses new calls.

/// Why new calls are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The spool has reached its share of the cap. Units: bytes.
    Cap {
        /// Bytes in use.
        used: u64,
        /// Cap.
        cap: u64,
    },
    /// The file system has less free space than the floor, whoever uses the rest. Units: bytes.
    Disk {
        /// Free space.
        free: u64,
        /// Floor.
        floor: u64,
    },
    /// The last write failed, or free space is unknown.
    Unwritable,
}

impl Refusal {
    /// Stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cap { .. } => "the spool is filling up",
            Self::Disk { .. } => "the spool's file system is filling up",
            Self::Unwritable => "the spool cannot be written",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        match *self {
            Self::Cap { used, cap } => {
                write!(f, "the spool uses {:.2} of its {:.2} GiB (spool.max_gib)", gib(used), gib(cap))
            }
            Self::Disk { free, floor } => write!(
                f,
                "the spool's file system has {:.2} GiB free, less than the {:.2} GiB of spool.min_free_gib",
                gib(free),
                gib(floor)
            ),
            Self::Unwritable => f.write_str(self.name()),
        }
    }
}
