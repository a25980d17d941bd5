//! Calls as shown by the API: those in progress, and the most recently ended ones.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast;

use crate::cluster::shared_calls::SharedCalls;
use optag_core::call::context::name_keys;
use optag_core::call::{CallFacts, CallLink, ConsentState, Department, LinkKind, Outcome, StreamFacts};
use optag_core::id::CallId;
use optag_core::limit;
use optag_media::fact::{Ended, StreamCounts};
use optag_media::stats::CallGauges;
use optag_sip::feed::{CallView, Parties, StreamView};
use optag_sip::objections::Objecting;

/// Number of ended calls that stay visible. A view is under 1 KiB.
const ENDED_KEPT: usize = 5_000;

/// Refused streams of a call that are told apart; later ones are not counted.
const REFUSED_KEPT: usize = 64;

/// Number of consent changes that a slow reader may lag behind.
const CONSENTS: usize = 4_096;

/// Shared by the feed, which adds and reads, and the engine's sink, which reports changes. Locked only for
/// map look-ups.
#[derive(Debug)]
pub struct LiveCalls {
    calls: Mutex<Calls>,
    consents: broadcast::Sender<(CallId, ConsentState)>,
    ends: OnceLock<Arc<SharedCalls>>,
}

impl Default for LiveCalls {
    fn default() -> Self {
        Self { calls: Mutex::default(), consents: broadcast::Sender::new(CONSENTS), ends: OnceLock::new() }
    }
}

#[derive(Debug, Default)]
struct Calls {
    views: HashMap<CallId, (CallView, Arc<CallGauges>)>,
    /// Calls in progress by external identifier.
    by_name: HashMap<String, Vec<CallId>>,
    names: HashMap<CallId, Vec<String>>,
    /// Facts of calls in progress that are not in the spool, because no department that had them is recorded.
    unopened: HashMap<CallId, CallFacts>,
    /// The API client that announced a call in progress.
    clients: HashMap<CallId, String>,
    /// The departments that there were when a call in progress was admitted.
    departments: HashMap<CallId, Arc<[Department]>>,
    /// Who of those who take part in a call in progress objects to being recorded.
    objecting: HashMap<CallId, Objecting>,
    /// Labels of streams that asked to join a call in progress and were refused.
    refused: HashMap<CallId, BTreeSet<String>>,
    ended: VecDeque<CallId>,
}

impl LiveCalls {
    /// Tells the other nodes, from now on, which calls are over.
    pub fn share_ends(&self, with: Arc<SharedCalls>) {
        // There is one.
        let _ = self.ends.set(with);
    }

