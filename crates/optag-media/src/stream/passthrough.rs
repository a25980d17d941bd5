//! An Opus stream that is kept unchanged. In: payloads in order, each with its position. Out: one Opus packet
//! per frame, byte for byte as sent, if the packets are of 20 ms or can be split into such.
//!
//! Frames are on the call's 20 ms grid: a stream keeps its own order without gaps and is shifted by a whole
//! frame once it would be more than 15 ms off. The time when each frame was spoken is still known, so that
//! nothing is kept from beyond a moment at which the gate opens or closes.

use crate::codec::Encoding;
use crate::opus::concealment::{Concealment, silence_like};
use crate::opus::packet::OpusPacket;
use crate::timebase::FRAME_AXIS;

/// Maximum number of waiting frames.
const SLOTS: usize = 64;
/// How far a frame may be from its position on the grid. Units: of the axis.
const OFF: i64 = FRAME_AXIS * 3 / 4;
/// Number of frames over which the rate is measured: 5 s.
const METER_FRAMES: u32 = 250;
/// Number of concealed frames after a loss before silence takes over: 200 ms.
const FILLED_FRAMES: u32 = 10;

/// How far before a frame its content may have been spoken: its encoder looks ahead, may include a copy of
/// the previous frame (in-band FEC), and encodes what its filters still contain of it. Units: of the axis.
const BEFORE: i64 = Encoding::Opus.lag() + FRAME_AXIS;

/// The result for a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Its frames wait for their turn: their number, and the packet's duration on the axis.
    Frames(u32, i64),
    /// Not an Opus packet.
    Malformed,
    /// It cannot be kept unchanged: its frames are longer than 20 ms, or its bit rate is too high.
    ToDecode,
}

/// A waiting frame, and when it was spoken. Units: of the axis.
#[derive(Clone, Default)]
struct Slot {
    packet: Vec<u8>,
    from: i64,
    to: i64,
}

/// The track.
pub struct Passthrough {
    slots: Vec<Slot>,
    /// Index of the next frame.
    next: i64,
    /// Position of the last payload, and the index after its last frame.
    last: Option<(i64, i64)>,
    toc: u8,
    missing_run: u32,
    filler: Concealment,
    max_bps: u32,
    metered_frames: u32,
    metered_bytes: u64,
}

impl Passthrough {
    /// A track whose next frame is `next`, for streams of up to `max_bps`.
    pub fn new(next: i64, max_bps: u32) -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS],
            next,
            last: None,
            toc: 0,
            missing_run: u32::MAX,
            filler: Concealment::default(),
            max_bps,
            metered_frames: 0,
            metered_bytes: 0,
        }
    }

    /// Accepts a payload whose first sample is at `at`.
    pub fn accept(&mut self, at: i64, payload: &[u8]) -> Passed {
        let Some(packet) = OpusPacket::parse(payload) else { return Passed::Malformed };
        if !packet.has_sound() {
            // The sender is silent; a TOC without frames is never stored.
            return Passed::Frames(0, packet.length_axis());
        }
        if self.is_too_rich(payload.len(), packet.length_axis()) {
            return Passed::ToDecode;
        }
        let mut index = self.place(at);
        let (mut kept, mut to) = (0, at);
        let (slots, next) = (&mut self.slots, self.next);
        let could = packet.as_20_ms(|one| {
            to += FRAME_AXIS;
            if (next..next + SLOTS as i64).contains(&index) && one.len() > 1 {
                let slot = &mut slots[index as usize % SLOTS];
                slot.packet.clear();
                slot.packet.extend_from_slice(one);
                (slot.from, slot.to) = (to - FRAME_AXIS - BEFORE, to);
                kept += 1;
            }
            index += 1;
        });
        if !could {
            return Passed::ToDecode;
        }
        self.last = Some((at + packet.length_axis(), index));
        Passed::Frames(kept, packet.length_axis())
    }

    /// Whether the next frame was received.
    pub fn has_frame(&self) -> bool {
        self.spoken().is_some()
    }

    /// When the next frame was spoken, from and to, if it was received. Units: of the axis.
    pub fn spoken(&self) -> Option<(i64, i64)> {
        let slot = &self.slots[self.next as usize % SLOTS];
        (!slot.packet.is_empty()).then_some((slot.from, slot.to))
    }

    /// Takes the next frame, if it was received.
    pub fn frame(&mut self) -> &[u8] {
        let index = self.next as usize % SLOTS;
        self.next += 1;
        self.missing_run = 0;
        self.toc = self.slots[index].packet[0];
        self.filler.passed(&mut self.slots[index].packet)
    }

    /// A packet for a missing frame: concealment for a short while, then silence that continues smoothly from
    /// the previous packets.
    pub fn fill(&mut self, lost: bool) -> &[u8] {
        let after = (self.next + 1) as usize % SLOTS;
        self.next += 1;
        let run = self.missing_run;
        self.missing_run = run.saturating_add(1);
        if lost && run < FILLED_FRAMES {
            let following = Some(self.slots[after].packet.as_slice()).filter(|packet| !packet.is_empty());
            return self.filler.fill(run == 0, following);
        }
        self.silence_here()
    }

    /// Skips the next frame; returns a packet of silence for it.
    pub fn silence(&mut self) -> &[u8] {
        self.skip();
        self.missing_run = u32::MAX;
        self.silence_here()
    }

    /// Skips the next frame.
    pub fn skip(&mut self) {
        let packet = &mut self.slots[self.next as usize % SLOTS].packet;
        packet.fill(0);
        packet.clear();
        self.next += 1;
    }

    fn silence_here(&self) -> &[u8] {
        silence_like(self.toc)
    }

    /// The frame to which a payload belongs: directly after the last one, unless that is too far from its
    /// position.
    fn place(&self, at: i64) -> i64 {
        let nearest = (at + FRAME_AXIS / 2).div_euclid(FRAME_AXIS);
        let Some((last_at, last_index)) = self.last else { return nearest };
        let behind = last_index + (at - last_at + FRAME_AXIS / 2).div_euclid(FRAME_AXIS);
        if (at - behind * FRAME_AXIS).abs() > OFF { nearest } else { behind }
    }

    fn is_too_rich(&mut self, bytes: usize, length_axis: i64) -> bool {
        self.metered_bytes += bytes as u64;
        self.metered_frames += (length_axis / FRAME_AXIS).max(1) as u32;
        if self.metered_frames < METER_FRAMES {
            return false;
        }
        let bps = self.metered_bytes * 8 * 50 / u64::from(self.metered_frames);
        (self.metered_frames, self.metered_bytes) = (0, 0);
        bps > u64::from(self.max_bps)
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        self.slots.iter_mut().for_each(|slot| zeroize::Zeroize::zeroize(&mut slot.packet));
    }
}

/// The loudness of a packet, estimated from its size, on the scale of the waveform.
pub fn loudness(packet: &[u8]) -> u8 {
    packet.len().saturating_sub(8).min(255) as u8
}
