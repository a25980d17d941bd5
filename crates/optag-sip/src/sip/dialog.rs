//! A dialog created by a client's INVITE: tags, sequence numbers, route set, session timer.
//!
//! In: the initial INVITE and the requests inside the dialog. Out: whether they are in order, and
//! our own requests. The state can be saved and resumed by another process. Not here:
//! transactions, bodies.
//!
//! Source: RFC 3261 §12, RFC 4028.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::header::{bare, param};
use super::message::{Request, Response};
use super::uri::{NameAddr, Uri};

/// The shortest session interval that is worth a timer. Source: RFC 4028 §5.
pub const MIN_SESSION: Duration = Duration::from_secs(90);

/// One dialog, from the UAS side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The client's tag; empty with clients older than RFC 3261.
    pub remote_tag: String,
    /// Our side's To as the client wrote it, with our tag.
    local: String,
    /// The client's From.
    remote: String,
    /// Remote target: the client's Contact.
    remote_target: String,
    /// Route set from Record-Route, in the order received: nearest to us first.
    routes: Vec<String>,
    remote_number: u32,
    local_number: u32,
    /// Whether the client supports UPDATE.
    pub allows_update: bool,
    /// The session timer, if the client requested one.
    pub timer: Option<SessionTimer>,
}

/// A negotiated session timer (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTimer {
    /// Session interval. Units: seconds.
    pub interval_s: u32,
    /// Whether we refresh it.
    pub refreshed_by_us: bool,
}

/// A request out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out-of-order CSeq number")]
pub struct OutOfOrder;

/// The route set. Entries that are no SIP URI lead nowhere and are left out.
///
/// Source: RFC 3261 §12.1.1 and §20.30.
fn routes_of(invite: &Request) -> Vec<String> {
    let mut routes = invite.headers.list("record-route");
    routes.retain(|route| NameAddr::parse(route).is_some_and(|route| route.uri.is_sip()));
    routes
}

impl Dialog {
    /// The dialog that `invite` creates when it is accepted with `local_tag`.
    pub fn from_invite(invite: &Request, local_tag: &str) -> Option<Self> {
        let (from, to) = (invite.from()?, invite.to()?);
        let mut dialog = Self {
            call_id: invite.call_id(),
            local_tag: local_tag.to_owned(),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            local: format!("{};tag={local_tag}", to.text),
            remote: from.text,
            remote_target: String::new(),
            routes: routes_of(invite),
            remote_number: invite.cseq()?.number,
            local_number: 0,
            allows_update: false,
            timer: None,
        };
        dialog.refresh(invite);
        Some(dialog)
    }

    /// Sets `peer` as the remote target if the client sent no readable Contact.
    pub fn reach_at(&mut self, peer: SocketAddr) {
        if self.remote_target.is_empty() {
            self.remote_target = format!("sip:{peer}");
        }
    }

    /// Takes the CSeq number of a request inside the dialog, whatever its answer will be.
    ///
    /// Errors: it is not above the last one; the dialog is unchanged. Source: RFC 3261 §12.2.2.
    pub fn accept(&mut self, request: &Request) -> Result<(), OutOfOrder> {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        if request.method != "ACK" && number <= self.remote_number {
            return Err(OutOfOrder);
        }
        self.remote_number = self.remote_number.max(number);
        Ok(())
    }

    /// Accepts the last request again: its response may have been lost.
    pub fn expect_again(&mut self) {
        self.remote_number = self.remote_number.saturating_sub(1);
    }

    /// Header fields of a response that confirm the session timer.
    pub fn timer_headers(&self) -> Vec<(&'static str, String)> {
        let Some(timer) = self.timer else { return Vec::new() };
        let refresher = if timer.refreshed_by_us { "uas" } else { "uac" };
        let mut headers = vec![("Session-Expires", format!("{};refresher={refresher}", timer.interval_s))];
        if !timer.refreshed_by_us {
            headers.push(("Require", "timer".to_owned()));
        }
        headers
    }

    /// Header fields of our request that ask for the same session timer again.
    pub fn timer_request(&self) -> Vec<(&'static str, String)> {
        let Some(timer) = self.timer else { return Vec::new() };
        // In our own request we are the UAC.
        let refresher = if timer.refreshed_by_us { "uac" } else { "uas" };
        vec![("Session-Expires", format!("{};refresher={refresher}", timer.interval_s))]
    }

