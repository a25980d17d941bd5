//! The calls of this node as other nodes find them, and answers that wait for them. In: admissions, identifiers that
//! become known later, ends; answers for calls of any node. Out: rows in the index; the answer for a call.
//!
//! A call that could not look for its answers while the index was away owes it, also after its end, and looks once the
//! index is back (`owed`). Rows that may be wrong since then are put right as a whole by whoever knows all calls.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::cluster::answer::SentAnswer;
use crate::cluster::membership::{Away, Membership};
use crate::cluster::name_hashes::NameHashes;
use crate::index::{EarlyAnswer, EarlyKind, NewEarly, Waits};
use optag_core::call::{Answer, ConsentHow, Evidence, GivenAnswer};
use optag_core::id::CallId;
use optag_core::limit;

/// Calls that may owe a look for their answers. Beyond it, one of them is let off, and logged.
const OWING: usize = 100_000;

/// A call that could not look for its answers.
#[derive(Clone, Debug)]
pub struct Owed {
    /// Hashes of its identifiers.
    names: Vec<String>,
    admitted: Instant,
}

/// An answer that was found for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Names its row.
    pub id: String,
    /// What to do.
    pub answer: SentAnswer,
}

/// Shared by admission, control and the heartbeat.
#[derive(Debug)]
pub struct SharedCalls {
    /// This node among the others.
    pub members: Arc<Membership>,
    hashes: NameHashes,
    kept_for: Duration,
    owed: Mutex<HashMap<CallId, Owed>>,
    /// Answers that wait for several calls and that these have already: none is given to a call twice.
    given: Mutex<HashMap<CallId, HashSet<String>>>,
    ended: Mutex<Vec<CallId>>,
    woken: Notify,
}

impl SharedCalls {
    /// Answers by name wait for `kept_for`.
    pub fn new(members: Arc<Membership>, hashes: NameHashes, kept_for: Duration) -> Self {
        Self {
            members,
            hashes,
            kept_for,
            owed: Mutex::default(),
            given: Mutex::default(),
            ended: Mutex::default(),
            woken: Notify::new(),
        }
    }

    /// Ready once a node has said that an answer waits.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Wakes [`SharedCalls::woken`] for as long as it is polled.
    pub async fn follow(&self) {
        self.members.index().follow_early(&self.woken).await;
    }

    /// Enters a call by identifiers, as [`names_of`](crate::recorder::live_calls::names_of) has them. What fails is
    /// made up for later.
    pub async fn enter(&self, id: CallId, names: &[String]) {
        let (node, calls) = (self.members.number(), [(id, self.hashes.of_keys(names))]);
        let entered = self.members.ask(self.members.index().name_calls(node, &calls)).await;
        let [(_, names)] = calls;
        if entered.is_err() {
            self.owe(id, names);
        }
    }

    /// The answer that waits for a call that was entered.
    pub async fn take(&self, id: CallId, names: &[String]) -> Option<Found> {
        if lock(&self.owed).contains_key(&id) {
            return None;
        }
        let names = self.hashes.of_keys(names);
        match self.look(id, &names, Duration::ZERO).await {
            Ok(found) => found,
            Err(Away) => {
                self.owe(id, names);
                None
            }
        }
    }

    async fn look(&self, id: CallId, names: &[String], ago: Duration) -> Result<Option<Found>, Away> {
        let index = self.members.index();
        let all = self.members.ask(index.early_for(names, ago)).await?;
        if let Some(no) = self.first_new_no(id, &all) {
            self.note_given(id, &no.id).await;
            return Ok(Some(no));
        }
        for yes in all.iter().filter(|one| one.kind == EarlyKind::Yes) {
            // Another call may have taken it meanwhile.
            if self.members.ask(index.take_yes(&yes.id)).await? {
                return Ok(found(yes));
            }
        }
        Ok(None)
    }

    fn first_new_no(&self, id: CallId, all: &[EarlyAnswer]) -> Option<Found> {
        let new = all.iter().find(|one| one.kind != EarlyKind::Yes && self.is_new(id, &one.id));
        new.and_then(found)
    }

    /// A no that waits for a call and that it has not had.
    ///
    /// Errors: it cannot be looked for now.
    pub async fn standing_no(&self, id: CallId, names: &[String]) -> Result<Option<Found>, Away> {
        let names = self.hashes.of_keys(names);
        let all = self.members.ask(self.members.index().early_for(&names, Duration::ZERO)).await?;
        let Some(no) = self.first_new_no(id, &all) else { return Ok(None) };
        self.note_given(id, &no.id).await;
        Ok(Some(no))
    }

    fn is_new(&self, call: CallId, answer: &str) -> bool {
        !lock(&self.given).get(&call).is_some_and(|given| given.contains(answer))
    }

    /// Says that a call has an answer.
    pub async fn note_given(&self, call: CallId, answer: &str) {
        lock(&self.given).entry(call).or_default().insert(answer.to_owned());
        // That it counts as expired where this fails changes nothing for any call.
        let _ = self.members.ask(self.members.index().early_given(answer)).await;
    }

    fn owe(&self, id: CallId, names: Vec<String>) {
        let mut owed = lock(&self.owed);
        if owed.len() >= OWING
            && let Some(oldest) = owed.iter().min_by_key(|(_, one)| one.admitted).map(|(id, _)| *id)
        {
            tracing::error!(call = %oldest, "too many calls wait to look for their answers; this one will not");
            owed.remove(&oldest);
        }
        let owes = owed.entry(id).or_insert_with(|| Owed { names: Vec::new(), admitted: Instant::now() });
        owes.names.extend(names);
        drop(owed);
        self.members.set_stale();
    }

