//! Events that wait to be sent to other systems: what happened to a recording, one row for each receiver. In: changes of
//! the index, in whose transaction the events are entered. Out: events that are due, each recording's in their order.

use std::time::Duration;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};

use super::{Index, IndexError};
use optag_core::call::Outcome;
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// What happened to a recording or a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is in store and index.
    Stored,
    /// There is none, as the caller did not agree or withdrew.
    Refused,
    /// There is none or not all of it, although the caller agreed.
    Failed,
    /// It was stored and is erased, every copy of it.
    Erased,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stored, Self::Refused, Self::Failed, Self::Erased];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Erased => "erased",
        }
    }

    /// The one with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Of a call that ended so; none where the recording itself tells, or nobody was to be recorded.
    pub(super) const fn of_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Recorded | Outcome::NotSelected => None,
            Outcome::Refused | Outcome::NoAnswer | Outcome::Withdrawn => Some(Self::Refused),
            Outcome::RecordedPartly(_) | Outcome::NoAudio(_) | Outcome::Lost(_) => Some(Self::Failed),
        }
    }
}

/// A receiver of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub id: String,
    /// What it is told.
    pub kinds: Vec<EventKind>,
}

/// What something happened to: the recording or call, its department, and the outcome where that is what is told.
type Of<'a> = (CallId, &'a str, Option<Outcome>);

/// An event that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueEvent {
    /// Its place in the order of all.
    pub seq: i64,
    /// The recording or call.
    pub recording: CallId,
    /// What happened.
    pub kind: EventKind,
    /// Department id.
    pub department: String,
    /// Outcome of the call, where that is what is told; else empty.
    pub outcome: String,
    /// Its cause, or empty.
    pub cause: String,
    /// When it happened.
    pub at: WallTime,
    /// How often it was tried to send it.
    pub attempts: u32,
}

impl Index {
    /// The same index, whose changes are told to these receivers.
    #[must_use]
    pub fn with_receivers(mut self, receivers: Vec<Receiver>) -> Self {
        self.receivers = receivers.into();
        self
    }

    /// Makes a change, and tells of it if it changed something.
    ///
    /// Errors: neither is durable.
    pub(super) async fn change_and_tell(
        &self,
        change: Query<'_, Any, AnyArguments>,
        kind: Option<EventKind>,
        of: Of<'_>,
    ) -> Result<(), IndexError> {
        let Some(kind) = kind.filter(|kind| self.is_told(*kind)) else {
            change.execute(&self.database.pool).await?;
            return Ok(());
        };
        let mut transaction = self.database.begin().await?;
        if change.execute(&mut *transaction).await?.rows_affected() > 0 {
            self.tell(&mut transaction, kind, of).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Whether anybody is told of such events.
    pub(super) fn is_told(&self, kind: EventKind) -> bool {
        self.receivers.iter().any(|receiver| receiver.kinds.contains(&kind))
    }

    /// Enters an event for everyone who is told of its kind.
    pub(super) async fn tell(
        &self,
        connection: &mut AnyConnection,
        kind: EventKind,
        (recording, department, outcome): Of<'_>,
    ) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "INSERT INTO webhook_events (receiver, recording, kind, department, outcome, cause, at_us)
             VALUES ($1, $2, $3, $4, $5, $6, {now})"
        );
        for receiver in self.receivers.iter().filter(|receiver| receiver.kinds.contains(&kind)) {
            sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(&receiver.id)
                .bind(recording.to_string())
                .bind(kind.name())
                .bind(department)
                .bind(outcome.map_or("", Outcome::name))
                .bind(outcome.map_or("", Outcome::cause))
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// Events for a receiver that are due, oldest first, at most `most`: of each recording the first that waits.
    ///
    /// Errors: index unavailable.
    pub async fn due_events(&self, receiver: &str, most: u32) -> Result<Vec<DueEvent>, IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "SELECT seq, recording, kind, department, outcome, cause, at_us, attempts FROM webhook_events
             WHERE receiver = $1 AND next_us <= {now} AND NOT EXISTS (
                 SELECT 1 FROM webhook_events AS earlier WHERE earlier.receiver = webhook_events.receiver
                     AND earlier.recording = webhook_events.recording AND earlier.seq < webhook_events.seq)
             ORDER BY seq LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(receiver).bind(i64::from(most));
        let rows = rows.fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(due).collect::<Result<_, _>>()?)
    }

    /// An event was received.
    ///
    /// Errors: not durable; it is sent again.
    pub async fn event_sent(&self, seq: i64) -> Result<(), IndexError> {
        let sent = sqlx::query("DELETE FROM webhook_events WHERE seq = $1").bind(seq);
        sent.execute(&self.database.pool).await?;
        Ok(())
    }

    /// An event was not received, and is not sent again before `wait` is over.
    ///
    /// Errors: index unavailable; it is sent again at once.
    pub async fn event_failed(&self, seq: i64, wait: Duration) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let sql =
            format!("UPDATE webhook_events SET attempts = attempts + 1, next_us = {now} + $1 WHERE seq = $2");
        let failed = sqlx::query(AssertSqlSafe(sql)).bind(wait.as_micros() as i64).bind(seq);
        failed.execute(&self.database.pool).await?;
        Ok(())
    }

    /// Gives up events for a receiver that have waited for longer; their number.
    ///
    /// Errors: index unavailable.
    pub async fn drop_events(&self, receiver: &str, older_than: Duration) -> Result<u64, IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!("DELETE FROM webhook_events WHERE receiver = $1 AND at_us < {now} - $2");
        let dropped = sqlx::query(AssertSqlSafe(sql)).bind(receiver).bind(older_than.as_micros() as i64);
        Ok(dropped.execute(&self.database.pool).await?.rows_affected())
    }

    /// How many events wait for a receiver, and for how long the oldest of them.
    ///
    /// Errors: index unavailable.
    pub async fn events_waiting(&self, receiver: &str) -> Result<(u64, Duration), IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "SELECT COUNT(*) AS waiting, {now} - MIN(at_us) AS age_us FROM webhook_events WHERE receiver = $1"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).bind(receiver).fetch_one(&self.database.pool).await?;
        let age_us = row.try_get::<Option<i64>, _>("age_us")?.unwrap_or_default().max(0);
        Ok((row.try_get::<i64, _>("waiting")? as u64, Duration::from_micros(age_us as u64)))
    }
}

fn due(row: &AnyRow) -> Result<DueEvent, sqlx::Error> {
    let kind: String = row.try_get("kind")?;
    let odd = |what: String| sqlx::Error::Decode(what.into());
    Ok(DueEvent {
        seq: row.try_get("seq")?,
        recording: row.try_get::<String, _>("recording")?.parse().map_err(|_| odd("no id".into()))?,
        kind: EventKind::of(&kind).ok_or_else(|| odd(format!("no such event: {kind}")))?,
        department: row.try_get("department")?,
        outcome: row.try_get("outcome")?,
        cause: row.try_get("cause")?,
        at: WallTime::from_unix_micros(row.try_get("at_us")?),
        attempts: row.try_get::<i64, _>("attempts")? as u32,
    })
}
