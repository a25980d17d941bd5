//! Activation of streams after consent: answered `a=inactive` at first, then requested by our
//! re-INVITE.
//!
//! In: consent changes, responses to the re-INVITE. Out: that re-INVITE, its ACK, pause and resume
//! of the call. If the client rejects the re-INVITE, an UPDATE follows; if it rejects that too, its
//! own next offer activates the streams. Not here: retransmission (`sip::user_agent_client`).
//!
//! Source: RFC 7866 §7.2, RFC 3261 §14.1 (491, 481, 408), RFC 3311 §5.1, §5.3, RFC 3264 §8.4.

use std::time::Duration;

use crate::sip::message::Response;
use crate::siprec::body::read_offer;
use crate::siprec::own_requests::{EndReason, Purpose};
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::activation_step::ActivationStep;
use optag_core::call::ConsentState;
use optag_core::clock::MonoTime;

/// Activation attempts before waiting for the client's own offer.
const TRIES: u8 = 8;
/// Delay after a temporary failure. Source: RFC 3261 §21.5.1 leaves it to Retry-After.
const RETRY: Duration = Duration::from_secs(2);
/// Longest Retry-After that is honoured.
const RETRY_MOST: Duration = Duration::from_secs(32);

impl Server {
    /// Applies a consent state reported by the feed.
    pub(in crate::siprec) fn consent_is(
        &mut self,
        now: MonoTime,
        id: SessionId,
        consent: ConsentState,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.edit(id).filter(|session| !session.is_over()) else { return };
        session.consent = consent;
        let waits = session.saved.waits && consent == ConsentState::Granted;
        if let Some(established) = session.established()
            && waits
            && established.activation == ActivationStep::Idle
            && established.activation_attempts < TRIES
        {
            established.activation = ActivationStep::Due(now);
        }
        self.take_streams(now, id, out);
    }

    /// Sends the activating re-INVITE if it is due and allowed now.
    pub(in crate::siprec) fn take_streams(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(session) = self.edit(id) else { return };
        // RFC 3261 §14.1: no INVITE of ours while one of either side is under way. A session that
        // was resumed also waits until its client has been heard from.
        let due = session.deadlines().activation.is_some_and(|at| at <= now);
        let Some(established) = session.established().filter(|_| due) else { return };
        established.activation_attempts += 1;
        established.activation = ActivationStep::Invite;
        self.ask_for_streams(now, id, "INVITE", out);
    }

    fn ask_for_streams(&mut self, now: MonoTime, id: SessionId, method: &str, out: &mut Vec<Output>) {
        let Some(flow) = self.sessions.get(&id).and_then(|session| session.flow) else { return };
        let body = self.description(id, flow, true);
        let Some(session) = self.sessions.get(&id) else { return };
        let mut extra: Vec<(&str, String)> = vec![
            ("Allow", crate::siprec::capabilities::ALLOW.to_owned()),
            ("Supported", "siprec, timer".to_owned()),
        ];
        extra.extend(session.saved.dialog.timer_request());
        self.stats.taking_asked += 1;
        self.send_request(now, id, method, &extra, Some(("application/sdp", &body)), Purpose::Activate, out);
    }

    /// Handles the final response to the activating re-INVITE or UPDATE.
    pub(in crate::siprec) fn streams_answered(
        &mut self,
        now: MonoTime,
        id: SessionId,
        response: Option<&Response>,
        out: &mut Vec<Output>,
    ) {
        let source = self.config.media_source_for(self.client_of(id));
        let Some(session) = self.edit(id) else { return };
        let Some(established) = session.established() else { return };
        let by_invite = established.activation == ActivationStep::Invite;
        let may_retry = established.activation_attempts < TRIES;
        established.activation = ActivationStep::Idle;
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
                session.set_timer(now);
                self.stats.taking_done += 1;
            }
            // The dialog is gone (RFC 3261 §14.1), or the client does not respond.
            408 | 481 => {
                self.stats.taking_failed += 1;
                self.finish_call(id);
                self.hang_up(now, id, EndReason::TimerExpired, out);
            }
            491 | 500 | 503 | 504 if may_retry => {
                let named = response.and_then(|response| response.headers.text("retry-after"));
                let named = named.and_then(|text| text.split([' ', ';', '(']).next()?.parse().ok());
                let pause = match (code, named) {
                    // RFC 3261 §14.1: the side that does not own the Call-ID waits 0 to 2 s.
                    (491, _) => Duration::from_millis(u64::from(self.random() % 200) * 10),
                    (_, Some(seconds)) => Duration::from_secs(seconds).min(RETRY_MOST),
                    (_, None) => RETRY,
                };
                if let Some(established) = self.edit(id).and_then(|session| session.established()) {
                    established.activation = ActivationStep::Due(now + pause);
                }
            }
            _ if by_invite && session.saved.dialog.allows_update => {
                if let Some(established) = session.established() {
                    established.activation = ActivationStep::Update;
                }
                self.ask_for_streams(now, id, "UPDATE", out);
            }
            _ => {
                // The client's next offer activates the streams; until then there is no audio, which the
                // call's outcome reports.
                if let Some(established) = session.established() {
                    established.activation_attempts = TRIES;
                }
                session.taken();
                self.stats.taking_failed += 1;
                tracing::warn!(code, "streams not activated: the client rejected the request after consent");
            }
        }
    }

    /// An unguessable number.
    pub(in crate::siprec) fn random(&mut self) -> u32 {
        u32::from_str_radix(&self.name("wait")[..8], 16).unwrap_or(0)
    }
}
