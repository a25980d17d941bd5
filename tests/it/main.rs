//! Tests that use the crate as a whole, in one binary.

mod sip_dialogs;
mod sip_feed;
mod sip_sipp;
mod sip_src;
mod sip_torture;
mod sip_traps;
