//! A call resumed by a later process: saved while it runs, and recreated from its snapshot.
//!
//! In: a [`CallSnapshot`] and how much of its audio is durable. Out: the call, its time axis continuing in
//! real time. Time in which nothing was received is a gap with reason *restart*; if the sockets stayed open
//! between the processes, their backlog fills it. Not here: which calls may be resumed.

use std::time::Duration;

use crate::call::output::Fact;
use crate::call::snapshot::{CallSnapshot, Resumption};
use crate::call::{Call, CallSettings, Now};
use crate::fact::{Gap, GapReason, StreamIndex};
use crate::rtp::rtcp::{Reports, cname};
use crate::stats::TickStats;
use crate::stream::Stream;
use crate::stream::capture::Capture;
use crate::stream::coder::When;
use crate::stream::settings::CaptureSettings;
use crate::timebase::{self, FRAME_AXIS};
use optag_core::call::ConsentState;
use optag_core::clock::MonoTime;

/// How often the counters of a call are saved if nothing else has changed.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Longest span recovered from sockets that stayed open; anything older is a gap.
const BACKLOG: Duration = Duration::from_secs(10);

/// How late the first packet after a resumption may be without anything being wrong.
const FIRST_PACKET: Duration = Duration::from_millis(60);

impl Call {
    /// Resumes a call at `now`.
    pub fn resume(resumption: Resumption, settings: CallSettings, now: MonoTime) -> Self {
        let Resumption { saved, frames, sockets_kept } = resumption;
        let heard_before = saved.streams.iter().any(|stream| stream.last_heard.is_some());
        let tones = settings.tones;
        let encodes = if saved.encodes_later { When::Later } else { When::Now };
        let settings = CallSettings { capture: CaptureSettings { encodes, ..settings.capture }, ..settings };
        let mut call = Self::new(saved.rules, Vec::new(), settings, saved.admitted);
        // Every sender gets the full timeout again: the silence was our fault.
        let name = cname(&call.id().to_bytes());
        let resume = |(n, saved)| {
            let heard = heard_before.then_some(now);
            Stream::resume(saved, tones, Reports::new(name, n), heard)
        };
        call.streams = saved.streams.into_iter().enumerate().map(resume).collect();
        call.consent = saved.consent;
        call.matcher = saved.matcher;
        call.had_audio = saved.had_audio;
        call.paused = saved.paused;
        call.vouched = saved.vouched;
        call.changed = true;
        if let Some(zero) = saved.zero.filter(|_| call.consent.stands()) {
            call.go_on(zero, frames, sockets_kept, now);
        }
        call
    }

    /// Leaves the call to the next program: makes every frame that was received completely, and saves the
    /// call.
    pub fn leave(&mut self, now: Now, stats: &mut TickStats) {
        if self.is_ended() {
            return;
        }
        if let Some(zero) = self.zero {
            let due = timebase::length(now.mono.since(zero).saturating_sub(self.settings.capture.behind()));
            self.advance(now, due, stats);
            let captures = self.streams.iter().filter_map(|stream| stream.capture.as_ref());
            let heard = captures.filter_map(|capture| capture.heard_to()).filter(|&to| to > due).min();
            self.advance(now, heard.unwrap_or(due), stats);
            for capture in self.streams.iter_mut().filter_map(|stream| stream.capture.as_mut()) {
                capture.end();
                self.facts.extend(capture.closed_gaps.drain(..).map(Fact::Gap));
            }
        }
        self.changed = true;
        self.save_if_due(now.mono);
    }

    /// Reopens the gate, on the existing time axis.
    fn go_on(&mut self, zero: MonoTime, durable: u32, sockets_kept: bool, now: MonoTime) {
        let passed = |until: MonoTime| (timebase::length(until.since(zero)) / FRAME_AXIS) as u32;
        let known_from = if sockets_kept { now - BACKLOG } else { now };
        let start = passed(known_from).max(durable);
        self.zero = Some(zero);
        self.frames_out = start;
        self.admit_gap(durable, start);
        let hole = (i64::from(start) * FRAME_AXIS, timebase::length((now + FIRST_PACKET).since(zero)));
        self.closed = self.paused || !self.consent.is_open();
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let mut capture = Capture::go_on(
                StreamIndex(index as u8),
                zero,
                self.settings.capture,
                start,
                hole,
                self.had_audio,
            );
            if self.closed {
                capture.pause(0);
            }
            capture.set_over(stream.is_dropped());
            stream.open(capture);
        }
    }

    fn admit_gap(&mut self, from_frame: u32, to_frame: u32) {
        if to_frame > from_frame {
            let reason = GapReason::Restart;
            let streams = (0..self.streams.len() as u8).map(StreamIndex);
            let gaps = streams.map(|stream| Gap { stream, from_frame, to_frame, reason });
            self.facts.extend(gaps.map(Fact::Gap));
        }
    }

    /// Saves the call if it has changed, or if its counters are old.
    pub(crate) fn save_if_due(&mut self, now: MonoTime) {
        let changed =
            self.changed | self.streams.iter_mut().fold(false, |any, stream| stream.take_changed() | any);
        if !changed && now.since(self.saved_at) < SAVE_EVERY {
            return;
        }
        self.changed = false;
        self.saved_at = now;
        // Nothing is written for a call that is not recorded, and nothing is left of a withdrawn one.
        if self.consent.was_asked() && self.consent.state() != ConsentState::Withdrawn {
            let saved = self.save(now);
            self.facts.push(Fact::State(Box::new(saved)));
        }
    }

    fn save(&self, now: MonoTime) -> CallSnapshot {
        CallSnapshot {
            boot: None,
            at: now,
            rules: self.rules.clone(),
            consent: self.consent.clone(),
            matcher: self.matcher.clone(),
            admitted: self.admitted,
            zero: self.zero,
            had_audio: self.had_audio,
            paused: self.paused,
            vouched: self.vouched,
            encodes_later: self.encodes_later(),
            streams: self.streams.iter().map(Stream::save).collect(),
        }
    }
}
