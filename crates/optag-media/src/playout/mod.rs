//! From packets in any order to a continuous stream: reordering, placement in time, gaps and their reasons,
//! redaction.

pub mod clock_mapping;
pub(crate) mod discarded;
pub(crate) mod gap_cause;
pub(crate) mod gaps;
pub mod jitter_buffer;
pub(crate) mod redaction;
pub(crate) mod sender_clock;
