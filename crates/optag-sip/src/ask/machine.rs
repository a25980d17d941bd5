//! The asking of one caller as a pure state machine: events and the time in, actions out.
//!
//! Rules: a yes counts only once the question was sent to its last packet, media was flowing by its beginning,
//! and the caller's side reported no more loss in it than is allowed. A no counts at any time. The question is
//! repeated once. Whatever fails, the call is sent on; what is not a yes is kept as a no, so that no key pressed
//! later is taken for an answer. Beside prompts and the time to answer, an ask takes [`OWN_DELAY`] at the most.
//! Not here: SIP (`server`), audio, sockets, clocks.

use std::time::Duration;

use crate::ask::events::{Action, Clip, Event, Given, Question, Rules};
use crate::ask::outcome::Outcome;
use optag_core::call::Answer;
use optag_core::clock::MonoTime;
use optag_media::dtmf::keypad::KeyPress;
use optag_media::dtmf::sequences::{KeyMatcher, Meaning};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// Longest time until the caller's leg is ready.
pub const OPENING: Duration = Duration::from_millis(500);
/// Longest wait for the caller's first packet, so that nothing of the question is missed.
pub const FLOWING: Duration = Duration::from_millis(300);
/// Longest time for an answer to be kept.
pub const KEEPING: Duration = Duration::from_millis(500);
/// The most that an ask takes beside prompts and the time to answer.
pub const OWN_DELAY: Duration = Duration::from_millis(1_500);
/// Pause before a question that was not heard completely is played again.
pub const PAUSE: Duration = Duration::from_secs(1);
/// How late the end of a clip may be reported.
const OVERDUE: Duration = Duration::from_millis(100);
/// From the last packet of the question until its end can have been heard: a key pressed sooner is too early.
const TRAVELS: Duration = Duration::from_millis(150);
/// How late media may begin to flow in a question for it to be heard completely.
const LATE: Duration = Duration::from_millis(200);
/// How often the question is played.
const ROUNDS: u8 = 2;
/// How often a caller may choose another language.
const CHOICES: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Waits for the leg.
    Opening,
    /// Waits for media to flow.
    Flowing,
    /// Plays the question.
    Playing,
    /// Waits for an answer, or to play the question again.
    Waiting,
    /// Waits until the answer is kept, and confirmed.
    Keeping { outcome: Outcome, kept: bool, confirming: Option<u32> },
    /// Waits until the call is sent on.
    SendingOn(Outcome),
    /// Over.
    Over,
}

/// A complete hearing of the question.
#[derive(Clone, Copy, Debug)]
struct Hearing {
    at: MonoTime,
    /// Packets lost before it began.
    lost_before: u32,
}

/// The asking of one caller.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    state: State,
    question: usize,
    round: u8,
    choices: u8,
    clip: u32,
    /// When the state, and the clip in it, began.
    since: MonoTime,
    deadline: Option<MonoTime>,
    heard_at: Option<MonoTime>,
    lost: u32,
    lost_before: u32,
    hearing: Option<Hearing>,
    matcher: KeyMatcher,
    /// Matches keys pressed before the question was heard: a no is taken.
    early: KeyMatcher,
    said_yes: bool,
    /// Number of the last answer given to be kept.
    keeps: u32,
    began_at: MonoTime,
    /// Time in prompts and in the time to answer.
    planned: Duration,
    ended: Option<(MonoTime, Outcome)>,
}

impl Machine {
    /// The asking begins. `rules` has at least one question.
    pub fn new(rules: Rules, now: MonoTime) -> Self {
        let keys = rules.questions.first().map(|question| question.keys.clone()).unwrap_or_default();
        Self {
            state: State::Opening,
            question: 0,
            round: 0,
            choices: 0,
            clip: 0,
            since: now,
            deadline: Some(now + OPENING),
            heard_at: None,
            lost: 0,
            lost_before: 0,
            hearing: None,
            matcher: KeyMatcher::new(keys.clone()),
            early: KeyMatcher::new(keys),
            said_yes: false,
            keeps: 0,
            began_at: now,
            planned: Duration::ZERO,
            ended: None,
            rules,
        }
    }

