//! A call as a pure state machine. In: datagrams with their arrival times, commands, the passing of time.
//! Out: the facts of [`output`]. This is where the consent gate is: captures, the only objects that hold
//! audio, are created when consent is granted and wiped when it ends.

mod coding;
pub mod fault;
pub(crate) mod keys;
pub(crate) mod outcome;
pub mod output;
pub mod plan;
pub mod resume;
pub(crate) mod roster;
pub mod snapshot;

use std::net::SocketAddr;

use super::rtp::rtcp::{Reports, cname};
use super::stats::TickStats;
use crate::call::fault::Step;
use crate::call::output::{Fact, Output};
pub use crate::call::plan::{CallRules, CallSettings, CallState, Command, Now};
use crate::dtmf::sequences::KeyMatcher;
use crate::fact::{Ended, EndedBy, Gap, GapReason, StreamCounts, StreamIndex};
use crate::playout::gaps::SPLIT_FRAMES;
use crate::stream::block_builder;
use crate::stream::capture::Capture;
use crate::stream::plan::StreamPlan;
use crate::stream::{Permit, Stream};
use crate::timebase::{self, FRAME_AXIS};
use optag_core::call::consent::{ConsentError, ConsentInput};
use optag_core::call::{ConsentHow, ConsentMachine, ConsentRecord, ConsentState, Evidence};
use optag_core::clock::MonoTime;
use optag_core::id::CallId;

/// Most frames of a block, 5 s: a backlog's frames come at once, and those of eight streams at 48 kHz that are
/// packed must fit into a record of the spool.
const BLOCK_FRAMES: usize = 250;

/// The state machine of one call.
pub struct Call {
    pub(super) rules: CallRules,
    pub(super) settings: CallSettings,
    pub(super) consent: ConsentMachine,
    pub(super) matcher: KeyMatcher,
    pub(super) streams: Vec<Stream>,
    pub(super) admitted: MonoTime,
    pub(super) zero: Option<MonoTime>,
    pub(super) frames_out: u32,
    /// Whether a frame has been made since audio last arrived.
    pub(super) had_audio: bool,
    pub(super) paused: bool,
    /// Until when signalling vouches for the call; at least the time of the last sign of life.
    pub(super) vouched: Option<MonoTime>,
    /// Whether the captures keep nothing: paused, or consent does not cover the department.
    pub(super) closed: bool,
    /// The span rejected by the spool, and whether it grew since the last tick.
    spool_gap: Option<(u32, u32)>,
    spool_gap_grew: bool,
    pub(super) ended: Option<Ended>,
    pub(super) facts: Vec<Fact>,
    /// When it was last saved, and whether something has changed since.
    pub(super) saved_at: MonoTime,
    pub(super) changed: bool,
}

impl Call {
    /// A call admitted at `now`, its streams in channel order.
    pub fn new(rules: CallRules, streams: Vec<StreamPlan>, settings: CallSettings, now: MonoTime) -> Self {
        let id = rules.id.to_bytes();
        let stream = |(n, plan)| Stream::new(plan, settings.tones, Reports::new(cname(&id), n));
        let consent = ConsentMachine::new(rules.question.clone(), rules.prompt_version.as_deref(), now);
        Self {
            matcher: KeyMatcher::new(consent.keys().clone()),
            consent,
            streams: streams.into_iter().enumerate().map(stream).collect(),
            admitted: now,
            zero: None,
            frames_out: 0,
            had_audio: false,
            paused: false,
            vouched: None,
            closed: false,
            spool_gap: None,
            spool_gap_grew: false,
            ended: None,
            facts: Vec::new(),
            saved_at: now,
            changed: false,
            rules,
            settings,
        }
    }

