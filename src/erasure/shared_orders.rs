//! Orders to erase among the nodes of one index. In: rows of other nodes' orders. Out: the same orders in this node's
//! deletion log, and the word that this node's spool has nothing of them.
//!
//! The table of the index carries orders from node to node and says who completes each. The deletion log is a node's own
//! durable copy: of its own orders, and of every order of a person wherever it was given. An order that a hold could stop
//! is a row first and an entry second; a withdrawal is an entry first, as nothing may delay it. What a crash leaves
//! between the two is made up for at the next start.
//!
//! An erasure is complete only once the node that recorded the call, if there is another, has said that its spool has
//! nothing of it: that node may be about to deliver it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::cluster::membership::{Membership, PATIENCE};
use crate::erasure::deletion_log::{Cause, Done, LogError, Order};
use crate::erasure::service::EraseService;
use crate::erasure::steps::EraseError;
use crate::index::{Decided, DoneRow, IndexError, OrderRow};
use crate::stores::durable::destroy_key;
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Time between two looks for orders, where nobody wakes this node.
const LOOK: Duration = Duration::from_secs(2);
/// The same where this node is the only one.
const LOOK_ALONE: Duration = Duration::from_secs(30);
/// How long a delivery under way is waited for before the next look.
const DELIVERS_WITHIN: Duration = Duration::from_secs(1);
/// Time between two looks for another node's word.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Orders of nodes that ended that are taken over at a time.
const TAKEN_OVER: u32 = 1_000;

/// What this node knows of the others' orders.
#[derive(Debug, Default)]
pub(crate) struct Among {
    members: Option<Arc<Membership>>,
    /// Open orders that other nodes complete.
    others: Mutex<HashSet<CallId>>,
    /// Orders of this node that the index does not have yet.
    unshared: Mutex<HashSet<CallId>>,
    /// Up to when the index was read, by its own clock; none: not since the start. Units: µs.
    read_to_us: tokio::sync::Mutex<Option<i64>>,
    woken: Notify,
}

impl Among {
    pub(super) fn new(members: Option<Arc<Membership>>) -> Self {
        Self { members, ..Self::default() }
    }

    /// Number of this node; 0 where it is the only one.
    pub(super) fn node(&self) -> u16 {
        self.members.as_ref().map_or(0, |members| members.number())
    }
}

impl EraseService {
    /// Which of these recordings are ordered to be erased, by whichever node.
    ///
    /// Errors: index unavailable: another node's order may be there.
    pub async fn ordered_among(&self, ids: &[CallId]) -> Result<HashSet<CallId>, IndexError> {
        let (known, unknown): (Vec<CallId>, Vec<CallId>) =
            ids.iter().copied().partition(|id| self.log.is_erased(*id));
        let mut known: HashSet<CallId> = known.into_iter().collect();
        if self.among.members.is_some() && !unknown.is_empty() {
            known.extend(self.stores.index.ordered_among(&unknown).await?);
        }
        Ok(known)
    }

    /// As [`EraseService::ordered_among`], for one recording.
    ///
    /// Errors: index unavailable: another node's order may be there.
    pub async fn is_ordered(&self, id: CallId) -> Result<bool, IndexError> {
        Ok(!self.ordered_among(&[id]).await?.is_empty())
    }

    /// Whether this is the only node.
    pub(super) fn is_alone(&self) -> bool {
        self.among.members.is_none()
    }

    /// Whether this node completes an open order.
    pub fn completes(&self, id: CallId) -> bool {
        self.log.is_open(id) && !lock(&self.among.others).contains(&id)
    }

    /// Number of this node; 0 where it is the only one.
    ///
    /// Errors: it has none yet.
    pub fn node(&self) -> Result<u16, EraseError> {
        match (self.among.node(), &self.among.members) {
            (0, Some(_)) => Err(EraseError::Unregistered),
            (node, _) => Ok(node),
        }
    }

    /// Whether this node does a job now that one node does for all, and for how long nobody else does.
    ///
    /// Errors: index unavailable, or this node has no number yet.
    pub async fn takes_job(&self, job: &str, lease: Duration) -> Result<bool, EraseError> {
        Ok(self.stores.index.take_job(job, self.node()?, lease).await?)
    }

    /// Orders an erasure that a hold may stop: first in the index, then in the log.
    pub(super) async fn decide(&self, order: Order) -> Result<(), EraseError> {
        if self.log.is_erased(order.id) {
            return Ok(());
        }
        let holds = &self.guard.holds;
        holds.enter(&self.stores.index).await?;
        let row = self.row(&order, None)?;
        match self.stores.index.decide_order(&row, holds.are_allowed()).await? {
            Decided::Held(hold) => Err(EraseError::Held(Box::new(hold.into()))),
            Decided::Waits(node) => Err(EraseError::Waits(node)),
            Decided::Ordered(row) => Ok(self.take_in(&row)?),
        }
    }

