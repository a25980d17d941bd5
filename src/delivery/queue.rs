//! Ended calls that wait for delivery, with audio or as an outcome only. In: ended calls, once their end is durable.
//! Out: one at a time to each worker. An in-memory view: the spool is the source of truth.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_media::fact::Ended;
use optag_storage::archive::manifest::Manifest;

/// Maximum number of calls without audio waiting for the index; they are lost when the process ends.
const UNRECORDED_WAITING: usize = 100_000;
/// Consecutive failures after which a call is reported as stuck: about two minutes with the pauses between.
const STUCK: u32 = 8;
/// Longest pause after a failure during a shutdown.
const HURRIED_PAUSE: Duration = Duration::from_secs(1);

/// A call to deliver.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The call.
    pub id: CallId,
    /// Its department, if the caller of [`DeliveryQueue::add`] knew it.
    pub department: String,
    /// How it ended.
    pub ended: Ended,
    /// Whether the spool has records of it, to be released after delivery.
    pub spooled: bool,
    /// Frames of its audio that are not encoded.
    pub packed_frames: u64,
}

/// The queue. Calls in the spool are bounded by the spool's cap; others by 100,000, beyond which new ones are
/// dropped.
#[derive(Debug, Default)]
pub struct DeliveryQueue {
    state: Mutex<State>,
    changed: Notify,
    /// A call to be encoded first is ready.
    changed_packed: Notify,
    /// A call was delivered.
    settled: Notify,
    hurries: AtomicBool,
    hurried: Notify,
}

/// Undelivered calls, by what happens to them when the process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// In the spool: the next start delivers them.
    pub spooled: usize,
    /// In the spool, and to be encoded first.
    pub packed: usize,
    /// Outcomes of calls without records in the spool: lost when the process ends.
    pub unspooled: usize,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<CallId>,
    /// Calls to be encoded first, by their end.
    ready_packed: BTreeSet<(WallTime, CallId)>,
    waiting: HashMap<CallId, Closing>,
    /// Recordings in the store whose rows wait for the index.
    delivered: HashMap<CallId, Arc<Manifest>>,
    /// Number of consecutive failures of each waiting call, and the last reason.
    failed: HashMap<CallId, (u32, String)>,
}

/// Calls that fail repeatedly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// Their number.
    pub calls: usize,
    /// One of them, and its last reason.
    pub example: Option<(CallId, String)>,
}

impl DeliveryQueue {
    /// Adds a call, once. False: no room for a call without audio.
    pub fn add(&self, closing: Closing) -> bool {
        let mut state = self.state();
        if !closing.spooled && state.waiting.len() >= UNRECORDED_WAITING {
            return false;
        }
        let id = closing.id;
        if state.waiting.insert(id, closing).is_none() {
            self.make_ready(&mut state, id);
        }
        true
    }

    fn make_ready(&self, state: &mut State, id: CallId) {
        match state.waiting.get(&id) {
            Some(closing) if closing.packed_frames > 0 => {
                state.ready_packed.insert((closing.ended.at, id));
                self.changed_packed.notify_one();
            }
            Some(_) => {
                state.ready.push_back(id);
                self.changed.notify_one();
            }
            None => {}
        }
    }

    /// Waits for a call to deliver.
    pub async fn next(&self) -> Closing {
        loop {
            let changed = self.changed.notified();
            if let Some(closing) = self.take() {
                return closing;
            }
            changed.await;
        }
    }

    /// Waits for a call to be encoded first: the one that ended first.
    pub async fn next_packed(&self) -> Closing {
        loop {
            let changed = self.changed_packed.notified();
            if let Some(closing) = self.take_packed() {
                return closing;
            }
            changed.await;
        }
    }

    /// Records a failed delivery.
    pub fn note_failed(&self, id: CallId, why: String) {
        let mut state = self.state();
        let failures = state.failed.get(&id).map_or(0, |(failures, _)| *failures);
        state.failed.insert(id, (failures.saturating_add(1), why));
    }

    /// Calls that have failed for some minutes.
    pub fn stuck(&self) -> Stuck {
        let state = self.state();
        let stuck = state.failed.iter().filter(|(_, (failures, _))| *failures >= STUCK);
        let example = stuck.clone().min_by_key(|(id, _)| **id);
        Stuck { calls: stuck.count(), example: example.map(|(id, (_, why))| (*id, why.clone())) }
    }

