//! The snapshot of a recording session, stored with its call whenever it changes, so that the
//! dialog survives a crash at any moment.
//!
//! In: a session. Out: text for the call's record, and a session again. Not here: where the
//! text is stored. Open transactions are not saved: a client that waits for a response retransmits.

use serde::{Deserialize, Serialize};

use crate::feed::StreamMedia;
use crate::sip::flow::{Flow, Transport, Way};
use crate::sip::transaction::GIVE_UP;
use crate::siprec::session::state::{AwaitedAck, Established, State};
use crate::siprec::session::{Saved, Session};
use crate::siprec::timers::TIMER_GRACE;
use optag_core::call::ConsentState;
use optag_core::clock::MonoTime;

/// The state of a session that outlives the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSnapshot {
    /// The saved part of the session.
    pub saved: Saved,
    /// What the engine knows of each stream.
    pub told: Vec<StreamMedia>,
    /// The flow to the client.
    pub way: Option<Way>,
    /// When the session timer needs attention.
    pub timer_at: Option<MonoTime>,
    /// Whether the awaited ACK carries the client's SDP.
    pub offered: bool,
    /// CSeq number of the answered INVITE whose ACK has not arrived.
    pub unacknowledged: Option<u32>,
    /// The latest known consent state.
    pub consent: ConsentState,
}

impl SessionSnapshot {
    /// Takes the snapshot of a session.
    pub fn of(session: &Session) -> Self {
        let established = match &session.state {
            State::Established(established) => Some(established),
            _ => None,
        };
        let awaited = established.and_then(|established| established.awaited_ack.as_ref());
        Self {
            saved: session.saved.clone(),
            told: session.told.clone(),
            way: session.flow.map(Flow::way),
            timer_at: established.and_then(|established| established.timer_at),
            offered: awaited.is_some_and(|ack| ack.carries_answer),
            unacknowledged: awaited.map(|ack| ack.cseq),
            consent: session.consent,
        }
    }

    /// Serialises the snapshot.
    pub fn to_text(&self) -> String {
        // Only strings, numbers and lists: serialisation cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses a snapshot; `None` if it is not one.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Restores the session. `flow` is its flow to the client if still open: a UDP socket bound to
    /// the same address. For TCP and TLS the client opens a new connection.
    pub fn session(self, now: MonoTime, flow: Option<Flow>) -> Session {
        let carries_answer = self.offered;
        let established = Established {
            // Nobody repeats the 200 any more. Whether its ACK came meanwhile cannot be told, so the end of
            // the wait ends no session (RFC 3261 §13.3.1.4); the session timer ends one that is dead.
            awaited_ack: self.unacknowledged.map(|cseq| AwaitedAck {
                invite: None,
                cseq,
                carries_answer,
                until: Some(now + GIVE_UP),
            }),
            // A refresh missed during the restart is repeated within the grace.
            timer_at: self.timer_at.map(|at| at.max(now + TIMER_GRACE)),
            ..Default::default()
        };
        let mut session = Session::new(self.saved, State::Established(established));
        // A request whose response was lost is retransmitted with the same CSeq number.
        session.saved.dialog.expect_again();
        session.told = self.told;
        session.flow = flow.filter(|flow| flow.transport == Transport::Udp);
        session.consent = self.consent;
        // Controls that the feed may not have carried out before the process ended.
        session.repeat_controls();
        session
    }
}
