//! Admission of a recording session: validation of the initial INVITE, its streams, its call.
//!
//! In: an initial INVITE, and later the feed's decision. Out: the session and the final response.
//! A call that is not recorded is answered 200 with inactive streams: several clients react to any
//! rejection by recording elsewhere.
//!
//! Source: RFC 7866 §6.2, §7.2.

use crate::feed::{AdmitError, Admitted, Control, NewStream};
use crate::sdp::{Description, Media, Offer, Taken};
use crate::sip::dialog::Dialog;
use crate::sip::digest::Verdict;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::response::Answer;
use crate::siprec::body::{self, Body};
use crate::siprec::call_names::{links_of, raw_headers};
use crate::siprec::capabilities::ACCEPT;
use crate::siprec::consent_signals::relayed_keys;
use crate::siprec::metadata::request_type::RequestType;
use crate::siprec::new_call::new_call;
use crate::siprec::parties::{self, Hints, Parties};
use crate::siprec::server::{Incoming, Output, Server, SessionId};
use crate::siprec::session::state::{Admitting, AwaitedAck, PendingRequest, State};
use crate::siprec::session::{Saved, Session};
use crate::siprec::settings::UntilConsent;
use crate::siprec::streams::{self, StreamDecision};
use optag_core::call::{ConsentKeys, ConsentState, StreamRole, Unrecorded};
use optag_core::clock::{MonoTime, WallTime};

/// Option tags accepted in Require: supported, or without effect on a server that only receives
/// streams and sends no reliable provisional response and no request outside a dialog.
const EXTENSIONS: [&str; 24] = [
    "siprec",
    "record-aware",
    "timer",
    "replaces",
    "100rel",
    "gruu",
    "outbound",
    "path",
    "histinfo",
    "norefersub",
    "tdialog",
    "from-change",
    "privacy",
    "resource-priority",
    "answermode",
    "uui",
    "join",
    "early-session",
    "precondition",
    "sdp-anat",
    "ice",
    "geolocation-sip",
    "geolocation-http",
    "eventlist",
];

impl Server {
    /// Handles the feed's decision about the call of a new session.
    pub(in crate::siprec) fn admitted(
        &mut self,
        now: MonoTime,
        id: SessionId,
        result: Result<Admitted, AdmitError>,
        out: &mut Vec<Output>,
    ) {
        let client = self.client_of(id);
        let until_consent = self.config.until_consent_for(client);
        let Some(session) = self.edit(id) else { return };
        if !matches!(session.state, State::Admitting(_) | State::Abandoned) {
            return;
        }
        let admitting = session.establish();
        match result {
            Ok(admitted) => {
                session.saved.call = Some(admitted.id);
                session.consent = admitted.consent;
                session.saved.listening = admitted.consent != ConsentState::Unknown;
                let waits = until_consent == UntilConsent::Inactive
                    && admitted.consent == ConsentState::Asked
                    && !session.said_yes();
                if waits {
                    session.saved.waits = true;
                    session.saved.listening = false;
                    session.pace();
                }
                for line in &mut session.saved.ours.lines {
                    let stream = line.taken.and_then(|taken| taken.stream);
                    line.taken = stream
                        .and_then(|index| Some((index, *admitted.streams.get(usize::from(index))?)))
                        .map(|(index, address)| Taken { stream: Some(index), address });
                }
                let Some(admitting) = &admitting else {
                    session.control(Control::End);
                    return;
                };
                if admitting.no_caller_stream {
                    let (call, client) = (admitted.id.to_string(), session.saved.client.as_str());
                    tracing::warn!(
                        call,
                        client,
                        "caller stream unknown: metadata does not identify it, key presses in the streams are ignored"
                    );
                }
                self.stats.calls_without_caller += u64::from(admitting.no_caller_stream);
                let call = admitted.id;
                self.stats.calls_admitted += 1;
                let silence = self.config.profile(client).and_then(|profile| profile.silence);
                out.extend(silence.map(|silence| Output::Silence(call, silence)));
            }
            Err(error) => {
                let Some(admitting) = &admitting else {
                    self.forget_if_done(now, id, out);
                    return;
                };
                session.unrecorded = Some(Unrecorded::Unavailable(error.name()));
                let flow = session.flow;
                self.stats.calls_unavailable += 1;
                let refuse = self.config.refuses_for(client);
                let passing = !matches!(error, AdmitError::UnknownDepartment(_) | AdmitError::BadStreams(_));
                if refuse && passing {
                    let PendingRequest { key, request } = &admitting.invite;
                    let answer = Answer::new(503, "").with("Retry-After", "10");
                    self.drop_session(now, id, out);
                    if let Some(flow) = flow {
                        self.refuse(now, flow, key, request, answer, out);
                    }
                    return;
                }
                self.unrecorded(id);
            }
        }
        if let Some(admitting) = admitting {
            self.accept(now, id, admitting, out);
        }
    }

