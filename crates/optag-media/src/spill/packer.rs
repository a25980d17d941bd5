//! Packs one stream's frames in place of encoding them. In: what [`Encoder`](crate::opus::encoder::Encoder)
//! would be given. Out: packed frames.

use zeroize::Zeroize;

use crate::opus::noise_classifier::{Loudness, Sound};
use crate::spill::packed_frame::{Content, Given, pack};
use crate::timebase::frame_samples;

/// In the place of an encoder.
pub struct Packer {
    rate_hz: u32,
    /// Whether the encoder that comes later begins with the next frame.
    fresh: bool,
    packed: Vec<u8>,
    frames: u64,
}

impl Packer {
    /// Packs frames of this rate.
    pub fn new(rate_hz: u32) -> Self {
        let packed = Vec::with_capacity(4 + 2 * frame_samples(rate_hz));
        Self { rate_hz, fresh: true, packed, frames: 0 }
    }

    /// Packs a frame, which is such a `sound`, and so loud. It is valid until the next call.
    pub fn encode(&mut self, frame: &[i16], sound: Sound, loudness: Loudness) -> &[u8] {
        self.pack(Content::Samples(frame, sound, loudness))
    }

    /// Packs a silent frame, and whether a sound follows in the next one.
    pub fn silence(&mut self, sound_follows: bool) -> &[u8] {
        self.pack(Content::Silence(sound_follows))
    }

    /// Frames packed since the last call of this.
    pub fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.frames)
    }

    fn pack(&mut self, content: Content<'_>) -> &[u8] {
        self.packed.clear();
        self.frames += 1;
        let fresh = std::mem::take(&mut self.fresh);
        pack(Given::Coded { rate_hz: self.rate_hz, fresh, content }, &mut self.packed);
        &self.packed
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.packed.zeroize();
    }
}
