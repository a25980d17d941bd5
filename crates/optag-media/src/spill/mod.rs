//! Audio that is kept without loss and encoded later, where there is no time to encode it at once.
//!
//! In: what a stream's encoder would have been given, frame by frame. Out: packed frames; and of
//! those, later, the packets that the encoder would have made. Not here: when that is, and where the
//! frames are meanwhile.

mod bits;
pub mod deferred_encoder;
mod law;
pub mod packed_frame;
pub(crate) mod packer;
mod prediction;

use crate::opus::encoder::OpusSettings;

/// How packed frames are to be encoded: as the call would have been when it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeferredSettings {
    /// Of telephone-band audio. Units: bit/s.
    pub bitrate_bps: u32,
    /// Of audio of more than 8 kHz. Units: bit/s.
    pub wideband_bitrate_bps: u32,
    /// 0 to 10.
    pub complexity: u8,
}

impl From<OpusSettings> for DeferredSettings {
    fn from(settings: OpusSettings) -> Self {
        let OpusSettings { bitrate_bps, wideband_bitrate_bps, complexity, saves_background: _ } = settings;
        Self { bitrate_bps, wideband_bitrate_bps, complexity }
    }
}
