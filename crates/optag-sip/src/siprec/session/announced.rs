//! Accounts of recording sessions: one when a session is answered, one when it is over.
//!
//! In: sessions, and rejected INVITEs. Out: [`AnnouncedCall`]s. Not here: where
//! they are kept.

use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::siprec::call_names::links_of;
use crate::siprec::parties::Hints;
use crate::siprec::parties::Parties;
use crate::siprec::server::{Output, Server, SessionId};
use optag_core::call::text::clean;
use optag_core::call::{AnnouncedCall, CallLink, LinkKind, Unrecorded};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::limit::{NUMBER_CHARS, TEXT_CHARS};
use optag_core::private::Private;

/// Names that an account keeps.
const NAMES: usize = 32;

impl Server {
    /// Emits the account of a session.
    pub(in crate::siprec) fn output_announced_call(
        &mut self,
        id: SessionId,
        ended_at: Option<WallTime>,
        out: &mut Vec<Output>,
    ) {
        let parties = self.parties(id);
        let Some(session) = self.sessions.get(&id) else { return };
        let saved = &session.saved;
        let links = session.context(&parties, Vec::new()).links;
        out.push(Output::AnnouncedCall(Box::new(AnnouncedCall {
            id: saved.account.clone(),
            began_at: saved.began_at,
            ended_at,
            client: saved.client.clone(),
            department: parties.department.clone().unwrap_or_default(),
            caller_number: clean(&parties.caller_number, NUMBER_CHARS).into(),
            called_number: clean(&parties.called_number, NUMBER_CHARS).into(),
            names: names(&links),
            call: saved.call,
            unrecorded: saved.call.is_none().then_some(session.unrecorded).flatten(),
            refused_streams: saved.refused,
        })));
    }

    /// Emits the account of a rejected INVITE, once per INVITE.
    pub(in crate::siprec) fn account_refused(
        &mut self,
        at: WallTime,
        flow: Flow,
        request: &Request,
        why: Unrecorded,
        out: &mut Vec<Output>,
    ) {
        if !self.accounted.is_new(&request.headers) {
            return;
        }
        let client = flow.peer.ip();
        let hints = Hints::of(request, self.config.rules_for(client));
        let view = Default::default();
        let Parties { caller_number, called_number, department, .. } = crate::siprec::parties::resolve(
            &view,
            &hints,
            self.config.rules_for(client),
            self.config.departments_for(client),
            None,
        );
        out.push(Output::AnnouncedCall(Box::new(AnnouncedCall {
            id: self.name("account"),
            began_at: at,
            ended_at: Some(at),
            client: flow.peer.ip().to_string(),
            department: department.unwrap_or_default(),
            caller_number: clean(&caller_number, NUMBER_CHARS).into(),
            called_number: clean(&called_number, NUMBER_CHARS).into(),
            names: names(&links_of(request)),
            call: None,
            unrecorded: Some(why),
            refused_streams: Default::default(),
        })));
    }

    /// The wall-clock time, extrapolated from the last message.
    pub(in crate::siprec) fn wall(&self, now: MonoTime) -> WallTime {
        let (mono, wall) = self.heard;
        wall.plus_micros(now.since(mono).as_micros() as i64)
    }
}

/// Identifiers by which other systems' records can be matched.
fn names(links: &[CallLink]) -> Vec<Private<String>> {
    let telling = links.iter().filter(|link| link.kind != LinkKind::Group);
    telling.map(|link| clean(link.value.reveal(), TEXT_CHARS).into()).take(NAMES).collect()
}
