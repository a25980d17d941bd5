//! A telephone for tests, independent of the program's load generator: G.711 over RTP from one socket, in real time.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Samples of a packet: 20 ms at 8 kHz.
pub(crate) const FRAME: usize = 160;

/// Sender of one stream.
pub(crate) struct Leg {
    socket: UdpSocket,
    to: SocketAddr,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Leg {
    /// A sender to stream `index` of an announcement's response.
    pub(crate) fn new(admitted: &Value, index: usize, payload_type: u8, ssrc: u32) -> Self {
        let stream = &admitted["streams"][index];
        let to = format!("{}:{}", stream["address"].as_str().unwrap(), stream["port"]);
        Self::to(to.parse().unwrap(), payload_type, ssrc)
    }

    /// A sender to this address.
    pub(crate) fn to(to: SocketAddr, payload_type: u8, ssrc: u32) -> Self {
        let ip = if to.ip().is_loopback() { "127.0.0.1" } else { "0.0.0.0" };
        Self {
            socket: UdpSocket::bind((ip, 0)).unwrap(),
            to,
            payload_type,
            ssrc,
            sequence: 65_530,
            timestamp: u32::MAX - 3_000,
        }
    }

    /// Sends 20 ms of audio.
    pub(crate) fn audio(&mut self, samples: &[i16]) {
        let code = if self.payload_type == 8 { alaw } else { ulaw };
        let payload: Vec<u8> = samples.iter().map(|&sample| code(sample)).collect();
        self.packet(self.payload_type, false, self.timestamp, &payload);
        self.timestamp = self.timestamp.wrapping_add(samples.len() as u32);
    }

    /// Presses a key: RFC 4733 events of 100 ms with three end packets.
    pub(crate) fn key(&mut self, key: char) {
        let event = "0123456789*#ABCD".find(key).unwrap() as u8;
        let at = self.timestamp;
        for packet in 0..8u16 {
            let ended = if packet >= 5 { 0x80 } else { 0 };
            let samples = (packet.min(5) + 1) * FRAME as u16;
            let payload = [event, ended | 10, (samples >> 8) as u8, samples as u8];
            self.packet(101, packet == 0, at, &payload);
        }
        self.timestamp = at.wrapping_add(6 * FRAME as u32);
        std::thread::sleep(Duration::from_millis(120));
    }

    /// Sends raw bytes. Whether they arrive is the network's business.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let _ = self.socket.send_to(bytes, self.to);
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let mut packet = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.raw(&packet);
    }
}

/// Sends both streams in real time, each from its own samples.
pub(crate) fn talk(legs: &mut [Leg], voices: &[&[i16]]) {
    let start = Instant::now();
    let frames = voices.iter().map(|voice| voice.len() / FRAME).min().unwrap();
    for frame in 0..frames {
        for (leg, voice) in legs.iter_mut().zip(voices) {
            leg.audio(&voice[frame * FRAME..][..FRAME]);
        }
        let next = start + Duration::from_millis(20) * (frame as u32 + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Similar to a voice: harmonics of a varying pitch in syllables, different for each seed.
pub(crate) fn voice(seed: u32, millis: usize) -> Vec<i16> {
    let mut phase = 0.0f64;
    let pitch = 110.0 + f64::from(seed % 7) * 19.0;
    (0..millis * 8)
        .map(|n| {
            let t = n as f64 / 8_000.0;
            phase += (pitch + 25.0 * (t * (1.3 + f64::from(seed % 5) * 0.4)).sin()) / 8_000.0;
            let syllable = (t * (2.1 + f64::from(seed % 3) * 0.7) + f64::from(seed)).sin().mul_add(0.5, 0.5);
            let tone: f64 =
                (1..9).map(|h| (phase * f64::from(h) * std::f64::consts::TAU).sin() / f64::from(h)).sum();
            (tone * syllable * 6_000.0) as i16
        })
        .collect()
}

/// G.711 µ-law (ITU-T G.711).
pub(crate) fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs()).min(32_635) + 132;
    let exponent = (31 - magnitude.leading_zeros() as i32 - 7).max(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// G.711 A-law (ITU-T G.711).
pub(crate) fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = if sample >= 0 { i32::from(sample) } else { -i32::from(sample) - 1 }.min(32_767);
    let code = if magnitude < 256 {
        magnitude >> 4
    } else {
        let exponent = 31 - magnitude.leading_zeros() as i32 - 7;
        (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0f)
    };
    (sign | code as u8) ^ 0x55
}
