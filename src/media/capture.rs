//! The half of a stream that holds audio: reordering, decoding, frames, Opus. It is made when
//! the gate opens and wiped when it closes; before consent it does not exist.

use std::collections::VecDeque;
use std::time::Duration;

use super::codec::PayloadFormat;
use super::encoder::{Encoder, OpusSettings};
use super::gap::GapTracker;
use super::jitter::{Insert, Jitter, PAYLOAD_BYTES};
use super::output::{Gap, GapReason, StreamCounts};
use super::pcm::{FRAME_SAMPLES, PcmWindow};
use super::rtp::packet::RtpPacket;
use super::stats::TickStats;
use super::timeline::Timeline;
use crate::base::clock::MonoTime;

/// Samples that the window reaches beyond the reorder wait: a tick, the longest packet, slack.
const AHEAD_SAMPLES: usize = 300 * 8;
/// Arrival time after which frames are made even before the tick's turn, so that a stalled
/// tick's backlog passes through without loss.
const CATCH_UP: Duration = Duration::from_millis(200);
/// Frames that are concealed before silence takes over: 200 ms.
const CONCEALED_FRAMES: u32 = 10;
/// The same where no later packet shows yet that something was lost: 60 ms.
const UNPROVEN_FRAMES: u32 = 3;
/// Holes remembered; older ones have been emitted.
const HOLES: usize = 64;

/// A span between two packets, and why nothing is there.
#[derive(Clone, Copy, Debug)]
struct Hole {
    from: i64,
    to: i64,
    reason: GapReason,
}

/// Encoded frames of a stream that wait for the tick's end.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Length of each packet.
    pub lengths: Vec<u16>,
    /// Loudest sample of each frame, `|sample| >> 7`.
    pub peaks: Vec<u8>,
    /// The packets.
    pub bytes: Vec<u8>,
}

/// What the half of the stream that always runs lends its capture.
pub struct Lent<'a> {
    /// Where timestamps lie.
    pub timeline: &'a mut Timeline,
    /// Audio payload types.
    pub formats: &'a [PayloadFormat],
    /// The stream's counters.
    pub counts: &'a mut StreamCounts,
    /// The tick's counters.
    pub stats: &'a mut TickStats,
}

/// The audio of one stream since the gate opened.
pub struct Capture {
    stream: u8,
    zero: MonoTime,
    reorder: Duration,
    caught_up: MonoTime,
    settled: bool,
    jitter: Jitter,
    window: PcmWindow,
    encoder: Encoder,
    history: [i16; FRAME_SAMPLES],
    missing_run: u32,
    holes: VecDeque<Hole>,
    last_end: Option<i64>,
    paused: VecDeque<(i64, i64)>,
    gaps: GapTracker,
    frame: u32,
    placed_samples: u64,
    /// Frames made since the last tick.
    pub encoded: Encoded,
    /// Gaps closed since the last tick.
    pub closed_gaps: Vec<Gap>,
}

impl Capture {
    /// A capture whose time axis starts at `zero`.
    pub fn new(stream: u8, zero: MonoTime, reorder: Duration, opus: OpusSettings) -> Self {
        Self {
            stream,
            zero,
            reorder,
            caught_up: zero,
            settled: false,
            jitter: Jitter::new(reorder),
            window: PcmWindow::new(reorder.as_millis() as usize * 8 + AHEAD_SAMPLES),
            encoder: Encoder::new(opus),
            history: [0; FRAME_SAMPLES],
            missing_run: u32::MAX,
            holes: VecDeque::with_capacity(HOLES),
            last_end: None,
            paused: VecDeque::new(),
            gaps: GapTracker::default(),
            frame: 0,
            placed_samples: 0,
            encoded: Encoded::default(),
            closed_gaps: Vec::new(),
        }
    }

    /// Whether any audio was accepted.
    pub fn has_audio(&self) -> bool {
        self.placed_samples > 0
    }

    /// Nothing is kept from this position on, until [`Capture::resume`].
    pub fn pause(&mut self, at: i64) {
        self.paused.push_back((at, i64::MAX));
    }

    /// Audio is kept again from this position on.
    pub fn resume(&mut self, at: i64) {
        if let Some(last) = self.paused.back_mut() {
            last.1 = at;
        }
    }

    /// Another sender: its sequence numbers say nothing about the old one's.
    pub fn new_source(&mut self) {
        self.jitter.clear();
        self.settled = false;
    }

    /// Puts a packet into the reorder buffer.
    pub fn insert(&mut self, packet: &RtpPacket<'_>, ticks: i64, payload: &[u8], lent: &mut Lent<'_>) {
        match self.jitter.insert(packet.sequence, ticks, packet.payload_type, payload) {
            Insert::Kept => {}
            Insert::Duplicate => {
                lent.counts.duplicate += 1;
                lent.stats.duplicate += 1;
            }
            Insert::Late => {
                lent.counts.late += 1;
                lent.stats.late += 1;
            }
            Insert::Oversized => {
                lent.counts.refused += 1;
                lent.stats.oversized += 1;
            }
        }
    }

