//! Sessions that replace others (Replaces).
//!
//! In: an INVITE with a Replaces field. Out: the session it replaces, which ends once the new one
//! is answered. If no session matches, the INVITE is handled like any other: rejecting it would
//! lose the recording. Not here: which clients may begin sessions (`settings`).
//!
//! Source: RFC 3891 §3.

use crate::sip::header::{bare, param};
use crate::sip::message::Request;
use crate::siprec::own_requests::EndReason;
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::state::State;
use optag_core::call::{CallLink, LinkKind};
use optag_core::clock::MonoTime;

impl Server {
    /// The session that this INVITE replaces.
    pub(super) fn replaced_by(&self, request: &Request) -> Option<SessionId> {
        let field = request.headers.text("replaces")?;
        // The tags are from the recipient's point of view: ours is to-tag.
        let key = (bare(&field).to_owned(), param(&field, "to-tag")?.to_owned());
        let id = *self.by_dialog.get(&key)?;
        let theirs = param(&field, "from-tag").unwrap_or_default();
        let session = self.sessions.get(&id).filter(|session| !session.is_over())?;
        (session.saved.dialog.remote_tag == theirs || theirs == "0").then_some(id)
    }

    /// Records that session `id` replaces `old`, and links its call to the old Call-ID.
    pub(super) fn takes_place(&mut self, id: SessionId, old: SessionId) {
        let Some(name) = self.sessions.get(&old).map(|old| old.saved.dialog.call_id.clone()) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            if let State::Admitting(admitting) = &mut session.state {
                admitting.replaces = Some(old);
            }
            session.saved.links.push(CallLink { kind: LinkKind::CallId, value: name.into() });
        }
    }

    /// Ends a session: the one that replaces it has been answered.
    pub(super) fn end_replaced(&mut self, now: MonoTime, old: SessionId, out: &mut Vec<Output>) {
        self.stats.replaced += 1;
        self.finish_call(old);
        self.hang_up(now, old, EndReason::Replaced, out);
    }
}
