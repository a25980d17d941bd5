//! The API's interface for requests of data subjects and administration: candidates, erasures and receipts,
//! holds, the retention report, the audit log.
//!
//! A trait of the consumer, as [`Library`](crate::http::recordings::library::Library) is.

pub(crate) mod candidates;
pub(crate) mod erasures;
pub(crate) mod handout;
pub(crate) mod handout_links;
pub mod receipts;
pub mod time_window;
pub(crate) mod verify;

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::access::{Actor, Departments};
use crate::http::reached::Reached;
use crate::http::recordings::library::{EraseReceipt, LibraryError, RecordingSummary};
use crate::http::requests::receipts::Verified;
use optag_core::call::Department;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Maximum number of recordings per erasure request.
pub const TARGETS_MOST: usize = 1_000;

/// Requests concerning recordings.
pub trait Requests: Send + Sync {
    /// Default time zone of callers.
    fn time_zone(&self) -> &str;

    /// The departments of now.
    fn departments(&self) -> Arc<[Department]>;

    /// The installation's public key, in hexadecimal.
    fn public_key(&self) -> String;

    /// What the signatures of the receipts in a text cover; `None`: there are none, or too many.
    fn verify(&self, text: String) -> BoxFuture<'_, Result<Option<Verified>, LibraryError>>;

    /// Recordings that a caller may mean.
    fn candidates(&self, wanted: CandidateQuery) -> BoxFuture<'_, Result<CandidatePage, LibraryError>>;

    /// Recordings of these departments whose caller has exactly this number: those in the index, and those that this node
    /// has not delivered yet.
    fn of_caller(
        &self,
        number: Private<String>,
        within: Departments,
    ) -> BoxFuture<'_, Result<Vec<CallId>, LibraryError>>;

    /// Of these, those that this node has not delivered yet.
    fn waiting_of_caller(&self, number: Private<String>, within: Departments) -> BoxFuture<'_, Vec<CallId>>;

    /// What an erasure would delete. Nothing changes.
    fn preview(&self, recording: Reached) -> BoxFuture<'_, Result<ErasurePreview, LibraryError>>;

    /// Erases a recording. Once this returns, the order is durable and nothing of it is served.
    /// `accept_missing`: completes even if nothing of a delivered recording is found.
    fn erase(
        &self,
        recording: Reached,
        request: Option<String>,
        accept_missing: bool,
    ) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>>;

    /// Progress of an erasure, with the signed receipt if it is complete.
    fn receipt(&self, recording: Reached) -> BoxFuture<'_, Result<EraseReceipt, LibraryError>>;

    /// Holds a recording.
    fn hold(
        &self,
        recording: Reached,
        hold: NewHold,
        actor: Actor,
    ) -> BoxFuture<'_, Result<HoldView, LibraryError>>;

    /// Lifts a hold; returns whether there was one.
    fn release(&self, recording: Reached) -> BoxFuture<'_, Result<bool, LibraryError>>;

    /// All holds.
    fn holds(&self) -> BoxFuture<'_, Result<Vec<HoldView>, LibraryError>>;

    /// Whether anything was older than allowed at `at`, or the report started as `job`.
    fn retention_report(
        &self,
        at: Option<WallTime>,
        job: Option<u64>,
    ) -> BoxFuture<'_, Result<ReportAnswer, LibraryError>>;

    /// Confirms that the wall clock is correct.
    fn confirm_clock(&self) -> BoxFuture<'_, Result<ClockView, LibraryError>>;

    /// Entries of the audit after `after`, in order.
    fn audit_page(&self, after: u64, most: usize) -> BoxFuture<'_, Result<AuditPage, LibraryError>>;
}

/// What a caller remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CandidateQuery {
    /// Calling number, in any format.
    pub number: Option<Private<String>>,
    /// Called number, in any format.
    pub called_number: Option<Private<String>>,
    /// Name, perhaps misspelt.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// Departments beyond which nothing is found.
    pub within: Departments,
    /// The time, including the tolerance.
    pub window: Option<crate::http::requests::time_window::Window>,
    /// Maximum number of candidates.
    pub most: usize,
}

/// Recordings that a caller may mean, the most likely first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CandidatePage {
    /// The candidates.
    pub candidates: Vec<CandidateView>,
    /// Number of all matches.
    pub total: u64,
    /// Whether the time window has more recordings than could be compared: narrow it.
    pub truncated: bool,
    /// Start of the time window.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<WallTime>,
    /// End of the time window.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<WallTime>,
}

/// A candidate. Nothing of it was played.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CandidateView {
    /// As in a list.
    #[serde(flatten)]
    pub recording: RecordingSummary,
    /// How well it matches.
    pub fit: Fit,
}

/// How well the criteria match what is known. Unknown data are omitted.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Fit {
    /// Total, 0 to 1.
    pub score: f64,
    /// `same`, `ending` or `one_digit_off`.
    pub number: Option<String>,
    /// The same for the number called.
    pub called_number: Option<String>,
    /// 0 to 1.
    pub name: Option<f64>,
    /// Minutes between the given time and the call; 0 within the call.
    pub minutes_off: Option<i64>,
    /// Why it has this score, one for each criterion.
    pub reasons: Vec<FitReason>,
}