    /// Makes frames while a backlog is being read, as the ticks that did not run would have.
    pub fn catch_up(&mut self, arrival: MonoTime, lent: &mut Lent<'_>) {
        if arrival.since(self.caught_up) >= CATCH_UP {
            let due = samples(arrival.since(self.zero).saturating_sub(self.reorder));
            self.caught_up = arrival;
            self.advance(due, lent);
        }
    }

    /// Decodes what is in order or due, then encodes every frame that ends at or before `due`.
    pub fn advance(&mut self, due: i64, lent: &mut Lent<'_>) {
        loop {
            self.decode(due, lent);
            if self.window.start() + FRAME_SAMPLES as i64 > due {
                break;
            }
            self.make_frame();
        }
        let made = self.encoder.take_counts();
        lent.stats.frames_coded += made.coded;
        lent.stats.frames_repeated += made.repeated;
        lent.stats.coding_ns += made.coding_ns;
    }

    /// The call is over: the open gap is closed.
    pub fn end(&mut self) {
        self.closed_gaps.extend(self.gaps.end());
    }

    fn decode(&mut self, due: i64, lent: &mut Lent<'_>) {
        if !self.settled {
            lent.timeline.settle();
            self.settled = true;
        }
        let shift = lent.timeline.position(0, self.zero);
        let mut pcm = [0i16; PAYLOAD_BYTES];
        while let Some(item) = self.jitter.pop(due - shift, self.window.end() - shift - PAYLOAD_BYTES as i64)
        {
            lent.counts.lost += item.lost_before;
            lent.stats.lost += item.lost_before;
            let format = lent.formats.iter().find(|format| format.payload_type == item.payload_type);
            let Some(format) = format.filter(|_| !item.payload.is_empty()) else {
                self.last_end = self.last_end.filter(|_| item.lost_before == 0);
                continue;
            };
            let length = format.encoding.decode(item.payload, &mut pcm);
            let at = item.ticks + shift;
            if let Some(from) = self.last_end.filter(|&from| at > from) {
                let reason = if item.lost_before > 0 { GapReason::Lost } else { GapReason::Held };
                if reason == GapReason::Lost {
                    self.gaps.was_lost();
                }
                if self.holes.len() == HOLES {
                    self.holes.pop_front();
                }
                self.holes.push_back(Hole { from, to: at, reason });
            }
            self.last_end = Some(at + length as i64);
            if at >= 0 && at + length as i64 <= self.window.start() {
                // In order, but its frames were made without it.
                lent.counts.late += 1;
                lent.stats.late += 1;
            }
            let placed = self.window.place(at, &pcm[..length]);
            self.placed_samples += placed as u64;
            lent.stats.audio_in_ms += placed as u64 / 8;
        }
    }

    fn make_frame(&mut self) {
        let at = self.window.start();
        let mut frame = [0; FRAME_SAMPLES];
        let placed = self.window.take(&mut frame);
        let reason = if self.is_paused(at) {
            frame = [0; FRAME_SAMPLES];
            Some(GapReason::Paused)
        } else if placed < FRAME_SAMPLES {
            let reason = self.why_missing(at);
            self.fill(&mut frame, placed, reason);
            Some(reason).filter(|_| placed < FRAME_SAMPLES / 2)
        } else {
            self.missing_run = 0;
            self.history = frame;
            None
        };
        self.closed_gaps.extend(self.gaps.frame(self.stream, self.frame, reason));
        let peak = frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let packet = self.encoder.encode(&frame);
        self.encoded.lengths.push(packet.len() as u16);
        self.encoded.bytes.extend_from_slice(packet);
        self.encoded.peaks.push((peak >> 7).min(255) as u8);
        self.frame += 1;
    }

    fn is_paused(&mut self, at: i64) -> bool {
        while self.paused.front().is_some_and(|&(_, to)| to <= at) {
            self.paused.pop_front();
        }
        self.paused.front().is_some_and(|&(from, _)| at + FRAME_SAMPLES as i64 > from)
    }

    fn why_missing(&mut self, at: i64) -> GapReason {
        while self.holes.front().is_some_and(|hole| hole.to <= at) {
            self.holes.pop_front();
        }
        let end = at + FRAME_SAMPLES as i64;
        match self.holes.front() {
            Some(hole) if hole.from < end => hole.reason,
            _ if self.placed_samples == 0 => GapReason::NoMedia,
            _ => GapReason::Held,
        }
    }

    /// Stands in for what was lost: the last frame again, ever quieter, for a short while.
    fn fill(&mut self, frame: &mut [i16; FRAME_SAMPLES], placed: usize, reason: GapReason) {
        let longest = if reason == GapReason::Lost { CONCEALED_FRAMES } else { UNPROVEN_FRAMES };
        if placed == 0 && self.missing_run < longest {
            let left = i32::try_from(CONCEALED_FRAMES - self.missing_run).unwrap_or(0);
            for (sample, &before) in frame.iter_mut().zip(&self.history) {
                *sample = (i32::from(before) * left / (CONCEALED_FRAMES as i32 + 1)) as i16;
            }
        }
        self.missing_run = self.missing_run.saturating_add(1);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.jitter.clear();
        self.history.zeroize();
        self.encoded.bytes.zeroize();
    }
}

/// A time span in samples at 8 kHz.
pub fn samples(span: Duration) -> i64 {
    (span.as_nanos() * 8 / 1_000_000) as i64
}
