//! Simulated telephones: what `optag load` and `optag demo` play to a recorder, and the check
//! of what it stored. In: a recorder's API address. Out: calls with real speech, a report.
//!
//! Shares no code with the recorder's receiving side: what one gets wrong the other would
//! otherwise get wrong the same way.

pub mod call;
pub mod client;
pub mod leg;
pub mod report;
pub mod sender;
pub mod speech;
pub mod verify;