    /// Puts a call back at the end of the queue, to be retried.
    pub fn retry(&self, id: CallId) {
        let mut state = self.state();
        self.make_ready(&mut state, id);
    }

    /// The store has the recording, read back: only its row is missing.
    pub fn note_delivered(&self, manifest: &Arc<Manifest>) {
        self.state().delivered.insert(manifest.id(), Arc::clone(manifest));
    }

    /// The manifest of a recording that the store has.
    pub fn delivered(&self, id: CallId) -> Option<Arc<Manifest>> {
        self.state().delivered.get(&id).cloned()
    }

    /// When the longest-waiting call ended, and the longest-waiting of those to be encoded first.
    pub fn oldest_ended_at(&self) -> (Option<WallTime>, Option<WallTime>) {
        let state = self.state();
        let (packed, others): (Vec<_>, Vec<_>) =
            state.waiting.values().partition(|closing| closing.packed_frames > 0);
        let oldest = |some: Vec<&Closing>| some.into_iter().map(|closing| closing.ended.at).min();
        (oldest(others), oldest(packed))
    }

    /// The call is delivered.
    pub fn done(&self, id: CallId) {
        let mut state = self.state();
        state.waiting.remove(&id);
        state.delivered.remove(&id);
        state.failed.remove(&id);
        drop(state);
        self.settled.notify_waiters();
    }

