//! Requests a complete metadata document from a client: after a restart, and after an unusable one.
//!
//! In: sessions that lack one, responses, documents. Out: UPDATE requests, limited in number and
//! rate, only to clients that allow UPDATE. Not here: what is paused meanwhile (`parties::transfer`).
//!
//! Source: RFC 7866 §9.2: an UPDATE, no other request and no response, with a body of the disposition
//! `recording-session` and without a session description. The body is a document with the element
//! `requestsnapshot` (RFC 7865 §7), of the metadata's own type. That type is `application/rs-metadata+xml`
//! (RFC 9806 §2), or `application/rs-metadata` for clients of the RFC before its correction. Clients of its
//! drafts take `application/rs-metadata-request`, which the examples of RFC 8068 still list in Accept, with
//! the reason as text. The client answers with a whole document at once, in an INVITE or UPDATE of its own,
//! and its later partial ones build on that. Documents that are wrong at their source come wrong again, so
//! the requests are limited; §9.2 lets the session be ended, which costs audio, and here the call is paused
//! until it is known who has it.

use std::time::Duration;

use crate::sip::message::Response;
use crate::siprec::metadata::request_type::RequestType;
use crate::siprec::metadata::{self, merged::Member};
use crate::siprec::own_requests::Purpose;
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::state::{Established, MetadataRequest};
use crate::siprec::session::{Saved, Session};
use optag_core::clock::{MonoTime, WallTime};

/// Requests sent until a complete document arrives.
const TRIES: u8 = 4;
/// Time for the document to arrive, and between two requests.
const PATIENCE: Duration = Duration::from_secs(10);
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
    /// Schedules a request for the complete document, at least [`PATIENCE`] after the last one.
    pub(in crate::siprec) fn want_snapshot(&mut self, now: MonoTime) {
        let able = self.saved.dialog.allows_update && self.saved.call.is_some();
        let Some(Established { metadata_request: request, .. }) = self.established() else { return };
        if able && request.tries < TRIES && request.due.is_none() {
            let next = request.asked_at.map_or(now, |asked| asked + PATIENCE);
            request.due = Some(next.max(now));
        }
    }

    /// A complete document has arrived.
    pub(in crate::siprec) fn has_snapshot(&mut self) {
        if let Some(Established { metadata_request: request, .. }) = self.established() {
            *request = MetadataRequest { asked_at: request.asked_at, ..MetadataRequest::default() };
        }
    }
}

impl Server {
    /// Requests the complete metadata document from a session's client.
    pub(in crate::siprec) fn request_metadata(
        &mut self,
        now: MonoTime,
        id: SessionId,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.edit(id) else { return };
        let Some(Established { metadata_request, .. }) = session.established() else { return };
        let tries = metadata_request.tries + 1;
        // Repeated unless the document has arrived by then.
        let due = (tries < TRIES).then_some(now + PATIENCE);
        *metadata_request = MetadataRequest { due, asked_at: Some(now), tries, ..*metadata_request };
        let kind = session.saved.request_type;
        let mut extra: Vec<(&str, String)> =
            vec![("Content-Disposition", "recording-session".to_owned()), ("Supported", "timer".to_owned())];
        extra.extend(session.saved.dialog.timer_request());
        self.stats.snapshots_asked += 1;
        let body = Some((kind.name(), kind.body().as_bytes()));
        self.send_request(now, id, "UPDATE", &extra, body, Purpose::Snapshot, out);
    }

    /// Handles the response to the request; the document arrives in a request of the client.
    pub(in crate::siprec) fn snapshot_answered(
        &mut self,
        now: MonoTime,
        id: SessionId,
        response: Option<&Response>,
    ) {
        let Some(session) = self.edit(id) else { return };
        let refused = response.is_some_and(|response| response.code == 415);
        if refused && let Some(Established { metadata_request: request, .. }) = session.established() {
            request.types_refused += 1;
            if request.types_refused < RequestType::ALL {
                request.due = Some(now);
                session.saved.request_type = session.saved.request_type.next();
                return;
            }
        }
        match response {
            Some(response) if response.code < 300 => session.saved.dialog.answered(response),
            // Temporary: repeated when due.
            None => {}
            Some(response) if matches!(response.code, 408 | 491 | 500 | 503 | 504) => {}
            Some(response) => {
                if let Some(established) = session.established() {
                    established.metadata_request.due = None;
                    established.metadata_request.tries = TRIES;
                }
                let client = session.saved.client.as_str();
                tracing::warn!(
                    code = response.code,
                    client,
                    "metadata not refreshed: the client rejected the request for a complete document"
                );
                self.stats.snapshots_refused += 1;
            }
        }
    }
}