    /// Applies the response to our re-INVITE or UPDATE: remote target, session timer.
    ///
    /// Source: RFC 4028 §7.2: without Session-Expires in it, there is no timer any more.
    pub fn answered(&mut self, response: &Response) {
        self.retarget(response);
        let expires = response.headers.text("session-expires");
        self.timer = expires.and_then(|wanted| {
            let interval_s = bare(&wanted).parse().ok()?;
            let by_us = param(&wanted, "refresher").is_none_or(|who| who.eq_ignore_ascii_case("uac"));
            Some(SessionTimer { interval_s, refreshed_by_us: by_us })
        });
    }

    /// Applies the Contact of a 2xx to our re-INVITE or UPDATE (target refresh).
    ///
    /// Source: RFC 3261 §12.2.1.2.
    pub fn retarget(&mut self, response: &Response) {
        let contacts = response.headers.list("contact");
        let mut contacts = contacts.iter().filter_map(|contact| NameAddr::parse(contact));
        if let Some(contact) = contacts.find(|contact| contact.uri.is_sip()) {
            self.remote_target = contact.uri.text;
        }
    }

    /// Our request in wire form. `via` is our transport, address and branch.
    pub fn request(&mut self, method: &str, via: &str, contact: &str, extra: &[(&str, String)]) -> Vec<u8> {
        self.request_with(method, via, contact, extra, None)
    }

