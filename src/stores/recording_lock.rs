//! One lock a recording, so that its delivery and its erasure take turns and an upload in
//! flight cannot land behind a finished erasure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use optag_core::id::CallId;

/// Locks by id; an id that nobody holds or waits for costs nothing.
#[derive(Debug, Default)]
pub struct RecordingLocks {
    locks: Mutex<HashMap<CallId, Arc<tokio::sync::Mutex<()>>>>,
}

impl RecordingLocks {
    /// Waits for the turn of `id`; dropping the guard ends it.
    pub async fn lock(&self, id: CallId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // A lock that only the map knows is free: forgetting it here bounds the map by
            // the number of recordings being worked on.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(id).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::clock::WallTime;

    #[tokio::test]
    async fn one_id_waits_and_another_does_not() {
        let locks = RecordingLocks::default();
        let (one, two) = (CallId::new_at(WallTime::default()), CallId::new_at(WallTime::default()));
        let held = locks.lock(one).await;
        let _other = locks.lock(two).await;
        let mut waiting = Box::pin(locks.lock(one));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(held);
        drop(waiting.await);
        drop(locks.lock(two));
        assert!(locks.locks.lock().unwrap().len() <= 2);
    }
}
