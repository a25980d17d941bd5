//! The calls as people see them: those in progress, and the last of those that ended.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::id::CallId;
use crate::base::private::Private;
use crate::call::{CallFacts, ConsentState, StreamFacts};
use crate::media::output::{Ended, StreamCounts};
use crate::media::stats::CallGauges;
use crate::signalling::feed::{CallView, StreamView};

/// Ended calls that stay visible. A view is under 1 KiB.
const ENDED_KEPT: usize = 5_000;

/// Shared by the feed, which adds and reads, and the engine's sink, which reports changes.
/// Locked for map look-ups only.
#[derive(Debug, Default)]
pub struct Registry {
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    views: HashMap<CallId, (CallView, Arc<CallGauges>)>,
    /// Facts of calls in progress of which the spool knows nothing, as no department that had
    /// them is recorded.
    unopened: HashMap<CallId, CallFacts>,
    /// Number called, as last told, of calls in progress.
    called: HashMap<CallId, Private<String>>,
    ended: VecDeque<CallId>,
}

impl Registry {
    /// Shows a call that was just admitted.
    pub fn add(
        &self,
        facts: &CallFacts,
        consent: ConsentState,
        addresses: &[SocketAddr],
        gauges: Arc<CallGauges>,
    ) {
        let streams = facts.streams.iter().zip(addresses).map(|(stream, &address)| StreamView {
            label: stream.label.clone(),
            role: stream.role,
            address,
            counts: StreamCounts::default(),
        });
        let view = CallView {
            id: facts.id,
            department: facts.department.clone(),
            external_id: facts.external_id.clone(),
            started_at: facts.started_at,
            ended_at: None,
            consent,
            paused: false,
            outcome: None,
            streams: streams.collect(),
        };
        let mut calls = self.calls();
        calls.views.insert(facts.id, (view, gauges));
        calls.unopened.insert(facts.id, facts.clone());
        calls.called.insert(facts.id, facts.called_number.clone());
    }

    /// The number called is told anew; whether it is another one.
    pub fn called_changes(&self, id: CallId, number: &Private<String>) -> bool {
        let mut calls = self.calls();
        calls.called.get_mut(&id).is_some_and(|known| {
            let changes = known != number;
            known.clone_from(number);
            changes
        })
    }

    /// The facts of a call in progress that is not open in the spool.
    pub fn unopened(&self, id: CallId) -> Option<CallFacts> {
        self.calls().unopened.get(&id).cloned()
    }

    /// The call is open in the spool, which holds its facts from now on.
    pub fn set_opened(&self, id: CallId) {
        self.calls().unopened.remove(&id);
    }

    /// Another department has the call.
    pub fn set_department(&self, id: CallId, department: &str) {
        self.change(id, |view| department.clone_into(&mut view.department));
    }

    /// A stream joined a call.
    pub fn joined(&self, id: CallId, stream: &StreamFacts, address: SocketAddr) {
        // A call that is opened in the spool later is opened with all of its streams.
        if let Some(facts) = self.calls().unopened.get_mut(&id) {
            facts.streams.push(stream.clone());
        }
        self.change(id, |view| {
            let (label, role) = (stream.label.clone(), stream.role);
            view.streams.push(StreamView { label, role, address, counts: StreamCounts::default() });
        });
    }

    /// Forgets a call that was not admitted after all.
    pub fn remove(&self, id: CallId) {
        let mut calls = self.calls();
        calls.views.remove(&id);
        calls.unopened.remove(&id);
        calls.called.remove(&id);
    }

    /// Consent changed.
    pub fn set_consent(&self, id: CallId, consent: ConsentState) {
        self.change(id, |view| view.consent = consent);
    }

    /// The feed paused or resumed the call.
    pub fn set_paused(&self, id: CallId, paused: bool) {
        self.change(id, |view| view.paused = paused);
    }

    /// The call is over. Its external id is personal data and is kept no longer.
    pub fn end(&self, id: CallId, ended: &Ended) {
        let mut calls = self.calls();
        calls.unopened.remove(&id);
        calls.called.remove(&id);
        let Some((view, _)) = calls.views.get_mut(&id).filter(|(view, _)| view.outcome.is_none()) else {
            return;
        };
        view.ended_at = Some(ended.at);
        view.outcome = Some(ended.outcome);
        view.external_id = None;
        copy_counts(view, &ended.streams);
        calls.ended.push_back(id);
        if calls.ended.len() > ENDED_KEPT
            && let Some(oldest) = calls.ended.pop_front()
        {
            calls.views.remove(&oldest);
        }
    }

    /// The view of one call.
    pub fn get(&self, id: CallId) -> Option<CallView> {
        self.calls().views.get(&id).map(seen)
    }

    /// Whether the call was admitted and has not ended.
    pub fn is_live(&self, id: CallId) -> bool {
        self.calls().views.get(&id).is_some_and(|(view, _)| view.outcome.is_none())
    }

    /// All views, newest first.
    pub fn all(&self) -> Vec<CallView> {
        let mut views: Vec<_> = self.calls().views.values().map(seen).collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.id));
        views
    }

    /// Calls in progress by consent state, for the gauge.
    pub fn live_by_consent(&self, consent: ConsentState) -> usize {
        let calls = self.calls();
        calls.views.values().filter(|(view, _)| view.outcome.is_none() && view.consent == consent).count()
    }

    fn change(&self, id: CallId, apply: impl FnOnce(&mut CallView)) {
        if let Some((view, _)) = self.calls().views.get_mut(&id) {
            apply(view);
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A view with the counters of the last tick.
fn seen((view, gauges): &(CallView, Arc<CallGauges>)) -> CallView {
    let mut view = view.clone();
    if view.outcome.is_none() {
        copy_counts(&mut view, &gauges.read());
    }
    view
}

fn copy_counts(view: &mut CallView, counts: &[StreamCounts]) {
    for (stream, counts) in view.streams.iter_mut().zip(counts) {
        stream.counts = *counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::WallTime;
    use crate::call::Outcome;
    use crate::media::output::EndedBy;

    #[test]
    fn what_is_known_of_a_call_in_progress_alone_is_forgotten_at_its_end() {
        let registry = Registry::default();
        let facts = CallFacts {
            id: CallId::from_bytes([7; 16]),
            department: "a".into(),
            started_at: WallTime::default(),
            retention_days: 90,
            caller_number: "1".to_owned().into(),
            called_number: "2".to_owned().into(),
            caller_name: None,
            external_id: None,
            streams: Vec::new(),
            context: Default::default(),
        };
        let id = facts.id;
        registry.add(&facts, ConsentState::Unknown, &[], Arc::new(CallGauges::new(0)));
        assert!(!registry.called_changes(id, &"2".to_owned().into()));
        assert!(registry.called_changes(id, &"3".to_owned().into()));
        assert!(!registry.called_changes(id, &"3".to_owned().into()));
        assert_eq!(registry.unopened(id), Some(facts));
        registry.set_department(id, "b");
        assert_eq!(registry.get(id).unwrap().department, "b");
        let outcome = Outcome::NotSelected;
        registry.end(
            id,
            &Ended { at: WallTime::default(), by: EndedBy::Feed, outcome, frames: 0, streams: vec![] },
        );
        assert_eq!(registry.unopened(id), None);
        assert!(!registry.called_changes(id, &"4".to_owned().into()));
    }
}
