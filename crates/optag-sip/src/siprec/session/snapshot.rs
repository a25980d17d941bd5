//! A recording session as another process takes it up: written beside its call whenever it
//! changes, so that a crash at any moment leaves a dialog that goes on.
//!
//! In: a session. Out: text for the call's record, and a session again. Not here: where the text is
//! kept. Open transactions are not kept: a client that waits for an answer asks again.

use serde::{Deserialize, Serialize};

use crate::sip::flow::{Flow, Transport, Way};
use crate::siprec::outbound::TIMER_GRACE;
use crate::siprec::session::{Saved, Session, Told};
use optag_core::call::ConsentState;
use optag_core::clock::MonoTime;

/// A session, without what lives only as long as its process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The lasting part.
    pub saved: Saved,
    /// What the engine was told of each stream.
    pub told: Vec<Told>,
    /// The way to the client.
    pub way: Option<Way>,
    /// When the session timer needs attention.
    pub timer_at: Option<MonoTime>,
    /// Whether the client's description is still to come, with its ACK.
    pub offered: bool,
    /// Number of the answered INVITE whose ACK has not come.
    pub unacknowledged: Option<u32>,
    /// Where consent stands, as far as the session knew.
    pub consent: ConsentState,
}

impl Kept {
    /// What there is to keep of a session.
    pub fn of(session: &Session) -> Self {
        Self {
            saved: session.saved.clone(),
            told: session.told.clone(),
            way: session.flow.map(Flow::way),
            timer_at: session.timer_at,
            offered: session.offered,
            unacknowledged: session.unacknowledged.as_ref().map(|(_, number)| *number),
            consent: session.consent,
        }
    }

    /// As it is written down.
    pub fn to_text(&self) -> String {
        // Texts, numbers and lists under names: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what was written down; `None` where it is not that.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The session again. `flow` is the way to its client where it is still open: a datagram
    /// socket bound to the same address. Over connections, the client makes a new one.
    pub fn session(self, now: MonoTime, flow: Option<Flow>) -> Session {
        let mut session = Session::new(self.saved);
        // A request whose answer was lost with the process comes again under its number.
        session.saved.dialog.expect_again();
        session.told = self.told;
        session.flow = flow.filter(|flow| flow.transport == Transport::Udp);
        session.offered = self.offered;
        session.consent = self.consent;
        session.resumed_ack = self.unacknowledged;
        // What the feed may not have taken before the process ended.
        session.repeat_controls();
        // A refresh that came while nobody listened comes again within the grace.
        session.timer_at = self.timer_at.map(|at| at.max(now + TIMER_GRACE));
        session
    }
}
