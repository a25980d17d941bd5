//! A SIP user agent server: messages, transactions, dialogs.
//!
//! In: bytes and the time. Out: requests worth acting on, and bytes to send. The machines
//! here hold no socket and read no clock; `sockets` and `tls` do the I/O. Not here:
//! what a recording session is (`siprec`), what a stream is (`sdp`).

pub mod address_validation;
pub mod allow_list;
pub mod connection_limits;
pub mod dialog;
pub mod digest;
pub mod digest_attempts;
pub mod flow;
pub mod framing;
pub mod header;
pub mod message;
mod message_end;
pub mod multipart;
pub mod parse;
pub mod response;
pub mod sockets;
pub mod tls;
pub mod transaction;
pub mod uri;
pub mod user_agent_client;
