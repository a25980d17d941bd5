//! Where calls come from: the HTTP feed and, over SIP, session recording clients. Both turn
//! what they hear into the calls of [`feed::Feed`].

pub mod ask;
pub mod feed;
pub mod objections;
pub mod sdp;
pub mod sip;
pub mod siprec;
