//! Files of tokens in a data directory: what this node knew last of the tokens in the index, for as long as the index is
//! away; and the file that earlier versions kept tokens in, which is taken over once.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::token::{StoredToken, hash};
use optag_core::clock::WallTime;
use optag_files::atomic_file::replace_json;

/// Ending of an earlier version's file that was taken over.
const TAKEN_OVER: &str = "taken-over";

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// Disk error.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{}: readable by others; run chmod 600 on it", path.display())]
    TooOpen {
        /// Its path.
        path: PathBuf,
    },
    /// The file is malformed.
    #[error("{}: not a token file: {reason}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// What a node knew last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LastKnown {
    /// When the index last said so, to within an hour.
    pub seen_at: WallTime,
    /// All tokens.
    pub tokens: Vec<StoredToken>,
}

/// An earlier version's file.
#[derive(Clone, Debug)]
pub(super) struct Earlier {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its tokens.
    pub tokens: Vec<StoredToken>,
}

/// The files of a data directory.
#[derive(Clone, Debug)]
pub(super) struct TokenFiles {
    /// What is known of the index: `tokens.cache.json`.
    last_known: PathBuf,
    /// The file of earlier versions: `tokens.json`.
    earlier: PathBuf,
}

impl TokenFiles {
    /// Those beside `earlier`.
    pub(super) fn new(earlier: &Path) -> Self {
        Self { last_known: earlier.with_extension("cache.json"), earlier: earlier.to_owned() }
    }

    /// What was known last; none where nothing was, or the file is damaged, as the index has it all.
    pub(super) fn read_last_known(&self) -> Option<LastKnown> {
        let text = private(&self.last_known).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the last known tokens; nobody is admitted while the index is away");
            None
        })?;
        serde_json::from_slice(&text).ok()
    }

    /// Blocking. Errors: of the disk.
    pub(super) fn keep_last_known(&self, known: &LastKnown) -> io::Result<()> {
        replace_json(&self.last_known, known)
    }

    /// The file of an earlier version that was not taken over.
    ///
    /// Errors: it cannot be used.
    pub(super) fn read_earlier(&self) -> Result<Option<Earlier>, TokenFileError> {
        let Some(text) = private(&self.earlier)? else { return Ok(None) };
        let tokens = serde_json::from_slice(&text).map_err(|error| TokenFileError::Malformed {
            path: self.earlier.clone(),
            reason: error.to_string(),
        })?;
        Ok(Some(Earlier { sha256: hash(text), tokens }))
    }

    /// Puts the earlier file aside, which is durable then. Blocking.
    ///
    /// Errors: of the disk.
    pub(super) fn put_earlier_aside(&self) -> io::Result<()> {
        let mut aside = self.earlier.clone().into_os_string();
        aside.push(".");
        aside.push(TAKEN_OVER);
        fs::rename(&self.earlier, aside)?;
        let dir = self.earlier.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// The content of a file that nobody else can read; none where there is none.
fn private(path: &Path) -> Result<Option<Vec<u8>>, TokenFileError> {
    let disk = |source| TokenFileError::Disk { path: path.to_owned(), source };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(disk(source)),
    };
    match fs::metadata(path).map_err(disk)?.mode() & 0o077 {
        0 => Ok(Some(text)),
        _ => Err(TokenFileError::TooOpen { path: path.to_owned() }),
    }
}
