//! Requests that the recording server originates: BYE, session refreshes; and generated names.
//!
//! In: a session that must end or be refreshed. Out: requests inside its dialog. Not here:
//! responses to clients' requests.
//!
//! Source: RFC 3261 §12.2.1, RFC 4028 §10.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::feed::Control;
use crate::sip::flow::{Flow, Transport, port_of};
use crate::sip::header::bare;
use crate::sip::message::Response;
use crate::sip::uri::Uri;
use crate::sip::user_agent_client;
use crate::siprec::own_requests::{EndReason, Purpose};
use crate::siprec::server::{Output, Server, SessionId};
use optag_core::clock::MonoTime;
use optag_core::hex::hex;

/// The longest a session timer may keep a silent call alive.
const VOUCHED: Duration = Duration::from_secs(7_200);

impl Server {
    /// Ends the call of a session, if it has one that is not ended yet.
    pub(super) fn finish_call(&mut self, id: SessionId) {
        if let Some(session) = self.edit(id).filter(|session| !session.is_over()) {
            session.control(Control::End);
        }
    }

    /// Ends a dialog with a BYE.
    pub(super) fn hang_up(&mut self, now: MonoTime, id: SessionId, why: EndReason, out: &mut Vec<Output>) {
        self.give_up_opening(now, id, 503, out);
        self.give_up_growing(now, id, out);
        if self.sessions.get(&id).is_some_and(|session| !session.is_over()) {
            self.stats.hung_up += 1;
            let reason = [("Reason", why.field().to_owned())];
            self.send_request(now, id, "BYE", &reason, None, Purpose::Bye, out);
        }
        if let Some(session) = self.edit(id) {
            session.end();
        }
        self.forget_if_done(now, id, out);
    }

    /// Ends a session whose 2xx was never acknowledged. An unvalidated UDP peer is sent nothing: its
    /// source address may be forged.
    pub(super) fn leave_unacknowledged(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let flow = self.sessions.get(&id).and_then(|session| session.flow);
        let heard = |flow: Flow| flow.transport.is_reliable() || self.proofs.holds(now, flow.peer);
        if flow.is_none_or(heard) {
            return self.hang_up(now, id, EndReason::Unacknowledged, out);
        }
        self.give_up_growing(now, id, out);
        if let Some(session) = self.edit(id) {
            session.end();
        }
        self.forget_if_done(now, id, out);
    }

    /// The client has confirmed that its session is alive: silence alone does not end the call for
    /// the session interval, or for the usual silence timeout once more.
    pub(super) fn is_alive(&mut self, now: MonoTime, id: SessionId, flow: Flow, out: &mut Vec<Output>) {
        self.prove(now, flow);
        let Some(session) = self.sessions.get(&id).filter(|session| !session.is_over()) else { return };
        let timer = session.saved.dialog.timer;
        let vouched = timer.map(|timer| Duration::from_secs(timer.interval_s.into()).min(VOUCHED));
        out.extend(session.saved.call.map(|call| Output::Alive(call, vouched.unwrap_or_default())));
    }

