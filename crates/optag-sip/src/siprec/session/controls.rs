//! The controls of sessions: handed to the feed one at a time, and what it says of them.
//!
//! In: sessions that were changed, results of the feed. Out: controls, and what another process
//! needs to take the session up. Not here: which controls a session wants (`session`).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::feed::{CallView, ControlError};
use crate::siprec::outbound::Why;
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::Session;
use crate::siprec::session::snapshot::Kept;
use optag_core::clock::MonoTime;

impl Server {
    /// The feed has carried out a control.
    pub(in crate::siprec) fn controlled(
        &mut self,
        now: MonoTime,
        id: SessionId,
        result: Result<CallView, ControlError>,
        out: &mut Vec<Output>,
    ) {
        let moved = self.sessions.get(&id).is_some_and(|session| session.is_moving());
        self.stream_added(now, id, &result, out);
        self.moved(id, moved, &result);
        let Some(session) = self.edit(id) else { return };
        match result {
            Ok(view) => {
                self.takes_keys_of(id, &view.department);
                self.consent_is(now, id, view.consent, out);
            }
            Err(ControlError::NoSuchCall(_)) => {
                session.gone = true;
                self.hang_up(now, id, Why::CallEnded, out);
            }
            Err(ControlError::BadStream(_) | ControlError::PortsUsedUp) => self.stats.streams_too_many += 1,
            Err(_) => self.stats.controls_refused += 1,
        }
        self.hand_out_controls(out);
        self.forget_if_done(now, id, out);
    }

    /// Keys that the client relays answer the department that has the call now.
    fn takes_keys_of(&mut self, id: SessionId, department: &str) {
        let department = self.config.departments.all.iter().find(|one| one.id == department);
        if let (Some(department), Some(session)) = (department, self.sessions.get_mut(&id)) {
            session.takes_keys(department.default_keys());
        }
    }

    /// Hands out the controls of all sessions that were changed, one of each at a time.
    pub(in crate::siprec) fn hand_out_controls(&mut self, out: &mut Vec<Output>) {
        while let Some(id) = self.touched.pop_first() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            out.extend(keep(session));
            if let Some((call, control)) = session.next_control() {
                out.push(Output::Control(id, call, control));
            }
        }
    }

    /// A session to be changed; what it then wants of the feed is handed out.
    pub(in crate::siprec) fn edit(&mut self, id: SessionId) -> Option<&mut Session> {
        self.touched.insert(id);
        self.sessions.get_mut(&id)
    }
}

/// What is to be written down of a session whose lasting part has changed.
fn keep(session: &mut Session) -> Option<Output> {
    let call = session.saved.call.filter(|_| !session.over)?;
    let text = Kept::of(session).to_text();
    let mut proof = DefaultHasher::new();
    text.hash(&mut proof);
    let proof = proof.finish();
    (std::mem::replace(&mut session.kept, proof) != proof).then(|| Output::Keep(call, text.into()))
}
