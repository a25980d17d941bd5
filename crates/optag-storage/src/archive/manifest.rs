//! What is known of a recording, as JSON beside its audio: enough to rebuild the index from.

use serde::{Deserialize, Serialize};

use crate::archive::stream_verdict;
use crate::store::remains::Stored;
use optag_core::call::{CallFacts, ConsentRecord, StreamAudio, StreamVerdict};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_media::fact::{EndedBy, Gap, StreamCounts, StreamIndex};
use optag_media::timebase::FRAME_MS;

/// Version of this form, which is the newest that is read.
pub const VERSION: u32 = 1;

/// Why a manifest cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A newer program wrote it.
    #[error("manifest of version {0}; this program reads up to version {VERSION}")]
    Newer(u32),
    /// It is no manifest.
    #[error("not a manifest")]
    Form,
}

/// The manifest of one recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the form.
    pub version: u32,
    /// The call: who, when, which department.
    pub call: CallFacts,
    /// When the recording's first sample was spoken: the moment of consent.
    pub recording_started_at: WallTime,
    /// When the call ended.
    pub ended_at: WallTime,
    /// What ended it.
    pub ended_by: EndedBy,
    /// Length of the audio. Units: ms.
    pub duration_ms: u64,
    /// When it is erased at the latest.
    pub expires_at: WallTime,
    /// Every change of consent, in order.
    pub consent: Vec<ConsentRecord>,
    /// Spans without media, in frames of 20 ms.
    pub gaps: Vec<Gap>,
    /// Packet counters, in channel order.
    pub counts: Vec<StreamCounts>,
    /// What became of each stream, in channel order; none in manifests that are older.
    #[serde(default)]
    pub verdicts: Vec<StreamVerdict>,
    /// Loudest sample of each 100 ms, `|sample| >> 7`: one list a channel.
    pub peaks_100ms: Vec<Vec<u8>>,
    /// Rate that holds all that was recorded; 8,000 for telephone band. Units: Hz.
    #[serde(default = "telephone_hz")]
    pub audio_rate_hz: u32,
    /// Size of the audio before it is sealed. Units: bytes.
    pub audio_bytes: u64,
    /// SHA-256 of the audio, in hexadecimal, before it is sealed.
    pub audio_sha256: String,
    /// The stored object of the audio, as it lies in the store.
    #[serde(default)]
    pub object: Option<ObjectFacts>,
    /// Which program wrote it.
    pub written_by: String,
    /// How the store named what was delivered just now; no part of the form.
    #[serde(skip)]
    pub stored: Stored,
}

/// An object as it lies in the store: what can be checked without any key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// Its size. Units: bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Whom it is sealed for, if it is: `age1…`.
    pub sealed_for: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// Errors: a newer program wrote it, whose fields may mean something else; or it is none.
    pub fn read(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(json).map_err(|_| ManifestError::Form)?;
        if version > VERSION {
            return Err(ManifestError::Newer(version));
        }
        serde_json::from_slice(json).map_err(|_| ManifestError::Form)
    }

    /// What each stream owed and brought, in channel order.
    pub fn stream_audio(&self) -> Vec<StreamAudio> {
        let frames = u32::try_from(self.duration_ms / u64::from(FRAME_MS)).unwrap_or(u32::MAX);
        let streams = self.call.streams.iter().zip((0..=u8::MAX).map(StreamIndex));
        streams.map(|(stream, at)| stream_verdict::audio(at, stream.role, frames, &self.gaps)).collect()
    }

    /// Names the recording.
    pub fn id(&self) -> CallId {
        self.call.id
    }
}

/// What manifests had before they said it.
fn telephone_hz() -> u32 {
    8_000
}

/// Joins gaps that meet and have one reason, in order of stream and time.
pub fn coalesce(mut gaps: Vec<Gap>) -> Vec<Gap> {
    gaps.sort_by_key(|gap| (gap.stream, gap.from_frame));
    let mut joined: Vec<Gap> = Vec::with_capacity(gaps.len());
    for gap in gaps {
        match joined.last_mut() {
            Some(last)
                if (last.stream, last.reason) == (gap.stream, gap.reason)
                    && gap.from_frame <= last.to_frame =>
            {
                last.to_frame = last.to_frame.max(gap.to_frame);
            }
            _ => joined.push(gap),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_media::fact::GapReason;

    #[test]
    fn a_manifest_of_a_newer_version_is_told_from_a_damaged_one() {
        for (json, error) in [
            ("{\"version\":2}", ManifestError::Newer(2)),
            ("{\"version\":4000000000,\"call\":7}", ManifestError::Newer(4_000_000_000)),
            ("{\"version\":1}", ManifestError::Form),
            ("{\"version\":-1}", ManifestError::Form),
            ("{}", ManifestError::Form),
            ("", ManifestError::Form),
        ] {
            assert_eq!(Manifest::read(json.as_bytes()), Err(error), "{json}");
        }
        assert!(ManifestError::Newer(2).to_string().contains("version 2"));
    }

    #[test]
    fn gaps_that_meet_become_one() {
        let gap =
            |n, from_frame, to_frame, reason| Gap { stream: StreamIndex(n), from_frame, to_frame, reason };
        let joined = coalesce(vec![
            gap(1, 250, 500, GapReason::Held),
            gap(0, 5, 9, GapReason::Lost),
            gap(1, 0, 250, GapReason::Held),
            gap(0, 9, 12, GapReason::Paused),
        ]);
        assert_eq!(
            joined,
            [
                gap(0, 5, 9, GapReason::Lost),
                gap(0, 9, 12, GapReason::Paused),
                gap(1, 0, 500, GapReason::Held)
            ]
        );
    }
}
