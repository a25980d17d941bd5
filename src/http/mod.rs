//! The HTTP API: calls from feeds, recordings for people, health and metrics for machines.
//!
//! In: requests. Out: what [`signalling::feed::Feed`](optag_sip::feed::Feed) and
//! [`library::Library`] answer, worded as JSON, and errors as RFC 9457 problems. Nothing of a
//! recording leaves before [`audit::Audit`] holds it durably. Not here: the engine, the store,
//! TLS (a reverse proxy's).

pub mod access;
mod answering;
pub mod audit;
mod auth;
mod call_body;
mod calls;
mod candidates;
pub mod client;
mod consents;
mod document;
mod erasures;
mod guard;
mod handout;
mod handout_links;
pub mod health;
mod holds;
mod json;
pub mod library;
mod me;
mod offer;
mod oversight;
mod params;
mod patience;
mod playback;
pub mod position;
pub mod problem;
mod range;
mod recordings;
pub mod router;
pub mod serve;
pub mod steward;
mod stream_body;
mod streams;
pub mod tokens;
pub mod told;

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;

pub use playback::VERDICTS;
pub use router::{Limits, Services, health_router, router};
pub use serve::{ConnectionLimits, serve};