    /// Validates an initial INVITE; returns the rejection.
    pub(in crate::siprec) fn objection(
        &mut self,
        now: MonoTime,
        flow: Flow,
        request: &Request,
        body: &Body,
    ) -> Option<Answer> {
        if let Some(answer) = unsupported(request) {
            return Some(answer);
        }
        if body::is_encoded(request) {
            return Some(body::encoded());
        }
        if body.unknown {
            return Some(Answer::new(415, "").with("Accept", ACCEPT));
        }
        let recording = is_recording_session(request, body);
        let accepts = request.headers.list("accept");
        let takes_sdp = accepts.is_empty()
            || accepts.iter().any(|a| {
                let a = a.to_ascii_lowercase();
                ["application/sdp", "application/*", "*/*", "multipart"].iter().any(|t| a.starts_with(t))
            });
        if !recording && !takes_sdp {
            return Some(Answer::new(406, ""));
        }
        if let Some(digest) = &mut self.digest {
            let verdict = digest.check(now, flow.peer.ip(), request);
            self.stats.guesses_slowed += u64::from(verdict == Verdict::Slowed);
            if verdict != Verdict::Good {
                self.stats.challenged += 1;
                let stale = verdict == Verdict::Stale;
                let mut answer = Answer::new(401, "");
                for (at, challenge) in digest.challenges(now, flow.peer.ip(), stale).into_iter().enumerate() {
                    let fields = if at == 0 { &mut answer.headers } else { &mut answer.optional };
                    fields.push(("WWW-Authenticate", challenge));
                }
                return Some(answer);
            }
        }
        if !recording && !self.config.plain_calls_for(flow.peer.ip()) {
            self.stats.refused_plain += 1;
            return Some(Answer::new(403, ""));
        }
        None
    }

