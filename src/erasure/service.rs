//! The erase service of a running recorder: orders are durable at once, and completed as soon as store and index allow,
//! mutually exclusive with the recording's delivery.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::cluster::membership::Membership;
use crate::erasure::deletion_guard::DeletionGuard;
use crate::erasure::deletion_log::{Cause, DeletionLog, Done, Order};
use crate::erasure::shared_orders::Among;
use crate::erasure::steps::{EraseError, Eraser, Orders, SpoolKeys, Step};
use crate::erasure::unfinished::UnderWay;
use crate::index::IndexRow;
use crate::metrics::{self, ErasedFor};
use crate::stores::Stores;
use crate::stores::durable::destroy_key;
use crate::stores::recording_lock::RecordingLocks;
use optag_core::clock::Clock;
use optag_core::id::CallId;
use optag_storage::store::StoreError;
use optag_storage::store::batches::AT_A_TIME;
use optag_storage::store::remains::StoredObject;
use optag_storage::store::versions::{CopyKind, StoredCopy};

/// Consecutive failures after which the store is considered unavailable.
const FAILURES: usize = 5;

/// Erasures completed at a time where nodes share an index.
const AT_A_TIME_SHARED: usize = 16;

/// Recordings deleted by one request: two objects each.
const TOGETHER: usize = AT_A_TIME / 2;

/// Orders and completes erasures.
pub struct EraseService {
    /// Erasures ordered and completed.
    pub log: DeletionLog,
    /// Holds, the signing key, and whether the log is complete.
    pub guard: DeletionGuard,
    pub(crate) stores: Stores,
    /// Held while a recording is delivered or erased.
    pub(crate) locks: RecordingLocks,
    /// Clock for the dates of orders.
    pub(crate) clock: Arc<dyn Clock>,
    /// Copies found by erasures that are not complete.
    progress: UnderWay,
    /// What other nodes order.
    pub(super) among: Among,
}

impl SpoolKeys for EraseService {
    fn destroy(&self, id: CallId) -> BoxFuture<'_, Result<(), String>> {
        // On a thread that may block.
        async move { destroy_key(&self.stores.spool, id).await.map_err(|error| error.to_string()) }.boxed()
    }

    fn is_clear_elsewhere(&self, id: CallId, cause: Cause) -> BoxFuture<'_, Result<(), String>> {
        self.spool_is_clear_elsewhere(id, cause).boxed()
    }
}

impl Orders for EraseService {
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), EraseError>> {
        async move {
            // It ends a recording that may not be kept: nothing delays it.
            if order.cause == Cause::Withdrawal {
                return Ok(tokio::task::block_in_place(|| self.log.order(order))?);
            }
            self.decide(order).await
        }
        .boxed()
    }

    fn done(&self, done: Done) -> BoxFuture<'_, Result<(), EraseError>> {
        async move {
            let order = tokio::task::block_in_place(|| self.log.history(done.id))?.map(|(order, _)| order);
            let order =
                order.unwrap_or(Order { id: done.id, at: done.at, cause: Cause::Request, request: None });
            self.stores.index.order_done(&self.row(&order, Some(&done))?).await?;
            Ok(tokio::task::block_in_place(|| self.log.completed(done))?)
        }
        .boxed()
    }
}

impl EraseService {
    /// Erase service for an installation's stores. `clock` dates orders; `progress` holds what open erasures found.
    pub fn new(
        stores: Stores,
        log: DeletionLog,
        guard: DeletionGuard,
        clock: Arc<dyn Clock>,
        progress: UnderWay,
    ) -> Self {
        let (locks, among) = (RecordingLocks::default(), Among::default());
        Self { log, guard, stores, locks, clock, progress, among }
    }

    /// The same as one of several nodes.
    #[must_use]
    pub fn among(self, members: Option<Arc<Membership>>) -> Self {
        Self { among: Among::new(members), ..self }
    }

    /// Orders an erasure. On return the order is durable, nothing of the recording is served, and its spool records
    /// are unreadable.
    ///
    /// Errors: not accepted.
    pub async fn order(&self, id: CallId, cause: Cause) -> Result<(), EraseError> {
        self.order_for(id, cause, None).await
    }

