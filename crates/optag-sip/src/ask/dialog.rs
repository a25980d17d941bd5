//! One call whose caller is asked: its dialog, and how far it is.

use crate::ask::machine::Machine;
use crate::sdp::Description;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::transaction::Key;
use optag_core::call::Answer;
use optag_core::clock::MonoTime;
use optag_core::private::Private;

/// What has been answered to the INVITE of an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing; the leg is being opened.
    Opening,
    /// Nothing; the leg is open, and the peer has yet to show that it receives.
    Probing,
    /// 183 with a description.
    Early,
    /// 200; its ACK is awaited.
    Unacknowledged,
    /// 200, acknowledged.
    Established,
    /// A REFER is under way.
    Referring,
    /// The REFER was accepted; the caller's side reports what becomes of it.
    Referred,
    /// A final response other than 200, or a BYE.
    Over,
}

/// One call whose caller is asked.
#[derive(Debug)]
pub(super) struct Ask {
    pub machine: Machine,
    pub stage: Stage,
    pub flow: Flow,
    pub key: Key,
    pub invite: Box<Request>,
    pub dialog: Dialog,
    pub ours: Description,
    /// Index of the line that is taken, and how many lines there are.
    pub line: (usize, usize),
    pub name: Private<String>,
    pub confirmations: [Option<String>; 2],
    pub versions: Vec<String>,
    pub target: String,
    pub refers: bool,
    /// The answer with which it goes on as soon as the ACK has come.
    pub going: Option<Answer>,
    /// When early media is announced again; when a REFER is waited for no longer.
    pub own_timer: Option<MonoTime>,
    pub deadline: Option<MonoTime>,
}
