//! The index of recordings: SQLite or PostgreSQL through sqlx. In: manifests, outcomes, erasures. Out: rows. The
//! store's manifests hold the same data, so a lost index can be rebuilt.

mod access_tokens;
mod accesses;
mod aged;
mod alike;
mod alike_words;
mod along_number;
mod announced_calls;
mod candidates;
mod cases;
mod claims;
mod conditions;
mod counts;
mod database;
mod deletion_orders;
mod departments;
mod early_answers;
mod expiring;
mod fold;
mod handout_links;
mod heads;
mod holds;
mod hosts;
mod jobs;
mod known_names;
pub mod likeness;
mod listening;
mod live_calls;
mod migrations;
mod names;
mod names_fill;
mod names_trace;
mod nodes;
mod notifications;
mod outbox;
mod provider_sign_ins;
mod query;
mod search_terms;
mod sign_ins;
mod signing_keys;
mod statement;
mod stored;
mod user_requests;
mod users;
mod withdrawn;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, Row};

pub use access_tokens::{TokenPut, TokenRow};
pub use accesses::{AccessRow, LogLine};
pub use aged::{Aged, Overdue};
pub use announced_calls::{AnnouncedCallRow, Pseudonyms};
pub use candidates::{Candidate, Candidates, Wanted};
pub use cases::{CaseCounts, CaseQuery, CaseRow};
pub use claims::Claim;
pub use database::IndexPlace;
pub use deletion_orders::{Decided, DoneRow, EXPIRY, OrderRow, WITHDRAWAL};
pub use departments::{Departments, Within};
pub use early_answers::{EarlyAnswer, EarlyKind, NewEarly, Waits};
pub use handout_links::{LinkRow, UsedLink};
pub use holds::{HoldRow, Placed, Placing};
pub use nodes::{Beat, NodeRow, NodeState};
pub use outbox::{DueEvent, EventKind, Receiver};
pub use provider_sign_ins::{Provided, ProviderLogout};
pub use search_terms::{Found, Position, Query};
pub use sign_ins::SignInRow;
pub use user_requests::UserRequestRow;
pub use users::{Enrolment, UserPut, UserRow};

use self::database::Database;
use self::statement::storable;
use optag_core::call::number::normalise;
use optag_core::call::{Outcome, StreamAudio, StreamVerdict};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_storage::archive::manifest::Manifest;

/// Why an index operation failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Index unavailable.
    #[error("index unavailable: {0}")]
    Database(#[from] sqlx::Error),
    /// Erased data stays in the write-ahead log while another process reads it.
    #[error("another process has the index open for reading: erased data is still in its write-ahead log")]
    ReadByOthers,
}

/// A row of the index: one recording.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexRow {
    /// Id of the recording.
    pub id: CallId,
    /// Department id.
    pub department: String,
    /// When the call was admitted.
    pub started_at: WallTime,
    /// The moment of consent.
    pub recording_started_at: WallTime,
    /// When the call ended.
    pub ended_at: WallTime,
    /// Length. Units: ms.
    pub duration_ms: u64,
    /// Number called from; none once erased.
    pub caller_number: Option<Private<String>>,
    /// Number called; none once erased.
    pub called_number: Option<Private<String>>,
    /// The caller's name.
    pub caller_name: Option<Private<String>>,
    /// The feed's own identifier of the call.
    pub external_id: Option<Private<String>>,
    /// Size of the audio object. Units: bytes.
    pub object_bytes: u64,
    /// SHA-256 of the audio object.
    pub object_sha256: String,
    /// Expiry date: when the recording is erased at the latest.
    pub expires_at: WallTime,
    /// When the recording was erased; none while it is not.
    pub erased_at: Option<WallTime>,
    /// Verdict on each stream, in channel order; empty for recordings made before verdicts were kept.
    pub verdicts: Vec<StreamVerdict>,
    /// Audio owed and kept for each stream, in channel order; empty for recordings made before both were kept.
    pub streams: Vec<StreamAudio>,
}

/// The outcome of a call that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// The call.
    pub id: CallId,
    /// Department id.
    pub department: String,
    /// When it ended.
    pub ended_at: WallTime,
    /// Outcome and cause.
    pub outcome: Outcome,
}

