//! The HTTP API: calls from feeds, recordings for people, health and metrics for machines.
//!
//! In: requests. Out: the results of [`signalling::feed::Feed`](optag_sip::feed::Feed) and
//! [`recordings::library::Library`] as JSON, and errors as RFC 9457 problems. No data of a recording leaves
//! before [`audited::Audit`] has a durable entry. Not here: the engine, the store, TLS (a reverse proxy's).

pub mod access;
pub mod admin;
pub mod audited;
mod auth;
mod calls;
mod cases;
mod departments;
pub mod drains;
mod me;
pub mod nodes;
pub mod oversight;
pub mod position;
pub mod problem;
mod reach;
pub mod reached;
pub mod recordings;
pub mod requests;
pub mod server;
mod services;
mod sign_in;
mod standing;
mod users;

#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, reason = "stand-ins for tests")]
#[cfg_attr(not(test), allow(dead_code, reason = "fuzzing asks for less than the tests"))]
pub(crate) mod fakes;
#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, reason = "what fails here is a finding")]
pub mod fuzzing;

#[cfg(test)]
mod tests;

pub(crate) use crate::http::calls::consents::give as give_by_name;
pub use crate::http::recordings::playback::VERDICTS;
pub use crate::http::server::router::{Limits, health_router, router};
pub use crate::http::server::{ConnectionLimits, Door, serve, serve_behind};
pub use crate::http::services::Services;
