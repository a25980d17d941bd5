//! Recordings as objects. In: a call's spool records. Out: an Ogg Opus object and a manifest
//! in the store, read back; and samples again for those who may listen. Not here: who may.

pub mod batches;
pub mod copies;
pub mod credentials;
pub mod deliver;
pub mod framing;
pub mod key;
pub mod lifecycle;
pub mod looking;
pub mod manifest;
pub mod ogg;
pub mod put;
pub mod recording;
pub mod render;
pub mod s3_admin;
mod s3_copies;
mod s3_http;
mod s3_lifecycle;
pub mod s3_place;
mod s3_refusal;
mod s3_walk;
pub mod seal;
pub mod settings;
pub mod store;
pub mod trouble;
mod trying;
pub mod vault;
pub mod verdict;
pub mod walking;
mod xml;