    /// As [`EraseService::order`], with the number of the erasure request.
    ///
    /// Errors: not accepted: the recording is held, or the order is not durable, or not for every node that may serve
    /// the recording.
    pub async fn order_for(
        &self,
        id: CallId,
        cause: Cause,
        request: Option<String>,
    ) -> Result<(), EraseError> {
        let is_here = self.stores.spool.holds(id);
        self.take_first_steps(Order { id, at: self.clock.wall(), cause, request }, is_here).await
    }

    /// Orders the erasure of a call in progress here whose consent is withdrawn. Does not need the index.
    ///
    /// Errors: not durable.
    pub async fn withdraw_in_call(&self, id: CallId) -> Result<(), EraseError> {
        let order = Order { id, at: self.clock.wall(), cause: Cause::Withdrawal, request: None };
        self.take_first_steps(order, true).await
    }

    async fn take_first_steps(&self, order: Order, is_here: bool) -> Result<(), EraseError> {
        self.eraser().order(order.clone()).await?;
        match order.cause {
            Cause::Withdrawal => self.share_withdrawal(order, is_here).await,
            Cause::Request | Cause::Expiry => Ok(()),
        }
    }

    /// Takes an order of another installation's log into this one's, whatever is held here.
    ///
    /// Errors: not durable.
    pub async fn take_over(&self, order: Order) -> Result<(), EraseError> {
        let id = order.id;
        tokio::task::block_in_place(|| self.log.order(order))?;
        destroy_key(&self.stores.spool, id).await.map_err(|error| EraseError::Spool(error.to_string()))
    }

    /// Records that someone accepts an erasure that finds nothing of what was delivered, as long as the erasure is
    /// open.
    ///
    /// Errors: disk; the acceptance does not count then.
    pub fn accept_missing(&self, id: CallId) -> std::io::Result<()> {
        if !self.log.open_orders().iter().any(|order| order.id == id) {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.progress.accept_missing(id))
    }

    /// Reopens an erasure because a copy reappeared.
    ///
    /// Errors: not durable.
    pub async fn reopen(&self, id: CallId) -> Result<(), EraseError> {
        if self.stores.index.reopen_order(&self.row(&self.order_again(id)?, None)?).await? {
            self.reopen_in_log(id)?;
        }
        Ok(())
    }

    pub(super) fn reopen_in_log(&self, id: CallId) -> Result<(), EraseError> {
        let order = self.order_again(id)?;
        tokio::task::block_in_place(|| {
            if let Some((_, Some(done))) = self.log.history(id)? {
                // Copies deleted earlier stay in the receipt, and explain why they are not found again.
                self.progress.note(id, &done.gone)?;
            }
            self.log.reopen(order)
        })?;
        Ok(())
    }

    /// The order for a recording once more, as of now.
    fn order_again(&self, id: CallId) -> Result<Order, EraseError> {
        let before = tokio::task::block_in_place(|| self.log.history(id))?;
        let (cause, request) =
            before.map_or((Cause::Expiry, None), |(order, _)| (order.cause, order.request));
        Ok(Order { id, at: self.clock.wall(), cause, request })
    }

    /// Whether a recording is erased because the caller withdrew consent.
    ///
    /// Errors: the log cannot be read.
    pub fn was_withdrawn(&self, id: CallId) -> Result<bool, EraseError> {
        if !self.log.is_erased(id) {
            return Ok(false);
        }
        let history = tokio::task::block_in_place(|| self.log.history(id))?;
        Ok(history.is_some_and(|(order, _)| order.cause == Cause::Withdrawal))
    }

    /// Whether a recording has expired and is not held: it is not shown from then on, whether or not the sweeper has
    /// run.
    pub fn has_expired(&self, row: &IndexRow) -> bool {
        let now = self.clock.wall();
        row.expires_at <= now && self.guard.holds.standing(row.id, now).is_none()
    }

    /// Completes an erasure in store and index.
    ///
    /// Errors: the step that failed; the order stays open.
    pub async fn complete(&self, id: CallId, cause: Cause) -> Result<Vec<String>, (Step, EraseError)> {
        let _turn = self.locks.lock(id).await;
        let now = self.clock.wall();
        let gone = self.eraser().complete(id, cause, now).await.inspect_err(|(_, error)| {
            if error.is_unproven() {
                metrics::erasure_unproven();
                tracing::error!(call = %id, %error, "erasure not verified");
            }
        })?;
        metrics::erased(match cause {
            Cause::Request => ErasedFor::Request,
            Cause::Withdrawal => ErasedFor::Withdrawal,
            Cause::Expiry => ErasedFor::Expiry,
        });
        Ok(gone)
    }