/// What speaks for a candidate, or is not known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitReason {
    /// It was called from exactly this number.
    NumberSame,
    /// It was called from a number that ends so.
    NumberEnding,
    /// It was called from a number of which one digit differs, or two are swapped.
    NumberOneDigitOff,
    /// The number called from is not known.
    NumberUnknown,
    /// Exactly this number was called.
    CalledNumberSame,
    /// A number that ends so was called.
    CalledNumberEnding,
    /// A number was called of which one digit differs, or two are swapped.
    CalledNumberOneDigitOff,
    /// The number called is not known.
    CalledNumberUnknown,
    /// The name is the same, but for case, accents and order.
    NameExact,
    /// The name is spelt or sounds alike.
    NameNear,
    /// The name is not known.
    NameUnknown,
    /// The call was in progress at the given time.
    TimeWithin,
    /// The call was before or after the given time, within the tolerance.
    TimeNear,
}

/// What an erasure would delete.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErasurePreview {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// `live` (end or withdraw the call first), `spooled`, `stored`, `erased` or `unknown`.
    pub state: &'static str,
    /// Every copy in the store: objects, versions, delete markers, unfinished uploads; if the store is down,
    /// empty with `store_answers` false.
    pub copies: Vec<CopyView>,
    /// Whether the store answered.
    pub store_answers: bool,
    /// Whether the spool has a key for its audio.
    pub spool_key: bool,
    /// Whether the index has a row with personal data.
    pub index_row: bool,
    /// The end of a legal hold that prevents the erasure.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub held_until: Option<WallTime>,
}

impl ErasurePreview {
    /// Of a recording that does not exist.
    pub(crate) fn of_nothing(id: CallId) -> Self {
        Self {
            id,
            state: "unknown",
            copies: Vec::new(),
            store_answers: true,
            spool_key: false,
            index_row: false,
            held_until: None,
        }
    }
}

/// A copy in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CopyView {
    /// Name, with version or upload id.
    pub name: String,
    /// `object`, `delete_marker`, `upload` or `unfinished`.
    pub kind: &'static str,
    /// Its size, if known.
    pub size_bytes: u64,
}

/// A hold to place.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    pub until: WallTime,
    /// Its reason, for the audit and for whoever is refused an erasure.
    pub reason: String,
    /// One of the configured bases, to exceed the recording's limit.
    pub lawful_basis: Option<String>,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldView {
    /// The recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    pub until: WallTime,
    /// Its reason.
    pub reason: String,
    /// The lawful basis, if it exceeds the limit.
    pub lawful_basis: Option<String>,
    /// Who placed it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
}

/// A report, or its progress.
#[derive(Clone, Debug, PartialEq)]
pub enum ReportAnswer {
    /// The report.
    Done(RetentionReport),
    /// The report is being made.
    Running(ReportProgress),
}

/// Progress of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportProgress {
    /// Its number: `job` of the next request.
    pub job: u64,
    /// Copies in the store checked so far.
    pub looked_at: u64,
}

/// Whether anything is older than allowed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RetentionReport {
    /// The time of the check.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
    /// When the report was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: WallTime,
    /// Maximum retention in days.
    pub limit_days: u8,
    /// How long after its expiry something may still be present. Units: s.
    pub grace_s: u64,
    /// True: nothing was too old, there are no other findings, and everything could be checked.
    pub clean: bool,
    /// Index, store, both compared, the bucket's rules, spool, deletion log, clock.
    pub parts: Vec<ReportPart>,
    /// Holds beyond the limit, with their lawful basis.
    pub held: Vec<HoldView>,
}

/// One part of the report.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReportPart {
    /// Its name.
    pub name: &'static str,
    /// Whether it could be checked.
    pub answers: bool,
    /// Number of items at that time.
    pub there: u64,
    /// Creation time of the oldest.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_at: Option<WallTime>,
    /// Number of items that were too old.
    pub too_old: u64,
    /// Number of other findings: missing, unknown, or erased and present again.
    pub amiss: u64,
    /// The first findings, and further remarks.
    pub notes: Vec<String>,
}

/// The state of the clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClockView {
    /// The time by which expiry is evaluated.
    #[schema(value_type = String, format = DateTime)]
    pub trusted: WallTime,
    /// The machine's wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub wall: WallTime,
}

/// Entries of the audit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Lines of the chain, as in the file.
    #[schema(value_type = Vec<Object>)]
    pub lines: Vec<Box<RawValue>>,
    /// Signed checkpoints.
    #[schema(value_type = Vec<Object>)]
    pub checkpoints: Vec<Box<RawValue>>,
    /// Number of the last line; `after` of the next request.
    pub last: u64,
    /// Whether there are more.
    pub more: bool,
}
