//! The consent state machine of one call. In: answers, transfers, withdrawals, time. Out: the state, and a
//! record of each change.

use serde::{Deserialize, Serialize};

use super::{Answer, ConsentError, ConsentHow, ConsentInput, ConsentRecord, ConsentState, Evidence};
use crate::call::ConsentKeys;
use crate::call::terms::{Question, Terms};
use crate::clock::{MonoTime, WallTime};

/// The consent state machine of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsentMachine {
    question: Question,
    /// The prompt heard, as an index into the question's prompts.
    heard: Option<usize>,
    /// The reported prompt version, if the department lists no prompts.
    named: Option<String>,
    state: ConsentState,
    answer_by: MonoTime,
    /// When a transfer started the question; keys pressed earlier belong to another one.
    asked_at: MonoTime,
    given: Vec<String>,
    declined: Vec<String>,
    /// Whether a yes ever opened the gate: there is audio that a withdrawal erases.
    opened: bool,
    /// Whether the caller was ever asked for consent.
    was_asked: bool,
    refused_by: Option<ConsentHow>,
    ended: bool,
}

impl ConsentMachine {
    /// A machine for a call admitted at `now`; `heard` names the prompt, if known.
    pub fn new(question: Question, heard: Option<&str>, now: MonoTime) -> Self {
        let mut machine = Self {
            heard: None,
            named: None,
            state: ConsentState::Unknown,
            answer_by: now,
            asked_at: MonoTime::default(),
            given: Vec::new(),
            declined: Vec::new(),
            opened: false,
            was_asked: false,
            refused_by: None,
            ended: false,
            question,
        };
        machine.ask(now, heard);
        machine
    }

    /// A machine in the state after `records`, for a call that is resumed after a restart. `question` is that
    /// of the department that has the call. Open only if the records themselves say so.
    pub fn resume(question: Question, records: &[ConsentRecord], answer_by: MonoTime) -> Self {
        let mut machine = Self::new(question, None, answer_by);
        machine.answer_by = answer_by;
        records.iter().for_each(|record| machine.follow(record));
        if let Some(last) = records.last() {
            machine.close_elsewhere(last);
        }
        machine
    }

    /// Moves to the state after a record that is newer than this machine. For another department's question
    /// it is closed, because that department's keys and timeout are unknown here.
    pub fn catch_up(&mut self, record: &ConsentRecord) {
        let here = record.terms.as_ref().is_none_or(|terms| terms.department == self.question.department);
        if here && record.state == self.state {
            return;
        }
        self.follow(record);
        self.close_elsewhere(record);
    }

    fn follow(&mut self, record: &ConsentRecord) {
        let terms = record.terms.as_ref();
        let mut about = terms.map(|terms| terms.covers.clone()).unwrap_or_default();
        about.push(terms.map_or_else(|| self.question.department.clone(), |t| t.department.clone()));
        self.was_asked |= record.state != ConsentState::Unknown;
        match record.state {
            ConsentState::Granted => {
                self.opened = true;
                // A transfer grants nothing.
                if record.how != ConsentHow::Transfer {
                    self.given.extend(about);
                }
            }
            ConsentState::Refused if record.how != ConsentHow::Transfer => {
                self.refused_by = Some(record.how);
                self.declined.extend(about);
            }
            _ => {}
        }
        self.state = record.state;
        if let Some(version) = &record.prompt_version {
            self.heard = self.question.prompt(version);
            self.named = Some(version.clone());
        }
    }

    fn close_elsewhere(&mut self, last: &ConsentRecord) {
        let here = last.terms.as_ref().is_none_or(|terms| terms.department == self.question.department);
        if !here && matches!(self.state, ConsentState::Granted | ConsentState::Asked) {
            self.state = ConsentState::Refused;
        }
    }

    /// The consent state.
    pub const fn state(&self) -> ConsentState {
        self.state
    }

