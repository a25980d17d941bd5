//! One recording session: a dialog, our side of its streams, and the call it became.
//!
//! In: bodies of its requests. Out: changes to tell the [`Feed`](crate::feed),
//! in an order that is kept by letting one be under way at a time. Not here: SIP messages.

pub mod activation;
pub(crate) mod admit;
pub(crate) mod announced;
pub(crate) mod controls;
pub mod snapshot;
pub(crate) mod transfers;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::parties::{Hints, Parties};
use crate::feed::{
    Control, EventFormat, ExpectedSource, NewStream, PayloadFormat, RtcpPlan, SrtpPlan, StreamView,
};
use crate::sdp::{Description, Offer, Taken};
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::transaction::Key;
use crate::siprec::metadata::merged::View;
use crate::siprec::metadata::snapshot_request::Snapshot;
use crate::siprec::parties::transfer::Transfers;
use crate::siprec::session::activation::Taking;
use crate::siprec::settings::MediaSource;
use crate::siprec::streams;
use optag_core::call::{
    Answer, CallContext, CallLink, ConsentKeys, ConsentState, LinkKind, Participant, RawBody, Unrecorded,
};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;

/// Controls that may wait for the one under way. Beyond it, the oldest description goes.
pub const WAITING: usize = 32;

/// What of a session another process needs to take it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The dialog.
    pub dialog: Dialog,
    /// Our side of the streams.
    pub ours: Description,
    /// m= lines in the client's latest text.
    pub lines: usize,
    /// Who takes part.
    pub view: View,
    /// The client's id for the participant who calls.
    pub caller: Option<String>,
    /// Whether that is only a guess.
    #[serde(default)]
    pub guessed: bool,
    /// What the first INVITE said of the parties, as far as no later request says it anew.
    pub hints: Hints,
    /// Links that do not come from metadata.
    pub links: Vec<CallLink>,
    /// The call; `None` where nothing is recorded.
    pub call: Option<CallId>,
    /// Whether streams are answered as wanted.
    pub listening: bool,
    /// Whether the client holds all of its streams.
    pub held: bool,
    /// Keys that answer the prompt.
    pub keys: ConsentKeys,
    /// Whether the streams wait for the caller's consent.
    #[serde(default)]
    pub waits: bool,
    /// Whether the call was told to pause.
    #[serde(default)]
    pub paused: bool,
    /// Names its account.
    #[serde(default)]
    pub account: String,
    /// When it began.
    #[serde(default)]
    pub began_at: WallTime,
    /// The client's address.
    #[serde(default)]
    pub client: String,
    /// Which department has the call.
    #[serde(default)]
    pub transfers: Transfers,
}

/// What the engine was told of a stream: formats, events, comfort noise, sender, keys, RTCP.
pub type Told = (Vec<PayloadFormat>, Vec<EventFormat>, Vec<u8>, ExpectedSource, Option<SrtpPlan>, RtcpPlan);

fn told(stream: NewStream) -> Told {
    let NewStream { formats, telephone_event, comfort_noise, source, srtp, rtcp, .. } = stream;
    (formats, telephone_event, comfort_noise, source, srtp, rtcp)
}

/// A recording session.
#[derive(Debug)]
pub struct Session {
    /// The lasting part.
    pub saved: Saved,
    /// The way to the client, once it has been heard from.
    pub flow: Option<Flow>,
    /// The first INVITE, until it is answered.
    pub opening: Option<(Key, Box<Request>)>,
    /// Whether the feed is deciding about its call.
    pub admitting: bool,
    /// The answered INVITE whose ACK has not come.
    pub unacknowledged: Option<(Key, u32)>,
    /// Whether the ACK is to bring the client's description.
    pub offered: bool,
    /// Whether the client is gone or sent away.
    pub over: bool,
    /// When something is to be done about the session timer.
    pub timer_at: Option<MonoTime>,
    /// Where consent stands, as far as the feed has told.
    pub consent: ConsentState,
    /// How far it is with taking its streams.
    pub taking: Taking,
    /// How often they were asked for.
    pub tries: u8,
    /// Whether no stream of its call is known to be the caller's.
    pub deaf: bool,
    /// How far it is with asking for its metadata anew.
    pub(super) snapshot: Snapshot,
    /// Why it has no call.
    pub unrecorded: Option<Unrecorded>,
    /// An INVITE or UPDATE that waits until the streams that it adds have their ports.
    pub growing: Option<(Key, Box<Request>)>,
    /// Lines whose streams are being added, in the order of the controls.
    adding: VecDeque<(usize, Told)>,
    /// Whether the control under way adds a stream.
    adds: bool,
    /// Whether the control under way is a transfer.
    moves: bool,
    busy: bool,
    /// Whether the feed has no such call any more. The account still names it.
    pub gone: bool,
    waiting: VecDeque<Control>,
    pub(super) signalled_answer: Option<Answer>,
    pub(super) pressed: String,
    /// What the engine was told of each stream.
    pub told: Vec<Told>,
    /// After a restart: number of the INVITE whose ACK may still come.
    pub resumed_ack: Option<u32>,
    /// The session whose place it takes once it is answered.
    pub replaces: Option<u64>,
    /// Proof of what was last kept of it.
    pub kept: u64,
}

