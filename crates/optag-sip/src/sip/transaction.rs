//! Server transactions: one response per request, however often the request is retransmitted.
//!
//! In: requests with the way they came, our answers, the time. Out: bytes to send again, and
//! the news that an answer was never acknowledged. A success answer to an INVITE is repeated
//! from here too (until its ACK has been seen), so that there is one place that repeats. *Invariant:*
//! a UDP peer that has not shown that it receives gets no more bytes for a request than it sent,
//! repetitions included. The table is bounded, in all, for each address and for each dialog; what
//! is outside of dialogs never takes the places of what is inside. Not here: what a request means.
//!
//! Source: RFC 3261 §17.2, §8.2.2.2 and §13.3.1.4, RFC 6026 §7.1.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::flow::Flow;
use super::message::Request;
use optag_core::clock::MonoTime;
use optag_core::owner::owner;

/// Round-trip estimate. Source: RFC 3261 §17.1.1.1.
pub const T1: Duration = Duration::from_millis(500);
/// Longest pause between repetitions.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// How long anything is tried.
pub const GIVE_UP: Duration = Duration::from_secs(32);
/// Transactions held at once. A further request is refused without one.
pub const TRANSACTIONS: usize = 20_000;
/// Of them, those that are outside of dialogs.
pub const OUTSIDE: usize = 12_000;
/// Of those, one address may have so many,
pub const PER_ADDRESS: usize = 3_000;
/// and only so many while few are free.
pub const PER_ADDRESS_SCARCE: usize = 200;
/// Transactions of one dialog.
pub const PER_DIALOG: usize = 256;

/// Names a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The way for answers.
    pub flow: Flow,
    /// How long the request is, where answers must not outweigh it; `None` where the peer is known
    /// to receive them. Units: bytes.
    pub weighs: Option<usize>,
    /// The dialog that it belongs to.
    pub dialog: Option<u64>,
}

impl From<Flow> for Origin {
    fn from(flow: Flow) -> Self {
        Self { flow, weighs: None, dialog: None }
    }
}

/// The result of receiving a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is new: the user of the layer answers it under this key.
    New(Key),
    /// It is one that came before by another way, under another branch; to be answered 482.
    Merged(Key),
    /// It was repeated, or acknowledged a refusal; everything needful is done.
    Absorbed,
    /// An ACK of a success, or of nothing: it has no transaction.
    Ack,
    /// The table is full.
    Full,
}

/// Outputs of the transaction layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Send(Flow, Vec<u8>),
    /// The 2xx of this transaction was never acknowledged.
    Unacknowledged(Key),
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Retransmitted requests.
    pub repeated_requests: u64,
    /// Retransmitted responses.
    pub repeated_answers: u64,
    /// Requests dropped because the table was full.
    pub refused_full: u64,
}

/// The server transactions of an element.
#[derive(Debug, Default)]
pub struct Transactions {
    table: HashMap<Key, Transaction>,
    deadlines: BTreeSet<(MonoTime, Key)>,
    /// Transactions by what stays the same whichever way a request came.
    merging: HashMap<String, Key>,
    /// Those outside of dialogs, by their address; those inside, by their dialog.
    outside: HashMap<IpAddr, usize>,
    inside: HashMap<u64, usize>,
    all_inside: usize,
    stats: Stats,
}

#[derive(Debug)]
struct Transaction {
    flow: Flow,
    is_invite: bool,
    state: State,
    answer: Vec<u8>,
    /// Bytes that may still be sent; `None` without limit.
    credit: Option<usize>,
    dialog: Option<u64>,
    merging: Option<String>,
    /// Next repetition of the answer and the pause before the one after.
    repeat: Option<(MonoTime, Duration)>,
    /// When the state ends.
    ends: Option<MonoTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No final answer yet.
    Open,
    /// Success answered to an INVITE; waits for the ACK.
    Accepted,
    /// Refusal answered to an INVITE; waits for the ACK. Or any answer to another request.
    Completed,
    /// Acknowledged, or past repeating; absorbs what is still under way.
    Done,
}

