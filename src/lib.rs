//! optag records consented telephone calls: RTP in, Opus out, kept at most 90 days.
//!
//! This is the recorder: configuration, wiring, erasure, index, API, pages and command line. The stages are
//! crates of their own below `crates/`; `ARCHITECTURE.md` draws the whole, and each module's page says
//! what comes in, what goes out and what is not there.

pub mod app;
pub mod asking;
pub mod audit;
pub mod auth;
pub mod backoff;
pub mod cases;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod console;
pub mod delivery;
pub mod disclosure;
pub mod doctor;
pub mod erasure;
pub mod http;
pub mod import;
pub mod index;
pub mod ledger;
pub mod load;
pub mod metrics;
pub mod pem;
pub mod process_stat;
pub mod prompts;
pub mod recorder;
pub mod recordings;
pub mod stores;
pub mod time;
pub mod webhooks;
