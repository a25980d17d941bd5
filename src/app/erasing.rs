//! Erasures as a running recorder does them: ordered at once, completed as soon as store and
//! index let it, one at a time with the recording's delivery.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::app::durable::destroy_key;
use crate::app::keyed_lock::KeyedLock;
use crate::archive::store::Store;
use crate::archive::vault::Vault;
use crate::base::clock::Clock;
use crate::base::id::CallId;
use crate::index::Index;
use crate::metrics::{self, ErasedFor};
use crate::retention::deletion_log::{Cause, DeletionLog, Order};
use crate::retention::erase::{EraseError, Eraser, SpoolKeys, Step};
use crate::spool::Spool;

/// Orders and completes erasures.
pub struct Erasing {
    /// What is erased for good.
    pub log: DeletionLog,
    /// The spool, for its keys.
    pub spool: Spool,
    /// The store, for what is not read: names, versions, whether it answers.
    pub store: Store,
    /// The recordings in it, through their seal.
    pub vault: Vault,
    /// The index.
    pub index: Index,
    /// Held while a recording is delivered or erased.
    pub turns: KeyedLock,
    /// Dates orders.
    pub clock: Arc<dyn Clock>,
}

/// Spool keys, destroyed where blocking is allowed.
struct Keys(Spool);

impl SpoolKeys for Keys {
    fn destroy(&self, id: CallId) -> BoxFuture<'_, Result<(), String>> {
        async move { destroy_key(&self.0, id).await.map_err(|error| error.to_string()) }.boxed()
    }
}

impl Erasing {
    /// Orders an erasure. Once this returns, the order is durable, nothing of the recording is
    /// served, and what the spool has of it cannot be read.
    ///
    /// Errors: it was not accepted.
    pub async fn order(&self, id: CallId, cause: Cause) -> Result<(), EraseError> {
        let keys = Keys(self.spool.clone());
        self.eraser(&keys).order(Order { id, at: self.clock.wall(), cause }).await
    }

    /// Completes an erasure: the store and the index.
    ///
    /// Errors: the step that could not be taken; the order stays open.
    pub async fn complete(&self, id: CallId, cause: Cause) -> Result<Vec<String>, (Step, EraseError)> {
        let _turn = self.turns.lock(id).await;
        let keys = Keys(self.spool.clone());
        let gone = self.eraser(&keys).complete(id, self.clock.wall()).await?;
        metrics::erased(match cause {
            Cause::Request => ErasedFor::Request,
            Cause::Withdrawal => ErasedFor::Withdrawal,
            Cause::Expiry => ErasedFor::Expiry,
        });
        Ok(gone)
    }

    /// Tries every open order again; how many are still open.
    pub async fn complete_open(&self) -> usize {
        for order in self.log.open_orders() {
            if let Err((step, error)) = self.complete(order.id, order.cause).await {
                tracing::warn!(call = %order.id, step = step.name(), %error, "an erasure is not complete yet");
                // What stops one stops the others.
                break;
            }
        }
        let open = self.log.open_orders().len();
        metrics::erasures_pending(open);
        open
    }

    fn eraser<'a>(&'a self, keys: &'a Keys) -> Eraser<'a> {
        Eraser { log: &self.log, keys, store: &self.store, index: &self.index }
    }
}
