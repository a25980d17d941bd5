//! The API's interface to the recordings: search, read, play, erase.
//!
//! A trait of the consumer, implemented on index, store and spool.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::access::Departments;
use crate::http::position::Position;
use crate::http::reached::Reached;
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

    /// Of these recordings, those of the departments: delivered, waiting or in progress, erased ones included.
    fn within(
        &self,
        ids: Vec<CallId>,
        departments: Departments,
    ) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>>;

    /// All details of a recording.
    fn get(&self, recording: Reached) -> BoxFuture<'_, Result<RecordingDetail, LibraryError>>;

    /// How loud a recording is over time.
    fn waveform(&self, recording: Reached) -> BoxFuture<'_, Result<Waveform, LibraryError>>;

    /// Opens a recording's audio, or part of it.
    fn audio(&self, request: AudioRequest) -> BoxFuture<'_, Result<Audio, LibraryError>>;
}

/// Why a request for a recording failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// There was no such recording, or it expired long ago.
    #[error("there is no such recording")]
    NotFound,
    /// It was erased or has expired.
    #[error("the recording was erased or has expired")]
    Erased,
    /// The call is still in progress, or its audio is being delivered.
    #[error("the recording is not ready yet")]
    NotReady,
    /// The recording has no such channel.
    #[error("the recording has channels 0 to {last}")]
    NoSuchChannel {
        /// The last one.
        last: u8,
    },
    /// The range is outside the file.
    #[error("the file has {total_bytes} bytes")]
    OutOfRange {
        /// Its length.
        total_bytes: u64,
    },
    /// The key that opens it was destroyed, or is not on this node.
    #[error("the key that opens the recording is not here")]
    Sealed,
    /// A newer program stored it.
    #[error("the recording was stored by a newer version of the recorder, which is needed to read it")]
    Newer,
    /// The stored data cannot be read.
    #[error("the stored recording is damaged")]
    Damaged,
    /// A legal hold prevents the erasure.
    #[error("the recording is under a legal hold until {until} ({reason}): it is not erased before that")]
    Held {
        /// The end of the hold.
        until: WallTime,
        /// Its reason, in the owner's words.
        reason: String,
    },
    /// The hold is not allowed.
    #[error("{0}")]
    HoldRefused(String),
    /// Nodes that share the index do not know everything of each other.
    #[error("{0}")]
    Apart(String),
    /// The deletion log is missing erasures.
    #[error("the deletion log is behind what index or store have seen; run `optag replay-deletions`")]
    OutOfStep,
    /// The limit of concurrent renderings is reached.
    #[error("too many recordings are being rendered; try again shortly")]
    Busy,
    /// The index does not answer.
    #[error("the index does not answer")]
    IndexDown,
    /// The store does not answer.
    #[error("the store does not answer")]
    StoreDown,
}

/// Search criteria; all given ones must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchQuery {
    /// Calling or called number, in any spelling.
    pub number: Option<Private<String>>,
    /// The caller's name or part of it.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// Departments beyond which nothing is found.
    pub within: Departments,
    /// Earliest start of the call.
    pub from: Option<WallTime>,
    /// Start of the call, exclusive upper bound.
    pub to: Option<WallTime>,
    /// Verdict on one of its streams.
    pub verdict: Option<VerdictWanted>,
    /// End of the previous page.
    pub after: Option<Position>,
    /// From 1; 1 if `after` gives the start.
    pub page: u32,
    /// 1 to 200.
    pub page_size: u16,
}

/// One page of results.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Page {
    /// Newest first.
    pub recordings: Vec<RecordingSummary>,
    /// From 1.
    pub page: u32,
    /// As requested.
    pub page_size: u16,
    /// Matches on all pages; a lower bound if `total_is_least` is true.
    pub total: u64,
    /// Whether there may be more matches than `total`: counting stops after some thousands.
    pub total_is_least: bool,
    /// Value of `after` for the next page; none for the last one.
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
    /// Calling number, as reported by the feed.
    #[schema(value_type = String)]
    pub caller_number: Private<String>,
    /// Called number.
    #[schema(value_type = String)]
    pub called_number: Private<String>,
    /// The caller's name.
    #[schema(value_type = Option<String>)]
    pub caller_name: Option<Private<String>>,
    /// The feed's own identifier of the call.
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Private<String>>,
    /// When it expires.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: WallTime,
    /// Length of the stored file; 0 until it is stored.
    pub size_bytes: u64,
    /// Whether it has reached the store.
    pub state: RecordingState,
    /// The verdict on each stream, in channel order: `ok`, or what is missing and why. Empty if the recording
    /// is older than verdicts, or not stored yet.
    pub verdicts: Vec<StreamVerdict>,
}

/// Storage state of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// In the spool, to be delivered.
    Spooled,
    /// In the store, verified.
    Stored,
}

/// All details of a recording.
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
    /// One per channel, in channel order.
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
    /// Participants with their times, the call's identifiers in other systems, and the received bodies,
    /// unchanged.
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

/// How loud each channel of a recording is over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waveform {
    /// Length of the span that a value stands for. Units: ms.
    pub every_ms: u64,
    /// The loudest sample of each span, 0 to 255, in channel order.
    pub channels: Vec<Vec<u8>>,
}

/// A request for audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioRequest {
    /// The recording.
    pub recording: Reached,
    /// The file's format.
    pub format: AudioFormat,
    /// A single channel; none for all.
    pub channel: Option<u8>,
    /// Part of the file; none for all of it.
    pub range: Option<ByteRange>,
}

/// Format of served audio.
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
    /// The part in `bytes`, end excluded: all of it, or [`ByteRange::resolve`] of the request.
    pub part: std::ops::Range<u64>,
    /// Exactly that part. An error ends the response early.
    pub bytes: BoxStream<'static, Result<Bytes, LibraryError>>,
}

/// Result of an erasure.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct EraseReceipt {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// Whether it is complete.
    pub state: EraseState,
    /// The steps in order.
    pub steps: Vec<EraseStep>,
    /// The signed receipt, once every copy is verified as deleted: keep it, or give it to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub receipt: Option<Box<serde_json::value::RawValue>>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Whether an erasure is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EraseState {
    /// Every copy is deleted, and that was verified.
    Done,
    /// The order is durable; some copy could not be reached yet.
    Pending,
    /// Nothing was ordered.
    Refused,
}

/// One step of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct EraseStep {
    /// Its name.
    pub name: String,
    /// Whether it is complete.
    pub done: bool,
}
