//! One recording session: a dialog, our side of its SDP, and its call.
//!
//! In: bodies of its requests. Out: controls for the [`Feed`](crate::feed), one in flight at a
//! time to keep their order. The phases are in `state`. Not here: SIP messages.

pub(crate) mod activation;
pub(crate) mod activation_step;
pub(crate) mod admit;
pub(crate) mod announced;
pub(crate) mod control_queue;
pub(crate) mod controls;
pub mod snapshot;
pub(crate) mod state;
pub(crate) mod transfers;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parties::{Hints, Parties};
use crate::feed::{Control, NewStream, StreamMedia, StreamView};
use crate::sdp::{Description, Offer, Taken};
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::transaction::Key;
use crate::siprec::metadata::merged::View;
use crate::siprec::metadata::request_type::RequestType;
use crate::siprec::parties::transfer::Transfers;
use crate::siprec::session::activation_step::ActivationStep;
use crate::siprec::session::control_queue::ControlQueue;
use crate::siprec::session::state::{
    Admitting, AwaitedAck, Established, SignalledConsent, State, Unanswered,
};
use crate::siprec::settings::MediaSource;
use crate::siprec::streams;
use crate::siprec::timers::{Deadlines, TIMER_GRACE};
use optag_core::call::{
    CallContext, CallLink, ConsentKeys, ConsentState, LinkKind, Participant, RawBody, RefusedStreams,
    Unrecorded,
};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;

/// The part of a session that another process needs to resume it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The dialog.
    pub dialog: Dialog,
    /// Our side of the streams.
    pub ours: Description,
    /// m= lines in the client's latest SDP.
    pub lines: usize,
    /// Who takes part.
    pub view: View,
    /// The client's id for the participant who calls.
    pub caller: Option<String>,
    /// Whether `caller` is a guess.
    #[serde(default)]
    pub guessed: bool,
    /// Party information of the initial INVITE, as updated by later requests.
    pub hints: Hints,
    /// Links that do not come from metadata.
    pub links: Vec<CallLink>,
    /// The call; `None` if nothing is recorded.
    pub call: Option<CallId>,
    /// Whether streams are answered with the requested direction; otherwise inactive.
    pub listening: bool,
    /// Whether the client holds all of its streams.
    pub held: bool,
    /// Keys that answer the consent prompt.
    pub keys: ConsentKeys,
    /// Whether the streams are inactive until consent.
    #[serde(default)]
    pub waits: bool,
    /// Whether the call was paused by a control.
    #[serde(default)]
    pub paused: bool,
    /// Id of its account.
    #[serde(default)]
    pub account: String,
    /// Start time.
    #[serde(default)]
    pub began_at: WallTime,
    /// The client's address.
    #[serde(default)]
    pub client: String,
    /// Transfers: which department has the call.
    #[serde(default)]
    pub transfers: Transfers,
    /// Audio streams that it offered and that are not recorded.
    #[serde(default)]
    pub refused: RefusedStreams,
    /// How its metadata is requested again.
    #[serde(default)]
    pub request_type: RequestType,
}

/// A recording session.
#[derive(Debug)]
pub struct Session {
    /// The part that outlives the process.
    pub saved: Saved,
    /// The flow to the client; `None` after a restart until the client is heard from.
    pub flow: Option<Flow>,
    /// The phase, with its data.
    pub(super) state: State,
    /// The latest consent state that the feed reported.
    pub consent: ConsentState,
    /// EndReason it has no call.
    pub unrecorded: Option<Unrecorded>,
    /// Controls on their way to the feed.
    pub(super) controls: ControlQueue,
    pub(super) signalled: SignalledConsent,
    /// What the engine knows of each stream.
    pub told: Vec<StreamMedia>,
    /// Hash of the snapshot that was last written down.
    pub last_saved: u64,
}

impl Saved {
    /// Moves a stream to an alternative m= line if the client disables the one in use.
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
    /// A session in this phase around its lasting part.
    pub(super) fn new(saved: Saved, state: State) -> Self {
        Self {
            saved,
            flow: None,
            state,
            consent: ConsentState::Unknown,
            unrecorded: None,
            controls: ControlQueue::default(),
            signalled: SignalledConsent::default(),
            told: Vec::new(),
            last_saved: 0,
        }
    }