    /// An unguessable, unique token.
    pub(super) fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        let proof = hmac::sign(&self.key, format!("{kind}{}", self.names).as_bytes());
        hex(&proof.as_ref()[..10])
    }

    /// The Contact of our side.
    pub(super) fn contact(&self, flow: Flow) -> String {
        let mut local = flow.local;
        if let Some(ip) = self.config.advertised {
            local.set_ip(ip);
        }
        let transport = match flow.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.name().to_ascii_lowercase()),
        };
        format!("<sip:optag@{local}{transport}>;+sip.srs")
    }

    /// Sends a request inside a session's dialog.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn send_request(
        &mut self,
        now: MonoTime,
        id: SessionId,
        method: &str,
        extra: &[(&str, String)],
        body: Option<(&str, &[u8])>,
        purpose: Purpose,
        out: &mut Vec<Output>,
    ) {
        let branch = format!("z9hG4bK{}", self.name("branch"));
        let Some((session, flow)) = self.sessions.get(&id).and_then(|s| Some((s, s.flow?))) else { return };
        let to = self.way_to(session.saved.dialog.next_hop(), flow);
        let contact = self.contact(flow);
        let via = format!("SIP/2.0/{} {};branch={branch};rport", flow.transport.name(), flow.local);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let bytes = session.saved.dialog.request_with(method, &via, &contact, extra, body);
        self.asked.insert(branch.clone(), (id, purpose));
        self.touched.insert(id);
        let mut said = Vec::new();
        self.clients.send(now, to, branch, bytes, &mut said);
        for output in said {
            self.client_says(now, output, out);
        }
    }

    /// The flow of our request: the client's connection; over UDP the address in its Contact or
    /// route, if that is an allowed client.
    fn way_to(&self, next_hop: Option<Uri>, mut flow: Flow) -> Flow {
        if flow.transport.is_reliable() {
            return flow;
        }
        let host = next_hop.map(|uri| uri.host).unwrap_or_default();
        let port = port_of(&host).unwrap_or(5060);
        let bare = host.strip_suffix(&format!(":{port}")).unwrap_or(&host).trim_matches(['[', ']']);
        if let Ok(ip) = bare.parse::<IpAddr>()
            && ip.is_ipv4() == flow.peer.is_ipv4()
            && self.config.allows(ip)
        {
            flow.peer = (ip, port).into();
        }
        flow
    }

    pub(super) fn client_says(
        &mut self,
        now: MonoTime,
        output: user_agent_client::Output,
        out: &mut Vec<Output>,
    ) {
        let (branch, response) = match output {
            user_agent_client::Output::Send(flow, bytes) => return out.push(Output::Send(flow, bytes)),
            user_agent_client::Output::Ended { branch, response } => (branch, response),
        };
        let Some((id, purpose)) = self.asked.remove(&branch) else { return };
        if let Some(response) = response.as_deref() {
            self.acknowledge(now, id, &branch, response, out);
        }
        match purpose {
            Purpose::Bye => {}
            Purpose::Refresh => self.refreshed(now, id, response.as_deref(), out),
            Purpose::Activate => self.streams_answered(now, id, response.as_deref(), out),
            Purpose::Snapshot => self.snapshot_answered(now, id, response.as_deref()),
        }
    }

    /// Sends the ACK for a response to our INVITE; other responses need none.
    fn acknowledge(
        &mut self,
        now: MonoTime,
        id: SessionId,
        branch: &str,
        response: &Response,
        out: &mut Vec<Output>,
    ) {
        if response.answers().is_none_or(|(_, cseq)| cseq.method != "INVITE") {
            return;
        }
        if response.code < 300
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.saved.dialog.retarget(response);
        }
        let fresh = format!("z9hG4bK{}", self.name("branch"));
        let branch_of_ack = if response.code < 300 { fresh.as_str() } else { branch };
        let Some((session, flow)) = self.sessions.get(&id).and_then(|s| Some((s, s.flow?))) else { return };
        let via = format!("SIP/2.0/{} {};branch={branch_of_ack};rport", flow.transport.name(), flow.local);
        let ack = session.saved.dialog.ack(response, &via);
        let mut said = Vec::new();
        self.clients.acknowledge(now, branch, ack, &mut said);
        for output in said {
            self.client_says(now, output, out);
        }
    }

    /// The client has answered our session refresh.
    fn refreshed(
        &mut self,
        now: MonoTime,
        id: SessionId,
        response: Option<&Response>,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.edit(id).filter(|session| !session.is_over()) else { return };
        match response {
            Some(response) if response.code < 300 => {
                session.saved.dialog.answered(response);
                session.set_timer(now);
            }
            Some(response) if response.code == 422 => {
                let least = response.headers.text("min-se");
                let least = least.and_then(|text| bare(&text).parse::<u32>().ok());
                if let (Some(timer), Some(least)) = (&mut session.saved.dialog.timer, least)
                    && least > timer.interval_s
                {
                    timer.interval_s = least;
                    if let Some(established) = session.established() {
                        established.timer_at = Some(now);
                    }
                }
            }
            // RFC 4028 §10: the dialog or the client is gone. Other failures leave the session to be
            // refreshed again.
            None => self.lost_to_timer(now, id, out),
            Some(response) if matches!(response.code, 408 | 481) => self.lost_to_timer(now, id, out),
            Some(_) => {}
        }
    }

    fn lost_to_timer(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        self.stats.timers_expired += 1;
        self.finish_call(id);
        self.hang_up(now, id, EndReason::TimerExpired, out);
    }

    pub(super) fn session_timer(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(session) = self.edit(id) else { return };
        match session.saved.dialog.timer {
            Some(timer) if timer.refreshed_by_us => {
                session.set_timer(now);
                let refresh = session.saved.dialog.timer_request();
                let mut extra: Vec<(&str, String)> = vec![("Supported", "timer".to_owned())];
                extra.extend(refresh);
                self.send_request(now, id, "UPDATE", &extra, None, Purpose::Refresh, out);
            }
            Some(_) => self.lost_to_timer(now, id, out),
            None => session.set_timer(now),
        }
    }
}
