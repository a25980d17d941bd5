//! Simulated telephones: what `optag load` and `optag demo` play to a recorder, and the check
//! of what it stored. In: a recorder's API or SIP address. Out: calls with real speech, a report.
//!
//! Shares no code with the recorder's receiving side, but the keys' own cryptography: what one
//! gets wrong the other would otherwise get wrong the same way.

pub mod batch;
pub mod call;
pub mod client;
pub mod feed;
pub mod impairment;
pub mod lateness;
pub mod leg;
pub mod losses;
pub mod prove;
pub mod recorder;
pub mod report;
pub mod run;
pub mod sender;
pub mod sip;
pub mod speech;
pub mod srtp;
pub mod usage;
pub mod verify;
