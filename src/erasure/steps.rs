//! Erases a recording in ordered steps that may be repeated at any time: order (durable) → spool key destroyed →
//! every object, version and part deleted, and searched by name and in listings until none is left → index row
//! reduced → done. A crash or a store outage leaves the order open.
//!
//! Each step works through a trait, so that `interleaving_tests` can interleave the steps with everything else.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::erasure::deletion_log::{Cause, Done, LogError, Order};
use crate::erasure::expired;
use crate::erasure::holds::{Hold, HoldError, waits_for};
use crate::erasure::unfinished::UnderWay;
use crate::index::{Index, IndexError};
use optag_core::clock::WallTime;
use optag_core::error_chain::causes;
use optag_core::id::CallId;
use optag_core::limit;
use optag_storage::store::remains::{Look, Sought, Stored};
use optag_storage::store::versions::{ROUNDS, StoredCopy};
use optag_storage::store::{Store, StoreError};

/// Stores orders.
pub trait Orders: Send + Sync {
    /// The order is durable on return.
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), EraseError>>;
    /// Records that every copy is deleted.
    fn done(&self, done: Done) -> BoxFuture<'_, Result<(), EraseError>>;
}

/// Destroys keys of the spool.
pub trait SpoolKeys: Send + Sync {
    /// Nothing of the call can be read from the spool after return.
    fn destroy(&self, id: CallId) -> BoxFuture<'_, Result<(), String>>;
    /// Whether the spool of the node that recorded the call has nothing of it: from then on nobody delivers it.
    fn is_clear_elsewhere(&self, id: CallId, cause: Cause) -> BoxFuture<'_, Result<(), String>>;
}

/// The copies in a store.
pub trait Copies: Send + Sync {
    /// Identifies the store.
    fn place(&self) -> String;
    /// Searches for copies that may be left, by name and in listings.
    fn look<'a>(&'a self, sought: &'a Sought) -> BoxFuture<'a, Result<Look, StoreError>>;
    /// Deletes one copy. Only another search verifies the deletion.
    fn delete<'a>(&'a self, copy: &'a StoredCopy) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// The index's knowledge of a recording.
pub trait Rows: Send + Sync {
    /// Objects that the recording's delivery stored. `None`: no row of a delivered recording that is not erased.
    fn delivered(&self, id: CallId) -> BoxFuture<'_, Result<Option<Stored>, IndexError>>;
    /// Uploads begun by a delivery that did not finish.
    fn begun(&self, id: CallId) -> BoxFuture<'_, Result<Option<Stored>, IndexError>>;
    /// Removes all personal data from the row, if there is one. After a withdrawal of consent, the outcome states
    /// only that.
    fn reduce(&self, id: CallId, cause: Cause, at: WallTime) -> BoxFuture<'_, Result<(), IndexError>>;
}

/// Records the copies found by an erasure before it deletes them.
pub trait Progress: Send + Sync {
    /// Copies found so far.
    fn found(&self, id: CallId) -> BoxFuture<'_, Result<Vec<String>, String>>;
    /// Records copies; durable on return.
    fn note<'a>(&'a self, id: CallId, found: &'a [String]) -> BoxFuture<'a, Result<(), String>>;
    /// Whether someone accepts that nothing of the recording is found.
    fn accepts_missing(&self, id: CallId) -> BoxFuture<'_, Result<bool, String>>;
    /// Removes the progress of a completed erasure.
    fn forget(&self, id: CallId) -> BoxFuture<'_, Result<(), String>>;
}

/// The steps of an erasure, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The order is in the deletion log.
    Ordered,
    /// The call's spool key is destroyed.
    SpoolKey,
    /// Every copy in the store is deleted, and the deletion verified.
    Store,
    /// The index row holds no personal data.
    Index,
    /// The completion is in the deletion log.
    Done,
}

impl Step {
    /// All steps.
    pub const ALL: [Step; 5] = [Step::Ordered, Step::SpoolKey, Step::Store, Step::Index, Step::Done];

