//! Accounts for every call of a day: what was signalled, how it ended, what index and store hold of it, and what the PBX
//! recorded. In: rows of each. Out: a [`Report`] in which each call has one outcome and each contradiction is a fault. Not
//! here: the source of the rows (`cli::assurance`).

pub mod call_detail_records;
pub mod reconcile;
pub mod report;
pub mod writer;

pub use crate::ledger::call_detail_records::{CdrColumns, CdrRow};
pub use crate::ledger::reconcile::{Facts, reconcile};
pub use crate::ledger::report::{Line, Object, Report};
