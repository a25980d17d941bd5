//! An S3 bucket: where it is, how it is reached, its versions, uploads, locks and lifecycle rules.

pub mod admin;
pub(crate) mod client;
pub mod credentials;
pub mod endpoint;
pub(crate) mod error;
pub(crate) mod lifecycle;
pub(crate) mod versions;
pub(crate) mod walk;
pub(crate) mod xml;
