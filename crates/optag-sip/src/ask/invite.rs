//! How an ask begins: the initial INVITE, its leg, and the first response with a description.
//!
//! A call that cannot be asked is redirected to its department at once, or answered 503, so that the proxy before
//! us sends it there.
//!
//! Source: RFC 3261 §13.3.1, §21.3.3; RFC 3960 §3 (early media).

use std::net::SocketAddr;
use std::time::Duration;

use crate::ask::caller::NotAsked;
use crate::ask::dialog::{Ask, Stage};
use crate::ask::events::Event;
use crate::ask::machine::Machine;
use crate::ask::outcome::Outcome;
use crate::ask::port::{AskId, NewLeg, Output};
use crate::ask::server::{Server, busy};
use crate::ask::settings::SendOn;
use crate::sdp::{Description, Media, Taken};
use crate::sip::dialog::Dialog;
use crate::sip::digest::Verdict;
use crate::sip::flow::{Flow, Transport};
use crate::sip::message::Request;
use crate::sip::response::Answer as Response;
use crate::sip::transaction::Key;
use crate::siprec::body::{self, read_offer};
use crate::siprec::session::admit::unsupported;
use crate::siprec::settings::MediaSource;
use crate::siprec::streams::stream_media;
use optag_core::clock::{MonoTime, WallTime};
use optag_media::announce::audio::PromptCodec;

/// Places for the response that follows a 100. Units: bytes.
const ROOM_FOR_FINAL: usize = 700;

impl Server {
    pub(super) fn invite(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: Key,
        request: Request,
        out: &mut Vec<Output>,
    ) {
        if let Some((answer, counts)) = self.objection(now, flow, &request) {
            if counts {
                out.push(Output::Ended(Outcome::Rejected, Duration::ZERO));
            }
            return self.refuse(now, flow, &key, &request, answer, out);
        }
        let full = self.asks.len() >= self.settings.max_asks || !self.accepting;
        if full || self.stopping {
            let outcome = if self.stopping { Outcome::Stopping } else { Outcome::Busy };
            out.push(Output::Ended(outcome, Duration::ZERO));
            return self.refuse(now, flow, &key, &request, busy(), out);
        }
        let called = match self.settings.called(flow, &request) {
            Ok(called) => called,
            Err(not_asked) => return self.pass_on(now, flow, &key, &request, not_asked, out),
        };
        let offer =
            body::read(&request, WallTime::default()).sdp.and_then(|text| read_offer(&text, flow).ok());
        let line =
            offer.as_ref().and_then(|offer| offer.media.iter().position(|media| playable(media).is_some()));
        let reliably = request.headers.lists("require", "100rel");
        let allows_refer = request.headers.lists("allow", "REFER");
        let refers = self.settings.send_on == SendOn::Refer && allows_refer;
        let tag = self.tag_of(&request);
        let dialog = Dialog::from_invite(&request, &tag);
        // Early media needs a provisional response, and those we send are not reliable.
        let (Some(offer), Some(at), Some(mut dialog), true) = (offer, line, dialog, refers || !reliably)
        else {
            let not_asked = NotAsked { outcome: Outcome::NoMedia, target: Some(called.target) };
            return self.pass_on(now, flow, &key, &request, not_asked, out);
        };
        // The same call again while it is asked: it has gone in a circle.
        if self.by_call.contains_key(&tag) {
            return self.refuse(now, flow, &key, &request, Response::new(482, ""), out);
        }
        dialog.reach_at(flow.peer);
        let media = &offer.media[at];
        let Some((payload_type, codec)) = playable(media) else { return };
        let session_id = u64::from_str_radix(&self.name("sdp")[..13], 16).unwrap_or(1);
        let mut ours = Description::new(session_id);
        ours.follow(&offer);
        ours.lines[at].choose(payload_type);
        let source = self.settings.sip.media_source_for(flow.peer.ip());
        let own_key = ours.lines[at].own_key().cloned();
        let mut plan = stream_media(media, source);
        plan.formats.retain(|format| format.payload_type == payload_type);
        if let Some(srtp) = &mut plan.srtp {
            srtp.send.clone_from(&own_key);
        }
        let ip = media.sender().unwrap_or_else(|| flow.peer.ip());
        let leg = NewLeg {
            media: plan,
            to: SocketAddr::new(ip, media.port),
            to_sender: source == MediaSource::Learned,
            payload_type,
            codec,
            key: own_key,
        };
        self.names += 1;
        let id = self.names;
        // What an unproved peer may be sent is left to the 200.
        if flow.transport == Transport::Udp && (self.is_proved(now, flow) || !refers) {
            self.trying(now, flow, &key, &request, out);
        }
        let ask = Ask {
            machine: Machine::new(called.rules.clone(), now),
            stage: Stage::Opening,
            flow,
            key,
            name: self.settings.name_of(&request).into(),
            invite: Box::new(request),
            line: (at, offer.media.len()),
            dialog,
            ours,
            confirmations: called.confirmations,
            versions: called.rules.questions.into_iter().map(|question| question.version).collect(),
            target: called.target,
            refers,
            going: None,
            own_timer: None,
            deadline: None,
        };
        self.by_call.insert(ask.dialog.local_tag.clone(), id);
        self.asks.insert(id, ask);
        out.push(Output::Open(id, Box::new(leg)));
        self.set_deadline(id);
    }

