//! The verdict on each stream of a recording. In: the gap map, the counters, how loud it was. Out: a
//! word a stream. A recording that looks complete and is not has one that is not *ok*.

use optag_core::call::{StreamAudio, StreamRole, StreamVerdict};
use optag_media::fact::{Gap, GapReason, StreamCounts, StreamIndex};
use optag_media::timebase::FRAME_MS;

/// Share of what was owed up to which a stream counts as not heard at all. Units: %.
const UNHEARD_PERCENT: u64 = 10;
/// Missing time from which a part is missing, however long the recording: 1 s. Units: frames.
const PARTLY_FRAMES: u64 = 50;
/// In a short recording: this share of what was owed, and at least 200 ms. Units: %, frames.
const PARTLY_PERCENT: u64 = 2;
const PARTLY_LEAST_FRAMES: u64 = 10;
/// Network loss from which speech is hard to follow. Units: %.
const LOST_PERCENT: u64 = 5;
/// Length from which a channel of digital silence is no quiet speaker: 10 s. Units: frames.
const SILENT_FRAMES: u64 = 500;
/// Packets that are more than a stray one or two.
const PACKETS: u64 = 10;

/// Frames of one stream by what they are missing for.
#[derive(Default)]
struct Tally {
    late: u64,
    refused: u64,
    unknown: u64,
    lost: u64,
    unrecorded: u64,
    nothing: u64,
    excused: u64,
}

impl Tally {
    fn of(stream: StreamIndex, frames: u32, gaps: &[Gap]) -> Self {
        let mut tally = Self::default();
        for gap in gaps.iter().filter(|gap| gap.stream == stream) {
            let length = u64::from(gap.to_frame.min(frames).saturating_sub(gap.from_frame));
            *match gap.reason {
                GapReason::Late => &mut tally.late,
                GapReason::Refused => &mut tally.refused,
                GapReason::UnknownType => &mut tally.unknown,
                GapReason::Lost => &mut tally.lost,
                GapReason::Restart | GapReason::Spool | GapReason::Fault => &mut tally.unrecorded,
                GapReason::Held | GapReason::NoMedia => &mut tally.nothing,
                GapReason::Paused | GapReason::KeyTones | GapReason::Objected => &mut tally.excused,
            } += length;
        }
        tally
    }

    fn missing(&self) -> u64 {
        self.late + self.refused + self.unknown + self.lost + self.unrecorded + self.nothing
    }
}

/// What stream `stream` of a recording of `frames` frames owed, and what of that there is. `gaps`: of all
/// streams, without overlaps.
pub fn audio(stream: StreamIndex, role: StreamRole, frames: u32, gaps: &[Gap]) -> StreamAudio {
    let tally = Tally::of(stream, frames, gaps);
    let owed = u64::from(frames).saturating_sub(tally.excused + tally.nothing);
    let kept = owed.saturating_sub(tally.missing() - tally.nothing);
    let ms = |frames: u64| frames * u64::from(FRAME_MS);
    StreamAudio { role, owed_ms: ms(owed), kept_ms: ms(kept) }
}

