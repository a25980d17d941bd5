//! Whether every call of a day is accounted for: what was signalled, how it ended, what the
//! index and the store hold of it, and what the PBX says there was. In: rows of each. Out: a
//! [`Report`] in which each call has one outcome and each contradiction is a fault. Not here:
//! where the rows come from (`cli::assurance`).

pub mod cdr;
pub mod reconcile;
pub mod report;

pub use cdr::{CdrColumns, CdrRow};
pub use reconcile::{Facts, reconcile};
pub use report::{Line, Object, Report};
