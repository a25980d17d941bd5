//! Streams that are taken only once the caller has consented: answered `a=inactive` at first,
//! then asked for by a re-INVITE of ours.
//!
//! In: news of consent, answers to the re-INVITE. Out: that re-INVITE, its ACK, pause and
//! resume of the call. A client that refuses the re-INVITE is asked by UPDATE; one that
//! refuses that too gets the streams open with its own next offer. Not here: how requests are
//! repeated (`sip::client`).
//!
//! Source: RFC 7866 §7.2, RFC 3261 §14.1 (491, 481, 408), RFC 3311 §5.1, RFC 3264 §8.4.

use std::time::Duration;

use crate::sip::message::Response;
use crate::siprec::invite::read_offer;
use crate::siprec::outbound::{Why, set_timer};
use crate::siprec::server::{Output, Server, SessionId};
use optag_core::call::ConsentState;
use optag_core::clock::MonoTime;

/// How often the streams are asked for before the client's own offers are waited for.
const TRIES: u8 = 8;
/// Pause after a failure that may pass. Source: RFC 3261 §21.5.1 leaves it to Retry-After.
const RETRY: Duration = Duration::from_secs(2);
/// Longest Retry-After that is waited for.
const RETRY_MOST: Duration = Duration::from_secs(32);

/// How far a session is with taking its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taking {
    /// Nothing to do.
    #[default]
    Idle,
    /// The streams are to be asked for, at this time.
    Due(MonoTime),
    /// A re-INVITE is under way.
    Invite,
    /// An UPDATE is under way.
    Update,
}

/// What a request of ours was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::siprec) enum Purpose {
    Bye,
    Refresh,
    Take,
    Snapshot,
}

impl Server {
    /// The feed tells where the consent of a session's call stands.
    pub(in crate::siprec) fn consent_is(
        &mut self,
        now: MonoTime,
        id: SessionId,
        consent: ConsentState,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.over) else { return };
        session.consent = consent;
        let waits = session.saved.waits && session.taking == Taking::Idle && session.tries < TRIES;
        if waits && consent == ConsentState::Granted {
            session.taking = Taking::Due(now);
        }
        self.take_streams(now, id, out);
    }

    /// Asks for the streams, if that is due and nothing stands against it right now.
    pub(in crate::siprec) fn take_streams(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.over) else { return };
        let due = matches!(session.taking, Taking::Due(at) if at <= now);
        // RFC 3261 §14.1: no INVITE of ours while one of either side is under way.
        let settled = session.is_settled();
        if !due || !settled {
            return;
        }
        session.tries += 1;
        session.taking = Taking::Invite;
        self.ask_for_streams(now, id, "INVITE", out);
    }

    fn ask_for_streams(&mut self, now: MonoTime, id: SessionId, method: &str, out: &mut Vec<Output>) {
        let Some(flow) = self.sessions.get(&id).and_then(|session| session.flow) else { return };
        let body = self.description(id, flow, true);
        let Some(session) = self.sessions.get(&id) else { return };
        let mut extra: Vec<(&str, String)> = vec![
            ("Allow", crate::siprec::invite::ALLOW.to_owned()),
            ("Supported", "siprec, timer".to_owned()),
        ];
        extra.extend(session.saved.dialog.timer_request());
        self.stats.taking_asked += 1;
        self.send_request(now, id, method, &extra, Some(("application/sdp", &body)), Purpose::Take, out);
    }

    /// The client has answered our re-INVITE or UPDATE.
    pub(in crate::siprec) fn streams_answered(
        &mut self,
        now: MonoTime,
        id: SessionId,
        response: Option<&Response>,
        out: &mut Vec<Output>,
    ) {
        let source = self.config.media_source_for(self.client_of(id));
        let Some(session) = self.edit(id).filter(|session| !session.over) else { return };
        let by_invite = session.taking == Taking::Invite;
        session.taking = Taking::Idle;
        let code = response.map_or(408, |response| response.code);
        match code {
            200..300 => {
                if let Some(response) = response {
                    session.saved.dialog.answered(response);
                    let answer = session.flow.map(|flow| read_offer(&response.body, flow));
                    if let Some(Ok(answer)) = answer {
                        session.follow(&answer, source);
                    }
                }
                session.taken();
                set_timer(session, now);
                self.stats.taking_done += 1;
            }
            // The dialog is gone (RFC 3261 §14.1), or nobody is there.
            408 | 481 => {
                self.stats.taking_failed += 1;
                self.finish_call(id);
                self.hang_up(now, id, Why::TimerExpired, out);
            }
            491 | 500 | 503 | 504 if session.tries < TRIES => {
                let named = response.and_then(|response| response.headers.text("retry-after"));
                let named = named.and_then(|text| text.split([' ', ';', '(']).next()?.parse().ok());
                let pause = match (code, named) {
                    // The one who did not make the Call-ID waits less than the other.
                    (491, _) => Duration::from_millis(u64::from(self.random() % 200) * 10),
                    (_, Some(seconds)) => Duration::from_secs(seconds).min(RETRY_MOST),
                    (_, None) => RETRY,
                };
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.taking = Taking::Due(now + pause);
                }
            }
            _ if by_invite && session.saved.dialog.allows_update => {
                session.taking = Taking::Update;
                self.ask_for_streams(now, id, "UPDATE", out);
            }
            _ => {
                // Its own next offer opens the streams; until then there is no audio, and the
                // call's outcome will say so.
                session.tries = TRIES;
                session.taken();
                self.stats.taking_failed += 1;
                tracing::warn!(code, "a client refused to be asked for its streams after consent");
            }
        }
    }

    /// A number that nobody can guess.
    fn random(&mut self) -> u32 {
        u32::from_str_radix(&self.name("wait")[..8], 16).unwrap_or(0)
    }
}
