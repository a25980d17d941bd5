//! Turns changes of who has the call into transfers, or into a pause if no department is known.
//!
//! In: a session whose view has changed, results of transfers. Out: controls, counters, log lines.
//! Not here: how the department is determined (`parties::transfer`).

use crate::feed::{CallView, Control, ControlError};
use crate::siprec::parties::transfer::Seen;
use crate::siprec::server::{Server, SessionId};
use crate::siprec::session::Session;
use optag_core::call::{ConsentState, Evidence};

/// Evidence stored with a transfer.
const BY_SIGNALLING: &str = "signalling names another department";

impl Server {
    /// The participants of a session's call according to signalling.
    pub(in crate::siprec) fn seen(&mut self, id: SessionId) -> Seen {
        let parties = self.parties(id);
        let client = self.client_of(id);
        let (rules, departments) = self.earlier.rules(&self.config, id, client);
        let Some(session) = self.sessions.get(&id) else { return Seen::default() };
        let saved = &session.saved;
        Seen::of(&saved.view, &saved.hints, &parties, rules, departments)
    }

    /// Queues a transfer if signalling shows that the call has moved to another department.
    pub(in crate::siprec) fn follow_call(&mut self, id: SessionId) {
        let seen = self.seen(id);
        let unknown_party = self.config.unknown_party_for(self.client_of(id));
        let Some(session) = self.edit(id).filter(|session| !session.is_over()) else { return };
        let was_unknown = session.saved.transfers.is_unknown();
        let consented = session.consent == ConsentState::Granted && session.controls.transfers_done();
        if let Some(department) = session.saved.transfers.follow(&seen, consented, unknown_party) {
            session.transfer(department);
            self.stats.transfers += 1;
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.pace();
        let unknown = session.saved.transfers.is_unknown();
        let call = session.saved.call.map(|call| call.to_string()).unwrap_or_default();
        if unknown && !was_unknown {
            self.stats.departments_unknown += 1;
            let client = session.saved.client.as_str();
            tracing::warn!(
                call,
                client,
                "recording paused: party or number of no known department; list it under numbers of a [[department]]"
            );
        }
        if was_unknown && !unknown {
            tracing::info!(call, "recording no longer paused: the department of the call is known again");
        }
    }

    /// Handles the result of a control with regard to transfers.
    pub(in crate::siprec) fn moved(
        &mut self,
        id: SessionId,
        moved: bool,
        result: &Result<CallView, ControlError>,
    ) {
        let Some(session) = self.edit(id) else { return };
        if moved {
            session.saved.transfers.told(result.is_ok());
        }
        if let Ok(view) = result
            && session.controls.transfers_done()
        {
            let known = session.saved.transfers.department();
            if known.is_some_and(|known| known != view.department) {
                // The department was changed through the API.
                let seen = self.seen(id);
                let Some(session) = self.edit(id) else { return };
                session.saved.transfers.begin(&view.department, &seen);
                session.pace();
            }
            if view.consent == ConsentState::Granted
                && let Some(session) = self.edit(id)
            {
                session.saved.transfers.covers(&view.department);
            }
        }
        if moved {
            self.follow_call(id);
        }
    }
}

impl Session {
    /// Queues a transfer.
    fn transfer(&mut self, department: String) {
        let evidence = Evidence::Actor { name: BY_SIGNALLING.to_owned(), staff: None };
        self.control(Control::Transfer { department, prompt_version: None, evidence });
    }

    /// After a restart: queues the controls that the feed may not have carried out.
    pub(in crate::siprec) fn repeat_controls(&mut self) {
        if let Some(department) = self.saved.transfers.untold() {
            self.transfer(department);
        }
        if self.saved.paused {
            self.control(Control::Pause);
        }
    }
}
