//! The consent machine: what a caller said, and what may be recorded because of it.
//!
//! In: the admission, answers, withdrawals, the passing of time. Out: a state, and one
//! [`ConsentRecord`] for each change. Fails closed: only [`ConsentState::Granted`] lets
//! audio through, and nothing leads there but one clear, timely yes.
//!
//! Not here: which key means yes (`media` matches keys to the department's sequences),
//! and pausing, which is no matter of consent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::{MonoTime, WallTime};

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// Not asked: the department is not selected.
    Unknown,
    /// Asked, no answer yet.
    Asked,
    /// Yes. The only state in which audio is kept.
    Granted,
    /// No, or no answer in time. Final.
    Refused,
    /// A yes taken back. Final.
    Withdrawn,
}

/// What a caller answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Record.
    Yes,
    /// Do not record.
    No,
}

/// By which way a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentHow {
    /// A key pressed, seen in the audio or its events.
    Key,
    /// A system (PBX, IVR) told us through the API or signalling.
    System,
    /// A member of staff, on the caller's word.
    Staff,
    /// Nobody answered in time.
    Timeout,
    /// The call ended unanswered.
    CallEnded,
}

/// What a key was heard in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// An RFC 4733 event.
    #[default]
    Event,
    /// Two tones in the audio itself.
    Tone,
}

/// What shows that a change was really made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Evidence {
    /// The keys of the answer and the packet that brought the last of them.
    Keys {
        /// The matched sequence, for example `1`.
        keys: String,
        /// Index of the stream.
        stream: u8,
        /// RTP timestamp of the event, or of the packet that the tone began in.
        rtp_timestamp: u32,
        /// SSRC of the event's packet.
        ssrc: u32,
        /// What the keys were heard in.
        #[serde(default)]
        by: KeySource,
    },
    /// Who called the API: the name of an access token, or a member of staff.
    Actor {
        /// The actor's name.
        name: String,
    },
    /// Time alone.
    Clock,
}

/// One change of consent, as stored with the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// The state that this change led to.
    pub state: ConsentState,
    /// By which way.
    pub how: ConsentHow,
    /// When, by our wall clock.
    pub at: WallTime,
    /// Which prompt the caller heard.
    pub prompt_version: Option<String>,
    /// What shows it.
    pub evidence: Evidence,
}

/// Something that a caller, a system or staff did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentInput {
    /// An answer to the prompt.
    Answer(Answer),
    /// A yes taken back, or a recording not wanted.
    Withdraw,
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The department is not recorded; there is nothing to consent to.
    #[error("the department is not selected for recording")]
    NotAsked,
    /// The caller had already refused, or the time to answer had passed: it stays no.
    #[error("the caller has already refused or did not answer in time; that stays")]
    AlreadyRefused,
    /// Consent was withdrawn: it stays withdrawn.
    #[error("consent was withdrawn; that stays")]
    AlreadyWithdrawn,
}

/// The machine of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsentMachine {
    state: ConsentState,
    answer_by: MonoTime,
    prompt_version: Option<String>,
    changed_by: Option<ConsentHow>,
}

impl ConsentMachine {
    /// A machine for a call admitted at `now`; `selected` says whether the department is recorded.
    pub fn new(selected: bool, timeout: Duration, now: MonoTime) -> Self {
        let state = if selected { ConsentState::Asked } else { ConsentState::Unknown };
        Self { state, answer_by: now + timeout, prompt_version: None, changed_by: None }
    }

    /// A machine in a state that was made durable earlier, with what is left of the time to answer.
    pub fn resume(state: ConsentState, answer_by: MonoTime) -> Self {
        Self { state, answer_by, prompt_version: None, changed_by: None }
    }

    /// Where the call stands.
    pub const fn state(&self) -> ConsentState {
        self.state
    }

