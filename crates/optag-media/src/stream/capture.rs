//! The half of a stream that holds audio: reordering, decoding, frames, Opus. It is created when the gate
//! opens and wiped when it closes; before consent it does not exist.

mod frame;

use std::time::Duration;

use zeroize::Zeroize;

use crate::dtmf::keypad::Keypad;
use crate::fact::{Gap, GapReason, StreamCounts, StreamIndex};
use crate::playout::clock_mapping::ClockMapping;
use crate::playout::discarded::Discarded;
use crate::playout::gap_cause::Holes;
use crate::playout::gaps::GapTracker;
use crate::playout::jitter_buffer::{Insert, JitterBuffer};
use crate::playout::redaction::Redaction;
use crate::playout::sender_clock::Place;
use crate::stats::TickStats;
use crate::stream::coder::When;
use crate::stream::decode_buffer::Decoded;
use crate::stream::encoded::Encoded;
use crate::stream::gate::Open;
use crate::stream::media::StreamMedia;
use crate::stream::passthrough::Passthrough;
use crate::stream::settings::{CaptureSettings, LOOK_AHEAD};
use crate::stream::tracks::Tracks;
use crate::stream::transcode::{self, Transcoder};
use crate::timebase::{self, FRAME_AXIS};
use optag_core::clock::MonoTime;

/// Arrival time after which frames are made ahead of the tick, so that a stalled tick's backlog passes
/// through without loss.
const CATCH_UP: Duration = Duration::from_millis(200);
/// Longest packet. Units: of the axis.
const LONGEST_PACKET: i64 = 6 * FRAME_AXIS;

/// What the always-running half of the stream lends to its capture.
pub(crate) struct CaptureContext<'a> {
    /// The mapping of timestamps.
    pub timeline: &'a mut ClockMapping,
    /// The meaning of the payload types.
    pub media: &'a StreamMedia,
    /// The stream's key presses.
    pub keypad: &'a mut Keypad,
    /// The stream's counters.
    pub counts: &'a mut StreamCounts,
    /// The tick's counters.
    pub stats: &'a mut TickStats,
}

/// The track of the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    Neither,
    Decoded,
    Passed,
}

/// The audio of one stream since the gate opened.
pub(crate) struct Capture {
    stream: StreamIndex,
    zero: MonoTime,
    settings: CaptureSettings,
    /// Arrivals until then are taken into account in the frames that were made.
    caught_up: MonoTime,
    settled: bool,
    jitter: JitterBuffer,
    /// Created with the first payload that has to be decoded.
    decoded: Option<Box<Transcoder>>,
    /// Created with the first payload that may be kept unchanged.
    passed: Option<Box<Passthrough>>,
    /// Whether Opus is transcoded although it could be kept.
    decode_opus: bool,
    active: Active,
    holes: Holes,
    cuts: Redaction,
    /// When the call may be recorded.
    open: Open,
    /// When nobody speaks who objects to it.
    agreed: Open,
    over: bool,
    gaps: GapTracker,
    refusals: Discarded,
    /// Arrival of the packet being processed.
    arrival: MonoTime,
    frame: u32,
    /// Where the first audio that found its place begins. Units: of the axis.
    begins: Option<i64>,
    /// Frames made since the last tick.
    pub encoded: Encoded,
    /// Gaps closed since the last tick.
    pub closed_gaps: Vec<Gap>,
}

impl Capture {
    /// A capture whose time axis starts at `zero`.
    pub(crate) fn new(stream: StreamIndex, zero: MonoTime, settings: CaptureSettings) -> Self {
        Self {
            stream,
            zero,
            settings,
            caught_up: zero,
            settled: false,
            jitter: JitterBuffer::new(settings.reorder),
            decoded: None,
            passed: None,
            decode_opus: settings.pass_through_max_bps == 0,
            active: Active::Neither,
            holes: Holes::default(),
            cuts: Redaction::default(),
            open: Open::default(),
            agreed: Open::always(),
            over: false,
            gaps: GapTracker::default(),
            refusals: Discarded::default(),
            arrival: zero,
            frame: 0,
            begins: None,
            encoded: Encoded::new(),
            closed_gaps: Vec::new(),
        }
    }

    /// The same for a stream that joins after this many frames of the others.
    pub(crate) fn joining_at(mut self, frame: u32) -> Self {
        self.frame = frame;
        self
    }

    /// Signalling removed the stream, or restored it.
    pub(crate) fn set_over(&mut self, over: bool) {
        self.over = over;
    }

