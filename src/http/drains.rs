//! What carries out an order to drain.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

/// Lets the recorder take no new calls, and end once those in progress have ended.
pub trait Drains: Send + Sync {
    /// Drains from now on. `limit`: how long calls in progress go on; none: for the configured time, or as long as an
    /// earlier order says.
    fn drain(&self, limit: Option<Duration>) -> DrainState;
}

/// How far draining is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainState {
    /// Calls in progress.
    pub calls: usize,
    /// How long they may still go on. Units: s.
    pub left_s: u64,
}
