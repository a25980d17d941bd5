//! Webhooks: other systems are told what happened to a recording (stored, refused, failed, erased). In: events that wait in
//! the index (`index::outbox`). Out: signed HTTP requests, tried again until they are received.
//!
//! One node sends for all. Of each recording an event is sent once the one before it was received; of different recordings
//! several at a time. An event may arrive more than once, always with the same id.
//!
//! Source: CloudEvents 1.0.2, JSON event format and HTTP protocol binding (structured content mode); Standard Webhooks 1.0.

pub mod address;
mod message;
mod post;
mod queue;
pub mod target;

pub use post::Failure;
pub use queue::Webhooks;
pub use target::Target;
