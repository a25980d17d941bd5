//! What the machine of an ask is told, and what it wants done.

use std::time::Duration;

use crate::ask::outcome::Outcome;
use optag_core::call::{Answer, ConsentKeys};
use optag_media::dtmf::keypad::KeyPress;

/// A question in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Version of its prompt.
    pub version: String,
    /// Length of its prompt.
    pub lasts: Duration,
    /// Packets of its prompt.
    pub packets: u32,
    /// The keys that it announces.
    pub keys: ConsentKeys,
}

/// What a caller is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The questions; the first is asked unless the caller chooses another. Not empty.
    pub questions: Vec<Question>,
    /// Keys that choose another question, with its index.
    pub languages: Vec<(char, usize)>,
    /// Lengths of the confirmations of a yes and of a no, where there are any.
    pub confirmations: [Option<Duration>; 2],
    /// Time to answer after each hearing.
    pub answer: Duration,
    /// Loss in a question above which it was not heard. Units: percent.
    pub loss_percent: u32,
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clip {
    /// The question of this index.
    Question(usize),
    /// The confirmation of an answer.
    Confirmation(Answer),
}

/// What happens to an ask.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The caller's leg is answered and may be sent to.
    Ready,
    /// The caller's first packet was accepted.
    Heard,
    /// A clip was sent to its end.
    Played(u32),
    /// The caller's side has lost this many of all packets sent so far.
    Lost(u32),
    /// A key was pressed.
    Key(KeyPress),
    /// The leg failed.
    MediaFailed,
    /// The caller hung up.
    CallerGone,
    /// The answer of this number is kept, or not.
    Kept(u32, bool),
    /// The call was sent on, or could not be.
    SentOn(bool),
    /// The recorder stops.
    Stop,
}

/// An answer to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Yes or no.
    pub answer: Answer,
    /// Index of the question.
    pub question: usize,
    /// The keys, with the last press; `None` where the caller pressed none.
    pub keys: Option<(String, KeyPress)>,
}

/// What an ask wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Play this as the clip of that number.
    Play(u32, Clip),
    /// Play nothing any more.
    Quiet,
    /// Keep this answer for the call's recording, after those before it, and report [`Event::Kept`] with its
    /// number. A later one replaces it.
    Keep(u32, Given),
    /// Send the call on with this answer, and report [`Event::SentOn`].
    SendOn(Answer),
    /// The ask is over.
    End(Outcome),
}
