//! Encodes what was packed. In: one stream's packed frames in order. Out: the Opus packets that its
//! encoder would have made at once, to the byte.

use zeroize::Zeroize;

use crate::opus::encoder::{Encoder, OpusSettings};
use crate::spill::DeferredSettings;
use crate::spill::packed_frame::{Content, Given, unpack};
use crate::timebase::LONGEST_FRAME;

/// The encoder of one stream, as it would have been in the call.
pub struct DeferredEncoder {
    /// None until the first frame, with the rate that it has. Units: Hz.
    encoder: Option<(u32, Encoder)>,
    samples: Box<[i16; LONGEST_FRAME]>,
}

impl Default for DeferredEncoder {
    fn default() -> Self {
        Self { encoder: None, samples: Box::new([0; LONGEST_FRAME]) }
    }
}

impl DeferredEncoder {
    /// The packet of the next frame, valid until the next call. `None`: the bytes are no packed frame.
    pub fn encode<'a>(&'a mut self, packed: &'a [u8], settings: DeferredSettings) -> Option<&'a [u8]> {
        let (rate_hz, fresh, content) = match unpack(packed, &mut self.samples)? {
            Given::Opus(packet) => return Some(packet),
            Given::Coded { rate_hz, fresh, content } => (rate_hz, fresh, content),
        };
        // Where the frame that began it is lost, another one does.
        let kept = self.encoder.take().filter(|(rate, _)| !fresh && *rate == rate_hz);
        let (_, encoder) = self.encoder.insert(kept.unwrap_or_else(|| (rate_hz, new(settings, rate_hz))));
        Some(match content {
            Content::Silence(sound_follows) => encoder.silence(sound_follows),
            Content::Samples(samples, sound, loudness) => {
                encoder.next_is(loudness);
                encoder.encode(samples, sound)
            }
        })
    }
}

fn new(settings: DeferredSettings, rate_hz: u32) -> Encoder {
    let DeferredSettings { bitrate_bps, wideband_bitrate_bps, complexity } = settings;
    // What is background was decided when the frames were packed.
    let settings = OpusSettings { bitrate_bps, wideband_bitrate_bps, complexity, saves_background: false };
    Encoder::new(settings, rate_hz)
}

impl Drop for DeferredEncoder {
    fn drop(&mut self) {
        self.samples.zeroize();
    }
}
