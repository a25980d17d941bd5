//! The half of a stream that holds audio: reordering, decoding, frames, Opus. It is made when
//! the gate opens and wiped when it closes; before consent it does not exist.

use std::collections::VecDeque;
use std::time::Duration;

use super::axis::{self, FRAME_AXIS};
use super::background::AHEAD_FRAMES;
use super::codec::decoder::LONGEST_SAMPLES;
use super::codec::{Encoding, PayloadFormat};
use super::encoder::{OpusSettings, silence_packet};
use super::gap::GapTracker;
use super::jitter::{Insert, Jitter};
use super::output::{Gap, GapReason, StreamCounts};
use super::pass_track::{PassTrack, Passed, loudness};
use super::pcm_track::{self, PcmTrack};
use super::rtp::packet::RtpPacket;
use super::stats::TickStats;
use super::timeline::Timeline;
use crate::base::clock::MonoTime;

/// Arrival time after which frames are made even before the tick's turn, so that a stalled
/// tick's backlog passes through without loss.
const CATCH_UP: Duration = Duration::from_millis(200);
/// Frames of a tick, and the bytes of their packets at a usual rate: more grow the lists.
const TICK_FRAMES: usize = 16;
const TICK_BYTES: usize = 768;
/// Holes remembered; older ones have been emitted.
const HOLES: usize = 64;
/// Longest packet. Units: of the axis.
const LONGEST_PACKET: i64 = 6 * FRAME_AXIS;

/// What a capture is set up with.
#[derive(Clone, Copy, Debug)]
pub struct CaptureSettings {
    /// How long a packet may be late and still find its place.
    pub reorder: Duration,
    /// Opus settings.
    pub opus: OpusSettings,
    /// Opus streams of up to this rate are kept as they come. Units: bit/s.
    pub pass_through_max_bps: u32,
}

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

/// Which track made the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    Neither,
    Decoded,
    Passed,
}

/// The audio of one stream since the gate opened.
pub struct Capture {
    stream: u8,
    zero: MonoTime,
    settings: CaptureSettings,
    caught_up: MonoTime,
    settled: bool,
    jitter: Jitter,
    /// Made when the first payload comes that has to be decoded.
    decoded: Option<Box<PcmTrack>>,
    /// Made when the first payload comes that may be kept as it is.
    passed: Option<Box<PassTrack>>,
    /// Whether Opus is decoded though it came as such.
    decode_opus: bool,
    active: Active,
    holes: VecDeque<Hole>,
    last_end: Option<i64>,
    paused: VecDeque<(i64, i64)>,
    gaps: GapTracker,
    frame: u32,
    placed: i64,
    /// How far frames are made behind what is due, so that their coding hears what follows.
    behind: i64,
    /// Frames made since the last tick.
    pub encoded: Encoded,
    /// Gaps closed since the last tick.
    pub closed_gaps: Vec<Gap>,
}

impl Capture {
    /// A capture whose time axis starts at `zero`.
    pub fn new(stream: u8, zero: MonoTime, settings: CaptureSettings) -> Self {
        Self {
            stream,
            zero,
            settings,
            caught_up: zero,
            settled: false,
            jitter: Jitter::new(settings.reorder),
            decoded: None,
            passed: None,
            decode_opus: settings.pass_through_max_bps == 0,
            active: Active::Neither,
            holes: VecDeque::new(),
            last_end: None,
            paused: VecDeque::new(),
            gaps: GapTracker::default(),
            frame: 0,
            placed: 0,
            behind: if settings.opus.saves_background { AHEAD_FRAMES as i64 * FRAME_AXIS } else { 0 },
            encoded: Encoded {
                lengths: Vec::with_capacity(TICK_FRAMES),
                peaks: Vec::with_capacity(TICK_FRAMES),
                bytes: Vec::with_capacity(TICK_BYTES),
            },
            closed_gaps: Vec::new(),
        }
    }

