//! Selects a capture's track for a payload: passed through, or transcoded. In: payloads in order, each with
//! its position. Out: what was placed.

use crate::codec::Encoding;
use crate::stream::decode_buffer::Decoded;
use crate::stream::passthrough::{Passed, Passthrough};
use crate::stream::settings::CaptureSettings;
use crate::stream::transcode::{AHEAD, Accepted, Transcoder};
use crate::timebase::{self, FRAME_AXIS};

/// The two tracks, while one is selected for a payload.
pub(crate) struct Tracks<'a> {
    /// Transcoded.
    pub decoded: &'a mut Option<Box<Transcoder>>,
    /// Passed through.
    pub passed: &'a mut Option<Box<Passthrough>>,
    /// Whether Opus is transcoded although it could be kept.
    pub decode_opus: &'a mut bool,
    /// Settings of the capture.
    pub settings: &'a CaptureSettings,
    /// The next frame to be made.
    pub frame: u32,
}

impl Tracks<'_> {
    /// Places a payload; `None` if it is refused.
    pub(crate) fn take(
        self,
        at: i64,
        encoding: Encoding,
        payload: &[u8],
        after_loss: bool,
        decoded: &mut Decoded<'_>,
    ) -> Option<Accepted> {
        if encoding == Encoding::Opus && !*self.decode_opus {
            let track = self.passed.get_or_insert_with(|| {
                Box::new(Passthrough::new(self.frame.into(), self.settings.pass_through_max_bps))
            });
            match track.accept(at, payload) {
                Passed::Frames(frames, length) => {
                    let placed = i64::from(frames) * FRAME_AXIS;
                    return Some(Accepted { length, placed, ..Accepted::default() });
                }
                Passed::Malformed => return None,
                Passed::ToDecode => *self.decode_opus = true,
            }
        }
        let track = self.decoded.get_or_insert_with(|| {
            let ahead = timebase::length(self.settings.reorder) + AHEAD;
            let start = i64::from(self.frame) * FRAME_AXIS;
            Box::new(Transcoder::new(self.settings.opus, self.settings.encodes, encoding, start, ahead))
        });
        track.accept(at, encoding, payload, after_loss, decoded)
    }
}
