//! What an engine is set up with.

use std::time::Duration;

use crate::call::CallSettings;

/// How the engine runs.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Worker threads.
    pub workers: usize,
    /// Time between ticks.
    pub tick: Duration,
    /// Calls at a time.
    pub max_calls: usize,
    /// What every call shares; its complexity is the highest that is used.
    pub call: CallSettings,
    /// Whether the complexity goes down under load.
    pub adaptive_complexity: bool,
}
