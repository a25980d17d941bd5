//! Wiring: every queue (its size, and what happens when it is full), every thread and task, the order of start and
//! shutdown.

mod ask;
pub mod bucket_watch;
pub mod capacity;
pub mod certificates;
pub mod confinement;
pub mod drain;
pub mod hardening;
pub mod health;
pub mod logging;
pub mod master_key;
pub mod memory;
mod nodes;
pub mod open;
pub mod process;
pub mod publish;
pub mod reload;
pub mod server;
pub mod service_manager;
pub mod sip;
pub mod upgrade;
