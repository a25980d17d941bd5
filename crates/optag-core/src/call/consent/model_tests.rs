//! Every sequence of events up to a depth, compared with a model written independently of the machine: it has
//! no states, only the list of effective answers and what follows from it.
//!
//! `CONSENT_DEPTH=7` goes deeper than the default.

use std::time::Duration;

use super::*;
use crate::call::ConsentKeys;
use crate::call::terms::{Prompt, Question};
use crate::clock::MonoTime;

/// Longest sequence of events in the default run.
const DEPTH: usize = 5;
/// Time to answer; no answer counts as no.
const TIMEOUT: Duration = Duration::from_secs(1_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Yes,
    YesToUnknownPrompt,
    No,
    Withdraw,
    /// The deadline passes without the machine being called.
    Late,
    /// The deadline passes, and the machine is called.
    Expire,
    To(usize),
    End,
}

const EVENTS: [Event; 11] = [
    Event::Yes,
    Event::YesToUnknownPrompt,
    Event::No,
    Event::Withdraw,
    Event::Late,
    Event::Expire,
    Event::To(0),
    Event::To(1),
    Event::To(2),
    Event::To(3),
    Event::End,
];

/// Departments: the prompt of 0 names 0 and 1, those of 1 and 2 only themselves; 3 is not recorded.
const NAMED: [&[usize]; 4] = [&[0, 1], &[1], &[2], &[]];
const UNSELECTED: usize = 3;

fn question(department: usize) -> Question {
    let id = |n: usize| format!("department {n}");
    let prompt = Prompt {
        version: "1".into(),
        language: "da".into(),
        text: String::new(),
        text_sha256: String::new(),
        audio_sha256: None,
        audio_file: None,
        covers: NAMED[department].iter().map(|&n| id(n)).collect(),
        keys: None,
    };
    Question {
        prompts: vec![prompt],
        ..Question::new(&id(department), department != UNSELECTED, ConsentKeys::default(), TIMEOUT)
    }
}

/// The result of a history, derived without states.
#[derive(Clone, Default)]
struct Model {
    here: usize,
    deadline_passed: bool,
    over: bool,
    taken_back: bool,
    /// Effective answers: the departments that they cover, and whether they were a yes.
    answers: Vec<(&'static [usize], bool)>,
}

impl Model {
    fn verdict(&self, department: usize) -> Option<bool> {
        let about =
            |yes: bool| self.answers.iter().any(|(all, said)| *said == yes && all.contains(&department));
        if about(false) { Some(false) } else { about(true).then_some(true) }
    }

    fn said_yes(&self) -> bool {
        self.answers.iter().any(|(_, yes)| *yes)
    }

    fn question_is_open(&self) -> bool {
        self.here != UNSELECTED && self.verdict(self.here).is_none()
    }

    fn happens(&mut self, event: Event) {
        if self.over {
            return;
        }
        match event {
            Event::End => {
                if self.question_is_open() && !self.taken_back {
                    self.answers.push((NAMED[self.here], false));
                }
                self.over = true;
            }
            _ if self.taken_back => {}
            Event::Yes if self.question_is_open() && !self.deadline_passed => {
                self.answers.push((NAMED[self.here], true));
            }
            Event::No if self.question_is_open() => self.answers.push((NAMED[self.here], false)),
            Event::No => {
                self.taken_back = self.here != UNSELECTED && self.verdict(self.here) == Some(true);
            }
            Event::Withdraw if self.said_yes() => self.taken_back = true,
            Event::Withdraw if self.question_is_open() => self.answers.push((NAMED[self.here], false)),
            Event::Late => self.deadline_passed = true,
            Event::Expire => {
                self.deadline_passed = true;
                if self.question_is_open() {
                    self.answers.push((NAMED[self.here], false));
                }
            }
            Event::To(department) if department != self.here => {
                self.here = department;
                self.deadline_passed = false;
            }
            _ => {}
        }
    }

    fn is_open(&self) -> bool {
        !self.over && !self.taken_back && self.here != UNSELECTED && self.verdict(self.here) == Some(true)
    }

    fn stands(&self) -> bool {
        self.said_yes() && !self.taken_back
    }
}

#[derive(Clone)]
struct Pair {
    machine: ConsentMachine,
    model: Model,
    records: Vec<ConsentRecord>,
    secs: u64,
}

impl Pair {
    fn new(department: usize) -> Self {
        Self {
            machine: ConsentMachine::new(question(department), None, MonoTime::default()),
            model: Model { here: department, ..Model::default() },
            records: Vec::new(),
            secs: 0,
        }
    }

    fn happens(&mut self, event: Event) {
        self.secs += 1;
        if matches!(event, Event::Late | Event::Expire) {
            self.secs += TIMEOUT.as_secs();
        }
        let now = MonoTime::from_nanos(self.secs * 1_000_000_000);
        let at = WallTime::from_unix_micros(self.secs as i64);
        let mut say = |input, version: Option<&str>| {
            let version = version.map(str::to_owned);
            self.machine.handle(now, at, input, ConsentHow::Key, version, Evidence::Clock).ok().flatten()
        };
        let record = match event {
            Event::Yes => say(ConsentInput::Answer(Answer::Yes), None),
            Event::YesToUnknownPrompt => say(ConsentInput::Answer(Answer::Yes), Some("nobody knows")),
            Event::No => say(ConsentInput::Answer(Answer::No), None),
            Event::Withdraw => say(ConsentInput::Withdraw, None),
            Event::Late => None,
            Event::Expire => self.machine.expire(now, at),
            Event::To(to) => {
                self.machine.transfer(now, at, question(to), None, Evidence::Clock).ok().flatten()
            }
            Event::End => self.machine.end(at),
        };
        self.records.extend(record);
        self.model.happens(event);
    }

    fn check(&self, order: &[Event]) {
        assert_eq!(self.machine.is_open(), self.model.is_open(), "open after {order:?}");
        assert_eq!(self.machine.stands(), self.model.stands(), "stands after {order:?}");
        let told = standing(&self.records).is_some();
        assert_eq!(told, self.model.stands(), "what the records tell after {order:?}");
        if !self.model.over {
            let question = self.machine.question().clone();
            let again = ConsentMachine::resume(question, &self.records, MonoTime::default());
            // A deadline that passed unnoticed is for the caller of `resume` to report.
            assert_eq!(again.state(), self.machine.state(), "resumed after {order:?}");
        }
    }
}

fn explore(pair: &Pair, order: &mut Vec<Event>, depth: usize, count: &mut u64) {
    pair.check(order);
    *count += 1;
    if order.len() == depth {
        return;
    }
    for event in EVENTS {
        let mut next = pair.clone();
        next.happens(event);
        order.push(event);
        explore(&next, order, depth, count);
        order.pop();
    }
}

#[test]
fn no_order_of_events_opens_the_gate_but_a_timely_yes_that_names_the_department() {
    let depth = std::env::var("CONSENT_DEPTH").ok().and_then(|n| n.parse().ok()).unwrap_or(DEPTH);
    let mut count = 0;
    for department in [0, UNSELECTED] {
        explore(&Pair::new(department), &mut Vec::new(), depth, &mut count);
    }
    println!("{count} orders of up to {depth} events, from two departments");
    assert!(count > 300_000 || depth < DEPTH);
}