    /// Whether the dialog is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Abandoned | State::Ended(_))
    }

    /// The data of a confirmed dialog.
    pub(super) fn established(&mut self) -> Option<&mut Established> {
        match &mut self.state {
            State::Established(established) => Some(established),
            _ => None,
        }
    }

    /// Moves on from admission: to established, or to ended where the INVITE was given up
    /// meanwhile. Returns the data of the admission; `None` where there is none to answer.
    pub(super) fn establish(&mut self) -> Option<Admitting> {
        match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Admitting(admitting) => {
                self.state = State::Established(Established::default());
                Some(admitting)
            }
            State::Abandoned => None,
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Ends the dialog. Before the feed has decided, the session waits for its decision.
    pub(super) fn end(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Abandoned) {
            State::Admitting(_) | State::Abandoned => State::Abandoned,
            State::Established(established) => State::Ended(established.awaited_ack),
            ended @ State::Ended(_) => ended,
        };
    }

    fn awaited_ack(&mut self) -> Option<&mut Option<AwaitedAck>> {
        match &mut self.state {
            State::Established(established) => Some(&mut established.awaited_ack),
            State::Ended(awaited) => Some(awaited),
            State::Admitting(_) | State::Abandoned => None,
        }
    }

    /// The awaited ACK, if the INVITE has this CSeq number.
    pub(super) fn take_awaited_ack(&mut self, cseq: u32) -> Option<AwaitedAck> {
        self.awaited_ack()?.take_if(|ack| ack.cseq == cseq)
    }

    /// Whether it waits for the ACK of this INVITE.
    pub(super) fn awaits_ack_of(&self, invite: &Key) -> bool {
        let awaited = match &self.state {
            State::Established(established) => established.awaited_ack.as_ref(),
            State::Ended(awaited) => awaited.as_ref(),
            State::Admitting(_) | State::Abandoned => None,
        };
        awaited.is_some_and(|ack| ack.invite.as_ref() == Some(invite))
    }

    /// Which offer is still to be answered as this request with an offer, or this INVITE, comes.
    pub(super) fn unanswered(&self, request: &Request) -> Option<Unanswered> {
        match &self.state {
            State::Admitting(_) => Some(Unanswered::Theirs),
            State::Established(established) => established.unanswered(request),
            State::Abandoned | State::Ended(_) => None,
        }
    }

    /// When which of its timers are due.
    pub(super) fn deadlines(&self) -> Deadlines {
        let State::Established(established) = &self.state else { return Deadlines::default() };
        let reachable = self.flow.is_some();
        let activation = match established.activation {
            ActivationStep::Due(at) if established.is_settled() && reachable => Some(at),
            _ => None,
        };
        let metadata_request = established.metadata_request.due.filter(|_| reachable);
        let lost_ack = established.awaited_ack.as_ref().and_then(|ack| ack.until);
        Deadlines { activation, session: established.timer_at, metadata_request, lost_ack }
    }

    /// Queues a control for the feed.
    pub(super) fn control(&mut self, control: Control) {
        self.controls.push(control);
    }

    /// The next control to carry out, if none is in flight.
    pub(super) fn next_control(&mut self) -> Option<(CallId, Control)> {
        let call = self.saved.call?;
        self.controls.next().map(|control| (call, control))
    }

    /// The addition of a stream has finished; its line gets the port. True: it was the last
    /// stream that the client's offer added.
    pub(super) fn stream_added(&mut self, streams: Option<&[StreamView]>) -> bool {
        let Some((line, setup)) = self.controls.finish_stream() else { return false };
        if let (Some(line), Some(all @ [.., new])) = (self.saved.ours.lines.get_mut(line), streams) {
            // Others may have added streams to the call that do not belong to this session.
            let index = all.len() - 1;
            line.taken = Some(Taken { stream: Some(index as u8), address: new.address });
            self.told.resize_with(index.max(self.told.len()), Default::default);
            self.told.push(setup);
        }
        self.controls.streams_pending() == 0
    }

    /// Whether nothing is under way or waiting.
    pub fn is_idle(&self) -> bool {
        let deciding = matches!(self.state, State::Admitting(_) | State::Abandoned);
        !deciding && self.controls.is_idle(self.saved.call.is_some())
    }

    /// Stores what each stream carries at admission.
    pub fn streams_admitted(&mut self, streams: &[NewStream]) {
        self.told = streams.iter().map(|stream| stream.media.clone()).collect();
    }

    /// Applies the client's SDP: queues controls for changed, held and removed streams. The time
    /// axis continues while the client holds.
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
                // Cleared, so that the next offer counts as a change.
                if let Some(known) = known.filter(|known| !known.formats.is_empty()) {
                    known.formats.clear();
                    changes.push(Control::DropStream { stream: index });
                }
                continue;
            }
            let mut new = streams::stream_media(media, source);
            if let Some(srtp) = &mut new.srtp {
                srtp.send = line.own_key().cloned();
            }
            let hold = media.address.is_some_and(|ip| ip.is_unspecified());
            if new.formats.is_empty() || hold {
                continue;
            }
            if let Some(known) = known.filter(|known| **known != new) {
                known.clone_from(&new);
                changes.push(Control::Renegotiate { stream: index, media: Box::new(new) });
            }
        }
        changes.into_iter().for_each(|change| self.control(change));
        let held = all_held || offer.media.iter().any(|media| media.record_paused);
        self.saved.held = held;
        self.pace();
    }

    /// Records which participants an offer puts on hold. Returns whether anything changed.
    pub fn notes_holds(&mut self, offer: &Offer, now: WallTime) -> bool {
        let view = &mut self.saved.view;
        let lines = offer.media.iter().filter_map(|media| Some((media.label.as_ref()?, media)));
        lines.fold(false, |new, (label, media)| {
            let held = media.is_held() || media.port == 0 || media.record_paused;
            view.hold(label, held, now) | new
        })
    }

    /// Pauses the call while the client holds, the streams are inactive or the department is
    /// unknown; resumes it afterwards.
    pub fn pace(&mut self) {
        let paused = self.saved.held || self.saved.waits || self.saved.transfers.is_unknown();
        if paused != self.saved.paused {
            self.saved.paused = paused;
            self.control(if paused { Control::Pause } else { Control::Resume });
        }
    }

    /// Sets when the session timer is due next: half-way if we refresh, after the interval and a grace period if the
    /// client does.
    pub fn set_timer(&mut self, now: MonoTime) {
        let timer_at = self.saved.dialog.timer.map(|timer| {
            let interval = Duration::from_secs(timer.interval_s.into());
            now + if timer.refreshed_by_us { interval / 2 } else { interval + TIMER_GRACE }
        });
        if let Some(established) = self.established() {
            established.timer_at = timer_at;
        }
    }

    /// The streams are active from now on.
    pub fn taken(&mut self) {
        self.saved.waits = false;
        self.saved.listening = true;
        self.pace();
    }

    /// The call context as currently known, with these new bodies.
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