impl Transactions {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Receives a request.
    pub fn receive(
        &mut self,
        now: MonoTime,
        origin: impl Into<Origin>,
        request: &Request,
        out: &mut Vec<Output>,
    ) -> Received {
        let origin = origin.into();
        let key = key_of(request);
        let is_ack = request.method == "ACK";
        let room = self.has_room(origin);
        match self.table.get_mut(&key) {
            Some(transaction) if is_ack => {
                if transaction.state == State::Completed {
                    transaction.repeat = None;
                    transaction.state = State::Done;
                    let linger = if origin.flow.transport.is_reliable() { Duration::ZERO } else { T4 };
                    self.end_at(&key, now + linger);
                    return Received::Absorbed;
                }
                Received::Ack
            }
            Some(transaction) => {
                self.stats.repeated_requests += 1;
                let weighs = origin.weighs;
                transaction.credit = transaction.credit.and_then(|credit| Some(credit + weighs?));
                if !transaction.answer.is_empty() && transaction.may_send() {
                    self.stats.repeated_answers += 1;
                    out.push(Output::Send(transaction.flow, transaction.answer.clone()));
                }
                Received::Absorbed
            }
            None if is_ack => Received::Ack,
            None if !room => {
                self.stats.refused_full += 1;
                Received::Full
            }
            None => {
                let merging = merging_name(request);
                let merged = merging.as_ref().is_some_and(|name| self.merging.contains_key(name));
                if let Some(name) = merging.as_ref().filter(|_| !merged) {
                    self.merging.insert(name.clone(), key.clone());
                }
                self.insert(key.clone(), request.method == "INVITE", origin, merging.filter(|_| !merged));
                if merged { Received::Merged(key) } else { Received::New(key) }
            }
        }
    }

    /// Whether a request belongs to a transaction that there is.
    pub fn knows(&self, request: &Request) -> bool {
        self.table.contains_key(&key_of(request))
    }

    /// The peer of this transaction has shown that it receives: nothing limits what it is sent.
    pub fn vouch(&mut self, key: &Key) {
        if let Some(transaction) = self.table.get_mut(key) {
            transaction.credit = None;
        }
    }

    /// What may still be sent for a request; `None` without limit. Units: bytes.
    pub fn credit(&self, key: &Key) -> Option<usize> {
        self.table.get(key)?.credit
    }

    fn has_room(&self, origin: Origin) -> bool {
        if self.table.len() >= TRANSACTIONS {
            return false;
        }
        if let Some(dialog) = origin.dialog {
            return self.inside.get(&dialog).is_none_or(|own| *own < PER_DIALOG);
        }
        let free = OUTSIDE.saturating_sub(self.table.len() - self.all_inside);
        let own = self.outside.get(&owner(origin.flow.peer.ip())).copied().unwrap_or(0);
        let most = if free <= OUTSIDE / 4 { PER_ADDRESS_SCARCE } else { PER_ADDRESS };
        free > 0 && own < most
    }

    fn insert(&mut self, key: Key, is_invite: bool, origin: Origin, merging: Option<String>) {
        let Origin { flow, weighs, dialog } = origin;
        self.all_inside += usize::from(dialog.is_some());
        match dialog {
            Some(dialog) => *self.inside.entry(dialog).or_default() += 1,
            None => *self.outside.entry(owner(flow.peer.ip())).or_default() += 1,
        }
        let (state, answer) = (State::Open, Vec::new());
        let fresh = Transaction {
            flow,
            is_invite,
            state,
            answer,
            credit: weighs,
            dialog,
            merging,
            repeat: None,
            ends: None,
        };
        self.table.insert(key, fresh);
    }

    fn remove(&mut self, key: &Key) {
        let Some(gone) = self.table.remove(key) else { return };
        if let Some(name) = &gone.merging {
            self.merging.remove(name);
        }
        self.all_inside -= usize::from(gone.dialog.is_some());
        match gone.dialog {
            Some(dialog) => leave(&mut self.inside, dialog),
            None => leave(&mut self.outside, owner(gone.flow.peer.ip())),
        }
    }

    /// Answers a transaction. An answer to one that is gone or has its final answer is lost.
    pub fn respond(&mut self, now: MonoTime, key: &Key, code: u16, bytes: Vec<u8>, out: &mut Vec<Output>) {
        let Some(transaction) = self.table.get_mut(key).filter(|t| t.state == State::Open) else { return };
        transaction.answer = bytes;
        if transaction.may_send() {
            out.push(Output::Send(transaction.flow, transaction.answer.clone()));
        }
        if code < 200 {
            return;
        }
        let reliable = transaction.flow.transport.is_reliable();
        let success = (200..300).contains(&code);
        let ends = match (transaction.is_invite, success) {
            (true, true) => {
                transaction.state = State::Accepted;
                transaction.repeat = Some((now + T1, T1));
                now + GIVE_UP
            }
            (true, false) => {
                transaction.state = State::Completed;
                transaction.repeat = (!reliable).then_some((now + T1, T1));
                now + GIVE_UP
            }
            (false, _) => {
                transaction.state = State::Done;
                now + if reliable { Duration::ZERO } else { GIVE_UP }
            }
        };
        let repeat = transaction.repeat;
        self.deadlines.extend(repeat.map(|(at, _)| (at, key.clone())));
        self.end_at(key, ends);
    }

