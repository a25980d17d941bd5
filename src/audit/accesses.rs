//! Accesses to recordings of all nodes, for cover sheets. In: entries of this node's audit log. Out: the entries of all
//! nodes about a recording.
//!
//! An access is in this node's log before it is shared, and shared before anything is served: a cover sheet lists it
//! whichever node makes it. What the log has and the index has not, of an earlier version or after the index was lost, is
//! copied from the log.

use crate::audit::{AuditFault, AuditLog, Line};
use crate::http::audited::AuditEntry;
use crate::index::{AccessRow, Index, IndexError, LogLine};
use optag_core::id::CallId;

/// Lines that are copied in one transaction.
const TOGETHER: usize = 2_000;

/// Why accesses cannot be shared or read.
#[derive(Debug, thiserror::Error)]
pub enum AccessesError {
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditFault),
    /// The task failed.
    #[error("task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The accesses of all nodes on an index.
#[derive(Clone, Debug)]
pub struct Accesses {
    /// This node's audit log.
    pub log: AuditLog,
    /// The index.
    pub index: Index,
    /// Names this node's log.
    pub node: String,
}

impl Accesses {
    /// Shares a line of this node's log, if it is about an access to a recording.
    ///
    /// Errors: not durable.
    pub async fn share(&self, line: &Line) -> Result<(), AccessesError> {
        if let Some(row) = access(line) {
            self.index.put_access(&self.node, &row).await?;
        }
        Ok(())
    }

    /// Shares the lines of this node's log that are not yet known to be.
    ///
    /// Errors: not all are durable; the log was tampered with.
    pub async fn copy(&self) -> Result<(), AccessesError> {
        loop {
            let known = self.index.accesses_copied(&self.node).await?;
            let log = self.log.clone();
            let (rows, until) = tokio::task::spawn_blocking(move || next(&log, known.as_ref())).await??;
            let Some(until) = until else { return Ok(()) };
            self.index.copy_accesses(&self.node, &rows, &until).await?;
        }
    }

    /// The entries of all nodes about a recording: node by node, each in the order of its log.
    ///
    /// Errors: index or log cannot be read. Entries in a newer format are skipped.
    pub async fn about(&self, recording: CallId) -> Result<Vec<AuditEntry>, AccessesError> {
        self.copy().await?;
        let said = self.index.accesses_of(recording).await?;
        Ok(said.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }
}

/// The accesses in the lines after `known`, and the last of these lines; none if there are no more.
fn next(log: &AuditLog, known: Option<&LogLine>) -> Result<(Vec<AccessRow>, Option<LogLine>), AuditFault> {
    let head = log.head()?.map(|(sequence, hash)| LogLine { sequence, hash });
    if head.as_ref() == known {
        return Ok((Vec::new(), None));
    }
    let lines = match known {
        Some(known) => log.lines_beyond(known.sequence, &known.hash)?,
        None => log.lines()?,
    };
    let (mut rows, mut until) = (Vec::new(), None);
    for line in lines.take(TOGETHER) {
        let line = line?;
        rows.extend(access(&line));
        until = Some(LogLine { sequence: line.sequence, hash: line.hash });
    }
    Ok((rows, until))
}

/// The access of a line. Its detail stays in the log.
fn access(line: &Line) -> Option<AccessRow> {
    let mut entry: AuditEntry = serde_json::from_str(line.entry.get()).ok()?;
    let recording = entry.recording.filter(|_| entry.action.is_access())?;
    entry.detail = None;
    Some(AccessRow {
        line: LogLine { sequence: line.sequence, hash: line.hash.clone() },
        recording,
        at: entry.at,
        content: serde_json::to_string(&entry).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::audited::{AuditAction, Purpose};
    use crate::index::IndexPlace;
    use optag_core::clock::WallTime;

    fn entry(n: i64, action: AuditAction) -> AuditEntry {
        AuditEntry {
            at: WallTime::from_unix_micros(n),
            actor: "Inger".into(),
            action,
            purpose: Some(Purpose::Training),
            recording: Some(CallId::from_bytes([7; 16])),
            detail: Some("a reason".to_owned().into()),
        }
    }

    fn node(dir: &std::path::Path, name: &str, index: &Index) -> Accesses {
        let log = AuditLog::new(dir.join(format!("{name}.jsonl")));
        Accesses { log, index: index.clone(), node: name.into() }
    }

    fn index(dir: &std::path::Path, name: &str) -> Index {
        Index::lazy(&IndexPlace::Sqlite(dir.join(name)), "45").unwrap()
    }

    #[tokio::test]
    async fn what_a_log_has_is_shared_once_whether_it_was_copied_shared_or_both() {
        let dir = tempfile::tempdir().unwrap();
        let shared = index(dir.path(), "index");
        let (one, two) = (node(dir.path(), "one", &shared), node(dir.path(), "two", &shared));
        let recording = CallId::from_bytes([7; 16]);
        // More than is copied at once, as an earlier version left it.
        for n in 0..TOGETHER as i64 + 50 {
            let action = if n % 100 == 0 { AuditAction::Playback } else { AuditAction::Search };
            one.log.append(&entry(n, action)).unwrap();
        }
        let line = two.log.append(&entry(5, AuditAction::Export)).unwrap();
        two.share(&line).await.unwrap();
        let times = |all: &[AuditEntry]| all.iter().map(|one| one.at.as_unix_micros()).collect::<Vec<_>>();
        assert_eq!(times(&two.about(recording).await.unwrap()), [5], "the other's log was not copied yet");
        let all = one.about(recording).await.unwrap();
        assert!(times(&all).into_iter().eq((0..=20).map(|n| n * 100).chain([5])), "{all:?}");
        assert_eq!(two.about(recording).await.unwrap(), all);
        assert!(all.iter().all(|one| one.detail.is_none()), "details stay in the log");
        // An index that was lost is filled from both logs.
        let (one, two) = (
            Accesses { index: index(dir.path(), "new"), ..one },
            Accesses { index: index(dir.path(), "new"), ..two },
        );
        two.copy().await.unwrap();
        assert_eq!(one.about(recording).await.unwrap(), all);
        assert_eq!(one.index.forget_accesses(WallTime::from_unix_micros(1_000)).await.unwrap(), 11);
        assert_eq!(two.about(recording).await.unwrap().len(), 11, "what is too old is not copied again");
    }

    #[tokio::test]
    async fn a_log_that_was_restored_from_a_backup_is_copied_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let shared = index(dir.path(), "index");
        let one = node(dir.path(), "one", &shared);
        one.log.append(&entry(1, AuditAction::View)).unwrap();
        let backup = std::fs::read(dir.path().join("one.jsonl")).unwrap();
        one.log.append(&entry(2, AuditAction::View)).unwrap();
        one.log.append(&entry(3, AuditAction::View)).unwrap();
        one.copy().await.unwrap();
        std::fs::write(dir.path().join("one.jsonl"), backup).unwrap();
        let one = node(dir.path(), "one", &shared);
        // Its lines have numbers that other lines had.
        for n in 4..7 {
            one.log.append(&entry(n, AuditAction::Playback)).unwrap();
        }
        let all = one.about(CallId::from_bytes([7; 16])).await.unwrap();
        let mut times: Vec<_> = all.iter().map(|one| one.at.as_unix_micros()).collect();
        times.sort_unstable();
        assert_eq!(times, [1, 2, 3, 4, 5, 6]);
    }
}