impl Saved {
    /// A stream goes on in another line of its own, where the client gives up the one that was taken.
    fn change_lines(&mut self, offer: &Offer) {
        for line in 0..offer.media.len().min(self.ours.lines.len()) {
            if self.ours.lines[line].taken.is_none() || streams::refused(&offer.media[line]).is_none() {
                continue;
            }
            let free = |other: &usize| {
                streams::refused(&offer.media[*other]).is_none() && self.ours.lines[*other].taken.is_none()
            };
            if let Some(other) = offer.others_of(line).into_iter().find(free) {
                self.ours.lines[other].taken = self.ours.lines[line].taken.take();
            }
        }
    }
}

impl Session {
    /// A session around its lasting part.
    pub fn new(saved: Saved) -> Self {
        Self {
            saved,
            flow: None,
            opening: None,
            admitting: false,
            unacknowledged: None,
            offered: false,
            over: false,
            timer_at: None,
            consent: ConsentState::Unknown,
            taking: Taking::Idle,
            tries: 0,
            deaf: false,
            snapshot: Snapshot::default(),
            unrecorded: None,
            growing: None,
            adding: VecDeque::new(),
            adds: false,
            moves: false,
            busy: false,
            gone: false,
            waiting: VecDeque::new(),
            signalled_answer: None,
            pressed: String::new(),
            told: Vec::new(),
            resumed_ack: None,
            replaces: None,
            kept: 0,
        }
    }

    /// Puts a control in line. What a later one makes needless goes: a client that sends faster
    /// than the feed takes costs descriptions, never a pause, a transfer or an answer.
    pub fn control(&mut self, control: Control) {
        let superseded = |waiting: &Control| match (&control, waiting) {
            (Control::Pause | Control::Resume, Control::Pause | Control::Resume) => true,
            (Control::Renegotiate { stream, .. }, Control::Renegotiate { stream: old, .. }) => stream == old,
            (Control::DropStream { stream }, Control::DropStream { stream: old }) => stream == old,
            // Where the call is last is where it is.
            (Control::Transfer { .. }, Control::Transfer { .. }) => true,
            // A call that is admitted after its session was ended is ended once.
            (Control::End, Control::End) => true,
            _ => false,
        };
        self.waiting.retain(|waiting| !superseded(waiting));
        if self.waiting.len() >= WAITING {
            let describes = |control: &Control| matches!(control, Control::Describe(_));
            if let Some(oldest) = self.waiting.iter().position(describes) {
                self.waiting.remove(oldest);
            }
        }
        let needed = matches!(
            control,
            Control::Pause
                | Control::Resume
                | Control::Transfer { .. }
                | Control::Withdraw { .. }
                | Control::Answer { .. }
                | Control::AddStream(_)
                | Control::End
        );
        if needed || self.waiting.len() < WAITING * 4 {
            self.waiting.push_back(control);
        }
    }

    /// Whether the feed has taken every transfer.
    pub fn has_moved(&self) -> bool {
        !self.moves && !self.waiting.iter().any(|control| matches!(control, Control::Transfer { .. }))
    }

    /// Whether the control under way is a transfer.
    pub const fn is_moving(&self) -> bool {
        self.moves
    }

    /// The next control to carry out, if none is under way.
    pub fn next_control(&mut self) -> Option<(CallId, Control)> {
        let call = self.saved.call.filter(|_| !self.busy && !self.gone)?;
        let control = self.waiting.pop_front()?;
        self.busy = true;
        self.adds = matches!(control, Control::AddStream(_));
        self.moves = matches!(control, Control::Transfer { .. });
        Some((call, control))
    }

    /// The control under way is done.
    pub fn done(&mut self) {
        self.busy = false;
        self.moves = false;
    }

    /// Asks for a stream for a line that has none yet.
    pub fn add(&mut self, line: usize, stream: NewStream) {
        self.adding.push_back((line, told(stream.clone())));
        self.control(Control::AddStream(Box::new(stream)));
    }

    /// Streams that were asked for and have no port yet.
    pub fn joining(&self) -> usize {
        self.adding.len()
    }

    /// The control under way is done; where it added a stream, its line gets the port. `None`: no
    /// stream was added. True: the last one that the client's text wants has its answer.
    pub fn added(&mut self, streams: Option<&[StreamView]>) -> Option<bool> {
        if !std::mem::take(&mut self.adds) {
            return None;
        }
        let (line, told) = self.adding.pop_front()?;
        if let (Some(line), Some(all @ [.., new])) = (self.saved.ours.lines.get_mut(line), streams) {
            // Others may have added streams to the call that are none of this session's.
            let index = all.len() - 1;
            line.taken = Some(Taken { stream: Some(index as u8), address: new.address });
            self.told.resize_with(index.max(self.told.len()), Default::default);
            self.told.push(told);
        }
        Some(self.adding.is_empty())
    }

