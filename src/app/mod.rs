//! The wiring: every queue (its size and what happens when it is full), every thread and task,
//! the order of starting and of draining.

pub mod anchoring;
pub mod backoff;
pub mod caretaking;
pub mod config;
pub mod delivery;
pub mod durable;
pub mod erasing;
pub mod filling;
pub mod harden;
pub mod importing;
pub mod keyed_lock;
pub mod library;
pub mod logging;
pub mod master_key;
pub mod mending;
pub mod open;
pub mod pace;
pub mod publish;
pub mod readiness;
pub mod recorder;
pub mod registry;
pub mod rendering;
pub mod replaying;
pub mod resuming;
pub mod retention_report;
pub mod run;
pub mod settling;
pub mod sink;
pub mod sip;
pub mod stewarding;
pub mod sweeping;
pub mod timekeeping;
pub mod trail;
