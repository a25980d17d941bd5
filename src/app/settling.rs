//! Calls that ended and are not settled yet: to be delivered, or to be written down as an
//! outcome without audio. In: ended calls, once that is durable. Out: one at a time to each
//! worker. The truth is in the spool; this is what a running process remembers of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::archive::manifest::Manifest;
use crate::base::clock::WallTime;
use crate::base::id::CallId;
use crate::media::output::Ended;

/// Calls without audio that may wait for the index; their entries die with the process.
const UNRECORDED_WAITING: usize = 100_000;

/// A call to settle.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The call.
    pub id: CallId,
    /// Its department, where the caller of [`Settling::add`] knew it.
    pub department: String,
    /// How it ended.
    pub ended: Ended,
    /// Whether the spool has records of it, to be released once it is settled.
    pub spooled: bool,
}

/// The queue. Spooled calls are bounded by the spool's own cap; the others by
/// 100,000, beyond which the newest is not kept.
#[derive(Debug, Default)]
pub struct Settling {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<CallId>,
    waiting: HashMap<CallId, Closing>,
    /// Recordings that the store has, whose rows wait for the index.
    delivered: HashMap<CallId, Arc<Manifest>>,
}

impl Settling {
    /// Adds a call, once. False: there is no room for a call without audio.
    pub fn add(&self, closing: Closing) -> bool {
        let mut state = self.state();
        if !closing.spooled && state.waiting.len() >= UNRECORDED_WAITING {
            return false;
        }
        let id = closing.id;
        if state.waiting.insert(id, closing).is_none() {
            state.ready.push_back(id);
            self.changed.notify_one();
        }
        true
    }

    /// Waits for a call to settle.
    pub async fn next(&self) -> Closing {
        loop {
            let changed = self.changed.notified();
            if let Some(closing) = self.take() {
                return closing;
            }
            changed.await;
        }
    }

    /// Puts a call back behind the others, to be tried again.
    pub fn retry(&self, id: CallId) {
        let mut state = self.state();
        if state.waiting.contains_key(&id) {
            state.ready.push_back(id);
            self.changed.notify_one();
        }
    }

    /// The store has the recording, read back: only its row is missing.
    pub fn note_delivered(&self, manifest: &Arc<Manifest>) {
        self.state().delivered.insert(manifest.id(), Arc::clone(manifest));
    }

    /// The manifest of a recording that the store has.
    pub fn delivered(&self, id: CallId) -> Option<Arc<Manifest>> {
        self.state().delivered.get(&id).cloned()
    }

    /// The call is settled.
    pub fn done(&self, id: CallId) {
        let mut state = self.state();
        state.waiting.remove(&id);
        state.delivered.remove(&id);
    }

    /// Calls not settled, being worked on included.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether every call is settled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this call waits or is being worked on.
    pub fn contains(&self, id: CallId) -> bool {
        self.state().waiting.contains_key(&id)
    }

    /// When a call that is not settled ended.
    pub fn ended_at(&self, id: CallId) -> Option<WallTime> {
        self.state().waiting.get(&id).map(|closing| closing.ended.at)
    }

    fn take(&self) -> Option<Closing> {
        let mut state = self.state();
        loop {
            let id = state.ready.pop_front()?;
            if let Some(closing) = state.waiting.get(&id).cloned() {
                if !state.ready.is_empty() {
                    self.changed.notify_one();
                }
                return Some(closing);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Outcome;
    use crate::media::output::EndedBy;

    fn closing() -> Closing {
        let ended = Ended {
            at: WallTime::default(),
            by: EndedBy::Feed,
            outcome: Outcome::Recorded,
            frames: 1,
            streams: vec![],
        };
        let id = CallId::new_at(WallTime::default());
        Closing { id, department: "demo".into(), ended, spooled: true }
    }

    #[tokio::test]
    async fn a_call_is_handed_out_once_until_it_is_put_back() {
        let settling = Settling::default();
        let call = closing();
        assert!(settling.add(call.clone()) && settling.add(call.clone()));
        assert_eq!(settling.next().await.id, call.id);
        assert!(futures::poll!(Box::pin(settling.next())).is_pending());
        settling.retry(call.id);
        assert_eq!(settling.next().await.id, call.id);
        settling.done(call.id);
        settling.retry(call.id);
        assert!(settling.is_empty() && settling.take().is_none());
    }

    #[tokio::test]
    async fn two_workers_are_both_woken() {
        let settling = Settling::default();
        let (mut one, mut two) = (Box::pin(settling.next()), Box::pin(settling.next()));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut two).is_pending());
        settling.add(closing());
        settling.add(closing());
        assert_ne!(one.await.id, two.await.id);
    }
}