    /// Forgets a request that will not be answered.
    pub fn forget(&mut self, key: &Key) {
        self.remove(key);
    }

    /// The success answer of `key` has been acknowledged: no more repetitions, and soon no copies
    /// of the request.
    pub fn acknowledged(&mut self, now: MonoTime, key: &Key) {
        if let Some(transaction) = self.table.get_mut(key).filter(|t| t.state == State::Accepted) {
            transaction.repeat = None;
            transaction.state = State::Done;
            self.end_at(key, now + T4);
        }
    }

    /// The open INVITE that a CANCEL means.
    pub fn cancelled_by(&self, cancel: &Request) -> Option<Key> {
        let key = key_for(cancel, "INVITE");
        self.table.contains_key(&key).then_some(key)
    }

    /// Whether `key` still waits for its final answer.
    pub fn is_open(&self, key: &Key) -> bool {
        self.table.get(key).is_some_and(|t| t.state == State::Open)
    }

    /// Handles due timers.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        while let Some((_, key)) = self.deadlines.first().filter(|(at, _)| *at <= now).cloned() {
            self.deadlines.pop_first();
            let Some(transaction) = self.table.get_mut(&key) else { continue };
            if transaction.ends.is_some_and(|ends| ends <= now) {
                if transaction.state == State::Accepted {
                    out.push(Output::Unacknowledged(key.clone()));
                }
                self.remove(&key);
                continue;
            }
            if let Some((_, pause)) = transaction.repeat.filter(|(at, _)| *at <= now) {
                if transaction.may_send() {
                    self.stats.repeated_answers += 1;
                    out.push(Output::Send(transaction.flow, transaction.answer.clone()));
                }
                let pause = (pause * 2).min(T2);
                transaction.repeat = Some((now + pause, pause));
                self.deadlines.insert((now + pause, key));
            }
        }
    }

    /// When [`Transactions::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Counters so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn end_at(&mut self, key: &Key, at: MonoTime) {
        if let Some(transaction) = self.table.get_mut(key) {
            transaction.ends = Some(at);
            self.deadlines.insert((at, key.clone()));
        }
    }
}

impl Transaction {
    /// Whether the answer may go out; if so, it counts.
    fn may_send(&mut self) -> bool {
        match self.credit.map(|credit| credit.checked_sub(self.answer.len())) {
            None => true,
            Some(None) => false,
            left => {
                self.credit = left.flatten();
                true
            }
        }
    }
}

/// One less in a count; none is no entry.
fn leave<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What is the same in all copies of a request that reach us by several ways; `None` where copies
/// cannot be told, and inside of dialogs.
///
/// Source: RFC 3261 §8.2.2.2.
fn merging_name(request: &Request) -> Option<String> {
    let outside = request.to().is_none_or(|to| to.tag().is_none());
    let from = request.from()?;
    let tag = from.tag().filter(|_| outside && request.method != "CANCEL")?;
    let number = request.cseq()?.number;
    Some(format!("{}\n{tag}\n{number}\n{}", request.call_id(), request.method))
}

fn key_of(request: &Request) -> Key {
    // An ACK belongs to the transaction of the INVITE that it acknowledges.
    let method = if request.method == "ACK" { "INVITE" } else { request.method.as_str() };
    key_for(request, method)
}

/// Branch, sender and method; for clients older than RFC 3261, and for branches that are
/// the magic cookie and nothing else, the fields that such a client keeps unchanged.
///
/// Source: RFC 3261 §17.2.3; RFC 4475 §3.2.1.
fn key_for(request: &Request, method: &str) -> Key {
    let via = request.via();
    let branch = via.as_ref().map_or("", |via| via.branch.as_str());
    let sent_by = via.as_ref().map_or("", |via| via.sent_by.as_str()).to_ascii_lowercase();
    let cookie = branch.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("z9hG4bK"));
    if cookie && branch.len() > 7 {
        return Key(format!("{branch}\n{sent_by}\n{method}"));
    }
    let number = request.cseq().map_or(0, |cseq| cseq.number);
    let from = request.from().and_then(|from| from.tag().map(str::to_owned)).unwrap_or_default();
    Key(format!("{}\n{number}\n{from}\n{sent_by}\n{branch}\n{method}", request.call_id()))
}

#[cfg(test)]
mod tests;
