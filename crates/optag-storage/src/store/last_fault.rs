//! What went wrong with the store last, for whoever says whether it works: a store that lists and
//! refuses everything else is not one that works.

use std::sync::{Mutex, PoisonError};

use crate::store::StoreError;

/// Writes that fail in a row until the store is said not to work, whatever else succeeds.
const IN_A_ROW: u32 = 3;

/// What went wrong since it was asked about last.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    fresh: Option<String>,
    writes_failed: u32,
    last: String,
}

impl Trouble {
    /// Notes how a request ended.
    pub fn note<T>(&self, ended: &Result<T, StoreError>) {
        if let Err(error @ (StoreError::Transient(_) | StoreError::Mismatch)) = ended {
            self.state().fresh = Some(error.to_string());
        }
    }

    /// Notes how the writing of an object ended.
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

    /// What failed since this was asked last.
    pub fn take(&self) -> Option<String> {
        self.state().fresh.take()
    }

    /// Why writes fail, where several failed and none has succeeded since.
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