    /// Creates the session of a valid initial INVITE and requests admission of its call.
    pub(in crate::siprec) fn begin(
        &mut self,
        incoming: Incoming,
        body: Body,
        offer: Option<Offer>,
        out: &mut Vec<Output>,
    ) {
        let Incoming { now, at, flow, key, request } = incoming;
        let tag = self.name("tag");
        let replaced = self.replaced_by(&request);
        let Some(mut dialog) = Dialog::from_invite(&request, &tag) else { return };
        dialog.reach_at(flow.peer);
        let session_id = u64::from_str_radix(&self.name("sdp")[..13], 16).unwrap_or(1);
        let client = flow.peer.ip();
        let hints = Hints::of(&request, self.config.rules_for(client));
        let saved = Saved {
            dialog,
            ours: Description::new(session_id),
            lines: 0,
            view: Default::default(),
            caller: None,
            guessed: false,
            hints,
            links: links_of(&request),
            call: None,
            listening: true,
            held: false,
            keys: ConsentKeys::default(),
            waits: false,
            paused: false,
            account: self.name("account"),
            began_at: at,
            client: flow.peer.ip().to_string(),
            transfers: Default::default(),
            refused: Default::default(),
            request_type: RequestType::of(&request, &body),
        };
        let invite = PendingRequest { key, request: Box::new(request.clone()) };
        let admitting = Admitting { invite, replaces: None, no_caller_stream: false };
        let mut session = Session::new(saved, State::Admitting(admitting));
        session.flow = Some(flow);
        let mut raw = vec![raw_headers(&request, at)];
        raw.extend(body.raw.iter().cloned());
        let id = self.insert(session);
        if let Some(old) = replaced {
            self.takes_place(id, old);
        }
        // The raw bodies go with the admission.
        self.described(id, at, &request, Body { raw: Vec::new(), ..body });
        let parties = self.parties(id);
        let (mut streams, mut decisions) = self.streams(id, &parties, offer.as_ref());
        streams::caller_first(&mut streams, &mut decisions);
        self.stats.callers_guessed += u64::from(parties.guessed);
        let department = parties.department.clone();
        let department = department.and_then(|name| {
            let departments = self.earlier.departments(&self.config, id, client);
            departments.all.iter().find(|department| department.id == name).cloned()
        });
        let source = self.config.media_source_for(client);
        let nameless = |(media, decision): (&Media, &StreamDecision)| {
            matches!(decision, StreamDecision::Stream(_)) && media.address.is_none()
        };
        let media = offer.iter().flat_map(|offer| &offer.media);
        self.stats.streams_without_address +=
            media.zip(&decisions).filter(|line| nameless(*line)).count() as u64;
        let Some(session) = self.edit(id) else { return };
        let nowhere = std::net::SocketAddr::new(flow.local.ip(), 9);
        for (line, decision) in session.saved.ours.lines.iter_mut().zip(&decisions) {
            if let StreamDecision::Stream(index) = decision {
                line.taken = Some(Taken { stream: Some(*index), address: nowhere });
            }
        }
        session.streams_admitted(&streams);
        if let State::Admitting(admitting) = &mut session.state {
            let caller = streams.iter().any(|stream| stream.role.may_answer());
            admitting.no_caller_stream = !streams.is_empty() && !caller;
        }
        if let Some(offer) = &offer {
            session.follow(offer, source);
        }
        let Some(department) = department.filter(|_| !streams.is_empty()) else {
            let has = |decision| decisions.contains(&decision);
            session.unrecorded = Some(match streams.is_empty() {
                false => Unrecorded::NotSelected,
                true if has(StreamDecision::Encrypted) => Unrecorded::Encrypted,
                true if has(StreamDecision::NoCodec) => Unrecorded::NoCodec,
                true => Unrecorded::NoStream,
            });
            let admitting = session.establish();
            match streams.is_empty() {
                true => self.stats.calls_without_stream += 1,
                false => self.stats.calls_unselected += 1,
            }
            self.unrecorded(id);
            if let Some(admitting) = admitting {
                self.accept(now, id, admitting, out);
            }
            return;
        };
        session.saved.keys = relayed_keys(&department);
        let seen = self.seen(id);
        let Some(session) = self.edit(id) else { return };
        session.saved.transfers.begin(&department.id, &seen);
        let call = new_call(department.id, &parties, streams, session, raw);
        if self.draining {
            self.admitted(now, id, Err(AdmitError::Draining), out);
        } else if self.is_over_quota(client) {
            self.stats.over_quota += 1;
            self.admitted(now, id, Err(AdmitError::Quota), out);
        } else {
            out.push(Output::Admit(id, Box::new(call)));
        }
    }