    /// A capture that continues at a frame, after nothing was processed between two positions. `had_audio`:
    /// there was audio before.
    pub(crate) fn go_on(
        stream: StreamIndex,
        zero: MonoTime,
        settings: CaptureSettings,
        frame: u32,
        (from, to): (i64, i64),
        had_audio: bool,
    ) -> Self {
        let mut capture = Self::new(stream, zero, settings);
        capture.frame = frame;
        capture.caught_up = zero + timebase::span(from);
        capture.begins = had_audio.then_some(i64::MIN);
        capture.holes.restart(from, to);
        capture
    }

    /// End of the last audio in order.
    pub(crate) fn heard_to(&self) -> Option<i64> {
        self.holes.heard_to()
    }

    /// Whether any audio was accepted.
    pub(crate) fn has_audio(&self) -> bool {
        self.begins.is_some()
    }

    /// Keeps nothing from this position on, until [`Capture::resume`].
    pub(crate) fn pause(&mut self, at: i64) {
        self.open.close(at, GapReason::Paused);
    }

    /// Keeps nothing from this position on, as who speaks objects to it, until [`Capture::release`].
    pub(crate) fn withhold(&mut self, at: i64) {
        self.agreed.close(at, GapReason::Objected);
    }

    /// Somebody else speaks from this position on.
    pub(crate) fn release(&mut self, at: i64) {
        self.agreed.open(at);
    }

    /// Keeps audio again from this position on.
    pub(crate) fn resume(&mut self, at: i64) {
        self.open.open(at);
    }

    /// An event reports that a key is or was pressed: the audio of that time is cut. `began` is its unwrapped
    /// timestamp, `lasts` its duration so far.
    pub(crate) fn cut_event(
        &mut self,
        arrival: MonoTime,
        began: Option<i64>,
        lasts: Duration,
        timeline: &ClockMapping,
    ) {
        let heard = timebase::length(arrival.since(self.zero));
        let lasts = timebase::length(lasts);
        self.cuts.add(heard - lasts, heard);
        if let Some(began) = began {
            let began = timeline.position(began, self.zero);
            self.cuts.add(began, began + lasts);
        }
    }

    /// Inserts a packet into the reorder buffer.
    pub(crate) fn insert(
        &mut self,
        place: &Place,
        payload_type: u8,
        payload: &[u8],
        lent: &mut CaptureContext<'_>,
    ) {
        if let Some(moved) = place.moved {
            self.jitter.move_by(moved);
        }
        // The least delay of a restarted sender is not known yet.
        self.settled &= !place.restarted;
        match self.jitter.insert(place.number, place.ticks, payload_type, payload) {
            Insert::Kept => {}
            Insert::Duplicate => {
                lent.counts.duplicate += 1;
                lent.stats.duplicate += 1;
            }
            Insert::Late => {
                lent.counts.late += 1;
                lent.stats.late += 1;
                if !payload.is_empty() {
                    self.came_late(lent.timeline.position(place.ticks, self.zero));
                }
            }
            Insert::Oversized => {
                lent.counts.refused += 1;
                lent.stats.oversized += 1;
            }
        }
    }

    /// A packet arrived of which nothing can be kept, for this reason.
    pub(crate) fn refused(&mut self, arrival: MonoTime, why: GapReason) {
        self.refusals.note(timebase::length(arrival.since(self.zero)), why);
    }

    /// The current packet belongs to frames that were made without it.
    fn came_late(&mut self, position: i64) {
        self.refused(self.arrival, GapReason::Late);
        let frame = u32::try_from(position / FRAME_AXIS).unwrap_or(0);
        self.closed_gaps.extend(self.gaps.was_late(frame));
    }

    /// Encodes the following frames with this complexity.
    pub(crate) fn set_complexity(&mut self, complexity: u8) {
        self.settings.opus.complexity = complexity;
        if let Some(track) = &mut self.decoded {
            track.set_complexity(complexity);
        }
    }

    /// Packs the following frames, to be encoded later with this complexity.
    pub(crate) fn encode_later(&mut self, complexity: u8) {
        self.settings.encodes = When::Later;
        self.settings.opus.complexity = complexity;
        if let Some(track) = &mut self.decoded {
            track.encode_later(complexity);
        }
    }

    /// Makes frames while a backlog is read, as the missed ticks would have done.
    pub(crate) fn catch_up(&mut self, arrival: MonoTime, lent: &mut CaptureContext<'_>) {
        self.arrival = arrival;
        if arrival.since(self.caught_up) >= CATCH_UP {
            let due = timebase::length(arrival.since(self.zero).saturating_sub(self.settings.behind()));
            self.advance(due, lent);
        }
    }