    /// Name in receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Ordered => "ordered",
            Step::SpoolKey => "spool_key_destroyed",
            Step::Store => "store_verified_empty",
            Step::Index => "index_row_reduced",
            Step::Done => "complete",
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The order is not durable: the erasure was not accepted.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The recording is held: the erasure was not accepted.
    #[error("the recording is held until {}", .0.until)]
    Held(Box<Hold>),
    /// Another node may have holds in its own files that nobody else knows: the erasure was not accepted.
    #[error("{}", waits_for(*.0))]
    Waits(u16),
    /// This node has no number yet: the erasure was not accepted.
    #[error("the registry of nodes has given this node no number yet")]
    Unregistered,
    /// The order is durable here, and other nodes may not know it yet.
    #[error("the order is not in the index yet: other nodes may still serve the recording")]
    Unshared,
    /// Holds cannot be read.
    #[error("legal holds: {0}")]
    Holds(String),
    /// The spool key may still exist.
    #[error("cannot destroy the spool key: {0}")]
    Spool(String),
    /// Another node may still deliver it.
    #[error("{0}")]
    Unconfirmed(String),
    /// Store error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Index error.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Progress cannot be saved, so nothing may be deleted.
    #[error("cannot write erasure progress: {0}")]
    Progress(String),
    /// The recording was delivered, and nothing of it was found: it may be elsewhere.
    #[error(
        "the recording was delivered to {delivered_to} and nothing of it was found in {looked_in}: it may lie \
         elsewhere, so nothing is certified. The erasure stays open; it is complete once it was found and \
         deleted, when the recording's {} days are over, or when someone accepts that it was removed by hand \
         (`optag erase --accept-missing`)",
        limit::RETENTION_DAYS
    )]
    NothingFound {
        /// Store of the delivery.
        delivered_to: String,
        /// Store that was searched.
        looked_in: String,
    },
}

impl EraseError {
    pub(super) fn holds(error: HoldError) -> Self {
        match error {
            HoldError::Index(error) => Self::Index(error),
            error => Self::Holds(error.to_string()),
        }
    }

    /// Whether the store answered and the answer proves nothing: someone has to look into it.
    pub fn is_unproven(&self) -> bool {
        matches!(self, Self::NothingFound { .. } | Self::Store(StoreError::Unverified(_)))
    }
}

/// What an erasure works on.
pub struct Eraser<'a> {
    /// Deletion log.
    pub log: &'a dyn Orders,
    /// Spool keys.
    pub keys: &'a dyn SpoolKeys,
    /// Store.
    pub store: &'a dyn Copies,
    /// Index.
    pub index: &'a dyn Rows,
    /// Progress of incomplete erasures.
    pub progress: &'a dyn Progress,
}

impl Eraser<'_> {
    /// Takes the first two steps; the recording is erased for every reader from then on.
    ///
    /// Errors: not accepted, or the spool's copy may still be readable.
    pub async fn order(&self, order: Order) -> Result<(), EraseError> {
        let id = order.id;
        self.log.order(order).await?;
        self.keys.destroy(id).await.map_err(EraseError::Spool)
    }

    /// Takes the remaining steps; returns the deleted copies.
    ///
    /// Errors: the step that failed; earlier steps are complete.
    pub async fn complete(
        &self,
        id: CallId,
        cause: Cause,
        now: WallTime,
    ) -> Result<Vec<String>, (Step, EraseError)> {
        self.keys.destroy(id).await.map_err(|error| (Step::SpoolKey, EraseError::Spool(error)))?;
        // Asked before store and index are: what that node stored until then is found in them.
        let elsewhere = self.keys.is_clear_elsewhere(id, cause).await;
        // With the index unavailable, the store is still emptied by name; the rest waits.
        let delivered = self.index.delivered(id).await;
        let begun = match &delivered {
            Ok(None) => self.index.begun(id).await,
            _ => Ok(None),
        };
        let stored = [&delivered, &begun].into_iter().find_map(|one| one.as_ref().ok()?.as_ref());
        let gone = self.empty(id, stored).await.map_err(|error| (Step::Store, error))?;
        begun.map_err(|error| (Step::Index, error.into()))?;
        let delivered = delivered.map_err(|error| (Step::Index, error.into()))?;
        let mut accepted_missing = false;
        if let Some(stored) = delivered.filter(|_| gone.is_empty())
            && let Err(error) = self.explain(id, stored, now)
        {
            accepted_missing = self
                .progress
                .accepts_missing(id)
                .await
                .map_err(|error| (Step::Store, EraseError::Progress(error)))?;
            if !accepted_missing {
                return Err((Step::Store, error));
            }
        }
        self.index.reduce(id, cause, now).await.map_err(|error| (Step::Index, error.into()))?;
        elsewhere.map_err(|why| (Step::SpoolKey, EraseError::Unconfirmed(why)))?;
        let done = Done { id, at: now, gone: gone.clone(), accepted_missing };
        self.log.done(done).await.map_err(|error| (Step::Done, error))?;
        if let Err(error) = self.progress.forget(id).await {
            tracing::warn!(call = %id, error, "cannot remove erasure progress file");
        }
        Ok(gone)
    }

    /// Deletes copies until none is found; returns all that were found.
    async fn empty(&self, id: CallId, stored: Option<&Stored>) -> Result<Vec<String>, EraseError> {
        let mut gone = self.progress.found(id).await.map_err(EraseError::Progress)?;
        let mut sought = Sought::recording(id, stored);
        let mut left = Vec::new();
        for _ in 0..ROUNDS {
            let look = self.store.look(&sought).await?;
            if !look.unlisted.is_empty() {
                tracing::error!(call = %id, copies = look.unlisted.len(), "store listing omits existing copies");
            }
            if look.found.is_empty() {
                return look.doubt.map_or(Ok(gone), |doubt| Err(StoreError::Unverified(doubt).into()));
            }
            left = look.found.iter().map(StoredCopy::name).collect();
            // Listings of versions show an unversioned copy as version `null`: one copy, one name.
            let is_new = |copy: &&StoredCopy| {
                let is_null = copy.version.as_deref() == Some("null");
                let is_known = gone.contains(&copy.name()) || is_null && gone.contains(&copy.key);
                !is_known
            };
            let new: Vec<String> = look.found.iter().filter(is_new).map(StoredCopy::name).collect();
            if !new.is_empty() {
                gone.extend(new);
                self.progress.note(id, &gone).await.map_err(EraseError::Progress)?;
            }
            sought.remember(&look.found);
            let mut refused = None;
            for copy in &look.found {
                // A rejected deletion does not stop the others.
                refused = refused.or(self.store.delete(copy).await.err());
            }
            if let Some(error) = refused {
                return Err(error.into());
            }
        }
        let left = left.into_iter().take(3).collect::<Vec<_>>().join(", ");
        Err(StoreError::Unverified(format!("still present after deletion: {left}")).into())
    }

    /// Nothing of the delivery was found. Only expiry explains that, and only in the store of the delivery: the
    /// bucket's rule deleted the objects.
    fn explain(&self, id: CallId, stored: Stored, now: WallTime) -> Result<(), EraseError> {
        let here = self.store.place();
        let is_here = stored.place.is_empty() || stored.place == here;
        if is_here && expired::is_over(id, now) {
            return Ok(());
        }
        let delivered_to = if stored.place.is_empty() { "a store".to_owned() } else { stored.place };
        Err(EraseError::NothingFound { delivered_to, looked_in: here })
    }
}

