//! Legal holds: recordings that must not expire yet, for a court or an authority. Disabled unless the configuration allows
//! them. In: orders to hold and to release. Out: what is held.
//!
//! A hold suspends expiry and blocks an erasure request, which is answered with the reason; it never blocks a withdrawal of
//! consent, and never restores what is erased. It can exceed the recording's retention limit only on a lawful basis named
//! by the configuration.
//!
//! Holds are rows of the index, in force on every node that shares it. Each node has a copy of them in one small file: the
//! index takes holds from it that it does not know, of a version that had nothing else, or when it was lost or put
//! back. Before that was done once, this process orders no erasure that a hold could stop.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::index::{HoldRow, Index, IndexError, Placed, Placing};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_files::atomic_file::replace_json;

/// Maximum number of holds.
const HOLDS_MOST: u32 = 10_000;

/// A legal hold on a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The recording.
    pub id: CallId,
    /// End of the hold.
    pub until: WallTime,
    /// Reason given by the owner.
    pub reason: String,
    /// Lawful basis; required if the hold exceeds the recording's retention limit.
    pub lawful_basis: Option<String>,
    /// Who placed the hold.
    pub by: String,
    /// When the hold was placed.
    pub at: WallTime,
}

/// Holds allowed by the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldPolicy {
    /// Whether holds are enabled.
    pub allowed: bool,
    /// Lawful bases on which a hold may exceed the retention limit.
    pub lawful_bases: Vec<String>,
    /// Whether something else deletes the object at its limit anyway (the bucket's expiry rule): a longer hold could
    /// not be kept.
    pub ends_anyway: bool,
}

/// Why a hold was not placed.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Holds are disabled.
    #[error("legal holds are disabled; enable them with `[retention] legal_hold`")]
    Off,
    /// The recording is erased, or its erasure is ordered.
    #[error("the recording was erased or has expired")]
    Erased,
    /// The hold exceeds the limit without a lawful basis.
    #[error("a hold past {limit} needs `lawful_basis`, one of `[retention] hold_lawful_bases`: {known}")]
    NoBasis {
        /// The recording's limit.
        limit: WallTime,
        /// Lawful bases in the configuration.
        known: String,
    },
    /// The bucket's own rule would delete the recording first.
    #[error(
        "a hold past {limit} cannot be kept: the bucket's expiry rule ends the object; copy the recording \
         out (`optag export`) or set `[store] manage_lifecycle = false`"
    )]
    EndsAnyway {
        /// The recording's limit.
        limit: WallTime,
    },
    /// The hold ends in the past.
    #[error("the hold ends in the past")]
    Over,
    /// Too many holds.
    #[error("limit of {HOLDS_MOST} holds reached")]
    Full,
    /// Another node may have orders or holds in its own files that nobody else knows.
    #[error("{}", waits_for(*.0))]
    Waits(u16),
    /// The index could not be written durably.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// This node's copy could not be written durably.
    #[error("holds file: {0}")]
    Io(#[from] io::Error),
}

/// What is wrong while a node has not entered its holds.
pub fn waits_for(node: u16) -> String {
    format!(
        "node {node} has not entered its legal holds in the index: it runs an older version or has not reached the \
         index since; upgrade or start it, or declare it lost (`optag nodes lost {node}`)"
    )
}

impl From<HoldRow> for Hold {
    fn from(row: HoldRow) -> Self {
        let HoldRow { id, until, reason, lawful_basis, by, at } = row;
        Self { id, until, reason, lawful_basis, by, at }
    }
}

impl From<Hold> for HoldRow {
    fn from(hold: Hold) -> Self {
        let Hold { id, until, reason, lawful_basis, by, at } = hold;
        Self { id, until, reason, lawful_basis, by, at }
    }
}

/// The holds, as this node knows them from the index.
#[derive(Debug, Default)]
pub struct Holds {
    path: PathBuf,
    policy: HoldPolicy,
    /// As they are in the file.
    known: Mutex<BTreeMap<CallId, Hold>>,
    /// Whether what the file had at the start is in the index.
    entered: AtomicBool,
    /// Held while index and file are brought in line.
    turn: tokio::sync::Mutex<()>,
}

