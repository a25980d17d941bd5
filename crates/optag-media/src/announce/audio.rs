//! A prompt in the codecs in which it is played. In: 16 kHz speech. Out: payloads of 20 ms, encoded once for
//! all calls.

use std::sync::OnceLock;

use crate::codec::Encoding;
use crate::codec::coded::{Codec, Coded, Format};

/// Sampling rate of prompts. Units: Hz.
pub const PROMPT_HZ: u32 = 16_000;
/// Packet time of what is played. Units: ms.
pub const PTIME_MS: u32 = 20;
/// Silence is encoded once: packets, of which the last is sent over and over.
const SILENT_PACKETS: u64 = 5;

/// A codec that prompts are played in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptCodec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// Opus.
    Opus,
}

impl PromptCodec {
    /// All, in the order of [`PromptAudio`]'s memory.
    const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// The codec for an encoding; `None` where prompts are not played in it.
    pub const fn of(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Pcmu => Some(Self::Pcmu),
            Encoding::Pcma => Some(Self::Pcma),
            Encoding::G722 => Some(Self::G722),
            Encoding::Opus => Some(Self::Opus),
            _ => None,
        }
    }

    const fn format(self) -> Format {
        let codec = match self {
            Self::Pcmu => Codec::Pcmu,
            Self::Pcma => Codec::Pcma,
            Self::G722 => Codec::G722,
            Self::Opus => Codec::Opus,
        };
        Format { codec, ptime_ms: PTIME_MS }
    }

    /// Timestamp increment per packet. Units: RTP ticks.
    pub const fn ticks(self) -> u32 {
        self.format().ticks()
    }

    /// A payload of silence.
    pub(super) fn silence(self) -> &'static [u8] {
        static SILENCE: OnceLock<Option<PromptAudio>> = OnceLock::new();
        let quiet = vec![0; SILENT_PACKETS as usize * (PROMPT_HZ / 1_000 * PTIME_MS) as usize];
        let made = SILENCE.get_or_init(|| PromptAudio::new(&quiet).ok());
        made.as_ref().map_or(&[], |made| made.coded[self as usize].payload(SILENT_PACKETS - 1))
    }
}

/// A prompt, encoded.
#[derive(Debug)]
pub struct PromptAudio {
    coded: Vec<Coded>,
}

impl PromptAudio {
    /// Encodes a prompt in every codec; a remainder shorter than a packet is filled with silence.
    ///
    /// Errors: it is empty, or an encoder fails.
    pub fn new(samples: &[i16]) -> anyhow::Result<Self> {
        let packet = (PROMPT_HZ / 1_000 * PTIME_MS) as usize;
        let mut whole = samples.to_vec();
        whole.resize(samples.len().next_multiple_of(packet), 0);
        let encode = |codec: PromptCodec| Coded::of_wideband(&whole, codec.format());
        Ok(Self { coded: PromptCodec::ALL.into_iter().map(encode).collect::<anyhow::Result<_>>()? })
    }

    /// Its length.
    pub fn lasts(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.packets() * u64::from(PTIME_MS))
    }

    /// Number of packets.
    pub(super) fn packets(&self) -> u64 {
        self.coded[0].packets() as u64
    }

    /// The payload of a packet.
    pub(super) fn payload(&self, codec: PromptCodec, packet: u64) -> &[u8] {
        self.coded[codec as usize].payload(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::decoder::{Decoder, LONGEST_SAMPLES};

    #[test]
    fn a_prompt_has_as_many_packets_in_every_codec_and_silence_is_silent() {
        let tone: Vec<i16> = (0..16_100).map(|n| ((f64::from(n) * 0.2).sin() * 8_000.0) as i16).collect();
        let audio = PromptAudio::new(&tone).unwrap();
        assert_eq!((audio.packets(), audio.lasts().as_millis()), (51, 1_020));
        assert!(PromptAudio::new(&[]).is_err());
        for codec in PromptCodec::ALL {
            assert_eq!(audio.coded[codec as usize].packets(), 51);
            let mut decoder = Decoder::new(codec.format().codec.encoding());
            let mut out = vec![0; LONGEST_SAMPLES];
            let count = (0..10).map(|_| decoder.decode(codec.silence(), &mut out)).last().unwrap();
            assert!(count >= 160, "{codec:?}");
            assert!(out[..count].iter().all(|sample| sample.abs() < 60), "{codec:?}");
        }
    }
}
