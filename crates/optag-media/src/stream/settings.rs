//! Settings of captures.

use std::time::Duration;

use crate::opus::encoder::OpusSettings;
use crate::opus::noise_classifier::AHEAD_FRAMES;
use crate::stream::coder::When;
use crate::timebase::{self, FRAME_AXIS};

/// Delay of frames, so that a tone is detected before its first frame is made, even with packet loss around
/// it.
pub const LOOK_AHEAD: Duration = Duration::from_millis(60);
const _: () = assert!(timebase::length(LOOK_AHEAD) >= AHEAD_FRAMES as i64 * FRAME_AXIS);

/// Settings of a capture.
#[derive(Clone, Copy, Debug)]
pub struct CaptureSettings {
    /// How late a packet may be and still be placed.
    pub reorder: Duration,
    /// Opus settings.
    pub opus: OpusSettings,
    /// Opus streams up to this bit rate are kept unchanged. Units: bit/s.
    pub pass_through_max_bps: u32,
    /// When frames are encoded.
    pub encodes: When,
}

impl CaptureSettings {
    /// Whether frames are packed, to be encoded later.
    pub fn encodes_later(&self) -> bool {
        self.encodes == When::Later
    }

    /// Total delay of frames.
    pub fn behind(&self) -> Duration {
        self.reorder + LOOK_AHEAD
    }
}