    /// Whether nothing is under way or waiting.
    pub fn is_idle(&self) -> bool {
        !self.admitting && !self.busy && (self.waiting.is_empty() || self.saved.call.is_none() || self.gone)
    }

    /// Remembers what the engine was told of each stream at admission.
    pub fn streams_admitted(&mut self, streams: &[NewStream]) {
        self.told = streams.iter().map(|stream| told(stream.clone())).collect();
    }

    /// Follows a description of the client: tells the engine of changed streams, of hold and
    /// of its end. The time axis goes on while the client holds.
    pub fn follow(&mut self, offer: &Offer, source: MediaSource) {
        self.saved.ours.follow(offer);
        self.saved.change_lines(offer);
        self.saved.lines = offer.media.len();
        let mut all_held = true;
        let mut changes = Vec::new();
        for (line, media) in self.saved.ours.lines.iter().zip(&offer.media) {
            let Some(index) = line.taken.and_then(|taken| taken.stream) else { continue };
            all_held &= media.is_held() || media.port == 0;
            let known = self.told.get_mut(usize::from(index));
            if media.port == 0 {
                // Told nothing any more: whatever comes next is a change.
                if let Some(known) = known.filter(|known| !known.0.is_empty()) {
                    known.0.clear();
                    changes.push(Control::DropStream { stream: index });
                }
                continue;
            }
            let mut new = streams::stream(media, source);
            if let Some(srtp) = &mut new.srtp {
                srtp.send = line.own_key().cloned();
            }
            let hold = media.address.is_some_and(|ip| ip.is_unspecified());
            if new.formats.is_empty() || hold {
                continue;
            }
            let told = told(new);
            if let Some(known) = known.filter(|known| **known != told) {
                known.clone_from(&told);
                let (formats, telephone_event, comfort_noise, source, srtp, rtcp) = told;
                changes.push(Control::Renegotiate {
                    stream: index,
                    formats,
                    telephone_event,
                    comfort_noise,
                    source,
                    srtp,
                    rtcp,
                });
            }
        }
        changes.into_iter().for_each(|change| self.control(change));
        let held = all_held || offer.media.iter().any(|media| media.record_paused);
        self.saved.held = held;
        self.pace();
    }

    /// Notes whose streams an offer puts on hold, and whose go on. Whether that is new.
    pub fn notes_holds(&mut self, offer: &Offer, now: WallTime) -> bool {
        let view = &mut self.saved.view;
        let lines = offer.media.iter().filter_map(|media| Some((media.label.as_ref()?, media)));
        lines.fold(false, |new, (label, media)| {
            let held = media.is_held() || media.port == 0 || media.record_paused;
            view.hold(label, held, now) | new
        })
    }

    /// Tells the call to pause while the client holds, its streams are not taken yet or nobody
    /// knows which department has it, and to go on after.
    pub fn pace(&mut self) {
        let paused = self.saved.held || self.saved.waits || self.saved.transfers.is_unknown();
        if paused != self.saved.paused {
            self.saved.paused = paused;
            self.control(if paused { Control::Pause } else { Control::Resume });
        }
    }

    /// The streams are taken from now on.
    pub fn taken(&mut self) {
        self.saved.waits = false;
        self.saved.listening = true;
        self.pace();
    }

    /// When its streams are to be asked for. While an INVITE is under way that waits, and is
    /// looked at when it is over.
    pub fn taking_at(&self) -> Option<MonoTime> {
        match self.taking {
            Taking::Due(at) if self.is_settled() && !self.over => Some(at),
            _ => None,
        }
    }

    /// Whether no INVITE of the client is under way.
    pub fn is_settled(&self) -> bool {
        self.opening.is_none() && self.growing.is_none() && self.unacknowledged.is_none() && !self.offered
    }

    /// What is known of the call, with these new bodies.
    pub fn context(&self, parties: &Parties, raw: Vec<RawBody>) -> CallContext {
        let view = &self.saved.view;
        let mut links = self.saved.links.clone();
        let mut add = |kind, values: &[String]| {
            links.extend(values.iter().map(|value| CallLink { kind, value: value.clone().into() }));
        };
        add(LinkKind::Group, &view.groups);
        add(LinkKind::CommunicationSession, &view.sessions);
        add(LinkKind::SessionId, &view.sip_session_ids);
        add(LinkKind::Ucid, &view.ucids);
        let known = |text: &String| (!text.is_empty()).then(|| text.clone().into());
        let label = |stream: &String| {
            let found = view.streams.iter().find(|(id, _)| id == stream);
            found.map_or_else(|| stream.clone(), |(_, label)| label.clone())
        };
        let participants = view.participants.iter().map(|member| Participant {
            addresses: member.aors.clone(),
            name: member.name.clone(),
            labels: member.sends.iter().map(label).collect(),
            joined_at: member.joined_at,
            left_at: member.left_at,
            held: member.held.clone(),
        });
        CallContext {
            caller_number: known(&parties.caller_number),
            called_number: known(&parties.called_number),
            caller_name: parties.caller_name.clone().map(Into::into),
            links,
            participants: participants.collect(),
            raw,
            raw_left_out: 0,
        }
        .cleaned()
    }
}
