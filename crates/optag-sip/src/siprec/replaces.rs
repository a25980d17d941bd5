//! Sessions that take the place of others.
//!
//! In: an INVITE with a Replaces field. Out: the session that is meant, and its end once the new one
//! is answered. One that means no session of ours is taken like any other: to refuse it would
//! cost the recording. Not here: which client may begin sessions (`config`).
//!
//! Source: RFC 3891 §3.

use crate::sip::header::{bare, param};
use crate::sip::message::Request;
use crate::siprec::outbound::Why;
use crate::siprec::server::{Output, Server, SessionId};
use optag_core::call::{CallLink, LinkKind};
use optag_core::clock::MonoTime;

impl Server {
    /// The session whose place this INVITE takes.
    pub(super) fn replaced_by(&self, request: &Request) -> Option<SessionId> {
        let field = request.headers.text("replaces")?;
        // The tags are seen from the side of the one that is asked: ours is to-tag.
        let key = (bare(&field).to_owned(), param(&field, "to-tag")?.to_owned());
        let id = *self.by_dialog.get(&key)?;
        let theirs = param(&field, "from-tag").unwrap_or_default();
        let session = self.sessions.get(&id).filter(|session| !session.over)?;
        (session.saved.dialog.remote_tag == theirs || theirs == "0").then_some(id)
    }

    /// Notes that session `id` takes the place of `old`. Whoever looks for the old one's Call-ID
    /// finds both calls.
    pub(super) fn takes_place(&mut self, id: SessionId, old: SessionId) {
        let Some(name) = self.sessions.get(&old).map(|old| old.saved.dialog.call_id.clone()) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.replaces = Some(old);
            session.saved.links.push(CallLink { kind: LinkKind::CallId, value: name.into() });
        }
    }

    /// Session `id` is answered: the one whose place it takes ends.
    pub(super) fn end_replaced(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let old = self.sessions.get_mut(&id).and_then(|session| session.replaces.take());
        if let Some(old) = old {
            self.stats.replaced += 1;
            self.finish_call(old);
            self.hang_up(now, old, Why::Replaced, out);
        }
    }
}
