//! The rules of a call: who may be recorded, when, and how long. In: facts. Out: decisions and the records
//! that prove them. Not here: sockets, files, threads, clocks.

pub mod announced_call;
pub mod consent;
pub mod context;
pub mod department;
pub mod given_answer;
pub mod number;
pub mod outcome;
pub mod party;
pub mod stream_audio;
pub mod terms;
pub mod text;
pub mod verdict;

pub use announced_call::{AnnouncedCall, Unrecorded};
pub use consent::{Answer, ConsentHow, ConsentMachine, ConsentRecord, ConsentState, Evidence, KeySource};
pub use context::{CallContext, CallLink, Held, LinkKind, Participant, RawBody};
pub use department::{ConsentKeys, Department};
pub use given_answer::GivenAnswer;
pub use outcome::{CutShort, NoAudio, Outcome};
pub use party::{CallFacts, StreamFacts, StreamRole};
pub use stream_audio::{RefusedStreams, StreamAudio};
pub use terms::{Prompt, Question, Terms};
pub use verdict::StreamVerdict;
