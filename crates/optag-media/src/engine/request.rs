//! What the engine is asked, and why its tick thread stops waiting.

use std::sync::mpsc::Sender;

use crate::call::plan::{CallPlan, EngineError, JoiningStream, ResumePlan};
use crate::call::{CallState, Command};
use crate::net::socket::InheritedSocket;
use optag_core::id::CallId;

/// Called with the answer, after the facts that follow from the request were pushed.
pub type Reply = Box<dyn FnOnce(Result<CallState, EngineError>) + Send>;

pub(super) enum Request {
    Admit(Box<CallPlan>, Reply),
    Join(CallId, Box<JoiningStream>, Reply),
    Resume(Box<ResumePlan>, Reply),
    Control(CallId, Command, Reply),
    Stop,
    Leave(Sender<Vec<(u16, InheritedSocket)>>),
}

/// Why the waiting is over.
pub(super) enum Due {
    Tick,
    Stop,
    Leave(Sender<Vec<(u16, InheritedSocket)>>),
}