/// Handle to the index; clones share it.
#[derive(Clone, Debug)]
pub struct Index {
    database: Database,
    country_code: String,
    receivers: std::sync::Arc<[Receiver]>,
}

impl Index {
    /// Opens or creates the index and migrates its schema. If the database is unavailable, later operations connect
    /// to it on demand.
    ///
    /// Errors: invalid location.
    pub async fn open(place: &IndexPlace, country_code: &str) -> Result<Self, IndexError> {
        let index = Self::lazy(place, country_code)?;
        if let Err(error) = index.probe().await {
            tracing::warn!(%error, "index unavailable; recordings go to the store, their rows are written later");
        }
        index.fill_names_beside();
        Ok(index)
    }

    /// The same without asking the database anything yet, and without work beside: for a command beside a recorder.
    ///
    /// Errors: invalid location.
    pub fn lazy(place: &IndexPlace, country_code: &str) -> Result<Self, IndexError> {
        Ok(Self {
            database: Database::new(place)?,
            country_code: country_code.to_owned(),
            receivers: Default::default(),
        })
    }

    /// Writes a recording's row; idempotent.
    ///
    /// Errors: not durable.
    pub async fn put_recording(&self, manifest: &Manifest) -> Result<(), IndexError> {
        let call = &manifest.call;
        let norm = |number: &Private<String>| normalise(number.reveal(), &self.country_code);
        let text = |text: &Private<String>| storable(text.reveal().clone());
        let row = sqlx::query(
            "INSERT INTO recordings (id, department, started_at_us, recording_started_at_us, ended_at_us, duration_ms,
                 caller_number, caller_number_norm, called_number, called_number_norm, caller_name, caller_name_folded,
                 external_id, object_bytes, object_sha256, expires_at_us, verdicts, has_fault, streams)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) ON CONFLICT (id) DO NOTHING",
        )
        .bind(call.id.to_string())
        .bind(&call.department)
        .bind(call.started_at.as_unix_micros())
        .bind(manifest.recording_started_at.as_unix_micros())
        .bind(manifest.ended_at.as_unix_micros())
        .bind(manifest.duration_ms as i64)
        .bind(text(&call.caller_number))
        .bind(norm(&call.caller_number))
        .bind(text(&call.called_number))
        .bind(norm(&call.called_number))
        .bind(call.caller_name.as_ref().map(text))
        .bind(call.caller_name.as_ref().map(|name| fold::fold(&text(name))))
        .bind(call.external_id.as_ref().map(text))
        .bind(manifest.audio_bytes as i64)
        .bind(&manifest.audio_sha256)
        .bind(manifest.expires_at.as_unix_micros())
        .bind(verdicts_text(&manifest.verdicts))
        .bind(i64::from(manifest.verdicts.iter().any(|&verdict| verdict != StreamVerdict::Ok)))
        .bind(StreamAudio::to_text(&manifest.stream_audio()));
        self.change_and_tell(row, Some(EventKind::Stored), (call.id, &call.department, None)).await
    }

    /// Writes a call's outcome; the first one written is kept.
    ///
    /// Errors: not durable.
    pub async fn put_call(&self, row: &CallRow) -> Result<(), IndexError> {
        let call = sqlx::query(
            "INSERT INTO calls (id, department, started_at_us, ended_at_us, outcome, cause)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
        )
        .bind(row.id.to_string())
        .bind(&row.department)
        .bind(row.id.admitted_at().as_unix_micros())
        .bind(row.ended_at.as_unix_micros())
        .bind(row.outcome.name())
        .bind(row.outcome.cause());
        let of = (row.id, row.department.as_str(), Some(row.outcome));
        self.change_and_tell(call, EventKind::of_outcome(row.outcome), of).await
    }

    /// A recording's row, erased ones included.
    ///
    /// Errors: index unavailable.
    pub async fn get(&self, id: CallId) -> Result<Option<IndexRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM recordings WHERE id = $1").bind(id.to_string());
        Ok(row.fetch_optional(&self.database.readers).await?.as_ref().map(read).transpose()?)
    }

    /// Reduces a row to the proof of erasure. A missing row is not an error.
    ///
    /// Errors: not durable, or the old row is still in a file of the database; to be retried.
    pub async fn mark_erased(&self, id: CallId, at: WallTime) -> Result<(), IndexError> {
        let mut transaction = self.database.begin().await?;
        let name = self.database.name_of(&mut transaction, id).await?;
        let erased = sqlx::query(
            "UPDATE recordings SET caller_number = NULL, caller_number_norm = NULL, called_number = NULL,
                 called_number_norm = NULL, caller_name = NULL, caller_name_folded = NULL, external_id = NULL,
                 erased_at_us = $1 WHERE id = $2 AND erased_at_us IS NULL",
        )
        .bind(at.as_unix_micros())
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "UPDATE sessions SET caller_hash = NULL, called_hash = NULL, name_hashes = '', erased = 1 WHERE call = $1",
        )
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        if erased.rows_affected() > 0 && self.is_told(EventKind::Erased) {
            let row = sqlx::query("SELECT department FROM recordings WHERE id = $1").bind(id.to_string());
            let department: String = row.fetch_one(&mut *transaction).await?.try_get("department")?;
            self.tell(&mut transaction, EventKind::Erased, (id, &department, None)).await?;
        }
        if let Some(name) = name {
            self.database.forget_trigrams(&mut transaction, &name).await?;
        }
        transaction.commit().await?;
        self.database.forget_overwritten().await
    }

    /// Sets the outcome of an ended call to consent withdrawn. A missing row is not an error.
    ///
    /// Errors: not durable.
    pub async fn mark_withdrawn(&self, id: CallId) -> Result<(), IndexError> {
        sqlx::query("UPDATE calls SET outcome = $1, cause = '' WHERE id = $2")
            .bind(Outcome::Withdrawn.name())
            .bind(id.to_string())
            .execute(&self.database.pool)
            .await?;
        Ok(())
    }

    /// Recordings that are not erased, after `after` in order of id.
    ///
    /// Errors: index unavailable.
    pub async fn live_after(&self, after: Option<CallId>, most: u32) -> Result<Vec<CallId>, IndexError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        self.ids(
            sqlx::query(
                "SELECT id FROM recordings WHERE erased_at_us IS NULL AND id > $1 ORDER BY id LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(most)),
        )
        .await
    }

    /// Checks that the index answers and accepts writes.
    ///
    /// Errors: it does not.
    pub async fn probe(&self) -> Result<(), IndexError> {
        Ok(self.database.probe().await?)
    }

    async fn ids(&self, query: sqlx::query::Query<'_, Any, AnyArguments>) -> Result<Vec<CallId>, IndexError> {
        let rows = query.fetch_all(&self.database.readers).await?;
        Ok(rows.iter().map(id_of).collect::<Result<_, _>>()?)
    }
}

