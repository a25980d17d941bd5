//! What the API needs of the recordings: search, read, play, erase.
//!
//! A trait of the consumer: index, store and spool stand behind it.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::position::Position;
pub use crate::http::server::range::ByteRange;
use optag_core::call::verdict::VerdictWanted;
use optag_core::call::{CallContext, ConsentRecord, StreamFacts, StreamVerdict};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_media::fact::{EndedBy, Gap, StreamCounts};

/// The recordings.
pub trait Library: Send + Sync {
    /// Finds recordings, newest first.
    fn search(&self, query: SearchQuery) -> BoxFuture<'_, Result<Page, LibraryError>>;

    /// Everything known of a recording.
    fn get(&self, id: CallId) -> BoxFuture<'_, Result<RecordingDetail, LibraryError>>;

    /// Opens a recording's audio, or a part of it.
    fn audio(&self, request: AudioRequest) -> BoxFuture<'_, Result<Audio, LibraryError>>;
}

/// Why the library cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// There never was such a recording, or it expired long ago.
    #[error("there is no such recording")]
    NotFound,
    /// It was erased or has expired.
    #[error("the recording was erased or has expired")]
    Erased,
    /// The call is still going on, or its audio is on its way to the store.
    #[error("the recording is not ready yet")]
    NotReady,
    /// The recording has no such channel.
    #[error("the recording has channels 0 to {last}")]
    NoSuchChannel {
        /// The last one.
        last: u8,
    },
    /// The range lies outside the file.
    #[error("the file has {total_bytes} bytes")]
    OutOfRange {
        /// Its length.
        total_bytes: u64,
    },
    /// The key that opens it was destroyed, or is not on this node.
    #[error("the key that opens the recording is not here")]
    Sealed,
    /// What is stored cannot be read.
    #[error("the stored recording is damaged")]
    Damaged,
    /// A legal hold stands against the erasure.
    #[error("the recording is under a legal hold until {until} ({reason}): it is not erased before that")]
    Held {
        /// Until when.
        until: WallTime,
        /// Why, in the owner's words.
        reason: String,
    },
    /// The hold is not allowed.
    #[error("{0}")]
    HoldRefused(String),
    /// The deletion log has forgotten erasures.
    #[error("the deletion log is behind what index or store have seen; run `optag replay-deletions`")]
    OutOfStep,
    /// As many recordings are being rendered as may be at a time.
    #[error("too many recordings are being rendered; try again shortly")]
    Busy,
    /// The index does not answer.
    #[error("the index does not answer")]
    IndexDown,
    /// The store does not answer.
    #[error("the store does not answer")]
    StoreDown,
}

/// What to look for; everything given must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchQuery {
    /// Number called from or called, in any spelling.
    pub number: Option<Private<String>>,
    /// The caller's name or a part of it.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// Earliest start of the call.
    pub from: Option<WallTime>,
    /// First instant that is too late.
    pub to: Option<WallTime>,
    /// What became of one of its streams.
    pub verdict: Option<VerdictWanted>,
    /// Where the page before ended.
    pub after: Option<Position>,
    /// From 1; 1 where `after` says where it begins.
    pub page: u32,
    /// 1 to 200.
    pub page_size: u16,
}

/// One page of what was found.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Page {
    /// Newest first.
    pub recordings: Vec<RecordingSummary>,
    /// From 1.
    pub page: u32,
    /// As asked.
    pub page_size: u16,
    /// Matches on all pages; where `total_is_least` says so, at least as many.
    pub total: u64,
    /// Whether there may be more matches than `total`: beyond some thousands they are not counted.
    pub total_is_least: bool,
    /// What the next page is asked for with (`after`); none where this is the last.
    #[schema(value_type = Option<String>)]
    #[serde(serialize_with = "as_text")]
    pub next: Option<Position>,
}

fn as_text<S: serde::Serializer>(next: &Option<Position>, to: S) -> Result<S::Ok, S::Error> {
    next.map(|next| next.to_string()).serialize(to)
}

