//! Erasing a recording, as ordered steps that may be gone through again at any time: order
//! (durable) → spool key destroyed → every object, version and part deleted and looked for →
//! index row reduced → done. A crash or a store that is away leaves the order open.
//!
//! What a step works on is behind a trait each, so that `interleaving_tests` can try the steps against
//! everything else that goes on.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::custody::Custody;
use super::deletion_log::{Cause, DeletionLog, LogError, Order};
use super::holds::Hold;
use crate::archive::key;
use crate::archive::store::{Store, StoreError};
use crate::base::clock::WallTime;
use crate::base::id::CallId;
use crate::index::{Index, IndexError};

/// Keeps orders.
pub trait Orders: Send + Sync {
    /// Once this answers, the order survives everything.
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), EraseError>>;
    /// Notes that every copy is gone.
    fn done(&self, id: CallId, at: WallTime, gone: Vec<String>) -> BoxFuture<'_, Result<(), EraseError>>;
}

/// Destroys keys of the spool.
pub trait SpoolKeys: Send + Sync {
    /// Once this answers, nothing of the call can be read from the spool.
    fn destroy(&self, id: CallId) -> BoxFuture<'_, Result<(), String>>;
}

/// Deletes copies.
pub trait Copies: Send + Sync {
    /// Deletes every copy whose name begins with `stem`, and looks that none is left.
    fn delete<'a>(&'a self, stem: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;
}

/// Reduces rows.
pub trait Rows: Send + Sync {
    /// Takes everything personal out of the row, if there is one. Of a call whose consent was
    /// withdrawn only that is said from then on.
    fn reduce(&self, id: CallId, cause: Cause, at: WallTime) -> BoxFuture<'_, Result<(), IndexError>>;
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
    /// A hold stands against it: the erasure was not accepted.
    #[error("the recording is held until {}", .0.until)]
    Held(Box<Hold>),
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
    pub log: &'a dyn Orders,
    /// The spool's keys.
    pub keys: &'a dyn SpoolKeys,
    /// The store.
    pub store: &'a dyn Copies,
    /// The index.
    pub index: &'a dyn Rows,
}

impl Eraser<'_> {
    /// Takes the first two steps: from here on the recording is erased for everyone who asks.
    ///
    /// Errors: it was not accepted, or the spool's copy may still be readable.
    pub async fn order(&self, order: Order) -> Result<(), EraseError> {
        let id = order.id;
        self.log.order(order).await?;
        self.keys.destroy(id).await.map_err(EraseError::Spool)
    }

    /// Takes the remaining steps. Returns the copies that are gone.
    ///
    /// Errors: the step that could not be taken; those before it hold.
    pub async fn complete(
        &self,
        id: CallId,
        cause: Cause,
        now: WallTime,
    ) -> Result<Vec<String>, (Step, EraseError)> {
        self.keys.destroy(id).await.map_err(|error| (Step::SpoolKey, EraseError::Spool(error)))?;
        let gone = self.store.delete(&key::stem(id)).await.map_err(|error| (Step::Store, error.into()))?;
        self.index.reduce(id, cause, now).await.map_err(|error| (Step::Index, error.into()))?;
        self.log.done(id, now, gone.clone()).await.map_err(|error| (Step::Done, error))?;
        Ok(gone)
    }
}

/// The deletion log with what guards it.
pub struct GuardedLog<'a>(pub &'a DeletionLog, pub &'a Custody);

impl Orders for GuardedLog<'_> {
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), EraseError>> {
        async move { tokio::task::block_in_place(|| self.1.order(self.0, order)) }.boxed()
    }

    fn done(&self, id: CallId, at: WallTime, gone: Vec<String>) -> BoxFuture<'_, Result<(), EraseError>> {
        async move { Ok(tokio::task::block_in_place(|| self.0.done(id, at, gone))?) }.boxed()
    }
}

impl Copies for Store {
    fn delete<'a>(&'a self, stem: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.delete_copies(stem).boxed()
    }
}

impl Rows for Index {
    fn reduce(&self, id: CallId, cause: Cause, at: WallTime) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            if cause == Cause::Withdrawal {
                self.mark_withdrawn(id).await?;
            }
            self.mark_erased(id, at).await
        }
        .boxed()
    }
}
