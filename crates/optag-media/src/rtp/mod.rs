//! RTP as received: packets, their senders, key events. No sockets here.

mod candidates;
mod continuity;
pub mod packet;
pub mod rtcp;
pub(crate) mod sequencing;
pub mod source_filter;
pub mod srtp;
pub mod telephone_event;