    /// Handles an event. After the end nothing happens any more.
    pub fn handle(&mut self, now: MonoTime, event: Event, out: &mut Vec<Action>) {
        match (self.state, event) {
            (State::Over, _) => {}
            (State::Opening, Event::Ready) => {
                self.enter(now, State::Flowing, Some(FLOWING));
                if self.heard_at.is_some() {
                    self.ask(now, out);
                }
            }
            (_, Event::Ready) => {}
            (state, Event::Heard) => {
                self.heard_at.get_or_insert(now);
                if state == State::Flowing {
                    self.ask(now, out);
                }
            }
            (State::Playing, Event::Played(clip)) if clip == self.clip => self.played(now),
            (State::Keeping { outcome, kept, confirming: Some(current) }, Event::Played(clip))
                if clip == current =>
            {
                self.state = State::Keeping { outcome, kept, confirming: None };
                self.send_on_if_ready(now, out);
            }
            (_, Event::Played(_)) => {}
            (_, Event::Lost(packets)) => self.lost(now, packets, out),
            (State::Playing | State::Waiting | State::Flowing, Event::Key(press)) => {
                self.key(now, press, out)
            }
            (_, Event::Key(_)) => {}
            (State::Keeping { outcome, kept, .. }, Event::MediaFailed) => {
                self.state = State::Keeping { outcome, kept, confirming: None };
                self.send_on_if_ready(now, out);
            }
            (State::SendingOn(_), Event::MediaFailed | Event::Stop) => {}
            (State::Keeping { .. }, Event::Stop) => {}
            (_, Event::MediaFailed) => self.conclude(now, Answer::No, Outcome::MediaFailed, None, out),
            (_, Event::Stop) => self.conclude(now, Answer::No, Outcome::Stopping, None, out),
            (_, Event::CallerGone) => {
                self.take_back(out);
                self.end(now, Outcome::CallerGone, out);
            }
            (State::Keeping { outcome, confirming, .. }, Event::Kept(number, kept))
                if number == self.keeps =>
            {
                match kept {
                    true => {
                        self.state = State::Keeping { outcome, kept, confirming };
                        self.send_on_if_ready(now, out);
                    }
                    false => self.not_kept(now, outcome, out),
                }
            }
            (_, Event::Kept(..)) => {}
            (State::SendingOn(outcome), Event::SentOn(true)) => self.end(now, outcome, out),
            (State::SendingOn(_), Event::SentOn(false)) => {
                self.take_back(out);
                self.end(now, Outcome::SendFailed, out);
            }
            (_, Event::SentOn(_)) => {}
        }
    }

