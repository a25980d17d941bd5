//! Errors of the spool.

use std::io;
use std::path::{Path, PathBuf};

use optag_core::id::CallId;

/// A failed spool operation.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Disk error.
    #[error("cannot {step} {path}: {source}")]
    Disk {
        /// Operation.
        step: &'static str,
        /// File or directory.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("{path} is in use by another recorder")]
    InUse {
        /// The spool's directory.
        path: PathBuf,
    },
    /// The master key's file is accessible to others.
    #[error("{path} has mode {mode:03o}: the master key must be accessible to its owner only (chmod 600)")]
    MasterKeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The master key's file is not exactly 32 bytes long.
    #[error("{path} holds {bytes} bytes, a master key has 32")]
    MasterKeyForm {
        /// The key's file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Intact key files are sealed with another master key.
    #[error("{calls} calls in the spool are sealed with another master key")]
    WrongMasterKey {
        /// Number of calls.
        calls: usize,
    },
    /// A later version of this program wrote records of unknown kinds.
    #[error(
        "{records} records in the spool were written by a later version of optag: only that one or a later \
         one reads them"
    )]
    Newer {
        /// Number of records.
        records: u64,
    },
    /// The spool does not have the call (any more), or nothing of it is durable yet.
    #[error("call {call} is not in the spool")]
    NoCall {
        /// The call.
        call: CallId,
    },
    /// Records of a call are missing or unreadable. A reader continues after this error.
    #[error("{records} records of call {call} are damaged")]
    Damaged {
        /// The call.
        call: CallId,
        /// Number of consecutive records.
        records: u32,
    },
    /// The spool was closed before this became durable.
    #[error("the spool is closed")]
    Closed,
    /// No randomness from the system, or a cipher error.
    #[error("the system's cryptography failed")]
    Crypto,
}

impl SpoolError {
    /// Whether only some records are lost, so that reading on returns the rest.
    pub const fn is_damage(&self) -> bool {
        matches!(self, SpoolError::Damaged { .. })
    }

    pub(super) fn disk(step: &'static str, path: &Path, source: io::Error) -> Self {
        SpoolError::Disk { step, path: path.to_owned(), source }
    }
}
