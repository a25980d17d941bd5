//! Guards erasure and expiry beside the deletion log: the installation's signing key, legal holds, and whether the log is
//! the one that index and store recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::erasure::deletion_log::Relation;
use crate::erasure::holds::Holds;
use optag_core::signing::Signer;

/// Guards erasure and expiry.
#[derive(Debug)]
pub struct DeletionGuard {
    /// Signs receipts and checkpoints.
    pub signer: Arc<Signer>,
    /// Legal holds.
    pub holds: Holds,
    out_of_step: AtomicBool,
    /// Number of entries of the deletion log copied to the store; none: not checked yet.
    pub(crate) anchored: tokio::sync::Mutex<Option<u64>>,
    /// Name of the last audit checkpoint seen in the store by this process; none: not checked yet.
    pub(crate) audit_anchored: tokio::sync::Mutex<Option<String>>,
    /// Counts passes over open erasures, so that each pass starts with a different order.
    pub(crate) rounds: AtomicUsize,
}

impl DeletionGuard {
    /// A guard that has found no fault yet.
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

    /// Whether the deletion log matches what index and store recorded, as far as is known. If not, nothing is served
    /// or delivered: recordings erased by the lost entries would reappear.
    pub fn in_step(&self) -> bool {
        !self.out_of_step.load(Ordering::Acquire)
    }

    /// Records the result of a comparison. Only [`DeletionGuard::repaired`] clears a fault.
    pub fn found(&self, relation: Relation) {
        if relation != Relation::InStep {
            self.out_of_step.store(true, Ordering::Release);
        }
    }

    /// Clears the fault once the log is complete again.
    pub fn repaired(&self) {
        self.out_of_step.store(false, Ordering::Release);
    }
}

#[cfg(test)]
impl Default for DeletionGuard {
    fn default() -> Self {
        Self::new(Signer::from_seed(&[7; 32]).expect("any seed makes a key"), Holds::default())
    }
}
