//! Simulated telephones: what `optag load` and `optag demo` play to a recorder, and the verification of what
//! it stored. In: a recorder's API or SIP address. Out: calls with real speech, a report.
//!
//! Shares no code with the recorder's receiving side except the SRTP cryptography: otherwise an error in one
//! would be hidden by the same error in the other.

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