    /// Makes up for what calls could not look for; what was found.
    ///
    /// Errors: the index is away again; the rest is still owed.
    pub async fn pay(&self) -> (Vec<(CallId, Found)>, Result<(), Away>) {
        let owed: Vec<_> = lock(&self.owed).iter().map(|(id, owed)| (*id, owed.clone())).collect();
        let mut all = Vec::new();
        for (id, owed) in owed {
            match self.look(id, &owed.names, owed.admitted.elapsed()).await {
                Ok(found) => all.extend(found.map(|found| (id, found))),
                Err(away) => return (all, Err(away)),
            }
            lock(&self.owed).remove(&id);
        }
        (all, Ok(()))
    }

    /// A call is over. Does not wait.
    pub fn ended(&self, id: CallId) {
        lock(&self.given).remove(&id);
        lock(&self.ended).push(id);
    }

    /// Takes ended calls out.
    ///
    /// Errors: the index is away; all rows are put right once it is back.
    pub async fn forget_ended(&self) -> Result<(), Away> {
        let ended = std::mem::take(&mut *lock(&self.ended));
        if ended.is_empty() {
            return Ok(());
        }
        self.members.ask(self.members.index().unname_calls(&ended)).await
    }

    /// Puts the rows of this node right: `live` are its calls with their identifiers. Calls that it had and has no
    /// more, and what waits for them, are told to `over` before they are taken out.
    ///
    /// Errors: the index is away.
    pub async fn put_right(
        &self,
        live: impl FnOnce() -> Vec<(CallId, Vec<String>)>,
        over: impl AsyncFnOnce(Vec<(CallId, Found)>),
    ) -> Result<(), Away> {
        let (index, node) = (self.members.index(), self.members.number());
        let rows = self.members.ask(index.calls_of_node(node)).await?;
        // Read after the rows: a call that begins meanwhile is entered twice at worst.
        let live: Vec<_> = live().into_iter().map(|(id, names)| (id, self.hashes.of_keys(&names))).collect();
        let going: HashSet<CallId> = live.iter().map(|(id, _)| *id).collect();
        let gone: Vec<CallId> = rows.into_iter().filter(|id| !going.contains(id)).collect();
        if !gone.is_empty() {
            let waiting = self.waiting().await?;
            over(waiting.into_iter().filter(|(id, _)| gone.contains(id)).collect()).await;
            self.members.ask(index.unname_calls(&gone)).await?;
        }
        self.members.ask(index.name_calls(node, &live)).await
    }

    /// What waits for calls that this node has: each no that a call has not had, and answers whose sender could not
    /// reach this node.
    ///
    /// Errors: the index is away.
    pub async fn waiting(&self) -> Result<Vec<(CallId, Found)>, Away> {
        let all = self.members.ask(self.members.index().early_for_node(self.members.number())).await?;
        let new = all.into_iter().filter(|(call, answer)| self.is_new(*call, &answer.id));
        Ok(new.filter_map(|(call, answer)| Some((call, found(&answer)?))).collect())
    }

    /// The nodes that have a call of this name in progress.
    ///
    /// Errors: the index is away.
    pub async fn nodes_of(&self, name: &str) -> Result<Vec<u16>, Away> {
        let names = self.hashes.of(name);
        self.members.ask(self.members.index().nodes_of_names(&names)).await
    }

    /// Keeps an answer for calls of a name; its row, or none where too many wait.
    ///
    /// Errors: the index is away: it is not kept.
    pub async fn keep(&self, name: &str, answer: &SentAnswer) -> Result<Option<String>, Away> {
        let names = self.hashes.of(name);
        self.keep_for(Waits::Named(&names), answer, self.kept_for).await
    }

    /// Keeps an answer for a call whose node cannot be reached, for as long as a recording may be kept.
    ///
    /// Errors: the index is away: it is not kept.
    pub async fn keep_at(
        &self,
        call: CallId,
        node: u16,
        answer: &SentAnswer,
    ) -> Result<Option<String>, Away> {
        let days = u64::from(limit::RETENTION_DAYS);
        self.keep_for(Waits::At(call, node), answer, Duration::from_secs(days * 86_400)).await
    }

    async fn keep_for(
        &self,
        waits: Waits<'_>,
        answer: &SentAnswer,
        kept_for: Duration,
    ) -> Result<Option<String>, Away> {
        let text = serde_json::to_string(answer).map_err(|_| Away)?;
        let new = NewEarly { kind: answer.kind(), waits, answer: &text, kept_for };
        self.members.ask(self.members.index().keep_early(new)).await
    }
}

/// What a row says. One that a later version wrote in another way consents to nothing, and refuses all the same.
fn found(early: &EarlyAnswer) -> Option<Found> {
    let evidence = || Evidence::Actor { name: "another node".into(), staff: None };
    let answer = serde_json::from_str(&early.answer).or_else(|error| match early.kind {
        EarlyKind::Yes => Err(error),
        EarlyKind::No => Ok(SentAnswer::Answer(GivenAnswer {
            answer: Answer::No,
            how: ConsentHow::System,
            prompt_version: None,
            evidence: evidence(),
        })),
        EarlyKind::Withdraw => Ok(SentAnswer::Withdraw { how: ConsentHow::System, evidence: evidence() }),
    });
    let answer = answer.inspect_err(|error| tracing::error!(%error, "a yes that waits cannot be read"));
    Some(Found { id: early.id.clone(), answer: answer.ok()? })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
