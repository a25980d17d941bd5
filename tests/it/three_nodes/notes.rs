//! What everybody was told during a run: about each call, and when which node was away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kill_loop::Dice;

/// What is known of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// Nobody asked for it, or it was refused.
    #[default]
    Nothing,
    /// It was asked for, and there was no answer.
    Unanswered,
    /// It was acknowledged.
    Done,
}

/// A call.
#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    /// The recorder's id of it; empty: no node took it.
    pub id: String,
    pub began: Option<Instant>,
    pub ended: Option<Instant>,
    /// When a yes was acknowledged.
    pub yes: Option<Instant>,
    pub no: Told,
    pub erasure: Told,
    pub hold: Told,
    /// The hold was lifted, or might be.
    pub lifted: bool,
    pub expiry: Told,
    /// Hand-out links, with how often each was used.
    pub links: Vec<(String, u32)>,
    /// What happened, for whoever has to find out why.
    pub history: Vec<String>,
}

/// What happened to a node, as its callers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It hears nothing.
    Away,
    /// It hears again, and goes on with the calls that it had.
    Back,
    /// The calls that it has end.
    CallsEnd,
}

/// All notes of a run.
pub(super) struct Notes {
    start: Instant,
    calls: Mutex<BTreeMap<usize, Note>>,
    seen: Mutex<Vec<(Instant, usize, Seen)>>,
    draws: Mutex<Dice>,
}

impl Notes {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let draws = Mutex::new(Dice(seed));
        Arc::new(Self { start: Instant::now(), calls: Mutex::default(), seen: Mutex::default(), draws })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Note>> {
        self.calls.lock().unwrap()
    }

    pub(super) fn draw(&self, below: u64) -> u64 {
        self.draws.lock().unwrap().below(below)
    }

    /// Changes a call's note, with a line for its history.
    pub(super) fn change(&self, call: usize, line: String, change: impl FnOnce(&mut Note)) {
        self.say(&format!("call {call}: {line}"));
        let mut calls = self.lock();
        let note = calls.entry(call).or_default();
        note.history.push(format!("{:6.2} s {line}", self.start.elapsed().as_secs_f64()));
        change(note);
    }

    /// A line about the run, for whoever has to find out why.
    pub(super) fn say(&self, line: &str) {
        println!("{:6.2} s {line}", self.start.elapsed().as_secs_f64());
    }

    pub(super) fn node(&self, node: usize, seen: Seen) {
        self.seen.lock().unwrap().push((Instant::now(), node, seen));
    }

    /// The longest time without a break in which a call's node heard it after its yes.
    pub(super) fn heard(&self, note: &Note) -> Duration {
        let (Some(yes), Some(began), Some(ended)) = (note.yes, note.began, note.ended) else {
            return Duration::ZERO;
        };
        let node = usize::from_str_radix(&note.id[32..], 16).unwrap() - 1;
        // Several things may keep it from hearing at a time.
        let (mut away, mut since, mut longest) = (0, began.max(yes), Duration::ZERO);
        let seen = self.seen.lock().unwrap();
        for (at, _, what) in seen.iter().filter(|(at, which, _)| *which == node && *at < ended) {
            if away == 0 && *at > since {
                longest = longest.max(*at - since);
            }
            match what {
                Seen::Away => away += 1,
                Seen::Back => (away, since) = (away - 1, since.max(*at)),
                Seen::CallsEnd if *at > began => return longest,
                Seen::CallsEnd => {}
            }
        }
        if away > 0 { longest } else { longest.max(ended.saturating_duration_since(since)) }
    }

    /// A call that is over and had a yes, if there is one.
    pub(super) fn any_recording(&self) -> Option<(usize, String)> {
        let calls = self.lock();
        let over = calls.iter().filter(|(_, note)| note.ended.is_some() && note.yes.is_some());
        let over: Vec<_> = over.map(|(call, note)| (*call, note.id.clone())).collect();
        drop(calls);
        (!over.is_empty()).then(|| over[self.draw(over.len() as u64) as usize].clone())
    }
}

/// An answer in a line.
pub(super) fn line(answer: &Option<(u16, Value)>) -> String {
    match answer {
        Some((status, body)) => format!("{status} {}", body["detail"].as_str().unwrap_or_default()),
        None => "no answer".into(),
    }
}
