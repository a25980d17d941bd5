//! What can go wrong with the spool, and where it was noticed.

use std::io;
use std::path::{Path, PathBuf};

use optag_core::id::CallId;

/// A failed spool operation.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk refused.
    #[error("could not {step} {path}: {source}")]
    Disk {
        /// What was tried.
        step: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("{path} is in use by another recorder")]
    InUse {
        /// The spool's directory.
        path: PathBuf,
    },
    /// The master key's file can be read by others than its owner.
    #[error("{path} has mode {mode:03o}: the master key must be readable by its owner alone (chmod 600)")]
    MasterKeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The master key's file does not hold exactly 32 bytes.
    #[error("{path} holds {bytes} bytes where a master key has 32")]
    MasterKeyForm {
        /// The key's file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Intact key files were sealed by another master key.
    #[error("{calls} calls in the spool are sealed by another master key")]
    WrongMasterKey {
        /// How many.
        calls: usize,
    },
    /// A later version of this program wrote records that this one does not know.
    #[error(
        "{records} records in the spool were written by a later version of optag: only that one or a later \
         one reads them"
    )]
    Newer {
        /// How many.
        records: u64,
    },
    /// The spool does not hold the call (any more), or nothing of it is durable yet.
    #[error("the spool holds nothing of call {call}")]
    NoCall {
        /// The call.
        call: CallId,
    },
    /// Records of a call are missing or unreadable. A reader goes on after this one.
    #[error("{records} records of call {call} are damaged")]
    Damaged {
        /// The call.
        call: CallId,
        /// How many in a row.
        records: u32,
    },
    /// The spool was closed before this became durable.
    #[error("the spool is closed")]
    Closed,
    /// The system gave no randomness, or its cipher refused.
    #[error("the system's cryptography failed")]
    Crypto,
}

impl SpoolError {
    /// Whether only some records are lost, so that reading on gives the rest.
    pub const fn is_damage(&self) -> bool {
        matches!(self, SpoolError::Damaged { .. })
    }

    pub(super) fn disk(step: &'static str, path: &Path, source: io::Error) -> Self {
        SpoolError::Disk { step, path: path.to_owned(), source }
    }
}
