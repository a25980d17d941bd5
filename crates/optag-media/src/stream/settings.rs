//! How streams are captured.

use std::time::Duration;

use crate::opus::encoder::OpusSettings;
use crate::opus::noise_classifier::AHEAD_FRAMES;
use crate::timebase::{self, FRAME_AXIS};

/// How far frames are made behind what was heard, so that a tone is known of before its first
/// frame is made, wherever packets are lost around it.
pub const LOOK_AHEAD: Duration = Duration::from_millis(60);
const _: () = assert!(timebase::length(LOOK_AHEAD) >= AHEAD_FRAMES as i64 * FRAME_AXIS);

/// What a capture is set up with.
#[derive(Clone, Copy, Debug)]
pub struct CaptureSettings {
    /// How long a packet may be late and still find its place.
    pub reorder: Duration,
    /// Opus settings.
    pub opus: OpusSettings,
    /// Opus streams of up to this rate are kept as they come. Units: bit/s.
    pub pass_through_max_bps: u32,
}

impl CaptureSettings {
    /// How far frames are made behind the present.
    pub fn behind(&self) -> Duration {
        self.reorder + LOOK_AHEAD
    }
}
