//! The sending side of a leg: one RTP packet for each 20 ms. In: what to play. Out: packets, encrypted where the
//! leg is. No timestamp, sequence number or SRTP index is used twice.
//!
//! Source: RFC 3550 §5.1, RFC 3551 §4.1 (marker), RFC 3711 §3.3.

use std::sync::Arc;

use crate::announce::audio::{PromptAudio, PromptCodec};
use crate::rtp::srtp::{OVERHEAD_BYTES, SrtpKey, SrtpSender};

/// Largest packet: Opus at its bit rate stays far below, G.711 has 160 bytes. Units: bytes.
const PACKET_BYTES: usize = 1_500;
/// Size of the header. Units: bytes.
const HEADER_BYTES: usize = 12;

/// What a leg sends.
pub(super) struct Player {
    codec: PromptCodec,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    protect: Option<Box<SrtpSender>>,
    playing: Option<Playing>,
    marker: bool,
    packet: Box<[u8; PACKET_BYTES]>,
    sealed: Box<[u8; PACKET_BYTES + OVERHEAD_BYTES]>,
}

struct Playing {
    clip: u32,
    audio: Arc<PromptAudio>,
    next: u64,
}

impl Player {
    /// A player with nothing to play. `chance` decides its SSRC, first sequence number and first timestamp.
    pub(super) fn new(codec: PromptCodec, payload_type: u8, key: Option<&SrtpKey>, chance: [u8; 10]) -> Self {
        let word =
            |at: usize| u32::from_be_bytes([chance[at], chance[at + 1], chance[at + 2], chance[at + 3]]);
        Self {
            codec,
            payload_type,
            ssrc: word(0),
            // Below 2^15, as SRTP wants for the first. Source: RFC 3711 §3.3.1.
            sequence: u16::from_be_bytes([chance[8], chance[9]]) >> 1,
            timestamp: word(4),
            protect: key.map(|key| Box::new(SrtpSender::new(key))),
            playing: None,
            marker: true,
            packet: Box::new([0; PACKET_BYTES]),
            sealed: Box::new([0; PACKET_BYTES + OVERHEAD_BYTES]),
        }
    }

    /// Its SSRC.
    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Plays a prompt from its beginning.
    pub(super) fn play(&mut self, clip: u32, audio: Arc<PromptAudio>) {
        self.playing = Some(Playing { clip, audio, next: 0 });
        self.marker = true;
    }

    /// Plays nothing any more.
    pub(super) fn quiet(&mut self) {
        self.playing = None;
    }

    /// The next packet, and the clip that ends with it. No packet: it cannot be encrypted.
    pub(super) fn next(&mut self) -> (Option<&[u8]>, Option<u32>) {
        let mut ended = None;
        let payload = match &mut self.playing {
            Some(playing) => {
                playing.next += 1;
                if playing.next == playing.audio.packets() {
                    ended = Some(playing.clip);
                }
                playing.audio.payload(self.codec, playing.next - 1)
            }
            None => self.codec.silence(),
        };
        let length = HEADER_BYTES + payload.len();
        let packet = &mut self.packet[..length.min(PACKET_BYTES)];
        let fits = packet.len() == length;
        if fits {
            packet[0] = 0x80;
            packet[1] = u8::from(self.marker) << 7 | self.payload_type;
            packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
            packet[HEADER_BYTES..].copy_from_slice(payload);
        }
        self.marker = false;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.codec.ticks());
        if ended.is_some() {
            self.playing = None;
        }
        let bytes = match &mut self.protect {
            _ if !fits => None,
            None => Some(&self.packet[..length]),
            Some(protect) => {
                let sealed = protect.protect(&self.packet[..length], &mut self.sealed[..]);
                sealed.map(|length| &self.sealed[..length])
            }
        };
        (bytes, ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::packet::RtpPacket;

    fn audio(packets: usize) -> Arc<PromptAudio> {
        let tone: Vec<i16> = (0..packets * 320).map(|n| ((n as f64 * 0.2).sin() * 8_000.0) as i16).collect();
        Arc::new(PromptAudio::new(&tone).unwrap())
    }

    #[test]
    fn packets_follow_one_another_through_silence_and_clips() {
        let mut player = Player::new(PromptCodec::Pcma, 8, None, [0xff; 10]);
        let (mut sequence, mut timestamp) = (0x7fff_u16, u32::MAX);
        let mut ended = Vec::new();
        for tick in 0..20 {
            match tick {
                3 => player.play(1, audio(5)),
                10 => player.play(2, audio(8)),
                14 => player.quiet(),
                _ => {}
            }
            let (bytes, clip) = player.next();
            let packet = RtpPacket::parse(bytes.unwrap()).unwrap();
            assert_eq!((packet.sequence, packet.timestamp, packet.payload_type), (sequence, timestamp, 8));
            assert_eq!(packet.marker, [0, 3, 10].contains(&tick), "{tick}");
            let silent = packet.payload == PromptCodec::Pcma.silence();
            assert_eq!(silent, !(3..8).contains(&tick) && !(10..14).contains(&tick), "{tick}");
            ended.extend(clip.map(|clip| (tick, clip)));
            (sequence, timestamp) = (sequence.wrapping_add(1), timestamp.wrapping_add(160));
        }
        assert_eq!(ended, [(7, 1)], "a clip that is broken off does not end");
    }

    #[test]
    fn what_is_encrypted_opens_with_the_key() {
        use crate::rtp::srtp::{SrtpPlan, SrtpReceiver, Suite};
        let key = SrtpKey::new(Suite::AesCm128Sha1Tag80, vec![7; 30], Vec::new()).unwrap();
        let plan = SrtpPlan { receive: vec![key.clone()], send: None, required: true, roc: 0 };
        let (mut player, mut receiver) =
            (Player::new(PromptCodec::Opus, 111, Some(&key), [1; 10]), SrtpReceiver::new(plan));
        player.play(1, audio(3));
        for _ in 0..5 {
            let (bytes, _) = player.next();
            let mut clear = [0; PACKET_BYTES];
            let length = receiver.unprotect(Default::default(), bytes.unwrap(), &mut clear).unwrap();
            assert_eq!(RtpPacket::parse(&clear[..length]).unwrap().payload_type, 111);
        }
    }
}
