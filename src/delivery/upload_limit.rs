//! Adaptive limit of concurrent deliveries: plus one after each successful round, halved when the store fails. In:
//! results of deliveries. Out: permits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Initial number of permits.
const FIRST: f64 = 2.0;

/// Hands out permits.
#[derive(Debug)]
pub struct UploadLimit {
    state: Mutex<State>,
    freed: Notify,
    most: usize,
}

#[derive(Debug)]
struct State {
    limit: f64,
    busy: usize,
}

/// A permit; dropping it says nothing about the result.
#[derive(Debug)]
pub struct Turn<'a>(&'a UploadLimit);

impl UploadLimit {
    /// At most this many permits at a time.
    pub fn new(most: usize) -> Self {
        let state = State { limit: FIRST.min(most as f64), busy: 0 };
        Self { state: Mutex::new(state), freed: Notify::new(), most }
    }

    /// Waits for a permit.
    pub async fn turn(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if (state.busy as f64) < state.limit.floor() {
                    state.busy += 1;
                    return Turn(self);
                }
            }
            freed.await;
        }
    }

    /// Current number of permits.
    pub fn limit(&self) -> usize {
        self.state().limit as usize
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The delivery succeeded.
    pub fn went_well(self) {
        let mut state = self.0.state();
        state.limit = (state.limit + 1.0 / state.limit).min(self.0.most as f64);
    }

    /// The store failed.
    pub fn went_badly(self) {
        let mut state = self.0.state();
        state.limit = (state.limit / 2.0).max(1.0);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
        // All waiters: the limit may have grown by more than one.
        self.0.freed.notify_waiters();
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_grows_by_one_a_round_and_halves_on_failure_and_never_ends() {
        let upload_limit = UploadLimit::new(4);
        let (one, two) = (upload_limit.turn().await, upload_limit.turn().await);
        assert!(futures::poll!(Box::pin(upload_limit.turn())).is_pending());
        one.went_well();
        two.went_well();
        for _ in 0..30 {
            upload_limit.turn().await.went_well();
        }
        assert_eq!(upload_limit.limit(), 4);
        upload_limit.turn().await.went_badly();
        assert_eq!(upload_limit.limit(), 2);
        for _ in 0..5 {
            upload_limit.turn().await.went_badly();
        }
        assert_eq!(upload_limit.limit(), 1);
        drop(upload_limit.turn().await);
    }

    #[tokio::test]
    async fn a_turn_given_back_wakes_who_waits() {
        let upload_limit = UploadLimit::new(1);
        let held = upload_limit.turn().await;
        let mut waiting = Box::pin(upload_limit.turn());
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(held);
        drop(waiting.await);
    }
}
