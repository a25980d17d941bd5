//! The wiring: every queue (its size and what happens when it is full), every thread and task,
//! the order of starting and of draining.

pub mod backoff;
pub mod config;
pub mod delivery;
pub mod durable;
pub mod erasing;
pub mod harden;
pub mod keyed_lock;
pub mod library;
pub mod logging;
pub mod open;
pub mod publish;
pub mod readiness;
pub mod recorder;
pub mod registry;
pub mod rendering;
pub mod resuming;
pub mod run;
pub mod settling;
pub mod sink;
pub mod sip;
pub mod sweeping;
pub mod trail;
