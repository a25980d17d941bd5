//! AMR and AMR-WB payload parsing. In: a payload in either of its two forms. Out: its frames in the format of
//! the decoders: a byte with the frame type, then the bits from the most significant on.
//!
//! The codec mode request (CMR) concerns only senders, so it is ignored. CRCs, robust sorting and
//! interleaving are refused in signalling. Source: RFC 4867 §4.3 (bandwidth-efficient), §4.4 (octet-aligned),
//! §8.1 and §8.2 (parameters); 3GPP TS 26.101 and 26.201 (types and lengths of frames).

#[cfg(feature = "amr")]
pub mod opencore;
#[cfg(feature = "amr")]
pub mod opencore_encoder;
#[cfg(feature = "amr-wb-encoder")]
pub mod vo_encoder;

use crate::timebase::FRAME_AXIS;

/// Maximum number of frames parsed in a payload: 240 ms.
const MOST_FRAMES: usize = 12;
/// Size of the longest frame, including its type: AMR-WB at 23.85 kbit/s.
pub const FRAME_BYTES: usize = 61;
/// Frame type NO_DATA: nothing was sent.
const NO_DATA: u8 = 15;

/// Narrow or wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// AMR, 8 kHz.
    Narrow,
    /// AMR-WB, 16 kHz.
    Wide,
}

impl Band {
    /// Number of bits of a frame of this type; `None` if the type must not be sent.
    const fn bits(self, kind: u8) -> Option<usize> {
        const NARROW: [usize; 9] = [95, 103, 118, 134, 148, 159, 204, 244, 39];
        const WIDE: [usize; 10] = [132, 177, 253, 285, 317, 365, 397, 461, 477, 40];
        match (self, kind) {
            (Band::Narrow, 0..=8) => Some(NARROW[kind as usize]),
            (Band::Wide, 0..=9) => Some(WIDE[kind as usize]),
            (Band::Wide, 14) | (_, NO_DATA) => Some(0),
            _ => None,
        }
    }

    /// Whether a frame of this type means that the sender is silent.
    const fn is_silence(self, kind: u8) -> bool {
        matches!((self, kind), (Band::Narrow, 8) | (Band::Wide, 9) | (_, NO_DATA))
    }
}

/// A payload's frames.
pub struct Payload<'a> {
    bytes: &'a [u8],
    aligned: bool,
    band: Band,
    count: usize,
    /// Type of each frame, and whether it is undamaged.
    kinds: [(u8, bool); MOST_FRAMES],
    /// First bit of the frames.
    from: usize,
}

impl<'a> Payload<'a> {
    /// Parses the table of contents; `None` if it is invalid or frames are missing.
    pub fn parse(band: Band, aligned: bool, bytes: &'a [u8]) -> Option<Self> {
        let entry_bits = if aligned { 8 } else { 6 };
        let mut payload = Self { bytes, aligned, band, count: 0, kinds: [(0, true); MOST_FRAMES], from: 0 };
        payload.from = if aligned { 8 } else { 4 };
        loop {
            let entry = payload.read(payload.from, 6)?;
            let (more, kind, whole) = (entry & 0x20 != 0, entry >> 1 & 15, entry & 1 != 0);
            band.bits(kind)?;
            *payload.kinds.get_mut(payload.count)? = (kind, whole);
            payload.count += 1;
            payload.from += entry_bits;
            if !more {
                break;
            }
        }
        let end = (0..payload.count).fold(payload.from, |at, n| at + payload.room(n));
        (end <= bytes.len() * 8).then_some(payload)
    }

    /// Its duration. Units: of the axis.
    pub fn length_axis(&self) -> i64 {
        self.count as i64 * FRAME_AXIS
    }

    /// Whether the sender is silent after the last frame.
    pub fn ends_in_silence(&self) -> bool {
        self.kinds[..self.count].last().is_some_and(|&(kind, _)| self.band.is_silence(kind))
    }

    /// Passes each frame in storage format. A frame marked as damaged is passed as a missing one, so that the
    /// decoder conceals it.
    pub fn frames(&self, mut each: impl FnMut(&[u8; FRAME_BYTES])) {
        let mut at = self.from;
        for (n, &(kind, whole)) in self.kinds[..self.count].iter().enumerate() {
            let mut frame = [0; FRAME_BYTES];
            frame[0] = if whole { kind << 3 | 4 } else { NO_DATA << 3 | 4 };
            if whole {
                let bits = self.band.bits(kind).unwrap_or(0);
                for (place, from) in frame[1..].iter_mut().zip((0..bits).step_by(8)) {
                    let length = (bits - from).min(8);
                    *place = self.read(at + from, length).unwrap_or(0) << (8 - length);
                }
            }
            each(&frame);
            at += self.room(n);
        }
    }

    /// Number of bits of the frame in the payload.
    fn room(&self, n: usize) -> usize {
        let bits = self.band.bits(self.kinds[n].0).unwrap_or(0);
        if self.aligned { bits.next_multiple_of(8) } else { bits }
    }

    /// Up to eight bits from this position on.
    fn read(&self, at: usize, length: usize) -> Option<u8> {
        (at + length <= self.bytes.len() * 8).then_some(())?;
        let pair = |n: usize| u16::from(self.bytes.get(n).copied().unwrap_or(0));
        let two = pair(at / 8) << 8 | pair(at / 8 + 1);
        Some((two << (at % 8) >> (16 - length)) as u8)
    }
}

/// Payloads of `together` frames each, in the format of the decoders. A remainder is dropped.
#[cfg(feature = "amr")]
fn payloads(band: Band, aligned: bool, together: usize, frames: &[[u8; FRAME_BYTES]]) -> Vec<Vec<u8>> {
    frames.chunks_exact(together.max(1)).map(|frames| pack(band, aligned, frames)).collect()
}

/// A payload of frames in the format of the decoders, without a mode request.
#[cfg(feature = "amr")]
fn pack(band: Band, aligned: bool, frames: &[[u8; FRAME_BYTES]]) -> Vec<u8> {
    let (mut bytes, mut end) = (Vec::new(), 0_usize);
    // Appends the first `length` bits of `value`; in the octet-aligned form, what is left of a byte stays zero.
    let mut push = |value: u8, length: usize, is_last: bool| {
        for n in 0..length {
            if end % 8 == 0 {
                bytes.push(0_u8);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= (value << n & 0x80) >> (end % 8);
            }
            end += 1;
        }
        if aligned && is_last {
            end = end.next_multiple_of(8);
        }
    };
    push(0xf0, 4, true);
    for (n, frame) in frames.iter().enumerate() {
        let more = if n + 1 < frames.len() { 0x80 } else { 0 };
        push(more | frame[0] & 0x7c, 6, true);
    }
    for frame in frames {
        let bits = band.bits(frame[0] >> 3 & 15).unwrap_or(0);
        for (from, &byte) in (0..bits).step_by(8).zip(&frame[1..]) {
            push(byte, (bits - from).min(8), from + 8 >= bits);
        }
    }
    bytes
}

/// Whether `a=fmtp` parameters select this form and nothing unsupported.
pub fn takes(fmtp: &str, aligned: bool) -> bool {
    let is_aligned = parameter(fmtp, "octet-align").is_some_and(|value| value == "1");
    let is_plain =
        ["crc", "robust-sorting"].iter().all(|name| parameter(fmtp, name).is_none_or(|v| v == "0"));
    is_aligned == aligned && is_plain && parameter(fmtp, "interleaving").is_none()
}

fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    let pairs = fmtp.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
pub(crate) mod tests;