    /// What speaks against an INVITE, and whether it counts as an ask: a challenge does not.
    fn objection(&mut self, now: MonoTime, flow: Flow, request: &Request) -> Option<(Response, bool)> {
        if request.to().is_some_and(|to| to.tag().is_some()) {
            return Some((Response::new(481, ""), false));
        }
        if let Some(answer) = unsupported(request) {
            return Some((answer, true));
        }
        if body::is_encoded(request) {
            return Some((body::encoded(), true));
        }
        let digest = self.digest.as_mut()?;
        let verdict = digest.check(now, flow.peer.ip(), request);
        if verdict == Verdict::Good {
            // The nonce was told to this address alone.
            if !flow.transport.is_reliable() {
                self.proofs.prove(now, flow.peer);
            }
            return None;
        }
        let mut answer = Response::new(401, "");
        let challenges = digest.challenges(now, flow.peer.ip(), verdict == Verdict::Stale);
        for (at, challenge) in challenges.into_iter().enumerate() {
            let fields = if at == 0 { &mut answer.headers } else { &mut answer.optional };
            fields.push(("WWW-Authenticate", challenge));
        }
        let tried = request.headers.text("authorization").is_some();
        Some((answer, tried && verdict != Verdict::Stale))
    }

    /// A call that is not asked goes on at once.
    fn pass_on(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: &Key,
        request: &Request,
        not_asked: NotAsked,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Ended(not_asked.outcome, Duration::ZERO));
        let answer = match not_asked.target {
            Some(target) => Response::new(302, "").with("Contact", format!("<{target}>")),
            None => busy(),
        };
        self.refuse(now, flow, key, request, answer, out);
    }

    /// The leg is open, or cannot be.
    pub(super) fn opened(
        &mut self,
        now: MonoTime,
        id: AskId,
        address: Option<SocketAddr>,
        out: &mut Vec<Output>,
    ) {
        let Some(ask) = self.asks.get_mut(&id) else { return out.push(Output::Close(id)) };
        let Some(address) = address else { return self.tell(now, id, Event::MediaFailed, out) };
        if ask.stage != Stage::Opening {
            return;
        }
        ask.ours.lines[ask.line.0].taken = Some(Taken { stream: Some(0), address });
        ask.stage = Stage::Probing;
        let (flow, refers) = (ask.flow, ask.refers);
        match self.is_proved(now, flow) || refers && self.fits(id) {
            true => self.go_ahead(now, id, out),
            false => self.probe(now, flow, out),
        }
    }

    /// The leg is open, and the peer receives.
    pub(super) fn go_ahead(&mut self, now: MonoTime, id: AskId, out: &mut Vec<Output>) {
        match self.asks.get(&id).is_some_and(|ask| ask.refers) {
            true => self.answer(now, id, out),
            false => self.announce_early(now, id, out),
        }
    }

    /// Whether the 200 is no larger than what a peer has sent that has not shown that it receives.
    fn fits(&mut self, id: AskId) -> bool {
        let Some((flow, key, request, answer)) = self.described(id, 200) else { return false };
        let limit = self.transactions.credit(&key).unwrap_or(usize::MAX);
        answer.to_bytes_within(&request.headers, flow.peer, limit).is_some()
    }

    /// 183 with our description: early media begins.
    fn announce_early(&mut self, now: MonoTime, id: AskId, out: &mut Vec<Output>) {
        let Some((flow, key, request, answer)) = self.described(id, 183) else { return };
        self.transactions.vouch(&key);
        if let Some(ask) = self.asks.get_mut(&id) {
            ask.stage = Stage::Early;
        }
        self.respond(now, flow, &key, &request, &answer, out);
        self.tell(now, id, Event::Ready, out);
    }

    /// The same once more: nothing has come from the caller, so it may have been lost.
    pub(super) fn announce_again(&mut self, now: MonoTime, id: AskId, out: &mut Vec<Output>) {
        if let Some((flow, key, request, answer)) = self.described(id, 183) {
            self.respond(now, flow, &key, &request, &answer, out);
        }
    }

    /// 200 with our description; media begins with the ACK.
    fn answer(&mut self, now: MonoTime, id: AskId, out: &mut Vec<Output>) {
        let Some((flow, key, request, answer)) = self.described(id, 200) else { return };
        if let Some(ask) = self.asks.get_mut(&id) {
            ask.stage = Stage::Unacknowledged;
        }
        if self.is_proved(now, flow) {
            self.transactions.vouch(&key);
        }
        self.respond(now, flow, &key, &request, &answer, out);
    }

    fn described(&mut self, id: AskId, code: u16) -> Option<(Flow, Key, Request, Response)> {
        let advertised = self.settings.sip.advertised;
        let ask = self.asks.get_mut(&id)?;
        let (line, lines) = ask.line;
        let open =
            ask.ours.lines[line].taken.map(|taken| taken.address.ip()).filter(|ip| !ip.is_unspecified());
        let own = advertised.or(open).unwrap_or(ask.flow.local.ip());
        if let Some(taken) = &mut ask.ours.lines[line].taken {
            taken.address.set_ip(own);
        }
        let text = ask.ours.two_way(own, lines);
        let (flow, key, request) = (ask.flow, ask.key.clone(), (*ask.invite).clone());
        let mut answer = Response::new(code, &ask.dialog.local_tag)
            .with("Contact", self.contact(flow))
            .with("Allow", super::requests::ALLOW);
        answer.routes = true;
        answer.body = Some(("application/sdp", text));
        Some((flow, key, request, answer))
    }

    fn trying(&mut self, now: MonoTime, flow: Flow, key: &Key, request: &Request, out: &mut Vec<Output>) {
        let answer = Response::new(100, "");
        let length = answer.to_bytes(&request.headers, flow.peer).len();
        let limit = self.transactions.credit(key).unwrap_or(usize::MAX);
        if limit.saturating_sub(length) >= ROOM_FOR_FINAL {
            self.respond(now, flow, key, request, &answer, out);
        }
    }
}

/// The first format of a line that a prompt can be played in; `None` where the line cannot be taken, or is not
/// heard by its sender.
fn playable(media: &Media) -> Option<(u8, PromptCodec)> {
    let is_open = media.is_audio() && !media.is_multicast() && !media.is_without_key();
    let hears = matches!(media.direction, crate::sdp::Direction::Sendrecv) && !media.is_held();
    let formats = media.codecs.iter().filter_map(|codec| codec.format);
    let mut formats =
        formats.filter_map(|format| Some((format.payload_type, PromptCodec::of(format.encoding)?)));
    formats.next().filter(|_| is_open && hears)
}
