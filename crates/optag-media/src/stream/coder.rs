//! What becomes of a track's frames: Opus packets at once, or packed frames that are encoded later.

use crate::opus::encoder::{EncodeCounts, Encoder, OpusSettings};
use crate::opus::noise_classifier::{Loudness, Sound};
use crate::spill::packer::Packer;

/// Whether frames are encoded at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// When there is time: until then they are packed without loss.
    Later,
}

/// One or the other.
pub enum Coder {
    /// Encodes at once.
    Now(Box<Encoder>),
    /// Packs.
    Later(Packer),
}

impl Coder {
    /// For frames of this rate.
    pub fn new(when: When, settings: OpusSettings, rate_hz: u32) -> Self {
        match when {
            When::Now => Self::Now(Box::new(Encoder::new(settings, rate_hz))),
            When::Later => Self::Later(Packer::new(rate_hz)),
        }
    }

    /// Codes a frame, which is such a `sound`, and so loud. The packet is valid until the next call.
    pub fn encode(&mut self, frame: &[i16], sound: Sound, loudness: Loudness) -> &[u8] {
        match self {
            Self::Now(encoder) => {
                encoder.next_is(loudness);
                encoder.encode(frame, sound)
            }
            Self::Later(packer) => packer.encode(frame, sound, loudness),
        }
    }

    /// Codes a silent frame, and whether a sound follows in the next one.
    pub fn silence(&mut self, sound_follows: bool) -> &[u8] {
        match self {
            Self::Now(encoder) => encoder.silence(sound_follows),
            Self::Later(packer) => packer.silence(sound_follows),
        }
    }

    /// Codes the following frames with another complexity, 0 to 10; what is packed is coded with the one
    /// that its call began with.
    pub fn set_complexity(&mut self, complexity: u8) {
        if let Self::Now(encoder) = self {
            encoder.set_complexity(complexity);
        }
    }

    /// What was done since the last call of this.
    pub fn take_counts(&mut self) -> EncodeCounts {
        match self {
            Self::Now(encoder) => encoder.take_counts(),
            Self::Later(packer) => EncodeCounts { packed: packer.take_count(), ..EncodeCounts::default() },
        }
    }
}
