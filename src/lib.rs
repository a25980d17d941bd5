//! optag records consented telephone calls: RTP in, Opus out, kept at most 90 days.
//!
//! `src/ARCHITECTURE.md` draws the whole; each module's page says what comes in, what
//! goes out and what is not there.

#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod archive;
#[cfg(feature = "server")]
pub mod assurance;
#[cfg(feature = "server")]
pub mod audit;
pub mod base;
pub mod call;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod console;
#[cfg(feature = "server")]
pub mod disclosure;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod import;
#[cfg(feature = "server")]
pub mod index;
#[cfg(feature = "server")]
pub mod load;
pub mod media;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod retention;
#[cfg(feature = "signalling")]
pub mod signalling;
pub mod spool;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