/// The verdict on stream `stream` of a recording of `frames` frames. `gaps`: of all streams, without
/// overlaps; `counts`: none where nothing was counted (imports, calls that ended with the recorder);
/// `loudest`: the highest waveform value, `|sample| >> 7`.
pub fn judge(
    stream: StreamIndex,
    frames: u32,
    gaps: &[Gap],
    counts: Option<&StreamCounts>,
    loudest: u8,
) -> StreamVerdict {
    use StreamVerdict as V;
    let tally = Tally::of(stream, frames, gaps);
    let owed = u64::from(frames).saturating_sub(tally.excused);
    if owed == 0 {
        return V::Ok;
    }
    let heard = owed.saturating_sub(tally.missing());
    let counts = counts.copied().unwrap_or_default();
    let is_part = |missing: u64| {
        missing >= PARTLY_FRAMES || (missing >= PARTLY_LEAST_FRAMES && missing * 100 >= owed * PARTLY_PERCENT)
    };
    let troubles = [
        (tally.late, V::Late, V::PartlyLate),
        (tally.refused, V::Refused, V::PartlyRefused),
        (tally.unknown, V::UnknownType, V::PartlyUnknownType),
    ];
    let (most, whole, part) = troubles.into_iter().max_by_key(|one| one.0).unwrap_or(troubles[0]);
    if heard * 100 <= owed * UNHEARD_PERCENT && is_part(most) {
        return whole;
    }
    if heard == 0 && tally.lost == 0 && tally.unrecorded == 0 {
        return match (counts.late, counts.refused) {
            (late, refused) if late >= PACKETS && late >= refused => V::Late,
            (_, refused) if refused >= PACKETS => V::Refused,
            _ => V::OneWay,
        };
    }
    let lost_much = tally.lost * 100 >= owed * LOST_PERCENT && tally.lost >= PARTLY_LEAST_FRAMES;
    if is_part(most) && most >= tally.unrecorded.max(tally.lost) {
        part
    } else if is_part(tally.unrecorded) {
        V::PartlyUnrecorded
    } else if lost_much {
        // A packet that came too late for its frame is missing in the sequence first.
        if counts.late * 2 >= counts.lost && counts.late >= PACKETS { V::PartlyLate } else { V::PartlyLost }
    } else if is_part(most) {
        part
    } else if loudest == 0 && heard >= SILENT_FRAMES {
        V::SilentChannel
    } else {
        V::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from_frame: u32, to_frame: u32, reason: GapReason) -> Gap {
        Gap { stream: StreamIndex(1), from_frame, to_frame, reason }
    }

    fn verdict(gaps: &[Gap], counts: StreamCounts, loudest: u8) -> StreamVerdict {
        judge(StreamIndex(1), 1_000, gaps, Some(&counts), loudest)
    }

    #[test]
    fn what_nobody_sent_is_not_owed_and_what_was_refused_is_not_kept() {
        let gaps = [
            gap(0, 100, GapReason::NoMedia),
            gap(100, 200, GapReason::Paused),
            gap(200, 250, GapReason::Refused),
            gap(250, 300, GapReason::Lost),
            gap(300, 400, GapReason::Held),
        ];
        let heard = audio(StreamIndex(1), StreamRole::Other, 1_000, &gaps);
        assert_eq!(heard, StreamAudio { role: StreamRole::Other, owed_ms: 14_000, kept_ms: 12_000 });
        assert_eq!(
            audio(StreamIndex(0), StreamRole::Caller, 1_000, &gaps).kept_ms,
            20_000,
            "another stream's gaps"
        );
        let silent = audio(StreamIndex(1), StreamRole::Other, 1_000, &[gap(0, 1_000, GapReason::NoMedia)]);
        assert_eq!((silent.owed_ms, silent.kept_ms), (0, 0));
    }

    #[test]
    fn a_stream_of_which_nothing_could_be_used_says_why() {
        for (reason, whole, part) in [
            (GapReason::Late, StreamVerdict::Late, StreamVerdict::PartlyLate),
            (GapReason::Refused, StreamVerdict::Refused, StreamVerdict::PartlyRefused),
            (GapReason::UnknownType, StreamVerdict::UnknownType, StreamVerdict::PartlyUnknownType),
        ] {
            let counts = StreamCounts::default();
            let all = [gap(0, 10, GapReason::NoMedia), gap(10, 1_000, reason)];
            assert_eq!(verdict(&all, counts, 0), whole);
            let paused = [gap(0, 900, GapReason::Paused), gap(900, 1_000, reason)];
            assert_eq!(verdict(&paused, counts, 0), whole, "of what was owed nothing is there");
            assert_eq!(verdict(&[gap(100, 150, reason)], counts, 90), part);
            assert_eq!(verdict(&[gap(100, 105, reason)], counts, 90), StreamVerdict::Ok);
        }
    }

    #[test]
    fn a_side_of_which_nothing_came_is_one_way_and_what_the_counters_know_outweighs_that() {
        let silent = [gap(0, 1_000, GapReason::NoMedia)];
        assert_eq!(verdict(&silent, StreamCounts::default(), 0), StreamVerdict::OneWay);
        let refused = StreamCounts { refused: 40, ..StreamCounts::default() };
        assert_eq!(verdict(&silent, refused, 0), StreamVerdict::Refused);
        let late = StreamCounts { late: 40, received: 40, ..StreamCounts::default() };
        assert_eq!(verdict(&silent, late, 0), StreamVerdict::Late);
    }

    #[test]
    fn holds_and_pauses_are_no_fault_and_silence_faults_and_loss_are() {
        let counts = StreamCounts::default();
        let held = [gap(0, 300, GapReason::Held), gap(300, 600, GapReason::Paused)];
        assert_eq!(verdict(&held, counts, 90), StreamVerdict::Ok);
        assert_eq!(verdict(&[], counts, 0), StreamVerdict::SilentChannel);
        assert_eq!(judge(StreamIndex(1), 100, &[], None, 0), StreamVerdict::Ok, "too short to tell");
        assert_eq!(
            verdict(&[gap(800, 1_000, GapReason::Fault)], counts, 90),
            StreamVerdict::PartlyUnrecorded
        );
        assert_eq!(verdict(&[gap(0, 60, GapReason::Lost)], counts, 90), StreamVerdict::PartlyLost);
        let late = StreamCounts { late: 50, lost: 60, ..counts };
        assert_eq!(verdict(&[gap(0, 60, GapReason::Lost)], late, 90), StreamVerdict::PartlyLate);
        assert_eq!(verdict(&[gap(0, 40, GapReason::Lost)], counts, 90), StreamVerdict::Ok);
    }
}
