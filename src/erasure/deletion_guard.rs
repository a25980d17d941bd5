//! Guards erasure and expiry beside the deletion log: the installation's signing key, legal holds, and whether the log is
//! the one that index and store recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::erasure::deletion_log::Cause;
use crate::erasure::deletion_log::{DeletionLog, Order, Relation};
use crate::erasure::holds::Holds;
use crate::erasure::steps::EraseError;
use optag_core::id::CallId;
use optag_core::signing::Signer;

/// The guard.
#[derive(Debug)]
pub struct DeletionGuard {
    /// Signs receipts and checkpoints.
    pub signer: Arc<Signer>,
    /// What must not end yet.
    pub holds: Holds,
    out_of_step: AtomicBool,
    /// Entries of the deletion log that the store holds a copy of; none: not looked yet.
    pub(crate) anchored: tokio::sync::Mutex<Option<u64>>,
    /// Name of the audit's checkpoint that this process saw in the store last; none: not looked yet.
    pub(crate) audit_anchored: tokio::sync::Mutex<Option<String>>,
    /// Rounds of completing erasures, so that each begins with another order.
    pub(crate) rounds: AtomicUsize,
}

impl DeletionGuard {
    /// A guard that knows of nothing wrong yet.
    pub fn new(signer: impl Into<Arc<Signer>>, holds: Holds) -> Self {
        Self {
            signer: signer.into(),
            holds,
            out_of_step: AtomicBool::new(false),
            anchored: tokio::sync::Mutex::new(None),
            audit_anchored: tokio::sync::Mutex::new(None),
            rounds: AtomicUsize::new(0),
        }
    }

    /// Whether the deletion log is the one that index and store saw last, as far as is known.
    /// While it is not, nothing is served and nothing delivered: what the lost entries erased
    /// would come back.
    pub fn in_step(&self) -> bool {
        !self.out_of_step.load(Ordering::Acquire)
    }

    /// Notes how the log was found to stand. Only [`DeletionGuard::mended`] takes a fault back.
    pub fn found(&self, relation: Relation) {
        if relation != Relation::InStep {
            self.out_of_step.store(true, Ordering::Release);
        }
    }

    /// The log has everything again.
    pub fn mended(&self) {
        self.out_of_step.store(false, Ordering::Release);
    }

    /// Puts an order into the log, unless a hold stands against it; blocking. Nobody can hold
    /// the recording between the two. A withdrawal heeds no hold: it ends what was never allowed
    /// to be kept.
    ///
    /// Errors: held, or the order is not durable.
    pub fn order(&self, log: &DeletionLog, order: Order) -> Result<(), EraseError> {
        if order.cause == Cause::Withdrawal {
            return Ok(log.order(order)?);
        }
        let (id, now): (CallId, _) = (order.id, order.at);
        match self.holds.unless_held(id, now, || log.order(order)) {
            Ok(ordered) => Ok(ordered?),
            Err(hold) => Err(EraseError::Held(hold)),
        }
    }
}

#[cfg(test)]
impl Default for DeletionGuard {
    fn default() -> Self {
        Self::new(Signer::from_seed(&[7; 32]).expect("any seed makes a key"), Holds::default())
    }
}