impl Copies for Store {
    fn place(&self) -> String {
        Store::place(self)
    }

    fn look<'a>(&'a self, sought: &'a Sought) -> BoxFuture<'a, Result<Look, StoreError>> {
        Store::look(self, sought).boxed()
    }

    fn delete<'a>(&'a self, copy: &'a StoredCopy) -> BoxFuture<'a, Result<(), StoreError>> {
        Store::delete(self, copy).boxed()
    }
}

impl Progress for UnderWay {
    fn found(&self, id: CallId) -> BoxFuture<'_, Result<Vec<String>, String>> {
        async move { tokio::task::block_in_place(|| UnderWay::found(self, id)).map_err(|e| causes(&e)) }
            .boxed()
    }

    fn note<'a>(&'a self, id: CallId, found: &'a [String]) -> BoxFuture<'a, Result<(), String>> {
        async move { tokio::task::block_in_place(|| UnderWay::note(self, id, found)).map_err(|e| causes(&e)) }
            .boxed()
    }

    fn accepts_missing(&self, id: CallId) -> BoxFuture<'_, Result<bool, String>> {
        async move {
            tokio::task::block_in_place(|| UnderWay::accepts_missing(self, id)).map_err(|e| causes(&e))
        }
        .boxed()
    }

    fn forget(&self, id: CallId) -> BoxFuture<'_, Result<(), String>> {
        async move { tokio::task::block_in_place(|| UnderWay::forget(self, id)).map_err(|e| causes(&e)) }
            .boxed()
    }
}

impl Rows for Index {
    fn delivered(&self, id: CallId) -> BoxFuture<'_, Result<Option<Stored>, IndexError>> {
        async move {
            let row = self.get(id).await?;
            if row.is_none_or(|row| row.erased_at.is_some()) {
                return Ok(None);
            }
            // A row from before deliveries were recorded, or rebuilt from a manifest.
            Ok(Some(self.stored(id).await?.unwrap_or_default()))
        }
        .boxed()
    }

    fn begun(&self, id: CallId) -> BoxFuture<'_, Result<Option<Stored>, IndexError>> {
        async move { self.stored(id).await }.boxed()
    }

    fn reduce(&self, id: CallId, cause: Cause, at: WallTime) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            if cause == Cause::Withdrawal {
                self.mark_withdrawn(id).await?;
            }
            self.mark_erased(id, at).await?;
            self.forget_stored(id).await
        }
        .boxed()
    }
}
