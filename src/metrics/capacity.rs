//! Whether calls are accepted, why not, and how many more fit.

use ::metrics::gauge;

use super::catalog as c;
use super::record::flag;

/// Why no calls are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAccepting {
    /// The recorder stops or is replaced.
    Draining,
    /// RTP ports are used up.
    Ports,
    /// The engine is at its limit, and new calls may not be spilled.
    Engine,
    /// The spool has reached its cap.
    Spool,
    /// The spool's file system is full.
    Disk,
    /// The spool cannot be written.
    Unwritable,
    /// Recording sessions are used up.
    SipSessions,
    /// Streams of recording sessions are used up.
    SipStreams,
    /// Memory is used up.
    Memory,
    /// File descriptors are used up.
    Descriptors,
}

impl NotAccepting {
    /// Every name.
    pub const NAMES: &[&str] = &[
        "draining",
        "ports",
        "engine",
        "spool",
        "disk",
        "spool_unwritable",
        "sip_sessions",
        "sip_streams",
        "memory",
        "descriptors",
    ];

    /// Stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Ports => "ports",
            Self::Engine => "engine",
            Self::Spool => "spool",
            Self::Disk => "disk",
            Self::Unwritable => "spool_unwritable",
            Self::SipSessions => "sip_sessions",
            Self::SipStreams => "sip_streams",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
        }
    }

    /// What it means, and which setting it depends on.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Draining => "calls in progress go on until shutdown.drain_limit_s",
            Self::Ports => "RTP ports are in use (rtp.port_min to rtp.port_max)",
            Self::Engine => "the media engine is at its limit",
            Self::Spool => "the spool is filling up (spool.max_gib)",
            Self::Disk => "the spool's file system is filling up (spool.min_free_gib)",
            Self::Unwritable => "the spool cannot be written",
            Self::SipSessions => "recording sessions are used up (sip.max_sessions)",
            Self::SipStreams => {
                "recording sessions have their share of the RTP ports (sip.max_streams_percent)"
            }
            Self::Memory => "memory is running out",
            Self::Descriptors => "file descriptors are running out (LimitNOFILE, ulimit -n)",
        }
    }
}

/// Whether calls are accepted, or why not, and how many more fit.
pub fn accepting(reason: Option<NotAccepting>, capacity: usize) {
    gauge!(c::ACCEPTING.name).set(flag(reason.is_none()));
    for name in NotAccepting::NAMES {
        let is_reason = reason.is_some_and(|reason| reason.name() == *name);
        gauge!(c::NOT_ACCEPTING.name, "reason" => *name).set(flag(is_reason));
    }
    gauge!(c::CAPACITY_CALLS.name).set(capacity as f64);
}
