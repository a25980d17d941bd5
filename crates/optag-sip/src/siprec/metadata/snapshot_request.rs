//! Asking a client for a whole metadata document: after a restart, and after one that could not be
//! understood.
//!
//! In: sessions that lack one, answers, documents. Out: UPDATE requests, few and far between, and
//! only to clients that allow them. Not here: what is paused meanwhile (`transfer`).
//!
//! Source: RFC 7866 §9.2: an UPDATE without a session description, whose body of the type
//! `application/rs-metadata-request` is a line of text; the client then sends a whole document in a
//! request of its own.

use std::time::Duration;

use crate::sip::message::Response;
use crate::siprec::metadata;
use crate::siprec::metadata::merged::Member;
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::activation::Purpose;
use crate::siprec::session::{Saved, Session};
use optag_core::clock::{MonoTime, WallTime};

/// How often a whole document is asked for until one comes.
const TRIES: u8 = 4;
/// Time for the document to come, and between two questions.
const PATIENCE: Duration = Duration::from_secs(10);
/// The media type of the question.
const KIND: &str = "application/rs-metadata-request";

/// How far a session is with asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When to ask next.
    due: Option<MonoTime>,
    /// When it was asked last.
    asked_at: Option<MonoTime>,
    tries: u8,
}

impl Saved {
    /// Takes in a metadata document that can be read. True: it is a whole one, or it says all that it
    /// means to. One that broke off may have meant more, unless this client's documents always look
    /// so; a partial one may speak of somebody who was never named.
    pub(in crate::siprec) fn take_in(&mut self, document: &metadata::Snapshot, at: WallTime) -> bool {
        let usual = self.view.odd_documents > 0;
        let known = |id: &str| {
            let is = |member: &Member| member.id == id || member.former_ids.iter().any(|former| former == id);
            self.view.participants.iter().any(is) || document.participants.iter().any(|one| one.id == id)
        };
        let strange = document.partial
            && (document.flows.iter().any(|flow| !known(&flow.participant))
                || document.presences.iter().any(|presence| !known(&presence.participant)));
        self.view.apply(document, at);
        if document.is_whole() {
            self.transfers.resolved();
        }
        let broken = document.cut && !usual;
        if broken || self.view.overflowed {
            self.transfers.doubt();
        }
        !broken && !strange
    }
}

impl Session {
    /// A whole document is wanted. Not sooner than a while after the last question.
    pub(in crate::siprec) fn want_snapshot(&mut self, now: MonoTime) {
        let able = self.saved.dialog.allows_update && self.saved.call.is_some() && !self.over;
        if able && self.snapshot.tries < TRIES && self.snapshot.due.is_none() {
            let next = self.snapshot.asked_at.map_or(now, |asked| asked + PATIENCE);
            self.snapshot.due = Some(next.max(now));
        }
    }

    /// A whole document has come.
    pub(in crate::siprec) fn has_snapshot(&mut self) {
        self.snapshot = Snapshot { asked_at: self.snapshot.asked_at, ..Snapshot::default() };
    }

    /// When a document is to be asked for; the way to the client must be known.
    pub fn snapshot_at(&self) -> Option<MonoTime> {
        self.snapshot.due.filter(|_| self.flow.is_some() && !self.over)
    }
}

impl Server {
    /// Asks every session's client whose time has come.
    pub(in crate::siprec) fn ask_for_snapshots(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let due = |session: &Session| session.snapshot_at().is_some_and(|at| at <= now);
        let due: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| due(session)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let tries = session.snapshot.tries + 1;
            // Asked again unless the document has come by then.
            let due = (tries < TRIES).then_some(now + PATIENCE);
            session.snapshot = Snapshot { due, asked_at: Some(now), tries };
            let mut extra: Vec<(&str, String)> = vec![
                ("Content-Disposition", "recording-session".to_owned()),
                ("Supported", "timer".to_owned()),
            ];
            extra.extend(session.saved.dialog.timer_request());
            self.stats.snapshots_asked += 1;
            let body = b"Metadata incomplete\r\n".as_slice();
            self.send_request(now, id, "UPDATE", &extra, Some((KIND, body)), Purpose::Snapshot, out);
        }
    }

    /// The client has answered the question; its document comes in a request of its own.
    pub(in crate::siprec) fn snapshot_answered(&mut self, id: SessionId, response: Option<&Response>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match response {
            Some(response) if response.code < 300 => session.saved.dialog.answered(response),
            // It may pass: asked again when that is due.
            None => {}
            Some(response) if matches!(response.code, 408 | 491 | 500 | 503 | 504) => {}
            Some(response) => {
                session.snapshot.due = None;
                session.snapshot.tries = TRIES;
                self.stats.snapshots_refused += 1;
                let client = session.saved.client.as_str();
                tracing::warn!(code = response.code, client, "a client refused to send its metadata anew");
            }
        }
    }
}
