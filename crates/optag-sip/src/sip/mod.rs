//! SIP as a user agent server speaks it: messages, transactions, dialogs.
//!
//! In: bytes and the time. Out: requests worth acting on, and bytes to send. The machines
//! here hold no socket and read no clock; `link` and `tls` do the waiting. Not here:
//! what a recording session is (`siprec`), what a stream is (`sdp`).

pub mod client;
pub mod dialog;
pub mod digest;
pub mod doors;
mod ends;
pub mod flow;
pub mod framing;
pub mod guesses;
pub mod header;
pub mod link;
pub mod message;
pub mod multipart;
pub mod parse;
pub mod proof;
pub mod response;
pub mod tls;
pub mod transaction;
pub mod uri;
