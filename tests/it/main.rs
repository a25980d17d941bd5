//! The one integration-test binary: the built program and the library from outside.

mod bad_input;
mod chain;
mod codecs;
mod corpus;
mod crash;
mod demo;
mod key_tones;
mod phone;
mod promises;
mod resume;
mod s3;
mod server;
mod shutdown;
mod sip_bodies;
mod sip_dialogs;
mod sip_feed;
mod sip_recorder;
mod sip_sipp;
mod sip_src;
mod sip_torture;
mod sip_traps;
mod tidy;