    /// Waits until the undelivered calls satisfy `enough`.
    pub async fn until(&self, enough: impl Fn(Unsettled) -> bool) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if enough(self.unsettled()) {
                return;
            }
            settled.await;
        }
    }

    /// Prepares for the end of the process: workers that pause after a failure retry at once, and pause no longer
    /// than a second from now on.
    pub fn hurry(&self) {
        self.hurries.store(true, Ordering::SeqCst);
        self.hurried.notify_waiters();
    }

    /// Something may have recovered: workers that pause after a failure retry at once.
    pub fn wake(&self) {
        self.hurried.notify_waiters();
    }

    /// Pauses after a failure; shorter during a shutdown.
    pub async fn pause(&self, pause: Duration) {
        let mut hurried = std::pin::pin!(self.hurried.notified());
        hurried.as_mut().enable();
        if self.hurries.load(Ordering::SeqCst) {
            return tokio::time::sleep(pause.min(HURRIED_PAUSE)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hurried => {}
        }
    }

    /// Undelivered calls, those in progress included.
    pub fn unsettled(&self) -> Unsettled {
        let state = self.state();
        let count =
            |is_meant: fn(&Closing) -> bool| state.waiting.values().filter(|one| is_meant(one)).count();
        let packed = count(|closing| closing.spooled && closing.packed_frames > 0);
        let spooled = count(|closing| closing.spooled) - packed;
        Unsettled { spooled, packed, unspooled: state.waiting.len() - spooled - packed }
    }

    /// Number of undelivered calls, those in progress included.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Number of calls that workers have taken and neither delivered nor put back.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        let state = self.state();
        let ready = state.ready.iter().filter(|id| state.waiting.contains_key(id)).count();
        state.waiting.len() - ready - state.ready_packed.len()
    }

    /// Whether every call is delivered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this call is undelivered.
    pub fn contains(&self, id: CallId) -> bool {
        self.state().waiting.contains_key(&id)
    }

    /// A waiting call with unencoded audio.
    pub fn packed(&self, id: CallId) -> Option<Closing> {
        self.state().waiting.get(&id).filter(|closing| closing.packed_frames > 0).cloned()
    }

    /// When an undelivered call ended.
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

    fn take_packed(&self) -> Option<Closing> {
        let mut state = self.state();
        loop {
            let (_, id) = state.ready_packed.pop_first()?;
            if let Some(closing) = state.waiting.get(&id).cloned() {
                if !state.ready_packed.is_empty() {
                    self.changed_packed.notify_one();
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
    use optag_core::call::Outcome;
    use optag_media::fact::EndedBy;

    fn closing() -> Closing {
        let ended = Ended {
            at: WallTime::default(),
            by: EndedBy::Feed,
            outcome: Outcome::Recorded,
            frames: 1,
            streams: vec![],
        };
        let id = CallId::new_at(WallTime::default());
        Closing { id, department: "demo".into(), ended, spooled: true, packed_frames: 0 }
    }

    #[tokio::test]
    async fn a_call_is_handed_out_once_until_it_is_put_back() {
        let deliveries = DeliveryQueue::default();
        let call = closing();
        assert!(deliveries.add(call.clone()) && deliveries.add(call.clone()));
        assert_eq!(deliveries.next().await.id, call.id);
        assert!(futures::poll!(Box::pin(deliveries.next())).is_pending());
        deliveries.retry(call.id);
        assert_eq!(deliveries.next().await.id, call.id);
        deliveries.done(call.id);
        deliveries.retry(call.id);
        assert!(deliveries.is_empty() && deliveries.take().is_none());
    }

    #[tokio::test]
    async fn who_waits_for_the_end_sees_the_last_call_settled_and_pauses_end_with_a_hurry() {
        let deliveries = DeliveryQueue::default();
        let (spooled, unspooled) = (closing(), Closing { spooled: false, ..closing() });
        deliveries.add(spooled.clone());
        deliveries.add(unspooled.clone());
        assert_eq!(deliveries.unsettled(), Unsettled { spooled: 1, packed: 0, unspooled: 1 });
        let mut rows = Box::pin(deliveries.until(|left| left.unspooled == 0));
        let mut all = Box::pin(deliveries.until(|left| left == Unsettled::default()));
        assert!(futures::poll!(&mut rows).is_pending() && futures::poll!(&mut all).is_pending());
        deliveries.done(unspooled.id);
        assert!(futures::poll!(&mut rows).is_ready() && futures::poll!(&mut all).is_pending());
        deliveries.done(spooled.id);
        all.await;
        let mut pause = Box::pin(deliveries.pause(Duration::from_secs(3_600)));
        assert!(futures::poll!(&mut pause).is_pending());
        deliveries.wake();
        pause.await;
        let mut pause = Box::pin(deliveries.pause(Duration::from_secs(3_600)));
        assert!(futures::poll!(&mut pause).is_pending(), "one that begins later is as long as ever");
        deliveries.hurry();
        pause.await;
    }

    #[test]
    fn a_call_that_fails_again_and_again_is_told_of_until_it_is_settled() {
        let deliveries = DeliveryQueue::default();
        let call = closing();
        deliveries.add(call.clone());
        for n in 0..STUCK {
            assert_eq!(deliveries.stuck().calls, 0, "{n}");
            deliveries.note_failed(call.id, format!("why {n}"));
        }
        assert_eq!(deliveries.stuck(), Stuck { calls: 1, example: Some((call.id, "why 7".into())) });
        deliveries.done(call.id);
        assert_eq!(deliveries.stuck(), Stuck::default());
    }

    #[tokio::test]
    async fn calls_that_have_to_be_encoded_first_are_handed_out_apart_and_oldest_first() {
        let deliveries = DeliveryQueue::default();
        let packed = |seconds: i64| {
            let mut call = Closing { packed_frames: 9, ..closing() };
            call.ended.at = WallTime::from_unix_micros(seconds * 1_000_000);
            call
        };
        let (late, early, other) = (packed(200), packed(100), closing());
        let (mut one, mut two) = (Box::pin(deliveries.next_packed()), Box::pin(deliveries.next_packed()));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut two).is_pending());
        assert!([&late, &other, &early].into_iter().all(|call| deliveries.add(call.clone())));
        assert_eq!((one.await.id, two.await.id), (early.id, late.id));
        assert_eq!(deliveries.next().await.id, other.id);
        assert_eq!(deliveries.unsettled(), Unsettled { spooled: 1, packed: 2, unspooled: 0 });
        assert_eq!(deliveries.oldest_ended_at(), (Some(other.ended.at), Some(early.ended.at)));
        deliveries.retry(late.id);
        deliveries.retry(early.id);
        assert_eq!(deliveries.next_packed().await.id, early.id);
        assert!(deliveries.packed(late.id).is_some() && deliveries.packed(other.id).is_none());
        deliveries.done(late.id);
        assert!(deliveries.take_packed().is_none());
    }

    #[tokio::test]
    async fn two_workers_are_both_woken() {
        let deliveries = DeliveryQueue::default();
        let (mut one, mut two) = (Box::pin(deliveries.next()), Box::pin(deliveries.next()));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut two).is_pending());
        deliveries.add(closing());
        deliveries.add(closing());
        assert_ne!(one.await.id, two.await.id);
    }
}
