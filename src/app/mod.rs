//! The wiring: configuration, logging, and how the parts are put together.

pub mod config;
pub mod logging;
