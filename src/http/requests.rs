//! What the API needs of those who answer for the recordings: candidates for a caller's words,
//! erasures and their receipts, holds, the report on retention, the audit itself.
//!
//! A trait of the consumer, as [`Library`](crate::http::recordings::library::Library) is.

pub(crate) mod candidates;
pub(crate) mod erasures;
pub(crate) mod handout;
pub(crate) mod handout_links;
pub mod time_window;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::access::Actor;
use crate::http::recordings::library::{EraseReceipt, LibraryError, RecordingSummary};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Most recordings that one request may erase.
pub const TARGETS_MOST: usize = 1_000;

/// Answers for the recordings.
pub trait Requests: Send + Sync {
    /// The zone of callers, where a request names none.
    fn time_zone(&self) -> &str;

    /// The installation's public key, in hexadecimal.
    fn public_key(&self) -> String;

    /// Recordings that may be the one a caller means.
    fn candidates(&self, wanted: CandidateQuery) -> BoxFuture<'_, Result<CandidatePage, LibraryError>>;

    /// Recordings whose caller has exactly this number, those on their way to the store included.
    fn of_caller(&self, number: Private<String>) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>>;

    /// What an erasure would take away. Nothing changes.
    fn preview(&self, id: CallId) -> BoxFuture<'_, Result<ErasurePreview, LibraryError>>;

    /// Erases a recording. Once this answers, the order is durable and nothing of it is served.
    /// `accept_missing`: where nothing is found of what was delivered, that is accepted.
    fn erase(
        &self,
        id: CallId,
        request: Option<String>,
        accept_missing: bool,
    ) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>>;

    /// How far an erasure has come, with the signed receipt where it is complete.
    fn receipt(&self, id: CallId) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>>;

    /// Holds a recording.
    fn hold(&self, id: CallId, hold: NewHold, actor: Actor) -> BoxFuture<'_, Result<HoldView, LibraryError>>;

    /// Lets a recording go; whether it was held.
    fn release(&self, id: CallId) -> BoxFuture<'_, Result<bool, LibraryError>>;

    /// Every hold.
    fn holds(&self) -> Vec<HoldView>;

    /// Whether anything was older at `at` than it may be, or the report that was begun as `job`.
    fn retention_report(
        &self,
        at: Option<WallTime>,
        job: Option<u64>,
    ) -> BoxFuture<'_, Result<ReportAnswer, LibraryError>>;

    /// The owner says that the wall clock is right.
    fn confirm_clock(&self) -> BoxFuture<'_, Result<ClockView, LibraryError>>;

    /// Entries of the audit after `after`, in order.
    fn audit_page(&self, after: u64, most: usize) -> BoxFuture<'_, Result<AuditPage, LibraryError>>;
}

/// What a caller told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CandidateQuery {
    /// Number called from, in any format.
    pub number: Option<Private<String>>,
    /// Name, perhaps misspelt.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// When, with the tolerance in it.
    pub window: Option<crate::http::requests::time_window::Window>,
    /// Most candidates.
    pub most: usize,
}

/// Recordings that may be the one, the likeliest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CandidatePage {
    /// They.
    pub candidates: Vec<CandidateView>,
    /// All that fit.
    pub total: u64,
    /// Whether the window holds more recordings than could be compared: narrow it.
    pub truncated: bool,
    /// First instant that was looked at.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<WallTime>,
    /// Last instant.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<WallTime>,
}

/// One of them. Nothing of it was played.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CandidateView {
    /// As in a list.
    #[serde(flatten)]
    pub recording: RecordingSummary,
    /// How well it fits.
    pub fit: Fit,
}

/// How well what was told fits what is known. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Fit {
    /// All together, 0 to 1.
    pub score: f64,
    /// `same`, `ending` or `one_digit_off`.
    pub number: Option<String>,
    /// 0 to 1.
    pub name: Option<f64>,
    /// Minutes between the time that was named and the call; 0 within the call.
    pub minutes_off: Option<i64>,
}

/// What an erasure would take away.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErasurePreview {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// `live` (end or withdraw the call first), `spooled`, `stored`, `erased` or `unknown`.
    pub state: &'static str,
    /// Every copy in the store: objects, versions, delete markers, unfinished uploads; empty and
    /// `store_answers` false where it is away.
    pub copies: Vec<CopyView>,
    /// Whether the store could be asked.
    pub store_answers: bool,
    /// Whether the spool holds a key that opens audio of it.
    pub spool_key: bool,
    /// Whether the index has a row with personal data.
    pub index_row: bool,
    /// Until when a legal hold refuses the erasure.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub held_until: Option<WallTime>,
}

/// A copy in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CopyView {
    /// Name, with version or upload.
    pub name: String,
    /// `object`, `delete_marker`, `upload` or `unfinished`.
    pub kind: &'static str,
    /// Its size, where known.
    pub size_bytes: u64,
}

/// A hold to place.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub until: WallTime,
    /// Why, for the audit and for whoever is refused an erasure.
    pub reason: String,
    /// One of the bases that the configuration names, to reach past the recording's limit.
    pub lawful_basis: Option<String>,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldView {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub until: WallTime,
    /// Why.
    pub reason: String,
    /// The lawful basis, where it reaches past the limit.
    pub lawful_basis: Option<String>,
    /// Who placed it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
}

/// A report, or how far it has come.
#[derive(Clone, Debug, PartialEq)]
pub enum ReportAnswer {
    /// The report.
    Done(RetentionReport),
    /// It is being made.
    Server(ReportProgress),
}

/// A report that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportProgress {
    /// Its number: `job` of the next request.
    pub job: u64,
    /// Copies in the store that were looked at so far.
    pub looked_at: u64,
}

/// Whether anything is older than it may be.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RetentionReport {
    /// The moment that is reported on.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
    /// When the report was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: WallTime,
    /// Days that nothing may outlive.
    pub limit_days: u8,
    /// How long after its time something may still be on its way out. Units: s.
    pub grace_s: u64,
    /// True: nothing was older, nothing is amiss, and everything could be looked at.
    pub clean: bool,
    /// Index, store, both compared, the bucket's rules, spool, deletion log, clock.
    pub parts: Vec<ReportPart>,
    /// Holds that keep something past its limit, with their lawful basis.
    pub held: Vec<HoldView>,
}

/// One part of the report.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReportPart {
    /// Which.
    pub name: &'static str,
    /// Whether it could be looked at.
    pub answers: bool,
    /// Things that were there at that moment.
    pub there: u64,
    /// When the oldest of them was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_at: Option<WallTime>,
    /// Things that were too old.
    pub too_old: u64,
    /// Things that are otherwise not as they must be: missing, unknown, erased and there again.
    pub amiss: u64,
    /// The first of those, and what else is to be said.
    pub notes: Vec<String>,
}

/// What the clocks say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClockView {
    /// The time by which expiry is judged.
    #[schema(value_type = String, format = DateTime)]
    pub trusted: WallTime,
    /// What the machine's wall clock says.
    #[schema(value_type = String, format = DateTime)]
    pub wall: WallTime,
}

/// Entries of the audit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Lines of the chain, as they stand in the file.
    #[schema(value_type = Vec<Object>)]
    pub lines: Vec<Box<RawValue>>,
    /// Signed checkpoints.
    #[schema(value_type = Vec<Object>)]
    pub checkpoints: Vec<Box<RawValue>>,
    /// Number of the last line here; `after` of the next request.
    pub last: u64,
    /// Whether there are more.
    pub more: bool,
}
