//! What the recording server does of its own accord: BYE, session refreshes, names.
//!
//! In: a session that must end or be refreshed. Out: requests inside its dialog. Not here:
//! answers to requests of clients.
//!
//! Source: RFC 3261 §12.2.1, RFC 4028 §10.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;

use super::server::{Output, Server, SessionId};
use super::session::Session;
use crate::base::clock::MonoTime;
use crate::base::hex::hex;
use crate::signalling::feed::Control;
use crate::signalling::sip::client;
use crate::signalling::sip::flow::{Flow, Transport, port_of};
use crate::signalling::sip::uri::Uri;

/// How much longer than its interval a session may go without being refreshed: a recording
/// outweighs a client's sloppy clock.
pub const TIMER_GRACE: Duration = Duration::from_secs(32);

impl Server {
    /// Ends the call of a session, if it has one that is not ended yet.
    pub(super) fn finish_call(&mut self, id: SessionId) {
        if let Some(session) = self.edit(id).filter(|session| !session.over) {
            session.control(Control::End);
        }
    }

    /// Ends a dialog from our side.
    pub(super) fn hang_up(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        self.give_up_opening(now, id, 503, out);
        self.give_up_growing(now, id, out);
        if self.sessions.get(&id).is_some_and(|session| !session.over) {
            self.stats.hung_up += 1;
            self.send_request(now, id, "BYE", &[], out);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.over = true;
            session.timer_at = None;
        }
        self.forget_if_done(id);
    }

    /// A name that nobody can guess, different each time.
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

    pub(super) fn send_request(
        &mut self,
        now: MonoTime,
        id: SessionId,
        method: &str,
        extra: &[(&str, String)],
        out: &mut Vec<Output>,
    ) {
        let branch = format!("z9hG4bK{}", self.name("branch"));
        let Some((session, flow)) = self.sessions.get(&id).and_then(|s| Some((s, s.flow?))) else { return };
        let to = self.way_to(session.saved.dialog.next_hop(), flow);
        let contact = self.contact(flow);
        let via = format!("SIP/2.0/{} {};branch={branch};rport", flow.transport.name(), flow.local);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let bytes = session.saved.dialog.request(method, &via, &contact, extra);
        self.touched.insert(id);
        let mut said = Vec::new();
        self.clients.send(now, to, branch, bytes, &mut said);
        for output in said {
            self.client_says(output, out);
        }
    }

    /// Where a request of ours goes: over the client's connection; over UDP to the address
    /// that its Contact or route names, if that is a client's at all.
    fn way_to(&self, next_hop: Option<Uri>, mut flow: Flow) -> Flow {
        if flow.transport.is_reliable() {
            return flow;
        }
        let host = next_hop.map(|uri| uri.host).unwrap_or_default();
        let port = port_of(&host).unwrap_or(5060);
        let bare = host.strip_suffix(&format!(":{port}")).unwrap_or(&host).trim_matches(['[', ']']);
        if let Ok(ip) = bare.parse::<IpAddr>()
            && ip.is_ipv4() == flow.peer.is_ipv4()
            && self.config.clients.allows(ip)
        {
            flow.peer = (ip, port).into();
        }
        flow
    }

    pub(super) fn client_says(&mut self, output: client::Output, out: &mut Vec<Output>) {
        if let client::Output::Send(flow, bytes) = output {
            out.push(Output::Send(flow, bytes));
        }
    }

    pub(super) fn session_timer(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.saved.dialog.timer {
            Some(timer) if timer.refreshed_by_us => {
                set_timer(session, now);
                let refresh = session.saved.dialog.timer_headers();
                let mut extra: Vec<(&str, String)> = vec![("Supported", "timer".to_owned())];
                extra.extend(refresh);
                self.send_request(now, id, "UPDATE", &extra, out);
            }
            Some(_) => {
                self.stats.timers_expired += 1;
                self.finish_call(id);
                self.hang_up(now, id, out);
            }
            None => session.timer_at = None,
        }
    }
}

/// Sets when the session timer needs attention next: half-way where we refresh, after the
/// interval and some grace where the client does.
pub(super) fn set_timer(session: &mut Session, now: MonoTime) {
    session.timer_at = session.saved.dialog.timer.map(|timer| {
        let interval = Duration::from_secs(timer.interval_s.into());
        now + if timer.refreshed_by_us { interval / 2 } else { interval + TIMER_GRACE }
    });
}