    /// The streams of the initial offer; without one, as many as the metadata lists.
    fn streams(
        &mut self,
        id: SessionId,
        parties: &Parties,
        offer: Option<&Offer>,
    ) -> (Vec<NewStream>, Vec<StreamDecision>) {
        let source = self.config.media_source_for(self.client_of(id));
        let Some(session) = self.sessions.get_mut(&id) else { return Default::default() };
        let Saved { view, hints, ours, lines, refused, .. } = &mut session.saved;
        if let Some(offer) = offer {
            let (mut streams, decisions) = streams::choose(offer, view, hints, parties, source);
            ours.follow(offer);
            for (line, decision) in ours.lines.iter().zip(&decisions) {
                if let StreamDecision::Stream(index) = decision
                    && let Some(srtp) = &mut streams[usize::from(*index)].media.srtp
                {
                    srtp.send = line.own_key().cloned();
                }
            }
            *lines = offer.media.len();
            streams::count_refused(refused, &decisions);
            self.stats.refused(&decisions);
            return (streams, decisions);
        }
        let labels: Vec<String> = view.streams.iter().map(|(_, label)| label.clone()).collect();
        let count = labels.len().clamp(1, optag_core::limit::STREAMS_PER_CALL);
        let (mut streams, mut decisions): (Vec<NewStream>, Vec<StreamDecision>) = Default::default();
        for at in 0..count {
            let label = labels.get(at).cloned().filter(|label| !label.is_empty());
            let written = label.clone().unwrap_or_default();
            let role: StreamRole = parties::role(view, hints, parties, &written, at, count);
            streams.push(streams::unknown_stream(streams::unique(&written, &streams), role));
            decisions.push(StreamDecision::Stream(at as u8));
            ours.offer_line(label, None);
        }
        *lines = count;
        (streams, decisions)
    }

    /// Marks the session as not recorded: its streams are inactive and go nowhere.
    fn unrecorded(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.saved.listening = false;
        for line in &mut session.saved.ours.lines {
            line.taken = line.taken.map(|taken| Taken { stream: None, ..taken });
        }
    }

    /// Answers the initial INVITE with 200.
    fn accept(&mut self, now: MonoTime, id: SessionId, admitting: Admitting, out: &mut Vec<Output>) {
        let Admitting { invite: PendingRequest { key, request }, replaces, .. } = admitting;
        let Some(flow) = self.sessions.get(&id).and_then(|session| session.flow) else { return };
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let answer = self.answer(id, flow, true);
        if let Some(session) = self.edit(id) {
            session.set_timer(now);
            let carries_answer = body::read(&request, WallTime::default()).sdp.is_none();
            if let Some(established) = session.established() {
                let ack = AwaitedAck { invite: Some(key.clone()), cseq, carries_answer, until: None };
                established.awaited_ack = Some(ack);
            }
        }
        self.respond(now, flow, &key, &request, &answer, out);
        self.output_announced_call(id, None, out);
        if let Some(old) = replaces {
            self.end_replaced(now, old, out);
        }
    }

    pub(in crate::siprec) fn drop_session(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.end();
            session.saved.call = None;
        }
        self.forget_if_done(now, id, out);
    }
}

/// The 420 for a request that requires an unsupported extension.
pub(crate) fn unsupported(request: &Request) -> Option<Answer> {
    let known = |name: &String| EXTENSIONS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let unknown: Vec<String> =
        request.headers.list("require").into_iter().filter(|name| !known(name)).collect();
    (!unknown.is_empty()).then(|| Answer::new(420, "").with("Unsupported", unknown.join(", ")))
}

/// Whether a challenge is marked stale: the credentials were valid.
pub(in crate::siprec) fn is_stale(answer: &Answer) -> bool {
    answer.headers.iter().any(|(_, value)| value.ends_with(",stale=true"))
}

/// Whether an INVITE is for a recording session.
///
/// Source: RFC 7866 §6.2, which wants both `+sip.src` in Contact and `siprec` in Require. Either is enough here,
/// as are the marks of clients that follow it loosely.
fn is_recording_session(request: &Request, body: &Body) -> bool {
    let headers = &request.headers;
    let contact = headers.text("contact").unwrap_or_default().to_ascii_lowercase();
    let from = headers.text("from").unwrap_or_default().to_ascii_lowercase();
    let marks = ["+sip.src", ";src", ";isfocus"];
    !body.metadata.is_empty()
        || headers.lists("require", "siprec")
        || headers.lists("supported", "siprec")
        || marks.iter().any(|mark| contact.contains(mark))
        || headers.text("x-cisco-recording-participant").is_some()
        || ["x-nearend", "x-farend", "x-refci"].iter().any(|mark| from.contains(mark))
}
