//! Erasing a recording, as ordered steps that may be gone through again at any time: order
//! (durable) → spool key destroyed → every object, version and part deleted and looked for →
//! index row reduced → done. A crash or a store that is away leaves the order open.

use futures::future::BoxFuture;

use super::deletion_log::{Cause, DeletionLog, LogError, Order};
use crate::archive::key;
use crate::archive::store::{Store, StoreError};
use crate::base::clock::WallTime;
use crate::base::id::CallId;
use crate::index::{Index, IndexError};

/// Destroys keys of the spool.
pub trait SpoolKeys: Send + Sync {
    /// Once this answers, nothing of the call can be read from the spool.
    fn destroy(&self, id: CallId) -> BoxFuture<'_, Result<(), String>>;
}

/// A step of an erasure, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The order is in the deletion log.
    Ordered,
    /// The call's key in the spool is destroyed.
    SpoolKey,
    /// Every copy in the store is gone, and that was looked at.
    Store,
    /// The index row holds no personal data.
    Index,
    /// The deletion log says that it is complete.
    Done,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 5] = [Step::Ordered, Step::SpoolKey, Step::Store, Step::Index, Step::Done];

    /// Its name for receipts.
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

/// Why a step could not be taken yet.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The order is not durable: the erasure was not accepted.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The spool key may still be there.
    #[error("the spool key could not be destroyed: {0}")]
    Spool(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What an erasure works on.
pub struct Eraser<'a> {
    /// The log.
    pub log: &'a DeletionLog,
    /// The spool's keys.
    pub keys: &'a dyn SpoolKeys,
    /// The store.
    pub store: &'a Store,
    /// The index.
    pub index: &'a Index,
}

impl Eraser<'_> {
    /// Takes the first two steps: from here on the recording is erased for everyone who asks.
    ///
    /// Errors: it was not accepted, or the spool's copy may still be readable.
    pub async fn order(&self, order: Order) -> Result<(), EraseError> {
        let id = order.id;
        tokio::task::block_in_place(|| self.log.order(order))?;
        self.keys.destroy(id).await.map_err(EraseError::Spool)
    }

    /// Takes the remaining steps. Returns the copies that are gone.
    ///
    /// Errors: the step that could not be taken; those before it hold.
    pub async fn complete(&self, id: CallId, now: WallTime) -> Result<Vec<String>, (Step, EraseError)> {
        self.keys.destroy(id).await.map_err(|error| (Step::SpoolKey, EraseError::Spool(error)))?;
        let started_at = id.admitted_at();
        let mut gone = Vec::new();
        for name in key::names(id, started_at) {
            gone.extend(self.store.delete_all(&name).await.map_err(|error| (Step::Store, error.into()))?);
        }
        self.index.mark_erased(id, now).await.map_err(|error| (Step::Index, error.into()))?;
        tokio::task::block_in_place(|| self.log.done(id, now, gone.clone()))
            .map_err(|error| (Step::Done, error.into()))?;
        Ok(gone)
    }
}

/// An order for a recording whose time is up.
pub fn expiry(id: CallId, at: WallTime) -> Order {
    Order { id, at, cause: Cause::Expiry }
}