    /// Handles a deadline that has passed.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::Opening => self.conclude(now, Answer::No, Outcome::MediaFailed, None, out),
            State::Flowing => self.ask(now, out),
            // The player is late beyond what a caller can be left with.
            State::Playing => self.conclude(now, Answer::No, Outcome::MediaFailed, None, out),
            State::Waiting if self.round < ROUNDS => self.ask(now, out),
            State::Waiting => {
                let outcome = if self.hearing.is_some() { Outcome::Silence } else { Outcome::NotHeard };
                self.conclude(now, Answer::No, outcome, None, out);
            }
            State::Keeping { outcome, kept: false, .. } => self.not_kept(now, outcome, out),
            State::Keeping { outcome, kept, .. } => {
                self.state = State::Keeping { outcome, kept, confirming: None };
                self.send_on_if_ready(now, out);
            }
            State::SendingOn(_) | State::Over => self.deadline = None,
        }
    }

    /// When [`Machine::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        self.deadline
    }

    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.map(|(_, outcome)| outcome)
    }

    /// The question that was last played; `None` if none was.
    pub fn question(&self) -> Option<usize> {
        (self.clip > 0).then_some(self.question)
    }

    /// What the ask has taken beside prompts and the time to answer.
    pub fn own_delay(&self, now: MonoTime) -> Duration {
        let until = self.ended.map_or(now, |(at, _)| at);
        until.since(self.began_at).saturating_sub(self.planned)
    }

    /// Whether it no longer needs the caller's leg.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state, State::SendingOn(_) | State::Over)
    }

    fn current(&self) -> &Question {
        &self.rules.questions[self.question]
    }

    fn enter(&mut self, now: MonoTime, state: State, within: Option<Duration>) {
        // Of the state that ends, what was planned for.
        let most = match self.state {
            State::Playing => self.current().lasts,
            State::Waiting if self.hearing.is_some() => self.rules.answer,
            State::Waiting => PAUSE.max(self.rules.answer),
            State::Keeping { .. } => self.confirmation_planned(),
            _ => Duration::ZERO,
        };
        self.planned += now.since(self.since).min(most);
        self.state = state;
        self.since = now;
        self.deadline = within.map(|within| now + within);
    }

    fn confirmation_planned(&self) -> Duration {
        self.rules.confirmations[usize::from(!self.said_yes)].unwrap_or_default()
    }

    /// Plays the question from its beginning.
    fn ask(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        let lasts = self.current().lasts;
        self.enter(now, State::Playing, Some(lasts + OVERDUE));
        self.round += 1;
        self.clip += 1;
        self.lost_before = self.lost;
        out.push(Action::Play(self.clip, Clip::Question(self.question)));
    }

    /// The question was sent to its end.
    fn played(&mut self, now: MonoTime) {
        let flowed = self.heard_at.is_some_and(|at| at <= self.since + LATE);
        if flowed && !self.is_lossy(self.lost_before) && self.hearing.is_none() {
            self.hearing = Some(Hearing { at: now, lost_before: self.lost_before });
            // Keys pressed before are no part of an answer.
            self.matcher = KeyMatcher::new(self.current().keys.clone());
        }
        let wait = if self.hearing.is_some() { self.rules.answer } else { PAUSE };
        self.enter(now, State::Waiting, Some(wait));
    }

    /// Whether more was lost since then than may be.
    fn is_lossy(&self, lost_before: u32) -> bool {
        let lost = u64::from(self.lost.saturating_sub(lost_before));
        lost * 100 > u64::from(self.rules.loss_percent) * u64::from(self.current().packets)
    }

    /// A report of loss: it may show that the question was not heard after all.
    fn lost(&mut self, now: MonoTime, packets: u32, out: &mut Vec<Action>) {
        self.lost = self.lost.max(packets);
        if !self.hearing.is_some_and(|hearing| self.is_lossy(hearing.lost_before)) {
            return;
        }
        self.hearing = None;
        match self.state {
            State::Waiting => self.deadline = Some((now + PAUSE).min(self.deadline.unwrap_or(now + PAUSE))),
            State::Keeping { outcome: Outcome::Yes, .. } => {
                self.take_back(out);
                self.conclude(now, Answer::No, Outcome::NotHeard, None, out);
            }
            _ => {}
        }
    }

    fn key(&mut self, now: MonoTime, press: KeyPress, out: &mut Vec<Action>) {
        let chosen = self.rules.languages.iter().find(|(key, _)| *key == press.key).map(|(_, at)| *at);
        if let Some(question) = chosen.filter(|at| *at < self.rules.questions.len()) {
            if question != self.question && self.choices < CHOICES && self.state != State::Flowing {
                self.choices += 1;
                self.round = 0;
                self.hearing = None;
                // What was planned for is that of the question that was played.
                self.enter(now, State::Waiting, None);
                self.question = question;
                self.early = KeyMatcher::new(self.current().keys.clone());
                self.ask(now, out);
            }
            return;
        }
        let in_time = self.hearing.is_some_and(|hearing| press.at >= hearing.at + TRAVELS);
        let matcher = if in_time { &mut self.matcher } else { &mut self.early };
        let matched = match press.negotiated {
            true => matcher.press(press.at, press.key, true),
            false => matcher.press_unnamed(press.at, press.key, true),
        };
        match matched {
            Some((Meaning::Yes, keys)) if in_time => {
                self.conclude(now, Answer::Yes, Outcome::Yes, Some((keys, press)), out);
            }
            Some((Meaning::No | Meaning::Withdraw, keys)) => {
                self.conclude(now, Answer::No, Outcome::No, Some((keys, press)), out);
            }
            _ => {}
        }
    }

    /// The asking has this result: it is kept, then the call is sent on.
    fn conclude(
        &mut self,
        now: MonoTime,
        answer: Answer,
        outcome: Outcome,
        keys: Option<(String, KeyPress)>,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::Quiet);
        let confirmed = matches!(outcome, Outcome::Yes | Outcome::No);
        let lasts = self.rules.confirmations[usize::from(answer == Answer::No)].filter(|_| confirmed);
        let confirming = lasts.map(|_| {
            self.clip += 1;
            out.push(Action::Play(self.clip, Clip::Confirmation(answer)));
            self.clip
        });
        self.keep(answer, keys, out);
        let within = KEEPING.max(lasts.map_or(Duration::ZERO, |lasts| lasts + OVERDUE));
        self.enter(now, State::Keeping { outcome, kept: false, confirming }, Some(within));
        self.said_yes = answer == Answer::Yes;
    }

    fn not_kept(&mut self, now: MonoTime, outcome: Outcome, out: &mut Vec<Action>) {
        let outcome = if outcome == Outcome::Yes { Outcome::NotKept } else { outcome };
        // It may have been kept all the same: nobody was told so.
        self.take_back(out);
        self.send_on(now, outcome, out);
    }

    fn send_on_if_ready(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        if let State::Keeping { outcome, kept: true, confirming: None } = self.state {
            self.send_on(now, outcome, out);
        }
    }

    fn send_on(&mut self, now: MonoTime, outcome: Outcome, out: &mut Vec<Action>) {
        self.enter(now, State::SendingOn(outcome), None);
        out.push(Action::SendOn(if outcome == Outcome::Yes { Answer::Yes } else { Answer::No }));
    }

    /// A yes that was given to be kept counts no longer.
    fn take_back(&mut self, out: &mut Vec<Action>) {
        if std::mem::take(&mut self.said_yes) {
            self.keep(Answer::No, None, out);
        }
    }

    fn keep(&mut self, answer: Answer, keys: Option<(String, KeyPress)>, out: &mut Vec<Action>) {
        self.keeps += 1;
        out.push(Action::Keep(self.keeps, Given { answer, question: self.question, keys }));
    }

    fn end(&mut self, now: MonoTime, outcome: Outcome, out: &mut Vec<Action>) {
        self.enter(now, State::Over, None);
        self.ended = Some((now, outcome));
        out.push(Action::End(outcome));
    }
}