    /// Takes packets that are in order or due, then makes every frame that ends at or before `due`.
    pub(crate) fn advance(&mut self, due: i64, lent: &mut CaptureContext<'_>) {
        self.caught_up = self.caught_up.max(self.zero + timebase::span(due) + self.settings.behind());
        loop {
            // Returned before a frame is encoded, so that others can use it then.
            Decoded::lend(|decoded| self.take_packets(due, decoded, lent));
            if self.position() + FRAME_AXIS > due {
                break;
            }
            self.make_frame(lent);
        }
        if let Some(track) = &mut self.decoded {
            let made = track.take_counts();
            lent.stats.frames_coded += made.coded;
            lent.stats.frames_repeated += made.repeated;
            lent.stats.frames_background += made.background;
            lent.stats.frames_packed += made.packed;
            lent.stats.coding_ns += made.coding_ns;
        }
    }

    /// The call has ended: closes the open gap.
    pub(crate) fn end(&mut self) {
        self.closed_gaps.extend(self.gaps.end());
    }

    /// Start of the next frame.
    fn position(&self) -> i64 {
        i64::from(self.frame) * FRAME_AXIS
    }

    /// The current placement of timestamps.
    fn place_by(&mut self, timeline: &mut ClockMapping) -> i64 {
        if !self.settled {
            timeline.settle();
            self.settled = true;
        }
        let shift = timeline.position(0, self.zero);
        let placed_to = self.holes.heard_to().unwrap_or(i64::MAX).saturating_add(LONGEST_PACKET);
        self.open.placed_by(shift, placed_to);
        self.agreed.placed_by(shift, placed_to);
        shift
    }

    fn take_packets(&mut self, due: i64, decoded: &mut Decoded<'_>, lent: &mut CaptureContext<'_>) {
        let shift = self.place_by(lent.timeline);
        let end = self.position() + timebase::length(self.settings.reorder) + transcode::AHEAD;
        let open = lent.timeline.undecided(self.zero + timebase::span(due) + self.settings.behind());
        let due = due + timebase::length(LOOK_AHEAD);
        while let Some(item) = self.jitter.pop_below(open, due - shift, end - shift - LONGEST_PACKET) {
            lent.counts.lost += item.lost_before;
            lent.stats.lost += item.lost_before;
            let format = lent.media.format(item.payload_type);
            let (at, lost) = (item.ticks + shift, item.lost_before);
            let Some(format) = format.filter(|_| !item.payload.is_empty()) else {
                match lent.media.is_comfort_noise(item.payload_type) {
                    true => self.holes.noise(at, lost, &mut self.gaps),
                    false => self.holes.unknown(lost),
                }
                continue;
            };
            let tracks = Tracks {
                decoded: &mut self.decoded,
                passed: &mut self.passed,
                decode_opus: &mut self.decode_opus,
                settings: &self.settings,
                frame: self.frame,
            };
            let Some(took) = tracks.take(at, format.encoding, item.payload, item.lost_before > 0, decoded)
            else {
                lent.counts.refused += 1;
                lent.stats.undecodable += 1;
                self.refusals.note(at, GapReason::Refused);
                continue;
            };
            let silent_after = format.encoding.ends_in_silence(item.payload);
            let (cuts, zero) = (&mut self.cuts, self.zero);
            let now = zero + timebase::span(at + took.length);
            let cut = |from: i64, to: i64| cuts.add(from + shift, to + shift);
            if took.decoded > 0 {
                let heard = (format.encoding, &decoded.pcm[..took.decoded]);
                lent.keypad.hear(now, item.ticks, heard, lent.timeline, cut);
            } else if lent.keypad.hears(format.encoding, &lent.media.telephone_event) {
                let (encoding, payload) = (format.encoding, item.payload);
                lent.keypad.hear_payload(now, item.ticks, encoding, payload, lent.timeline, cut);
            }
            self.holes.audio(at, took.length, lost, &mut self.gaps);
            if silent_after {
                self.holes.noise_follows();
            }
            if at >= 0 && took.length > 0 && at + took.length <= self.position() {
                // In order, but its frames were made without it.
                lent.counts.late += 1;
                lent.stats.late += 1;
                self.came_late(at);
            }
            if took.placed > 0 {
                self.begins = Some(self.begins.map_or(at, |begins| begins.min(at)));
            }
            lent.stats.audio_in_ms += took.placed as u64 / 48;
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.jitter.clear();
        self.encoded.bytes.zeroize();
    }
}
