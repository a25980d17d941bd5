//! Shared by all stages: ids, clocks, limits, private values, signatures, and the rules of a call. In:
//! nothing. Out: small types. Not here: sockets, files, threads, databases.

pub mod base64;
pub mod call;
pub mod clock;
pub mod error_chain;
pub mod hex;
pub mod id;
pub mod latency;
pub mod limit;
pub mod locked;
pub mod owner;
pub mod private;
pub mod signing;
pub mod steady;
pub mod throttle;
