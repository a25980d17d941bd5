//! The values carried by a call's events: encoded blocks, gaps, packet counters, how a call ended. The stages
//! share them; [`Fact`](crate::call::output::Fact) is the event itself.

use serde::{Deserialize, Serialize};

use crate::spill::DeferredSettings;
use optag_core::call::{CutShort, Outcome};
use optag_core::clock::WallTime;

/// Encoded frames of all streams of a call over one span of its time axis. Later blocks of a call
/// may have more streams than earlier ones.
///
/// Shape: `frames × streams` packets, frame by frame, streams in channel order; every packet encodes
/// exactly [`FRAME_MS`](crate::timebase::FRAME_MS) and none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaBlock {
    /// Index of the first frame; frame 0 starts when consent was given.
    pub first_frame: u32,
    /// What the packets are.
    pub form: Form,
    /// Streams (channels) in each frame, 1 to 8.
    pub streams: u8,
    /// Length of each packet in `bytes`. Units: bytes.
    pub lengths: Vec<u16>,
    /// Peak sample of each packet's frame, `|sample| >> 7`, for the waveform. As many as `lengths`.
    pub peaks: Vec<u8>,
    /// The packets, one after the other.
    pub bytes: Vec<u8>,
}

/// What the packets of a block are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Opus packets.
    #[default]
    Opus,
    /// Packed frames ([`packed_frame`](crate::spill::packed_frame)), which are to be encoded so.
    Packed(DeferredSettings),
}

impl MediaBlock {
    /// Frames in the block.
    pub fn frames(&self) -> u32 {
        match self.streams {
            0 => 0,
            streams => (self.lengths.len() / usize::from(streams)) as u32,
        }
    }

    /// The packets in stored order.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map(move |&len| {
            let (packet, tail) = rest.split_at(usize::from(len).min(rest.len()));
            rest = tail;
            packet
        })
    }
}

/// Index of a stream within its call, in order of joining; also its channel in the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamIndex(pub u8);

impl From<StreamIndex> for usize {
    fn from(index: StreamIndex) -> Self {
        index.0.into()
    }
}

/// A span in which a stream has no media of its own (it contains silence).
///
/// Units: frames of [`FRAME_MS`](crate::timebase::FRAME_MS) on the recording's time axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// The stream.
    pub stream: StreamIndex,
    /// First frame without media.
    pub from_frame: u32,
    /// First frame with media again.
    pub to_frame: u32,
    /// The reason.
    pub reason: GapReason,
}

/// Why media is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Packets were lost or came too late.
    Lost,
    /// The sender stopped sending without signalling it (hold, DTX without comfort noise).
    Held,
    /// The feed paused the recording, or the call was with a department not covered by the consent.
    Paused,
    /// The recorder was down.
    Restart,
    /// Nothing had been received yet, or nothing was received any more.
    NoMedia,
    /// The spool could not accept it.
    Spool,
    /// Keys were pressed: their tones, and what was said at the same time, are cut out.
    KeyTones,
    /// Processing the call failed; it ends with this span.
    Fault,
    /// Packets arrived, but too late to be placed.
    Late,
    /// Packets arrived and were refused: by the source rule, by SRTP authentication, or because they could
    /// not be decoded.
    Refused,
    /// Packets arrived with a payload type that was not negotiated.
    UnknownType,
    /// Who speaks in the stream objects to being recorded.
    Objected,
}

/// How a call ended, with its counters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When, by the wall clock.
    pub at: WallTime,
    /// Why the engine ended the call.
    pub by: EndedBy,
    /// The one outcome. `Recorded` or `RecordedPartly` if there is at least one frame of accepted audio.
    pub outcome: Outcome,
    /// Frames on the time axis, the same for every stream.
    pub frames: u32,
    /// Per stream, in channel order.
    pub streams: Vec<StreamCounts>,
}

/// What ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Ended by the feed.
    Feed,
    /// No packet for too long.
    RtpTimeout,
    /// It reached the maximum duration of a call.
    TooLong,
    /// The recorder is shutting down.
    Shutdown,
    /// It was found open in the spool after a crash and not resumed.
    Recovered,
    /// It ended in an earlier system, whose recording was imported.
    Imported,
    /// Processing it failed.
    Fault,
}

impl EndedBy {
    /// The outcome of a recorded call that ended in this way.
    pub const fn of_recorded(self) -> Outcome {
        match self {
            EndedBy::Fault => Outcome::RecordedPartly(CutShort::Fault),
            EndedBy::Recovered | EndedBy::Shutdown => Outcome::RecordedPartly(CutShort::Restart),
            EndedBy::Feed | EndedBy::RtpTimeout | EndedBy::TooLong | EndedBy::Imported => Outcome::Recorded,
        }
    }
}

/// Packet counters of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamCounts {
    /// Accepted RTP packets.
    pub received: u64,
    /// Sequence numbers never received.
    pub lost: u64,
    /// Packets received too late.
    pub late: u64,
    /// Duplicate packets.
    pub duplicate: u64,
    /// Packets refused: malformed, foreign source or SSRC, unknown payload type.
    pub refused: u64,
}
