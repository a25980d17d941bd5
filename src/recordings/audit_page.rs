//! Entries of the audit log for the API. In: the log. Out: lines as they stand in the file, and signed checkpoints.

use serde_json::value::RawValue;

use crate::audit::{AuditLog, Line};
use crate::http::recordings::library::LibraryError;
use crate::http::requests::AuditPage;

/// Entries after `after`, at most `most`, with all checkpoints. Blocking.
///
/// Errors: the log cannot be read, or was changed.
pub(super) fn read(audit: &AuditLog, after: u64, most: usize) -> Result<AuditPage, LibraryError> {
    let damaged = |_| LibraryError::Damaged;
    let mut lines: Vec<Line> = Vec::new();
    let mut more = false;
    for line in audit.lines().map_err(damaged)? {
        let line = line.map_err(damaged)?;
        if line.sequence > after {
            if lines.len() == most {
                more = true;
                break;
            }
            lines.push(line);
        }
    }
    let last = lines.last().map_or(after, |line| line.sequence);
    let checkpoints = audit.checkpoints().map_err(damaged)?;
    Ok(AuditPage { lines: as_json(&lines)?, checkpoints: as_json(&checkpoints)?, last, more })
}

fn as_json<T: serde::Serialize>(all: &[T]) -> Result<Vec<Box<RawValue>>, LibraryError> {
    all.iter().map(|one| serde_json::value::to_raw_value(one).map_err(|_| LibraryError::Damaged)).collect()
}