impl Holds {
    /// Opens the file; a missing file means no holds.
    ///
    /// Errors: the file cannot be read. Nothing may expire until it can.
    pub fn open(path: &Path, policy: HoldPolicy) -> io::Result<Self> {
        let known: Vec<Hold> = match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let known = Mutex::new(known.into_iter().map(|hold| (hold.id, hold)).collect());
        Ok(Self { path: path.to_owned(), policy, known, ..Self::default() })
    }

    /// Whether holds of other nodes are to be waited for: they may exist.
    pub fn are_allowed(&self) -> bool {
        self.policy.allowed
    }

    /// Places a hold, or changes the existing one. `limit` is when the recording would expire, `node` the number of this
    /// node. On return it is durable and in force on every node.
    ///
    /// Errors: see [`HoldError`]; not acknowledged.
    pub async fn place(
        &self,
        index: &Index,
        hold: Hold,
        limit: WallTime,
        node: u16,
    ) -> Result<(), HoldError> {
        if !self.policy.allowed {
            return Err(HoldError::Off);
        }
        if hold.until <= hold.at {
            return Err(HoldError::Over);
        }
        if hold.until > limit {
            let known = &self.policy.lawful_bases;
            if !hold.lawful_basis.as_ref().is_some_and(|basis| known.contains(basis)) {
                let known = if known.is_empty() { "none configured".into() } else { known.join(", ") };
                return Err(HoldError::NoBasis { limit, known });
            }
            if self.policy.ends_anyway {
                return Err(HoldError::EndsAnyway { limit });
            }
        }
        self.enter(index).await?;
        match index.put_hold(&hold.into(), Placing { limit, most: HOLDS_MOST, node }).await? {
            Placed::InForce => self.refresh(index).await.map(drop),
            Placed::Erased => Err(HoldError::Erased),
            Placed::Full => Err(HoldError::Full),
            Placed::Waits(node) => Err(HoldError::Waits(node)),
        }
    }

    /// Releases a hold; returns whether there was one.
    ///
    /// Errors: not durable.
    pub async fn release(&self, index: &Index, id: CallId, at: WallTime) -> Result<bool, HoldError> {
        self.enter(index).await?;
        let was_held = index.lift_hold(id, at).await?;
        self.refresh(index).await?;
        Ok(was_held)
    }

    /// Enters in the index, once, what the file had when it was opened.
    ///
    /// Errors: index unavailable; nothing that a hold could stop may be erased.
    pub async fn enter(&self, index: &Index) -> Result<(), IndexError> {
        if self.entered.load(Ordering::Acquire) {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        self.enter_known(index, |_| true).await
    }

    /// The holds that the index has now, which the file has as well on return. What the index has forgotten is
    /// entered again.
    ///
    /// Errors: index unavailable, or the file is not durable.
    pub async fn refresh(&self, index: &Index) -> Result<Vec<Hold>, HoldError> {
        let _turn = self.turn.lock().await;
        let mut rows = index.holds().await?;
        let is_missing = |hold: &Hold| !rows.iter().any(|row| row.id == hold.id);
        if !self.entered.load(Ordering::Acquire) || self.known().values().any(is_missing) {
            self.enter_known(index, is_missing).await?;
            rows = index.holds().await?;
        }
        let held: BTreeMap<CallId, Hold> = rows.into_iter().map(|row| (row.id, row.into())).collect();
        if *self.known() != held {
            let all: Vec<&Hold> = held.values().collect();
            tokio::task::block_in_place(|| replace_json(&self.path, &all))?;
            self.known().clone_from(&held);
        }
        Ok(held.into_values().collect())
    }

    async fn enter_known(&self, index: &Index, which: impl Fn(&Hold) -> bool) -> Result<(), IndexError> {
        let all = !self.entered.load(Ordering::Acquire);
        let known: Vec<HoldRow> =
            self.known().values().filter(|hold| all || which(hold)).cloned().map(HoldRow::from).collect();
        index.restore_holds(&known).await?;
        self.entered.store(true, Ordering::Release);
        Ok(())
    }

    /// The hold in force at `now` as far as this node knows, if any. Decides what is shown, never what is erased.
    pub fn standing(&self, id: CallId, now: WallTime) -> Option<Hold> {
        self.known().get(&id).filter(|hold| hold.until > now).cloned()
    }

    /// All holds as far as this node knows, those that ended included.
    pub fn known_here(&self) -> Vec<Hold> {
        self.known().values().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<CallId, Hold>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