    /// Enters a withdrawal in the index, which the log has. `is_here`: nobody else can have anything of the recording.
    ///
    /// Errors: another node may serve it until the index has the order, which is tried again.
    pub(super) async fn share_withdrawal(&self, order: Order, is_here: bool) -> Result<(), EraseError> {
        lock(&self.among.unshared).insert(order.id);
        let is_away = self.among.members.as_ref().is_some_and(|members| members.shared().is_err());
        if is_here && is_away {
            return Ok(());
        }
        let shared = async {
            let row = self.row(&order, None)?;
            match self.stores.index.decide_order(&row, false).await? {
                Decided::Ordered(row) => self.take_in(&row)?,
                Decided::Held(_) | Decided::Waits(_) => {}
            }
            lock(&self.among.unshared).remove(&order.id);
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, shared).await {
            Ok(Ok(())) => Ok(()),
            _ if is_here => {
                self.among.woken.notify_one();
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(EraseError::Unshared),
        }
    }

    /// Learns of orders and holds whenever there are some, until dropped.
    pub async fn follow_orders(self: Arc<Self>) {
        let look = if self.among.members.is_some() { LOOK } else { LOOK_ALONE };
        let learning = async {
            let mut was_well = true;
            loop {
                let learned = self.learn_orders().await;
                if let Err(error) = &learned
                    && was_well
                {
                    tracing::warn!(%error, "cannot read holds and deletion orders of the index; nothing expires meanwhile");
                }
                was_well = learned.is_ok();
                tokio::select! {
                    () = tokio::time::sleep(look) => {}
                    () = self.among.woken.notified() => {}
                }
            }
        };
        tokio::join!(learning, self.stores.index.follow_decisions(&self.among.woken));
    }

    /// Brings holds and orders of persons in line with the index. The first time, all of them.
    ///
    /// Errors: index unavailable, or the log is not durable; to be retried.
    pub async fn learn_orders(&self) -> Result<(), EraseError> {
        let mut read_to = self.among.read_to_us.lock().await;
        self.guard.holds.refresh(&self.stores.index).await.map_err(EraseError::holds)?;
        let index = &self.stores.index;
        let now_us = index.database_time_us().await?;
        match *read_to {
            None => {
                self.settle_claims().await?;
                let mut after = None;
                loop {
                    let rows = index.orders_after(after).await?;
                    let Some(last) = rows.last() else { break };
                    after = Some(last.id);
                    self.learn(&rows).await?;
                }
            }
            Some(since_us) => {
                let unshared: Vec<CallId> = lock(&self.among.unshared).iter().copied().collect();
                self.enter_orders(&unshared).await?;
                self.learn(&index.orders_changed(since_us).await?).await?;
            }
        }
        *read_to = Some(now_us);
        let node = self.among.node();
        if node > 0 {
            index.set_holds_shared(node).await?;
        }
        Ok(())
    }

    /// Learns what the index has of one recording's erasure.
    ///
    /// Errors: index unavailable, or the log is not durable.
    pub async fn learn_order(&self, id: CallId) -> Result<(), EraseError> {
        let rows = self.stores.index.orders(&[id]).await?;
        self.learn(&rows).await
    }

    /// Brings open orders in line with the index: enters those that it does not have, takes over those of nodes that
    /// ended, and learns which ones other nodes complete or have completed.
    ///
    /// Errors: index unavailable, or the log is not durable; to be retried.
    pub async fn settle_claims(&self) -> Result<(), EraseError> {
        let (index, node) = (&self.stores.index, self.among.node());
        let open: Vec<CallId> = self.log.open_orders().iter().map(|order| order.id).collect();
        let rows = index.orders(&open).await?;
        let entered: HashSet<CallId> = rows.iter().map(|row| row.id).collect();
        self.learn(&rows).await?;
        let missing: Vec<CallId> = open.into_iter().filter(|id| !entered.contains(id)).collect();
        self.enter_orders(&missing).await?;
        if self.among.members.is_some() && node > 0 {
            let taken = index.claim_orders_of_dead(node, TAKEN_OVER).await?;
            if taken > 0 {
                tracing::warn!(taken, "took over erasures of nodes that were not heard for a minute");
            }
        }
        let mut after = None;
        loop {
            let rows = index.open_orders(node, after).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            self.learn(&rows).await?;
        }
    }

    /// Takes the orders that this node has claimed into the log, and destroys what the spool has of them.
    pub(super) async fn take_claimed(&self, ids: &[CallId], at: WallTime) -> Result<(), EraseError> {
        let order = |id: &CallId| Order { id: *id, at, cause: Cause::Expiry, request: None };
        tokio::task::block_in_place(|| self.log.order_all(ids.iter().map(order).collect()))?;
        for id in ids.iter().filter(|id| self.stores.spool.holds(**id)) {
            let destroyed = destroy_key(&self.stores.spool, *id).await;
            destroyed.map_err(|error| EraseError::Spool(error.to_string()))?;
        }
        Ok(())
    }

    /// Enters orders that the log has and the index does not.
    async fn enter_orders(&self, ids: &[CallId]) -> Result<(), EraseError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for id in ids {
            if let Some((order, _)) = tokio::task::block_in_place(|| self.log.history(*id))? {
                rows.push(self.row(&order, None)?);
            }
        }
        self.stores.index.enter_orders(&rows).await?;
        let mut unshared = lock(&self.among.unshared);
        unshared.retain(|id| !ids.contains(id));
        Ok(())
    }