    /// Adds a call that was just admitted.
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
            parties: Some(Parties {
                caller_number: facts.caller_number.clone(),
                called_number: facts.called_number.clone(),
                caller_name: facts.caller_name.clone(),
            }),
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
        drop(calls);
        self.name(facts.id, &names_of(facts));
    }

    /// Adds external identifiers of a call.
    pub fn name(&self, id: CallId, names: &[String]) {
        let mut calls = self.calls();
        let calls = &mut *calls;
        for name in names {
            let named = calls.by_name.entry(name.clone()).or_default();
            if !named.contains(&id) {
                named.push(id);
                calls.names.entry(id).or_default().push(name.clone());
            }
        }
    }

    /// Sets the API client that announced the call.
    pub fn set_client(&self, id: CallId, client: &str) {
        self.calls().clients.insert(id, client.to_owned());
    }

    /// The API client that announced a call in progress.
    pub fn client(&self, id: CallId) -> Option<String> {
        self.calls().clients.get(&id).cloned()
    }

    /// Number of streams of the calls in progress that an API client announced.
    pub fn streams_of(&self, client: &str) -> usize {
        let calls = self.calls();
        let theirs = calls.clients.iter().filter(|(_, name)| *name == client);
        theirs.filter_map(|(id, _)| calls.views.get(id)).map(|(view, _)| view.streams.len()).sum()
    }

    /// Sets the departments that there were when the call was admitted.
    pub fn set_departments(&self, id: CallId, departments: Arc<[Department]>) {
        self.calls().departments.insert(id, departments);
    }

    /// The departments that there were when a call in progress was admitted; `None` for a resumed one.
    pub fn departments(&self, id: CallId) -> Option<Arc<[Department]>> {
        self.calls().departments.get(&id).cloned()
    }

    /// Changes who objects to being recorded; returns it.
    pub fn change_objecting(&self, id: CallId, change: impl FnOnce(&mut Objecting)) -> Objecting {
        let mut calls = self.calls();
        if calls.views.get(&id).is_none_or(|(view, _)| view.outcome.is_some()) {
            return Objecting::default();
        }
        let objecting = calls.objecting.entry(id).or_default();
        change(objecting);
        objecting.clone()
    }

    /// Number of streams of the calls in progress that API clients announced.
    pub fn streams_of_clients(&self) -> usize {
        let calls = self.calls();
        calls.clients.keys().filter_map(|id| calls.views.get(id)).map(|(view, _)| view.streams.len()).sum()
    }

    /// Number of calls in progress.
    pub fn live(&self) -> usize {
        self.calls().views.values().filter(|(view, _)| view.outcome.is_none()).count()
    }

    /// The external identifiers of a call in progress.
    pub fn names(&self, id: CallId) -> Vec<String> {
        self.calls().names.get(&id).cloned().unwrap_or_default()
    }

    /// Calls in progress with this identifier.
    pub fn named(&self, name: &str) -> Vec<CallId> {
        let calls = self.calls();
        let keys = name_keys(name);
        let mut found: Vec<CallId> =
            keys.iter().filter_map(|key| calls.by_name.get(key)).flatten().copied().collect();
        found.sort();
        found.dedup();
        found
    }

    /// Changes of consent from now on.
    pub fn consents(&self) -> broadcast::Receiver<(CallId, ConsentState)> {
        self.consents.subscribe()
    }

    /// The facts of a call in progress that is not open in the spool.
    pub fn unopened(&self, id: CallId) -> Option<CallFacts> {
        self.calls().unopened.get(&id).cloned()
    }

    /// The call is now open in the spool, which has its facts from now on.
    pub fn set_opened(&self, id: CallId) {
        self.calls().unopened.remove(&id);
    }

    /// Another department has the call.
    pub fn set_department(&self, id: CallId, department: &str) {
        self.change(id, |view| department.clone_into(&mut view.department));
    }

    /// A stream joined a call.
    pub fn joined(&self, id: CallId, stream: &StreamFacts, address: SocketAddr) {
        // A call opened in the spool later is opened with all of its streams.
        if let Some(facts) = self.calls().unopened.get_mut(&id) {
            facts.streams.push(stream.clone());
        }
        self.change(id, |view| {
            let (label, role) = (stream.label.clone(), stream.role);
            view.streams.push(StreamView { label, role, address, counts: StreamCounts::default() });
        });
    }

    /// A stream that asked to join was refused. False: that is known, there is no such call in progress, or too many
    /// were refused to remember another.
    pub fn refuse_stream(&self, id: CallId, label: &str) -> bool {
        let mut calls = self.calls();
        let live = calls.views.get(&id).is_some_and(|(view, _)| view.outcome.is_none());
        let refused = calls.refused.get(&id).map_or(0, BTreeSet::len);
        live && refused < REFUSED_KEPT
            && calls.refused.entry(id).or_default().insert(label.chars().take(limit::TEXT_CHARS).collect())
    }

    /// Removes a call that was not admitted after all.
    pub fn remove(&self, id: CallId) {
        let mut calls = self.calls();
        calls.views.remove(&id);
        calls.unname(id);
        calls.unopened.remove(&id);
        calls.clients.remove(&id);
        calls.departments.remove(&id);
        calls.refused.remove(&id);
        calls.objecting.remove(&id);
        drop(calls);
        self.share_end(id);
    }

    fn share_end(&self, id: CallId) {
        if let Some(shared) = self.ends.get() {
            shared.ended(id);
        }
    }

    /// Consent changed.
    pub fn set_consent(&self, id: CallId, consent: ConsentState) {
        self.change(id, |view| view.consent = consent);
        // There may be no receivers.
        let _ = self.consents.send((id, consent));
    }

    /// Consent was withdrawn after the call's end: nothing else is shown of it.
    pub fn withdrawn_ended(&self, id: CallId) {
        self.change(id, |view| view.outcome = view.outcome.map(|_| Outcome::Withdrawn));
        self.set_consent(id, ConsentState::Withdrawn);
    }

    /// The feed paused or resumed the call.
    pub fn set_paused(&self, id: CallId, paused: bool) {
        self.change(id, |view| view.paused = paused);
    }

    /// The call has ended. Its external id is personal data and is dropped.
    pub fn end(&self, id: CallId, ended: &Ended) {
        let mut calls = self.calls();
        calls.unopened.remove(&id);
        calls.clients.remove(&id);
        calls.departments.remove(&id);
        calls.refused.remove(&id);
        calls.objecting.remove(&id);
        let Some((view, _)) = calls.views.get_mut(&id).filter(|(view, _)| view.outcome.is_none()) else {
            return;
        };
        view.ended_at = Some(ended.at);
        view.outcome = Some(ended.outcome);
        view.external_id = None;
        view.parties = None;
        copy_counts(view, &ended.streams);
        calls.unname(id);
        calls.ended.push_back(id);
        if calls.ended.len() > ENDED_KEPT
            && let Some(oldest) = calls.ended.pop_front()
        {
            calls.views.remove(&oldest);
        }
        drop(calls);
        self.share_end(id);
    }

    /// The view of one call.
    pub fn get(&self, id: CallId) -> Option<CallView> {
        self.calls().views.get(&id).map(seen)
    }

    /// Whether the call was admitted and has not ended.
    pub fn is_live(&self, id: CallId) -> bool {
        self.calls().views.get(&id).is_some_and(|(view, _)| view.outcome.is_none())
    }

    /// Calls in progress with their external identifiers.
    pub fn live_names(&self) -> Vec<(CallId, Vec<String>)> {
        let calls = self.calls();
        let live = calls.views.values().map(|(view, _)| view).filter(|view| view.outcome.is_none());
        live.map(|view| (view.id, calls.names.get(&view.id).cloned().unwrap_or_default())).collect()
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

impl Calls {
    fn unname(&mut self, id: CallId) {
        for name in self.names.remove(&id).unwrap_or_default() {
            if let Some(named) = self.by_name.get_mut(&name) {
                named.retain(|call| *call != id);
                if named.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }
}

/// The identifiers by which an answer finds a call. A group is not one: others share it.
pub fn names_of(facts: &CallFacts) -> Vec<String> {
    let own = facts.external_id.iter().flat_map(|id| name_keys(id.reveal()));
    own.chain(names_in(&facts.context.links)).collect()
}

/// The same for links only.
pub fn names_in(links: &[CallLink]) -> impl Iterator<Item = String> {
    let telling = links.iter().filter(|link| link.kind != LinkKind::Group);
    telling.flat_map(|link| name_keys(link.value.reveal()))
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
    use optag_core::clock::WallTime;
    use optag_media::fact::EndedBy;
    use optag_testing::fixtures::call_facts;

    #[test]
    fn what_is_known_of_a_call_in_progress_alone_is_forgotten_at_its_end() {
        let live_calls = LiveCalls::default();
        let facts = call_facts(CallId::from_bytes([7; 16]), WallTime::default());
        let id = facts.id;
        live_calls.add(&facts, ConsentState::Unknown, &[], Arc::new(CallGauges::new(0)));
        assert_eq!(live_calls.unopened(id), Some(facts));
        live_calls.set_department(id, "b");
        assert_eq!(live_calls.get(id).unwrap().department, "b");
        // Counted once each, however often it asks.
        assert!(live_calls.refuse_stream(id, "x") && live_calls.refuse_stream(id, "y"));
        assert!(
            !live_calls.refuse_stream(id, "x") && !live_calls.refuse_stream(CallId::from_bytes([8; 16]), "x")
        );
        let more = (0..2 * REFUSED_KEPT).filter(|n| live_calls.refuse_stream(id, &format!("{n}"))).count();
        assert_eq!(more, REFUSED_KEPT - 2);
        let outcome = Outcome::NotSelected;
        live_calls.end(
            id,
            &Ended { at: WallTime::default(), by: EndedBy::Feed, outcome, frames: 0, streams: vec![] },
        );
        assert_eq!(live_calls.unopened(id), None);
        assert!(!live_calls.refuse_stream(id, "z") && live_calls.calls().refused.is_empty());
    }
}