    /// Whether audio may be kept right now.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, ConsentState::Granted)
    }

    /// By which way a refusal came.
    pub fn refused_by(&self) -> Option<ConsentHow> {
        self.changed_by.filter(|_| self.state == ConsentState::Refused)
    }

    /// When [`ConsentMachine::expire`] must be called at the latest, if at all.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        (self.state == ConsentState::Asked).then_some(self.answer_by)
    }

    /// Takes an input. `Ok(None)`: it repeats what already holds.
    ///
    /// A yes at or after the deadline is no yes, even if the timeout was not delivered yet.
    ///
    /// Errors: the input comes too late or has nothing to act on; the state stays.
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
        let to = match (self.state, &input) {
            (Unknown, _) => return Err(ConsentError::NotAsked),
            (Withdrawn, Withdraw | A(Answer::No)) => return Ok(None),
            (Withdrawn, A(Answer::Yes)) => return Err(ConsentError::AlreadyWithdrawn),
            (Refused, Withdraw | A(Answer::No)) => return Ok(None),
            (Refused, A(Answer::Yes)) => return Err(ConsentError::AlreadyRefused),
            (Asked, A(Answer::Yes)) if now >= self.answer_by => {
                return Err(ConsentError::AlreadyRefused);
            }
            (Asked, A(Answer::Yes)) => Granted,
            (Asked, A(Answer::No) | Withdraw) => Refused,
            (Granted, A(Answer::Yes)) => return Ok(None),
            // Contradicting a yes by a clear no is taking it back. A *key* no after a yes
            // is some other menu's key: the matcher does not offer it here.
            (Granted, A(Answer::No) | Withdraw) => Withdrawn,
        };
        if prompt_version.is_some() {
            self.prompt_version = prompt_version;
        }
        Ok(Some(self.change(to, how, at, evidence)))
    }

    /// Lets time pass: past the deadline, no answer is a no.
    pub fn expire(&mut self, now: MonoTime, at: WallTime) -> Option<ConsentRecord> {
        let due = self.state == ConsentState::Asked && now >= self.answer_by;
        due.then(|| self.change(ConsentState::Refused, ConsentHow::Timeout, at, Evidence::Clock))
    }

    /// The call is over: an open question is a no.
    pub fn end(&mut self, at: WallTime) -> Option<ConsentRecord> {
        let open = self.state == ConsentState::Asked;
        open.then(|| self.change(ConsentState::Refused, ConsentHow::CallEnded, at, Evidence::Clock))
    }

    fn change(
        &mut self,
        to: ConsentState,
        how: ConsentHow,
        at: WallTime,
        evidence: Evidence,
    ) -> ConsentRecord {
        self.state = to;
        self.changed_by = Some(how);
        ConsentRecord { state: to, how, at, prompt_version: self.prompt_version.clone(), evidence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: WallTime = WallTime::from_unix_micros(0);

    fn at_secs(secs: u64) -> MonoTime {
        MonoTime::from_nanos(secs * 1_000_000_000)
    }

    fn asked() -> ConsentMachine {
        ConsentMachine::new(true, Duration::from_secs(30), at_secs(0))
    }

    fn send(
        m: &mut ConsentMachine,
        secs: u64,
        input: ConsentInput,
    ) -> Result<Option<ConsentState>, ConsentError> {
        m.handle(at_secs(secs), AT, input, ConsentHow::Key, None, Evidence::Clock)
            .map(|change| change.map(|record| record.state))
    }

    #[test]
    fn only_a_timely_yes_opens_the_gate() {
        let mut m = asked();
        assert!(!m.is_open());
        assert_eq!(send(&mut m, 29, ConsentInput::Answer(Answer::Yes)), Ok(Some(ConsentState::Granted)));
        assert!(m.is_open());
    }

    #[test]
    fn no_answer_is_a_no_and_a_late_yes_stays_one() {
        let mut m = asked();
        assert_eq!(m.expire(at_secs(29), AT), None);
        assert_eq!(send(&mut m, 30, ConsentInput::Answer(Answer::Yes)), Err(ConsentError::AlreadyRefused));
        assert_eq!(m.expire(at_secs(30), AT).unwrap().how, ConsentHow::Timeout);
        assert_eq!(send(&mut m, 31, ConsentInput::Answer(Answer::Yes)), Err(ConsentError::AlreadyRefused));
        assert!(!m.is_open());
    }

    #[test]
    fn an_unselected_department_is_never_recorded() {
        let mut m = ConsentMachine::new(false, Duration::from_secs(30), at_secs(0));
        assert_eq!(send(&mut m, 1, ConsentInput::Answer(Answer::Yes)), Err(ConsentError::NotAsked));
        assert_eq!(m.expire(at_secs(99), AT), None);
    }

    /// Every sequence of five inputs: once closed for good, the gate never opens again, and
    /// it is open only where a yes came before the deadline with no no before it.
    #[test]
    fn no_order_of_events_opens_a_closed_gate() {
        let inputs = [
            Some(ConsentInput::Answer(Answer::Yes)),
            Some(ConsentInput::Answer(Answer::No)),
            Some(ConsentInput::Withdraw),
            None,
        ];
        for word in 0..4u32.pow(5) {
            let mut m = asked();
            let (mut closed_for_good, mut said_yes) = (false, false);
            for step in 0..5u32 {
                let secs = u64::from(step) * 8;
                let input = inputs[(word / 4u32.pow(step) % 4) as usize].clone();
                let in_time = secs < 30 && !closed_for_good;
                match &input {
                    Some(ConsentInput::Answer(Answer::Yes)) if in_time => said_yes = true,
                    Some(ConsentInput::Answer(Answer::Yes)) => {}
                    Some(_) => closed_for_good = true,
                    None => {}
                }
                match input {
                    Some(input) => drop(send(&mut m, secs, input)),
                    None => drop(m.expire(at_secs(secs), AT)),
                }
                assert_eq!(m.is_open(), said_yes && !closed_for_good, "word {word} step {step}");
                closed_for_good |= m.state() == ConsentState::Refused;
            }
        }
    }
}
