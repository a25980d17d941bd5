//! Makes a capture's next frame: of the track that has it, or silence, with the reason for what is missing.

use super::{Active, Capture, CaptureContext};
use crate::fact::GapReason;
use crate::opus::encoder::silence_packet;
use crate::playout::clock_mapping::ClockMapping;
use crate::stream::gate::Kept;
use crate::stream::passthrough::{Passthrough, loudness};
use crate::stream::transcode::Transcoder;
use crate::timebase::FRAME_AXIS;

impl Capture {
    /// Why the next frame is not kept, if the gate was closed when it may have been spoken. Of a decoded
    /// frame, the part spoken afterwards is kept nevertheless.
    fn closed(&mut self, timeline: &ClockMapping) -> Option<GapReason> {
        let at = self.position();
        let passed = self.passed.as_ref().and_then(|track| track.spoken());
        let spoken = passed.unwrap_or((at, at + FRAME_AXIS));
        let slack = timeline.slack();
        let kept = self.open.keeps(at, spoken, slack).and(self.agreed.keeps(at, spoken, slack));
        match (kept, &mut self.decoded) {
            (Kept::All, _) => None,
            (Kept::From(from, _), Some(track)) if passed.is_none() => {
                track.mute(at, from);
                None
            }
            (Kept::Nothing(reason) | Kept::From(_, reason), _) => Some(reason),
        }
    }

    pub(super) fn make_frame(&mut self, lent: &mut CaptureContext<'_>) {
        let at = self.position();
        let closed = self.closed(lent.timeline);
        let cut = closed.is_none() && self.cuts.covers(at, at + FRAME_AXIS);
        let kept = closed.is_none() && !cut;
        let came = (
            self.decoded.as_ref().is_some_and(|track| track.has_frame()),
            self.passed.as_ref().is_some_and(|track| track.has_frame()),
        );
        let had_audio = self.begins.is_some_and(|begins| begins < at + FRAME_AXIS);
        let why = self.holes.why(at, had_audio && !self.over);
        self.active = match came {
            (_, true) => Active::Passed,
            (true, false) => Active::Decoded,
            (false, false) => self.active,
        };
        let lost = why == Some(GapReason::Lost);
        let is_packed = self.active == Active::Decoded && self.decoded.is_some();
        let wraps = self.settings.encodes_later() && !is_packed;
        lent.stats.frames_cut += u64::from(cut);
        let (decoded, passed) = (self.decoded.as_deref_mut(), self.passed.as_deref_mut());
        let (packet, peak, missing): (&[u8], u8, bool) = match (self.active, decoded, passed) {
            (Active::Decoded, Some(track), other) => {
                other.into_iter().for_each(Passthrough::skip);
                if !kept || (why.is_none() && !came.0) {
                    (track.silence(kept), 0, !kept)
                } else {
                    let (packet, peak, missing) = track.frame(lost);
                    (packet, (peak >> 7).min(255) as u8, missing)
                }
            }
            (Active::Passed, other, Some(track)) => {
                other.into_iter().for_each(Transcoder::skip);
                lent.stats.frames_passed += u64::from(came.1 && kept);
                match (kept, came.1) {
                    (false, _) => (track.silence(), 0, true),
                    (true, true) => {
                        let packet = track.frame();
                        (packet, loudness(packet), false)
                    }
                    (true, false) => (track.fill(lost), 0, true),
                }
            }
            (_, decoded, passed) => {
                decoded.into_iter().for_each(Transcoder::skip);
                passed.into_iter().for_each(Passthrough::skip);
                (silence_packet(), 0, true)
            }
        };
        let reason = match (closed, cut) {
            (Some(reason), _) => Some(reason),
            (None, true) => Some(GapReason::KeyTones),
            (None, false) => why.filter(|_| missing).map(|why| self.refusals.explain(at, why)),
        };
        self.encoded.push(packet, peak, wraps);
        self.closed_gaps.extend(self.gaps.frame(self.stream, self.frame, reason));
        self.frame += 1;
    }
}