/// A recording in a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordingSummary {
    /// Its id, the call's.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// Department id.
    pub department: String,
    /// When the call was admitted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: WallTime,
    /// The moment of consent: when the first sample was spoken.
    #[schema(value_type = String, format = DateTime)]
    pub recording_started_at: WallTime,
    /// Length of the audio.
    pub duration_ms: u64,
    /// Number called from, as the feed gave it.
    #[schema(value_type = String)]
    pub caller_number: Private<String>,
    /// Number called.
    #[schema(value_type = String)]
    pub called_number: Private<String>,
    /// The caller's name.
    #[schema(value_type = Option<String>)]
    pub caller_name: Option<Private<String>>,
    /// The feed's own name for the call.
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Private<String>>,
    /// When it will be erased at the latest.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: WallTime,
    /// Length of the stored file; 0 until it is stored.
    pub size_bytes: u64,
    /// Whether it has reached the store.
    pub state: RecordingState,
    /// What became of each stream, in channel order: `ok`, or what is missing and why. Empty where
    /// the recording is older than verdicts, or not stored yet.
    pub verdicts: Vec<StreamVerdict>,
}

/// Where a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// In the spool, on its way.
    Spooled,
    /// In the store, verified.
    Stored,
}

/// Everything known of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordingDetail {
    /// As in a list.
    #[serde(flatten)]
    pub summary: RecordingSummary,
    /// When the call ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<WallTime>,
    /// What ended it.
    #[schema(value_type = Option<String>)]
    pub ended_by: Option<EndedBy>,
    /// One a channel, in channel order.
    #[schema(value_type = Vec<Object>)]
    pub streams: Vec<StreamFacts>,
    /// Packet counters, in channel order.
    #[schema(value_type = Vec<Object>)]
    pub counts: Vec<StreamCounts>,
    /// Every change of consent, in order.
    #[schema(value_type = Vec<Object>)]
    pub consent: Vec<ConsentRecord>,
    /// Spans without media, in frames of 20 ms.
    #[schema(value_type = Vec<Object>)]
    pub gaps: Vec<Gap>,
    /// The stored file.
    pub object: Option<StoredObject>,
    /// Who took part and when, the names of the call elsewhere, and what was received of
    /// them, as it was received.
    #[schema(value_type = Object)]
    pub context: CallContext,
}

/// The file in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoredObject {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// Which audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioRequest {
    /// The recording.
    pub id: CallId,
    /// The file's format.
    pub format: AudioFormat,
    /// One channel alone; none for all.
    pub channel: Option<u8>,
    /// A part of the file; none for all of it.
    pub range: Option<ByteRange>,
}

/// How audio is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// Ogg Opus, as stored.
    Opus,
    /// 16-bit PCM.
    Wav,
}

/// An opened file.
pub struct Audio {
    /// Length of the whole file.
    pub total_bytes: u64,
    /// The part that `bytes` carries, end excluded: all of it, or [`ByteRange::resolve`] of what was asked.
    pub part: std::ops::Range<u64>,
    /// Exactly that part. An error ends the answer early.
    pub bytes: BoxStream<'static, Result<Bytes, LibraryError>>,
}

/// What became of an erasure.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EraseReceipt {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// Whether anything is left to do.
    pub state: EraseState,
    /// The steps in order.
    pub steps: Vec<EraseStep>,
    /// The signed receipt, once every copy is verified gone: keep it, or hand it to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub receipt: Option<Box<serde_json::value::RawValue>>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Whether an erasure is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EraseState {
    /// Every copy is gone, and that was verified.
    Done,
    /// The order is durable; some copy could not be reached yet.
    Pending,
    /// Nothing was ordered.
    Refused,
}

/// One step of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EraseStep {
    /// What.
    pub name: String,
    /// Whether it is done.
    pub done: bool,
}