    /// Its id.
    pub fn id(&self) -> CallId {
        self.rules.id
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Its current state.
    pub fn state(&self) -> CallState {
        CallState {
            consent: self.consent.state(),
            paused: self.paused,
            ended: self.ended.clone(),
            streams: self.streams.iter().map(|stream| *stream.counts()).collect(),
        }
    }

    /// Packet counters of a stream.
    pub fn counts(&self, stream: usize) -> Option<&StreamCounts> {
        self.streams.get(stream).map(Stream::counts)
    }

    /// The order in which to read the streams: those whose key presses answer come first, so that a yes opens
    /// the gate for packets of the other streams in the same tick.
    pub fn reading_order(&self) -> impl Iterator<Item = usize> + use<> {
        let answers: Vec<bool> = self.streams.iter().map(|stream| stream.role().may_answer()).collect();
        let pick = |wanted: bool, all: Vec<bool>| {
            all.into_iter().enumerate().filter(move |(_, may)| *may == wanted).map(|(n, _)| n)
        };
        pick(true, answers.clone()).chain(pick(false, answers))
    }

    /// Handles a datagram of a stream. It may have arrived slightly after `now`, since a pass over many calls
    /// takes time; audio is placed by its true arrival.
    pub fn handle(
        &mut self,
        now: Now,
        index: usize,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        stats: &mut TickStats,
    ) {
        let permit = self.permit();
        let Some(stream) = self.streams.get_mut(index) else { return };
        let listen = permit.listen && stream.role().may_answer();
        stream.handle(arrival, from, datagram, Permit { listen, ..permit }, stats);
        self.take_presses(now, index);
    }

    /// Applies a command.
    ///
    /// Errors: forbidden by the consent rules; nothing has changed.
    pub fn command(&mut self, now: Now, command: Command, stats: &mut TickStats) -> Result<(), ConsentError> {
        if self.ended.is_some() {
            return Err(ConsentError::Ended);
        }
        fault::reached(self.rules.id, Step::Command);
        match command {
            Command::Answer { answer, how, prompt_version, evidence } => {
                let input = ConsentInput::Answer(answer);
                self.consent_input(now, now.mono, input, how, prompt_version, evidence)
            }
            Command::Withdraw { how, evidence } => {
                self.consent_input(now, now.mono, ConsentInput::Withdraw, how, None, evidence)
            }
            Command::Transfer { to, prompt_version, evidence } => {
                let heard = prompt_version.as_deref();
                let moved = self.consent.transfer(now.mono, now.wall, *to, heard, evidence)?;
                self.matcher.hear(self.consent.keys().clone());
                self.changed = true;
                if let Some(record) = moved {
                    self.apply(now.mono, record);
                }
                Ok(())
            }
            Command::Pause => {
                self.set_paused(now.mono, true);
                Ok(())
            }
            Command::Resume => {
                self.set_paused(now.mono, false);
                Ok(())
            }
            Command::Silence { silence } => {
                self.settings.rtp_timeout = silence;
                Ok(())
            }
            Command::Alive { vouched } => {
                // Silence is counted from here.
                let until = now.mono + vouched.saturating_sub(self.settings.rtp_timeout);
                self.vouched = self.vouched.max(Some(until));
                Ok(())
            }
            Command::Renegotiate { stream: index, media } => {
                if let Some(stream) = self.streams.get_mut(usize::from(index)) {
                    stream.renegotiate(now.mono, *media);
                }
                Ok(())
            }
            Command::DropStream { stream: index } => {
                if let Some(stream) = self.streams.get_mut(usize::from(index)) {
                    stream.set_dropped(true);
                }
                Ok(())
            }
            Command::Withhold { streams } => {
                let at = self.zero.map(|zero| timebase::length(now.mono.since(zero)));
                for (stream, withheld) in self.streams.iter_mut().zip(streams) {
                    stream.withhold(withheld, at);
                }
                Ok(())
            }
            Command::End => {
                self.end(now, EndedBy::Feed, stats);
                Ok(())
            }
        }
    }

    /// Advances time: handles timeouts and makes every frame that is due.
    pub fn tick(&mut self, now: Now, stats: &mut TickStats) {
        if self.ended.is_some() {
            return;
        }
        if let Some(record) = self.consent.expire(now.mono, now.wall) {
            self.apply(now.mono, record);
        }
        if let Some(by) = self.timed_out(now.mono) {
            return self.end(now, by, stats);
        }
        if let Some(zero) = self.zero {
            let due = timebase::length(now.mono.since(zero).saturating_sub(self.settings.capture.behind()));
            self.advance(now, due, stats);
        }
        self.save_if_due(now.mono);
    }

    /// Ends the call: emits what was received until now, then the one `Ended`.
    pub fn end(&mut self, now: Now, by: EndedBy, stats: &mut TickStats) {
        if self.ended.is_some() {
            return;
        }
        if let Some(record) = self.consent.end(now.wall) {
            self.facts.push(Fact::Consent(record));
        }
        self.streams.iter_mut().for_each(|stream| stream.close(stats));
        if let Some(zero) = self.zero {
            let heard = timebase::length(now.mono.since(zero)) + FRAME_AXIS / 2;
            self.advance(now, heard / FRAME_AXIS * FRAME_AXIS, stats);
            for stream in &mut self.streams {
                if let Some(capture) = &mut stream.capture {
                    capture.end();
                    self.facts.extend(capture.closed_gaps.drain(..).map(Fact::Gap));
                }
            }
            self.report_spool_gap(true);
        }
        self.close(now, by);
    }

    /// Whether the gate is open.
    pub fn is_recording(&self) -> bool {
        self.zero.is_some() && self.ended.is_none()
    }

    /// Moves out the facts since the last call, in order.
    pub fn take_facts(&mut self, out: &mut Vec<Output>) {
        let call = self.rules.id;
        out.extend(self.facts.drain(..).map(|fact| Output { call, fact }));
    }

    /// The spool rejected this block: the span is marked instead.
    pub fn not_spooled(&mut self, first_frame: u32, frames: u32) {
        let to = first_frame + frames;
        self.spool_gap = Some(self.spool_gap.map_or((first_frame, to), |(from, _)| (from, to)));
        self.spool_gap_grew = true;
    }

    /// What may be done with audio now: kept after a yes, examined for key presses while they can have an
    /// effect.
    fn permit(&self) -> Permit {
        let live = self.ended.is_none();
        let may_change = matches!(self.consent.state(), ConsentState::Asked | ConsentState::Granted);
        let listen = may_change || self.consent.stands();
        Permit { keep: live && self.consent.is_open() && !self.paused, listen: live && listen }
    }

    pub(super) fn consent_input(
        &mut self,
        now: Now,
        at: MonoTime,
        input: ConsentInput,
        how: ConsentHow,
        prompt_version: Option<String>,
        evidence: Evidence,
    ) -> Result<(), ConsentError> {
        let change = self.consent.handle(at, now.wall_at(at), input, how, prompt_version, evidence)?;
        if let Some(record) = change {
            self.apply(at, record);
        }
        Ok(())
    }

    /// Opens or closes the gate.
    fn apply(&mut self, at: MonoTime, record: ConsentRecord) {
        let state = record.state;
        // First, so that a withdrawal is known even if what follows fails.
        self.facts.push(Fact::Consent(record));
        match state {
            ConsentState::Granted if self.zero.is_some() => {}
            ConsentState::Granted => {
                self.zero = Some(at);
                for (index, stream) in self.streams.iter_mut().enumerate() {
                    stream.open(Capture::new(StreamIndex(index as u8), at, self.settings.capture));
                }
            }
            ConsentState::Withdrawn => {
                fault::reached(self.rules.id, Step::Wipe);
                self.wipe();
            }
            ConsentState::Unknown | ConsentState::Asked | ConsentState::Refused => {}
        }
        self.changed = true;
        self.close_or_open(at);
    }

    /// Forgets every sample, including facts of this tick that contain audio.
    pub(super) fn wipe(&mut self) {
        for stream in &mut self.streams {
            stream.capture = None;
        }
        if self.consent.state() == ConsentState::Withdrawn {
            self.zero = None;
            self.facts.retain(|fact| !matches!(fact, Fact::Media(_) | Fact::Gap(_)));
        }
    }

    fn set_paused(&mut self, at: MonoTime, paused: bool) {
        if paused == self.paused {
            return;
        }
        self.paused = paused;
        self.changed = true;
        self.close_or_open(at);
    }

    /// Starts or stops keeping audio from this moment on, according to consent and the feed's pause.
    fn close_or_open(&mut self, at: MonoTime) {
        let closed = self.paused || !self.consent.is_open();
        let Some(zero) = self.zero.filter(|_| closed != self.closed) else { return };
        self.closed = closed;
        let position = timebase::length(at.since(zero));
        for capture in self.streams.iter_mut().filter_map(|stream| stream.capture.as_mut()) {
            if closed { capture.pause(position) } else { capture.resume(position) }
        }
    }

    pub(super) fn advance(&mut self, now: Now, due: i64, stats: &mut TickStats) {
        for stream in &mut self.streams {
            stream.advance(due, stats);
        }
        for index in 0..self.streams.len() {
            self.take_presses(now, index);
        }
        fault::reached(self.rules.id, Step::Frames);
        self.report_spool_gap(false);
        let (mut frames, mut has_audio) = (usize::MAX, false);
        for capture in self.streams.iter_mut().filter_map(|stream| stream.capture.as_mut()) {
            frames = frames.min(capture.encoded.lengths.len());
            has_audio |= capture.has_audio();
            self.facts.extend(capture.closed_gaps.drain(..).map(Fact::Gap));
        }
        if frames == usize::MAX || frames == 0 {
            return;
        }
        let form = self.form();
        while frames > 0 {
            let some = frames.min(BLOCK_FRAMES);
            let block = block_builder::take(&mut self.streams, some, self.frames_out, form);
            self.frames_out += some as u32;
            self.facts.push(Fact::Media(block));
            frames -= some;
        }
        self.changed |= has_audio && !self.had_audio;
        self.had_audio |= has_audio;
    }

    /// Marks the span rejected by the spool once it has ended or grown long: the marks themselves must not
    /// fill the spool.
    pub(super) fn report_spool_gap(&mut self, is_over: bool) {
        let grew = std::mem::take(&mut self.spool_gap_grew);
        let goes_on = |gap: &(u32, u32)| grew && !is_over && gap.1 - gap.0 < SPLIT_FRAMES;
        let Some((from_frame, to_frame)) = self.spool_gap.take_if(|gap| !goes_on(gap)) else { return };
        let gap = |stream| Gap { stream, from_frame, to_frame, reason: GapReason::Spool };
        self.facts.extend((0..self.streams.len() as u8).map(|n| Fact::Gap(gap(StreamIndex(n)))));
    }
}
