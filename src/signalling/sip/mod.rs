//! SIP as a user agent server speaks it: messages, transactions, dialogs.
//!
//! In: bytes and the time. Out: requests worth acting on, and bytes to send. The machines
//! here hold no socket and read no clock; `server` and `link` do the waiting. Not here:
//! what a recording session is (`siprec`), what a stream is (`sdp`).

pub mod client;
pub mod dialog;
pub mod digest;
pub mod flow;
pub mod header;
pub mod message;
pub mod multipart;
pub mod parse;
pub mod response;
pub mod transaction;
pub mod uri;