/// Encodes verdicts for their column: `,ok,late,`.
fn verdicts_text(verdicts: &[StreamVerdict]) -> String {
    verdicts.iter().fold(String::new(), |text, verdict| {
        let comma = if text.is_empty() { "," } else { "" };
        format!("{text}{comma}{},", verdict.name())
    })
}

fn id_of(row: &AnyRow) -> Result<CallId, sqlx::Error> {
    row.try_get::<String, _>("id")?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn read(row: &AnyRow) -> Result<IndexRow, sqlx::Error> {
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    let private =
        |column: &str| row.try_get::<Option<String>, _>(column).map(|value| value.map(Private::new));
    Ok(IndexRow {
        id: id_of(row)?,
        department: row.try_get("department")?,
        started_at: time("started_at_us")?,
        recording_started_at: time("recording_started_at_us")?,
        ended_at: time("ended_at_us")?,
        duration_ms: row.try_get::<i64, _>("duration_ms")? as u64,
        caller_number: private("caller_number")?,
        called_number: private("called_number")?,
        caller_name: private("caller_name")?,
        external_id: private("external_id")?,
        object_bytes: row.try_get::<i64, _>("object_bytes")? as u64,
        object_sha256: row.try_get("object_sha256")?,
        expires_at: time("expires_at_us")?,
        streams: StreamAudio::from_text(&row.try_get::<String, _>("streams")?),
        verdicts: row.try_get::<String, _>("verdicts")?.split(',').filter_map(StreamVerdict::of).collect(),
        erased_at: row.try_get::<Option<i64>, _>("erased_at_us")?.map(WallTime::from_unix_micros),
    })
}