    /// Whether audio may be kept now.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, ConsentState::Granted) && !self.ended
    }

    /// Whether there is audio of this call that consent still covers.
    pub const fn stands(&self) -> bool {
        self.opened && !matches!(self.state, ConsentState::Withdrawn)
    }

    /// Whether the caller was ever asked.
    pub const fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// The channel of the last refusal.
    pub const fn refused_by(&self) -> Option<ConsentHow> {
        self.refused_by
    }

    /// The current question.
    pub const fn question(&self) -> &Question {
        &self.question
    }

    /// The department of the current question.
    pub fn department(&self) -> &str {
        &self.question.department
    }

    /// The keys announced to the caller.
    pub fn keys(&self) -> &ConsentKeys {
        let told = self.heard.and_then(|heard| self.question.prompts.get(heard)?.keys.as_ref());
        told.unwrap_or(&self.question.keys)
    }

    /// The deadline for calling [`ConsentMachine::expire`], if there is one.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        (self.state == ConsentState::Asked).then_some(self.answer_by)
    }

    /// Handles an input. `Ok(None)`: it repeats the current state.
    ///
    /// A yes at or after the deadline is not a yes, even if the timeout has not been delivered yet.
    ///
    /// Errors: the input is too late or does not apply; the state is unchanged.
    pub fn handle(
        &mut self,
        now: MonoTime,
        at: WallTime,
        input: ConsentInput,
        how: ConsentHow,
        prompt_version: Option<String>,
        evidence: Evidence,
    ) -> Result<Option<ConsentRecord>, ConsentError> {
        use ConsentInput::{Answer as A, Withdraw};
        use ConsentState::{Asked, Granted, Refused, Unknown, Withdrawn};
        if self.ended {
            return Err(ConsentError::Ended);
        }
        let to = match (self.state, &input) {
            (Withdrawn, Withdraw | A(Answer::No)) => return Ok(None),
            (Withdrawn, A(Answer::Yes)) => return Err(ConsentError::AlreadyWithdrawn),
            // Withdrawn wherever the call is by now: what an earlier yes permitted is erased.
            (Unknown | Asked | Refused, Withdraw) if self.opened => Withdrawn,
            (Unknown, _) => return Err(ConsentError::NotAsked),
            (Refused, Withdraw | A(Answer::No)) => return Ok(None),
            (Refused, A(Answer::Yes)) => return Err(ConsentError::AlreadyRefused),
            (Asked, A(Answer::Yes)) if now >= self.answer_by => {
                return Err(ConsentError::AlreadyRefused);
            }
            (Asked, A(Answer::Yes)) if now < self.asked_at => {
                return Err(ConsentError::BeforeQuestion);
            }
            // In the call nobody asks: the key belongs to something else, or to a question that was not heard.
            (Asked, A(Answer::Yes))
                if self.question.asked_before && matches!(evidence, Evidence::Keys { .. }) =>
            {
                return Err(ConsentError::AskedBefore);
            }
            (Asked, A(Answer::Yes)) => Granted,
            (Asked, A(Answer::No) | Withdraw) => Refused,
            (Granted, A(Answer::Yes)) => return Ok(None),
            // A clear no after a yes withdraws it. A *key* no after a yes belongs to another menu: the
            // matcher does not report it.
            (Granted, A(Answer::No) | Withdraw) => Withdrawn,
        };
        if let Some(version) = prompt_version {
            self.hear(version, to == Granted)?;
        }
        match to {
            Granted => self.yes(),
            Refused => self.no(),
            _ => {}
        }
        Ok(Some(self.change(to, how, at, evidence)))
    }

    /// Transfers the call to another department. Unless the caller's yes covers it, audio is closed at once
    /// and consent requested anew, once; an unanswered question lapses.
    ///
    /// Errors: the call has ended.
    pub fn transfer(
        &mut self,
        now: MonoTime,
        at: WallTime,
        to: Question,
        heard: Option<&str>,
        evidence: Evidence,
    ) -> Result<Option<ConsentRecord>, ConsentError> {
        if self.ended {
            return Err(ConsentError::Ended);
        }
        if to.department == self.question.department {
            return Ok(None);
        }
        self.question = to;
        self.asked_at = now;
        if self.state == ConsentState::Withdrawn {
            return Ok(None);
        }
        let before = self.state;
        self.ask(now, heard);
        let silent = before == ConsentState::Unknown && self.state == ConsentState::Unknown;
        let state = self.state;
        Ok((!silent || self.was_asked).then(|| self.record(state, ConsentHow::Transfer, at, evidence)))
    }

    /// Advances time: after the deadline, no answer counts as no.
    pub fn expire(&mut self, now: MonoTime, at: WallTime) -> Option<ConsentRecord> {
        let due = self.state == ConsentState::Asked && now >= self.answer_by && !self.ended;
        due.then(|| self.unanswered(ConsentHow::Timeout, at))
    }

    /// Ends the call: an unanswered question counts as no.
    pub fn end(&mut self, at: WallTime) -> Option<ConsentRecord> {
        let open = self.state == ConsentState::Asked && !self.ended;
        let record = open.then(|| self.unanswered(ConsentHow::CallEnded, at));
        self.ended = true;
        record
    }

    /// Enters the state for the department's question, given the answers so far.
    fn ask(&mut self, now: MonoTime, heard: Option<&str>) {
        self.heard = None;
        self.named = None;
        match heard {
            Some(version) => drop(self.hear(version.to_owned(), false)),
            None => self.heard = (!self.question.prompts.is_empty()).then_some(0),
        }
        let department = &self.question.department;
        self.state = if !self.question.selected {
            ConsentState::Unknown
        } else if self.declined.contains(department) {
            ConsentState::Refused
        } else if self.given.contains(department) {
            ConsentState::Granted
        } else {
            self.answer_by = now + self.question.timeout;
            self.was_asked = true;
            ConsentState::Asked
        };
    }

    /// Notes which prompt was heard. `must_know`: an unknown one has no effect.
    fn hear(&mut self, version: String, must_know: bool) -> Result<(), ConsentError> {
        let known = self.question.prompt(&version);
        if known.is_none() && must_know && !self.question.prompts.is_empty() {
            return Err(ConsentError::UnknownPrompt);
        }
        self.heard = known;
        self.named = Some(version);
        Ok(())
    }

    /// The department and the others named by the prompt.
    fn asked_about(&self) -> Vec<String> {
        let covers = self.heard.and_then(|heard| self.question.prompts.get(heard)).map(|p| &p.covers);
        let mut all = covers.cloned().unwrap_or_default();
        if !all.contains(&self.question.department) {
            all.push(self.question.department.clone());
        }
        all
    }

    fn yes(&mut self) {
        self.given.extend(self.asked_about());
        self.opened = true;
        self.was_asked = true;
    }

    fn no(&mut self) {
        self.declined.extend(self.asked_about());
        self.was_asked = true;
    }

    fn unanswered(&mut self, how: ConsentHow, at: WallTime) -> ConsentRecord {
        self.no();
        self.change(ConsentState::Refused, how, at, Evidence::Clock)
    }

    fn change(
        &mut self,
        to: ConsentState,
        how: ConsentHow,
        at: WallTime,
        evidence: Evidence,
    ) -> ConsentRecord {
        self.state = to;
        if to == ConsentState::Refused {
            self.refused_by = Some(how);
        }
        self.record(to, how, at, evidence)
    }

    fn record(
        &self,
        state: ConsentState,
        how: ConsentHow,
        at: WallTime,
        evidence: Evidence,
    ) -> ConsentRecord {
        let prompt = self.heard.and_then(|heard| self.question.prompts.get(heard));
        let terms = Terms {
            department: self.question.department.clone(),
            retention_days: self.question.retention_days,
            language: prompt.map(|prompt| prompt.language.clone()),
            text_sha256: prompt.map(|prompt| prompt.text_sha256.clone()),
            audio_sha256: prompt.and_then(|prompt| prompt.audio_sha256.clone()),
            covers: prompt.map(|prompt| prompt.covers.clone()).unwrap_or_default(),
        };
        let version = prompt.map(|prompt| prompt.version.clone()).or_else(|| self.named.clone());
        ConsentRecord { state, how, at, prompt_version: version, evidence, terms: Some(terms) }
    }
}
