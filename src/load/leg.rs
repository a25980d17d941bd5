//! One simulated stream: what it sends next. In: its voice and its key presses. Out: RTP
//! packets, one each 20 ms.
//!
//! Source: RFC 3550 §5.1 (header), RFC 4733 §2.5 (keys), ITU-T G.711.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Samples of a packet.
pub const FRAME: usize = 160;
/// Payload type of key events.
const EVENTS: u8 = 101;
/// Frames that a key is pressed: 100 ms; its end is sent three times.
const KEY_FRAMES: u16 = 5;
/// Frames between two keys of a sequence.
const KEY_PAUSE: u64 = 5;

/// Coding of a simulated stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "pcmu",
            Codec::Pcma => "pcma",
        }
    }

    const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }

    /// Codes samples.
    pub fn encode(self, samples: &[i16]) -> Vec<u8> {
        let code = match self {
            Codec::Pcmu => ulaw,
            Codec::Pcma => alaw,
        };
        samples.iter().map(|&sample| code(sample)).collect()
    }
}

/// A stream's sender.
pub struct Leg {
    /// Where it sends.
    pub to: SocketAddr,
    voice: Arc<Vec<u8>>,
    codec: Codec,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    frame: u64,
    start: usize,
    keys: VecDeque<(u64, char)>,
    pressing: Option<Pressing>,
}

struct Pressing {
    event: u8,
    timestamp: u32,
    packets: u16,
}

impl Leg {
    /// A stream that plays `voice`, coded and looped, from its `start`-th sample. `seed` makes
    /// its SSRC, first sequence number and first timestamp.
    pub fn new(to: SocketAddr, codec: Codec, voice: Arc<Vec<u8>>, start: usize, seed: u32) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995;
        Self {
            to,
            voice,
            codec,
            ssrc: mixed,
            sequence: (mixed >> 7) as u16,
            timestamp: mixed.rotate_left(13),
            frame: 0,
            start,
            keys: VecDeque::new(),
            pressing: None,
        }
    }

    /// Presses keys one after the other from a frame on.
    pub fn press(&mut self, at_frame: u64, keys: &str) {
        for (n, key) in (0u64..).zip(keys.chars()) {
            self.keys.push_back((at_frame + n * (u64::from(KEY_FRAMES) + 2 + KEY_PAUSE), key));
        }
    }

    /// Frames sent so far.
    pub fn frames(&self) -> u64 {
        self.frame
    }

    /// Writes the next packet into `packet`. Call it each 20 ms.
    pub fn next(&mut self, packet: &mut Vec<u8>) {
        packet.clear();
        if let Some(&(at, key)) = self.keys.front()
            && at <= self.frame
            && self.pressing.is_none()
        {
            self.keys.pop_front();
            let event = "0123456789*#ABCD".find(key).unwrap_or(0) as u8;
            self.pressing = Some(Pressing { event, timestamp: self.timestamp, packets: 0 });
        }
        match self.pressing.take() {
            Some(pressing) => self.key_packet(pressing, packet),
            None => {
                self.header(self.codec.payload_type(), false, self.timestamp, packet);
                let at = (self.start + self.frame as usize * FRAME) % self.voice.len();
                let first = &self.voice[at..(at + FRAME).min(self.voice.len())];
                packet.extend_from_slice(first);
                packet.extend_from_slice(&self.voice[..FRAME - first.len()]);
            }
        }
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        self.frame += 1;
    }

    fn key_packet(&mut self, mut pressing: Pressing, packet: &mut Vec<u8>) {
        self.header(EVENTS, pressing.packets == 0, pressing.timestamp, packet);
        pressing.packets += 1;
        let ended = pressing.packets > KEY_FRAMES;
        let duration = pressing.packets.min(KEY_FRAMES) * FRAME as u16;
        packet.extend([pressing.event, if ended { 0x8a } else { 0x0a }]);
        packet.extend(duration.to_be_bytes());
        if pressing.packets < KEY_FRAMES + 3 {
            self.pressing = Some(pressing);
        }
    }

    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32, packet: &mut Vec<u8>) {
        packet.extend([0x80, payload_type | u8::from(marker) << 7]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
    }
}

fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = (24 - magnitude.leading_zeros() as i32).max(0);
    !(sign | (segment << 4) as u8 | (magnitude >> (segment + 3)) as u8 & 0x0f)
}

fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = if sample >= 0 { i32::from(sample) } else { -i32::from(sample) - 1 };
    let code = match magnitude {
        0..256 => magnitude >> 4,
        _ => {
            let segment = 24 - magnitude.leading_zeros() as i32;
            segment << 4 | magnitude >> (segment + 3) & 0x0f
        }
    };
    (sign | code as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::Encoding;
    use crate::media::codec::decoder::Decoder;

    #[test]
    fn what_is_coded_decodes_to_nearly_the_same() {
        for (codec, encoding) in [(Codec::Pcmu, Encoding::Pcmu), (Codec::Pcma, Encoding::Pcma)] {
            for sample in (i16::MIN..i16::MAX).step_by(37) {
                let mut out = [0];
                Decoder::new(encoding).decode(&codec.encode(&[sample]), &mut out);
                let error = (i32::from(out[0]) - i32::from(sample)).abs();
                assert!(error <= 8 + i32::from(sample).abs() / 16, "{codec:?} {sample} {}", out[0]);
            }
        }
    }

    #[test]
    fn keys_take_the_place_of_audio_and_end_three_times() {
        let voice = Arc::new(vec![0x55; 400]);
        let mut leg = Leg::new("127.0.0.1:9".parse().unwrap(), Codec::Pcma, voice, 0, 3);
        leg.press(2, "*9");
        let mut packets = Vec::new();
        for _ in 0..30 {
            let mut packet = Vec::new();
            leg.next(&mut packet);
            packets.push(packet);
        }
        let ends = packets.iter().filter(|packet| packet[1] & 0x7f == EVENTS && packet[13] & 0x80 != 0);
        assert_eq!(ends.count(), 6);
        let sequences: Vec<u16> = packets.iter().map(|p| u16::from_be_bytes([p[2], p[3]])).collect();
        assert!(sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        assert_eq!(packets[2][1], 0x80 | EVENTS);
        assert_eq!(packets[2][4..8], packets[9][4..8]);
    }
}
