//! What became of each file.

use serde::Serialize;

use optag_core::id::CallId;

/// A file's line in the report. It names the file as the table does, and nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// As in the table.
    pub file: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It is in the store, read back, and in the index.
    Imported {
        /// The recording.
        id: CallId,
        /// Its length.
        duration_ms: u64,
        /// Places of the file that could not be decoded.
        damaged: u64,
    },
    /// A trial run found nothing against it; nothing was stored.
    WouldImport {
        /// The recording that it would be.
        id: CallId,
        /// Its length.
        duration_ms: u64,
        /// Places of the file that could not be decoded.
        damaged: u64,
    },
    /// An earlier run, or an earlier line, took it in.
    AlreadyThere {
        /// The recording.
        id: CallId,
    },
    /// The rules forbid it: no consent, too old, erased, a department that is not recorded.
    Refused {
        /// Which rule.
        why: String,
    },
    /// It could not be done; the next run tries again.
    Failed {
        /// Why.
        why: String,
    },
}

/// How many had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Taken in by this run.
    pub imported: usize,
    /// A trial run would have taken them in.
    pub would_import: usize,
    /// There before.
    pub already_there: usize,
    /// Against the rules.
    pub refused: usize,
    /// Not done.
    pub failed: usize,
}

impl Totals {
    /// Counts.
    pub fn of(reports: &[FileReport]) -> Self {
        reports.iter().fold(Self::default(), |mut totals, report| {
            match report.fate {
                Fate::Imported { .. } => totals.imported += 1,
                Fate::WouldImport { .. } => totals.would_import += 1,
                Fate::AlreadyThere { .. } => totals.already_there += 1,
                Fate::Refused { .. } => totals.refused += 1,
                Fate::Failed { .. } => totals.failed += 1,
            }
            totals
        })
    }
}

impl std::fmt::Display for FileReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = &self.file;
        match &self.fate {
            Fate::Imported { id, duration_ms, damaged } | Fate::WouldImport { id, duration_ms, damaged } => {
                let is_trial = matches!(self.fate, Fate::WouldImport { .. });
                let (fate, secs) =
                    (if is_trial { "would import " } else { "imported     " }, *duration_ms as f64 / 1e3);
                write!(f, "{fate}  {id}  {secs:>8.1} s  {file}")?;
                match damaged {
                    0 => Ok(()),
                    places => write!(f, " ({places} damaged places left out)"),
                }
            }
            Fate::AlreadyThere { id } => write!(f, "already there  {id}  {file}"),
            Fate::Refused { why } => write!(f, "refused        {file}: {why}"),
            Fate::Failed { why } => write!(f, "failed         {file}: {why}"),
        }
    }
}