    /// Takes rows into the log, and says of those that this node recorded that its spool has nothing of them.
    async fn learn(&self, rows: &[OrderRow]) -> Result<(), EraseError> {
        let node = self.among.node();
        for row in rows {
            self.take_in(row)?;
            if row.node == node && row.done.is_none() && !self.log.is_open(row.id) {
                self.open_again(row.id).await?;
            }
        }
        let ours = rows.iter().filter(|row| {
            let asked = node > 0 && row.node != node && row.id.node() == node;
            asked && !row.spool_clear && row.done.is_none()
        });
        let cleared = futures::future::join_all(ours.map(|row| self.clear_spool(row.id))).await;
        let cleared: Vec<CallId> = cleared.into_iter().flatten().collect();
        Ok(self.stores.index.confirm_spool(&cleared).await?)
    }

    /// Opens an order that this node completes and that only its log has as complete, unless it was completed meanwhile.
    async fn open_again(&self, id: CallId) -> Result<(), EraseError> {
        let _turn = self.locks.lock(id).await;
        let rows = self.stores.index.orders(&[id]).await?;
        let is_open = |row: &OrderRow| row.done.is_none() && row.node == self.among.node();
        if rows.first().is_some_and(is_open) && !self.log.is_open(id) {
            self.reopen_in_log(id)?;
        }
        Ok(())
    }

    /// Destroys what the spool has of a recording, and waits for a delivery of it that is under way.
    async fn clear_spool(&self, id: CallId) -> Option<CallId> {
        let destroyed = destroy_key(&self.stores.spool, id).await;
        destroyed
            .inspect_err(|error| tracing::error!(call = %id, %error, "cannot destroy spool key"))
            .ok()?;
        tokio::time::timeout(DELIVERS_WITHIN, self.locks.lock(id)).await.ok().map(|_turn| id)
    }

    fn take_in(&self, row: &OrderRow) -> Result<(), LogError> {
        let cause = Cause::of(&row.cause);
        let order = Order { id: row.id, at: row.at, cause, request: row.request.clone() };
        let is_ours = row.node == self.among.node();
        tokio::task::block_in_place(|| match &row.done {
            None => {
                self.log.order(order)?;
                let mut others = lock(&self.among.others);
                if is_ours {
                    others.remove(&row.id);
                } else {
                    others.insert(row.id);
                }
                Ok(())
            }
            Some(DoneRow { at, gone, accepted_missing }) => {
                self.log.order(order)?;
                if self.log.is_open(row.id) {
                    let accepted_missing = *accepted_missing;
                    self.log.completed(Done { id: row.id, at: *at, gone: gone.clone(), accepted_missing })?;
                }
                lock(&self.among.others).remove(&row.id);
                Ok(())
            }
        })
    }

    /// An order of this node as a row.
    pub(super) fn row(&self, order: &Order, done: Option<&Done>) -> Result<OrderRow, EraseError> {
        Ok(OrderRow {
            id: order.id,
            cause: order.cause.name().into(),
            request: order.request.clone(),
            at: order.at,
            node: self.node()?,
            spool_clear: false,
            done: done.map(|done| DoneRow {
                at: done.at,
                gone: done.gone.clone(),
                accepted_missing: done.accepted_missing,
            }),
        })
    }

    /// Whether the node that recorded a call has said that its spool has nothing of it.
    ///
    /// Errors: it has not, or the index does not answer.
    pub(super) async fn spool_is_clear_elsewhere(&self, id: CallId, cause: Cause) -> Result<(), String> {
        // A recording that has expired is destroyed in every spool by that node's own clock.
        let Some(owner) = self.owner(id).filter(|_| cause != Cause::Expiry) else { return Ok(()) };
        match self.stores.index.orders(&[id]).await {
            Ok(rows) if rows.iter().any(|row| row.spool_clear) => Ok(()),
            Ok(_) => {
                Err(format!("node {owner} has not confirmed that its spool has nothing of the recording"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits a moment for that word.
    pub async fn await_clear_spool(&self, id: CallId) {
        let said = async {
            while self.spool_is_clear_elsewhere(id, Cause::Request).await.is_err() {
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        drop(tokio::time::timeout(PATIENCE, said).await);
    }

    /// Another node, not gone, that recorded the call.
    fn owner(&self, id: CallId) -> Option<u16> {
        let members = self.among.members.as_ref()?;
        let others = members.others();
        others.iter().map(|member| member.peer.number).find(|number| *number == id.node())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