    /// Retries every open order; returns the number still open. An order that cannot be completed does not delay the
    /// others; after several consecutive failures the store is considered unavailable.
    pub async fn complete_open(&self) -> usize {
        let mut orders = self.log.open_orders();
        orders.retain(|order| self.completes(order.id));
        self.delete_expired(&orders).await;
        let now = self.clock.wall();
        let oldest_us = orders.iter().map(|order| now.micros_since(order.at)).max().unwrap_or(0);
        metrics::erasures_waiting(Duration::from_micros(oldest_us.max(0) as u64));
        // Each pass starts with a different order, so that every order is tried.
        let turn = self.guard.rounds.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(orders.len()).unwrap_or(0);
        orders.rotate_left(first);
        let mut failed = 0;
        let completing = orders
            .into_iter()
            .map(|order| async move { (order.id, self.complete(order.id, order.cause).await) });
        let mut completing = futures::stream::iter(completing).buffer_unordered(self.at_a_time());
        while let Some((id, completed)) = completing.next().await {
            match completed {
                Ok(_) => failed = 0,
                Err((step, error)) => {
                    tracing::warn!(call = %id, step = step.name(), %error, "erasure incomplete, will retry");
                    // Another node's word is missing, not the store's.
                    failed += usize::from(step != Step::SpoolKey);
                    if failed == FAILURES {
                        break;
                    }
                }
            }
        }
        let open = self.log.open_orders().iter().filter(|order| self.completes(order.id)).count();
        metrics::erasures_pending(open);
        open
    }

    /// Erasures completed at a time. SQLite folds its write-ahead log in after each, which readers delay.
    fn at_a_time(&self) -> usize {
        if self.is_alone() { 1 } else { AT_A_TIME_SHARED }
    }

    /// Deletes the objects of expired recordings in batches. Each recording is then verified and completed
    /// individually, and anything left is deleted one by one: correctness does not depend on this step.
    async fn delete_expired(&self, orders: &[Order]) {
        if !self.stores.store.deletes_together() {
            return;
        }
        let expired: Vec<CallId> =
            orders.iter().filter(|order| order.cause == Cause::Expiry).map(|order| order.id).collect();
        // A single recording is deleted by its own erasure.
        for ids in expired.chunks(TOGETHER).filter(|ids| ids.len() > 1) {
            let mut copies = Vec::new();
            for id in ids {
                match self.expired_copies(*id).await {
                    Ok(some) => copies.extend(some),
                    Err(error) => {
                        tracing::warn!(call = %id, %error, "cannot batch-delete expired recordings, deleting one by one");
                        return;
                    }
                }
            }
            match self.stores.store.delete_many(&copies).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "batch delete of expired recordings failed, deleting one by one");
                    return;
                }
            }
        }
    }

    /// Existing copies of a delivery, recorded as found before any is deleted.
    async fn expired_copies(&self, id: CallId) -> anyhow::Result<Vec<StoredCopy>> {
        let stored =
            self.stores.index.stored(id).await?.filter(|stored| stored.place == self.stores.store.place());
        let mut copies = Vec::new();
        for object in stored.unwrap_or_default().objects {
            match self.stores.store.size(&object.name).await {
                Ok(_) => copies.push(copy_of(object)),
                // A missing object was not deleted here: the erasure decides what its absence means.
                Err(StoreError::Missing) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !copies.is_empty() {
            tokio::task::block_in_place(|| -> std::io::Result<()> {
                let mut found = self.progress.found(id)?;
                let names = copies.iter().map(StoredCopy::name);
                let new: Vec<String> = names.filter(|name| !found.contains(name)).collect();
                found.extend(new);
                self.progress.note(id, &found)
            })?;
        }
        Ok(copies)
    }

    fn eraser(&self) -> Eraser<'_> {
        let Stores { store, index, .. } = &self.stores;
        Eraser { log: self, keys: self, store, index, progress: &self.progress }
    }
}

/// A delivered object as a copy in the store.
fn copy_of(object: StoredObject) -> StoredCopy {
    let StoredObject { name: key, version, upload: _ } = object;
    StoredCopy { key, version, kind: CopyKind::Object, bytes: 0, stored_at: None }
}
