//! The last faults of the store, for the health check: a store that answers listings and rejects everything else does
//! not work.

use std::sync::{Mutex, PoisonError};

use crate::store::error::StoreError;

/// Consecutive failed writes after which the store counts as faulty, whatever else succeeds.
const IN_A_ROW: u32 = 3;

/// Faults since they were last read.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    fresh: Option<String>,
    writes_failed: u32,
    last: String,
}

impl Trouble {
    /// Records the result of a request.
    pub fn note<T>(&self, ended: &Result<T, StoreError>) {
        if let Err(error @ (StoreError::Transient(_) | StoreError::Mismatch)) = ended {
            self.state().fresh = Some(error.to_string());
        }
    }

    /// Records the result of a write.
    pub fn note_write<T>(&self, ended: &Result<T, StoreError>) {
        self.note(ended);
        let mut state = self.state();
        match ended {
            Ok(_) => state.writes_failed = 0,
            Err(error @ (StoreError::Transient(_) | StoreError::Mismatch)) => {
                state.writes_failed += 1;
                state.last = error.to_string();
            }
            Err(_) => {}
        }
    }

    /// Returns and clears the last fault.
    pub fn take(&self) -> Option<String> {
        self.state().fresh.take()
    }

    /// Why writes fail; none unless several have failed and none has succeeded since.
    pub fn writes_fail(&self) -> Option<String> {
        let state = self.state();
        (state.writes_failed >= IN_A_ROW).then(|| state.last.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_that_fail_in_a_row_are_trouble_until_one_succeeds() {
        let trouble = Trouble::default();
        let refused = || Err::<(), _>(StoreError::Transient("QuotaExceeded".into()));
        trouble.note_write(&refused());
        assert!(trouble.take().unwrap().contains("QuotaExceeded") && trouble.take().is_none());
        trouble.note(&refused());
        trouble.note_write(&Err::<(), _>(StoreError::Conflict));
        assert_eq!(trouble.writes_fail(), None);
        trouble.note_write(&refused());
        trouble.note_write(&refused());
        assert!(trouble.writes_fail().unwrap().contains("QuotaExceeded"));
        trouble.note_write(&Ok(()));
        assert_eq!(trouble.writes_fail(), None);
    }
}