    /// Whether any audio was accepted.
    pub fn has_audio(&self) -> bool {
        self.placed > 0
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

    /// Codes the following frames with this complexity.
    pub fn set_complexity(&mut self, complexity: u8) {
        self.settings.opus.complexity = complexity;
        if let Some(track) = &mut self.decoded {
            track.set_complexity(complexity);
        }
    }

    /// Makes frames while a backlog is being read, as the ticks that did not run would have.
    pub fn catch_up(&mut self, arrival: MonoTime, lent: &mut Lent<'_>) {
        if arrival.since(self.caught_up) >= CATCH_UP {
            let due = axis::length(arrival.since(self.zero).saturating_sub(self.settings.reorder));
            self.caught_up = arrival;
            self.advance(due, lent);
        }
    }

    /// Takes what is in order or due, then makes every frame that ends at or before `due`, but for
    /// the last few until the call ends.
    pub fn advance(&mut self, due: i64, lent: &mut Lent<'_>) {
        loop {
            self.take_packets(due, lent);
            if self.position() + FRAME_AXIS + self.behind > due {
                break;
            }
            self.make_frame(lent);
        }
        if let Some(track) = &mut self.decoded {
            let made = track.take_counts();
            lent.stats.frames_coded += made.coded;
            lent.stats.frames_repeated += made.repeated;
            lent.stats.frames_background += made.background;
            lent.stats.coding_ns += made.coding_ns;
        }
    }

    /// The call is ending: the next frames are made to the last.
    pub fn ending(&mut self) {
        self.behind = 0;
    }

    /// The call is over: the open gap is closed.
    pub fn end(&mut self) {
        self.closed_gaps.extend(self.gaps.end());
    }

    /// Where the next frame begins.
    fn position(&self) -> i64 {
        i64::from(self.frame) * FRAME_AXIS
    }

    fn take_packets(&mut self, due: i64, lent: &mut Lent<'_>) {
        if !self.settled {
            lent.timeline.settle();
            self.settled = true;
        }
        let shift = lent.timeline.position(0, self.zero);
        let end = self.position() + axis::length(self.settings.reorder) + pcm_track::AHEAD;
        let mut pcm = [0i16; LONGEST_SAMPLES];
        while let Some(item) = self.jitter.pop(due - shift, end - shift - LONGEST_PACKET) {
            lent.counts.lost += item.lost_before;
            lent.stats.lost += item.lost_before;
            let format = lent.formats.iter().find(|format| format.payload_type == item.payload_type);
            let Some(format) = format.filter(|_| !item.payload.is_empty()) else {
                self.last_end = self.last_end.filter(|_| item.lost_before == 0);
                continue;
            };
            let at = item.ticks + shift;
            let tracks = Tracks {
                decoded: &mut self.decoded,
                passed: &mut self.passed,
                decode_opus: &mut self.decode_opus,
                settings: &self.settings,
                frame: self.frame,
            };
            let Some(took) = tracks.take(at, format.encoding, item.payload, item.lost_before > 0, &mut pcm)
            else {
                lent.counts.refused += 1;
                lent.stats.undecodable += 1;
                continue;
            };
            let lost = item.lost_before > 0;
            self.note_hole(at, lost);
            self.last_end = Some(at + took.length);
            if at >= 0 && took.length > 0 && at + took.length <= self.position() {
                // In order, but its frames were made without it.
                lent.counts.late += 1;
                lent.stats.late += 1;
            }
            self.placed += took.placed;
            lent.stats.audio_in_ms += took.placed as u64 / 48;
        }
    }

    fn note_hole(&mut self, at: i64, lost: bool) {
        let Some(from) = self.last_end.filter(|&from| at > from) else { return };
        let reason = if lost { GapReason::Lost } else { GapReason::Held };
        if lost {
            self.gaps.was_lost();
        }
        if self.holes.len() == HOLES {
            self.holes.pop_front();
        }
        self.holes.push_back(Hole { from, to: at, reason });
    }

    fn make_frame(&mut self, lent: &mut Lent<'_>) {
        let at = self.position();
        let paused = self.is_paused(at);
        let came = (
            self.decoded.as_ref().is_some_and(|track| track.has_frame()),
            self.passed.as_ref().is_some_and(|track| track.has_frame()),
        );
        let why = self.why_missing(at);
        self.active = match came {
            (_, true) => Active::Passed,
            (true, false) => Active::Decoded,
            (false, false) => self.active,
        };
        let lost = why == GapReason::Lost;
        let (decoded, passed) = (self.decoded.as_deref_mut(), self.passed.as_deref_mut());
        let (packet, peak, missing): (&[u8], u8, bool) = match (self.active, decoded, passed) {
            (Active::Decoded, Some(track), other) => {
                other.into_iter().for_each(PassTrack::skip);
                if paused {
                    (track.silence(), 0, true)
                } else {
                    let (packet, peak, missing) = track.frame(lost);
                    (packet, (peak >> 7).min(255) as u8, missing)
                }
            }
            (Active::Passed, other, Some(track)) => {
                other.into_iter().for_each(PcmTrack::skip);
                lent.stats.frames_passed += u64::from(came.1 && !paused);
                match (paused, came.1) {
                    (true, _) => (track.silence(), 0, true),
                    (false, true) => {
                        let packet = track.frame();
                        (packet, loudness(packet), false)
                    }
                    (false, false) => (track.fill(lost), 0, true),
                }
            }
            (_, decoded, passed) => {
                decoded.into_iter().for_each(PcmTrack::skip);
                passed.into_iter().for_each(PassTrack::skip);
                (silence_packet(), 0, true)
            }
        };
        let reason = if paused { Some(GapReason::Paused) } else { Some(why).filter(|_| missing) };
        self.encoded.lengths.push(packet.len() as u16);
        self.encoded.bytes.extend_from_slice(packet);
        self.encoded.peaks.push(peak);
        self.closed_gaps.extend(self.gaps.frame(self.stream, self.frame, reason));
        self.frame += 1;
    }

    fn is_paused(&mut self, at: i64) -> bool {
        while self.paused.front().is_some_and(|&(_, to)| to <= at) {
            self.paused.pop_front();
        }
        self.paused.front().is_some_and(|&(from, _)| at + FRAME_AXIS > from)
    }

    fn why_missing(&mut self, at: i64) -> GapReason {
        while self.holes.front().is_some_and(|hole| hole.to <= at) {
            self.holes.pop_front();
        }
        let end = at + FRAME_AXIS;
        match self.holes.front() {
            Some(hole) if hole.from < end => hole.reason,
            _ if self.placed == 0 => GapReason::NoMedia,
            _ => GapReason::Held,
        }
    }
}

/// The two tracks, while a payload finds its own.
struct Tracks<'a> {
    decoded: &'a mut Option<Box<PcmTrack>>,
    passed: &'a mut Option<Box<PassTrack>>,
    decode_opus: &'a mut bool,
    settings: &'a CaptureSettings,
    frame: u32,
}

impl Tracks<'_> {
    /// Places a payload; `None` where it is refused.
    fn take(
        self,
        at: i64,
        encoding: Encoding,
        payload: &[u8],
        after_loss: bool,
        pcm: &mut [i16; LONGEST_SAMPLES],
    ) -> Option<pcm_track::Accepted> {
        if encoding == Encoding::Opus && !*self.decode_opus {
            let track = self.passed.get_or_insert_with(|| {
                Box::new(PassTrack::new(self.frame.into(), self.settings.pass_through_max_bps))
            });
            match track.accept(at, payload) {
                Passed::Frames(frames, length) => {
                    return Some(pcm_track::Accepted { length, placed: i64::from(frames) * FRAME_AXIS });
                }
                Passed::Malformed => return None,
                Passed::ToDecode => *self.decode_opus = true,
            }
        }
        let track = self.decoded.get_or_insert_with(|| {
            let ahead = axis::length(self.settings.reorder) + pcm_track::AHEAD;
            Box::new(PcmTrack::new(self.settings.opus, encoding, i64::from(self.frame) * FRAME_AXIS, ahead))
        });
        track.accept(at, encoding, payload, after_loss, pcm)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.jitter.clear();
        self.encoded.bytes.zeroize();
    }
}
