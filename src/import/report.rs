//! Results of an import, per file.

use serde::Serialize;

use optag_core::id::CallId;

/// A file's line in the report. Contains the file name as in the table, and no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Name in the table.
    pub file: String,
    /// Result.
    #[serde(flatten)]
    pub outcome: FileOutcome,
}

/// Result of importing a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum FileOutcome {
    /// Stored, read back and indexed.
    Imported {
        /// The recording.
        id: CallId,
        /// Its length.
        duration_ms: u64,
        /// Number of places that could not be decoded.
        damaged: u64,
    },
    /// The trial run found no obstacle; nothing was stored.
    WouldImport {
        /// The recording that would be created.
        id: CallId,
        /// Its length.
        duration_ms: u64,
        /// Number of places that could not be decoded.
        damaged: u64,
    },
    /// Imported by an earlier run or an earlier line.
    AlreadyThere {
        /// The recording.
        id: CallId,
    },
    /// Not permitted: no consent, too old, erased, or a department that is not recorded.
    Refused {
        /// The reason.
        why: String,
    },
    /// Failed; the next run retries.
    Failed {
        /// The reason.
        why: String,
    },
}

/// Number of files by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Imported by this run.
    pub imported: usize,
    /// Would be imported.
    pub would_import: usize,
    /// Already present.
    pub already_there: usize,
    /// Not permitted.
    pub refused: usize,
    /// Failed.
    pub failed: usize,
}

impl Totals {
    /// Counts the results.
    pub fn of(reports: &[FileReport]) -> Self {
        reports.iter().fold(Self::default(), |mut totals, report| {
            match report.outcome {
                FileOutcome::Imported { .. } => totals.imported += 1,
                FileOutcome::WouldImport { .. } => totals.would_import += 1,
                FileOutcome::AlreadyThere { .. } => totals.already_there += 1,
                FileOutcome::Refused { .. } => totals.refused += 1,
                FileOutcome::Failed { .. } => totals.failed += 1,
            }
            totals
        })
    }
}

impl std::fmt::Display for FileReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = &self.file;
        match &self.outcome {
            FileOutcome::Imported { id, duration_ms, damaged }
            | FileOutcome::WouldImport { id, duration_ms, damaged } => {
                let is_trial = matches!(self.outcome, FileOutcome::WouldImport { .. });
                let (outcome, secs) =
                    (if is_trial { "would import " } else { "imported     " }, *duration_ms as f64 / 1e3);
                write!(f, "{outcome}  {id}  {secs:>8.1} s  {file}")?;
                match damaged {
                    0 => Ok(()),
                    places => write!(f, " ({places} damaged places skipped)"),
                }
            }
            FileOutcome::AlreadyThere { id } => write!(f, "already there  {id}  {file}"),
            FileOutcome::Refused { why } => write!(f, "refused        {file}: {why}"),
            FileOutcome::Failed { why } => write!(f, "failed         {file}: {why}"),
        }
    }
}
