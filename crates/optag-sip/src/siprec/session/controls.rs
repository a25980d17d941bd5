//! Controls of sessions: handed to the feed one at a time, and their results.
//!
//! In: changed sessions, results of the feed. Out: controls, and the snapshot from which another
//! process resumes the session. Not here: which controls a session wants (`session`).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::feed::{CallView, ControlError};
use crate::siprec::consent_signals::relayed_keys;
use crate::siprec::own_requests::EndReason;
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::Session;
use crate::siprec::session::control_queue::InFlight;
use crate::siprec::session::snapshot::SessionSnapshot;
use optag_core::clock::MonoTime;

impl Server {
    /// Handles the result of a control.
    pub(in crate::siprec) fn controlled(
        &mut self,
        now: MonoTime,
        id: SessionId,
        result: Result<CallView, ControlError>,
        out: &mut Vec<Output>,
    ) {
        let finished = self.edit(id).and_then(|session| session.controls.finish());
        if finished == Some(InFlight::AddStream) {
            self.stream_added(now, id, &result, out);
        }
        self.moved(id, finished == Some(InFlight::Transfer), &result);
        let Some(session) = self.edit(id) else { return };
        match result {
            Ok(view) => {
                self.takes_keys_of(id, &view.department);
                self.consent_is(now, id, view.consent, out);
            }
            Err(ControlError::NoSuchCall(_)) => {
                session.controls.close();
                self.hang_up(now, id, EndReason::CallEnded, out);
            }
            Err(ControlError::BadStream(_) | ControlError::PortsUsedUp) => {
                session.saved.refused.no_room += u32::from(finished == Some(InFlight::AddStream));
                self.stats.streams_too_many += 1;
            }
            Err(_) => self.stats.controls_refused += 1,
        }
        self.hand_out_controls(out);
        self.forget_if_done(now, id, out);
    }

    /// Sets the answer keys to those of the department that has the call.
    fn takes_keys_of(&mut self, id: SessionId, department: &str) {
        let departments = self.earlier.departments(&self.config, id, self.client_of(id));
        let department = departments.all.iter().find(|one| one.id == department);
        if let (Some(department), Some(session)) = (department, self.sessions.get_mut(&id)) {
            session.takes_keys(&relayed_keys(department));
        }
    }

    /// For each changed session: sets its timers, emits its snapshot, and hands out its next control.
    pub(in crate::siprec) fn hand_out_controls(&mut self, out: &mut Vec<Output>) {
        while let Some(id) = self.touched.pop_first() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            self.timers.set(id, session.deadlines());
            out.extend(keep(session));
            if let Some((call, control)) = session.next_control() {
                out.push(Output::Control(id, call, control));
            }
        }
    }

    /// A session to be changed; it is marked for [`Server::hand_out_controls`].
    pub(in crate::siprec) fn edit(&mut self, id: SessionId) -> Option<&mut Session> {
        self.touched.insert(id);
        self.sessions.get_mut(&id)
    }
}

/// The snapshot of a session, if it has changed.
fn keep(session: &mut Session) -> Option<Output> {
    let call = session.saved.call.filter(|_| !session.is_over())?;
    let text = SessionSnapshot::of(session).to_text();
    let mut proof = DefaultHasher::new();
    text.hash(&mut proof);
    let proof = proof.finish();
    (std::mem::replace(&mut session.last_saved, proof) != proof).then(|| Output::Keep(call, text.into()))
}