    /// The same with a body, as media type and bytes.
    pub fn request_with(
        &mut self,
        method: &str,
        via: &str,
        contact: &str,
        extra: &[(&str, String)],
        body: Option<(&str, &[u8])>,
    ) -> Vec<u8> {
        self.local_number += 1;
        let mut out = self.head(method, self.local_number, &self.remote, via);
        let mut text = format!("Contact: {contact}\r\n");
        for (name, value) in extra {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some((kind, _)) = body {
            text.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        let body = body.map_or(&[][..], |(_, bytes)| bytes);
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(body);
        out
    }

    /// The ACK for `response` to our INVITE; for a non-2xx, `via` is that of the INVITE.
    ///
    /// Source: RFC 3261 §13.2.2.4 and §17.1.1.3.
    pub fn ack(&self, response: &Response, via: &str) -> Vec<u8> {
        let number = response.answers().map_or(self.local_number, |(_, cseq)| cseq.number);
        let to = response.headers.text("to").map_or_else(|| self.remote.clone(), |to| to.into_owned());
        let mut out = self.head("ACK", number, &to, via);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        out
    }

    fn head(&self, method: &str, number: u32, to: &str, via: &str) -> Vec<u8> {
        let (target, routes) = self.target_and_routes();
        let mut text = format!("{method} {target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n");
        for route in routes {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        text.push_str(&format!(
            "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n",
            self.local, self.call_id
        ));
        text.into_bytes()
    }

    /// The URI that our request is sent to: the first route, or the remote target.
    pub fn next_hop(&self) -> Option<Uri> {
        match self.routes.first() {
            Some(route) => NameAddr::parse(route).map(|route| route.uri),
            None => Uri::parse(&self.remote_target),
        }
    }

    /// Loose routing, or strict routing for older proxies.
    ///
    /// Source: RFC 3261 §12.2.1.1.
    fn target_and_routes(&self) -> (String, Vec<String>) {
        let first = self.routes.first().and_then(|route| NameAddr::parse(route));
        match first {
            Some(first) if first.uri.param("lr").is_none() => {
                let mut routes = self.routes[1..].to_vec();
                routes.push(format!("<{}>", self.remote_target));
                (first.uri.text, routes)
            }
            _ => (self.remote_target.clone(), self.routes.clone()),
        }
    }

    /// Applies what an INVITE or UPDATE may change once it is to be answered 200: remote target, supported
    /// methods, session timer. One that is refused changes none of them.
    ///
    /// Source: RFC 6141 §4.6 (target), RFC 4028 §9 (timer).
    pub fn refresh(&mut self, request: &Request) {
        if let Some(contact) = request.contact() {
            self.remote_target = contact.uri.text;
        }
        if request.headers.text("allow").is_some() {
            self.allows_update = request.headers.lists("allow", "UPDATE");
        }
        self.timer = self.timer_for(request);
    }

    /// The session timer as requested. The client refreshes unless it asks us to; if we would have
    /// to but the client lacks UPDATE, there is no timer, which RFC 4028 §9 allows.
    fn timer_for(&self, request: &Request) -> Option<SessionTimer> {
        let wanted = request.headers.text("session-expires")?;
        let interval_s: u32 = bare(&wanted).parse().ok()?;
        let by_us = param(&wanted, "refresher").is_some_and(|who| who.eq_ignore_ascii_case("uas"));
        let supported =
            request.headers.lists("supported", "timer") || request.headers.lists("require", "timer");
        let usable = match by_us {
            true => self.allows_update,
            false => supported,
        };
        let long_enough = Duration::from_secs(interval_s.into()) >= MIN_SESSION;
        (usable && long_enough).then_some(SessionTimer { interval_s, refreshed_by_us: by_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse::{Framing, Parsed, parse};

    fn invite(extra: &str) -> Request {
        invite_from("<sip:src@10.0.0.1:5070;transport=tcp>", extra)
    }

    fn invite_from(contact: &str, extra: &str) -> Request {
        let text = format!(
            "INVITE sip:srs@r SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: \"A\" <sip:x@y>;tag=1\r\n\
             To: <sip:srs@r>\r\nCall-ID: i\r\nCSeq: 5 INVITE\r\nContact: {contact}\r\n{extra}\r\n"
        );
        match parse(text.as_bytes(), Framing::Datagram) {
            Ok(Parsed::Request(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_of_ours_follow_the_routes_and_count_up() {
        let mut dialog = Dialog::from_invite(
            &invite("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nAllow: INVITE, UPDATE\r\n"),
            "us",
        )
        .unwrap();
        let bye = String::from_utf8(dialog.request("BYE", "SIP/2.0/UDP r;branch=z9hG4bK9", "<sip:r>", &[]))
            .unwrap();
        assert!(bye.starts_with("BYE sip:src@10.0.0.1:5070;transport=tcp SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains("Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"));
        assert!(bye.contains("From: <sip:srs@r>;tag=us\r\nTo: \"A\" <sip:x@y>;tag=1\r\n"));
        assert!(bye.contains("CSeq: 1 BYE\r\n"));
        assert_eq!(dialog.next_hop().unwrap().host, "p1");
        assert!(dialog.allows_update);
    }

    #[test]
    fn what_is_no_sip_uri_is_no_target_and_no_route() {
        for (contact, route) in
            [("<x-other:a@b>", "<http://p1>"), ("<tel:+4570102030>", "<ax:>;lr"), ("<sip:>", "nothing")]
        {
            let request =
                invite_from(contact, &format!("Record-Route: {route}\r\nRecord-Route: <sip:p2;lr>\r\n"));
            let mut dialog = Dialog::from_invite(&request, "us").unwrap();
            dialog.reach_at("192.0.2.1:5070".parse().unwrap());
            let bye = String::from_utf8(dialog.request("BYE", "v", "<sip:r>", &[])).unwrap();
            assert!(bye.starts_with("BYE sip:192.0.2.1:5070 SIP/2.0\r\n"), "{bye}");
            assert_eq!(bye.matches("Route:").count(), 1, "{bye}");
        }
    }

    #[test]
    fn strict_routers_get_the_request_in_their_own_name() {
        let mut dialog = Dialog::from_invite(&invite("Record-Route: <sip:old>\r\n"), "us").unwrap();
        let bye = String::from_utf8(dialog.request("BYE", "v", "<sip:r>", &[])).unwrap();
        assert!(bye.starts_with("BYE sip:old SIP/2.0\r\n"));
        assert!(bye.contains("Route: <sip:src@10.0.0.1:5070;transport=tcp>\r\n"));
    }

    #[test]
    fn a_saved_dialog_goes_on_where_it_was() {
        let mut dialog = Dialog::from_invite(&invite(""), "us").unwrap();
        dialog.request("UPDATE", "v", "<sip:r>", &[]);
        let mut back: Dialog = serde_json::from_str(&serde_json::to_string(&dialog).unwrap()).unwrap();
        assert_eq!(back, dialog);
        let again = invite("");
        assert_eq!(back.accept(&again), Err(OutOfOrder));
        let bye = String::from_utf8(back.request("BYE", "v", "<sip:r>", &[])).unwrap();
        assert!(bye.contains("CSeq: 2 BYE"));
    }

    #[test]
    fn the_session_timer_follows_the_client() {
        for (extra, expect) in [
            ("Session-Expires: 1800\r\nSupported: timer\r\n", Some((1800, false))),
            ("x: 1800;refresher=uac\r\nk: timer\r\n", Some((1800, false))),
            ("Session-Expires: 1800;refresher=uas\r\nAllow: UPDATE\r\n", Some((1800, true))),
            ("Session-Expires: 1800;refresher=uas\r\nSupported: timer\r\n", None),
            ("Session-Expires: 30\r\nSupported: timer\r\n", None),
            ("Session-Expires: soon\r\nSupported: timer\r\n", None),
            ("", None),
        ] {
            let dialog = Dialog::from_invite(&invite(extra), "us").unwrap();
            let timer = dialog.timer.map(|t| (t.interval_s, t.refreshed_by_us));
            assert_eq!(timer, expect, "{extra}");
        }
    }
}
