//! One simulated stream: its next packet. In: its encoded voice and its key presses. Out: RTP packets, one
//! per packet time.
//!
//! Source: RFC 3550 §5.1 (header), RFC 4733 §2.3 and §2.5 (keys).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::srtp::Protection;
use optag_media::codec::coded::Coded;
use optag_media::rtp::srtp::SrtpKey;

/// Payload type of key events.
const EVENTS: u8 = 101;
/// Packets during a key press.
const KEY_PACKETS: u16 = 5;
/// Packets with the end flag, the first of them with the last duration step.
const KEY_ENDS: u16 = 3;
/// Total packets of a key press, which contain no audio.
pub const KEY_PACKETS_IN_ALL: u64 = (KEY_PACKETS + KEY_ENDS) as u64;
/// Packets between two keys of a sequence.
const KEY_PAUSE: u64 = 5;

/// A stream's sender.
pub struct Leg {
    /// Its destination.
    pub to: SocketAddr,
    voice: Arc<Coded>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    packet: u64,
    start: u64,
    keys: VecDeque<(u64, char)>,
    pressing: Option<Pressing>,
    protection: Option<Box<Protection>>,
}

struct Pressing {
    event: u8,
    timestamp: u32,
    packets: u16,
}

impl Leg {
    /// A stream that loops `voice` from packet `start`. `seed` determines its SSRC, first sequence number and
    /// first timestamp.
    pub fn new(to: SocketAddr, voice: Arc<Coded>, start: u64, seed: u32) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995;
        Self {
            to,
            voice,
            ssrc: mixed,
            sequence: (mixed >> 7) as u16,
            timestamp: mixed.rotate_left(13),
            packet: 0,
            start,
            keys: VecDeque::new(),
            pressing: None,
            protection: None,
        }
    }

    /// The same, encrypted with a key.
    pub fn protected_by(self, key: &SrtpKey) -> Self {
        Self { protection: Some(Box::new(Protection::new(key))), ..self }
    }

    /// Presses keys in sequence, starting at a packet.
    pub fn press(&mut self, at_packet: u64, keys: &str) {
        for (n, key) in (0u64..).zip(keys.chars()) {
            self.keys.push_back((at_packet + n * (KEY_PACKETS_IN_ALL + KEY_PAUSE), key));
        }
    }

    /// Packet time.
    pub fn packet_time(&self) -> Duration {
        Duration::from_millis(self.voice.format.ptime_ms.into())
    }

    /// Packets generated so far.
    pub fn packets(&self) -> u64 {
        self.packet
    }

    /// Appends the next packet to `out`. Call it once per packet time.
    pub fn next(&mut self, out: &mut Vec<u8>) {
        let from = out.len();
        self.next_in_the_clear(out);
        if let Some(protection) = &mut self.protection {
            protection.apply(out, from);
        }
    }

    fn next_in_the_clear(&mut self, out: &mut Vec<u8>) {
        if let Some(&(at, key)) = self.keys.front()
            && at <= self.packet
            && self.pressing.is_none()
        {
            self.keys.pop_front();
            let event = "0123456789*#ABCD".find(key).unwrap_or(0) as u8;
            self.pressing = Some(Pressing { event, timestamp: self.timestamp, packets: 0 });
        }
        match self.pressing.take() {
            Some(pressing) => self.key_packet(pressing, out),
            None => {
                self.header(self.voice.format.codec.payload_type(), false, self.timestamp, out);
                out.extend_from_slice(self.voice.payload(self.start + self.packet));
            }
        }
        self.timestamp = self.timestamp.wrapping_add(self.voice.format.ticks());
        self.packet += 1;
    }

    fn key_packet(&mut self, mut pressing: Pressing, out: &mut Vec<u8>) {
        self.header(EVENTS, pressing.packets == 0, pressing.timestamp, out);
        pressing.packets += 1;
        let ended = pressing.packets > KEY_PACKETS;
        let duration = u32::from(pressing.packets.min(KEY_PACKETS)) * self.voice.format.ticks();
        out.extend([pressing.event, if ended { 0x8a } else { 0x0a }]);
        out.extend((duration as u16).to_be_bytes());
        if pressing.packets < KEY_PACKETS + KEY_ENDS {
            self.pressing = Some(pressing);
        }
    }

    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32, out: &mut Vec<u8>) {
        out.extend([0x80, payload_type | u8::from(marker) << 7]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(timestamp.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_media::codec::coded::{Codec, Format};

    #[test]
    fn keys_take_the_place_of_audio_and_end_three_times() {
        let format = Format { codec: Codec::Pcma, ptime_ms: 20 };
        let voice = Arc::new(Coded::new(&[0; 640], format).unwrap());
        let mut leg = Leg::new("127.0.0.1:9".parse().unwrap(), voice, 0, 3);
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
