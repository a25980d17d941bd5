//! The one truth on disk: a log of sealed records, group-committed, recovered by scanning.

pub mod record;
