//! Answers that wait for their call, whichever node it comes to. In: answers by hashes of a call's identifiers, or for a
//! call whose node could not be reached. Out: the answer for a call: a yes once, a no as often as it is asked for.
//!
//! Who writes an answer commits it first and looks for calls then; who admits a call enters it first and looks for
//! answers then. So at least one of the two sees the other. Times are the database's own.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use tokio::sync::Notify;

use super::statement::Statement;
use super::{Index, IndexError};
use optag_core::id::CallId;
use optag_core::limit;

/// Answers that may wait. Beyond it, a new one is refused.
const WAITING: i64 = 10_000;
/// How long an answer is kept after its time, for calls that could not look for it while the index was away. Units: µs.
const KEPT_AFTER_US: i64 = 86_400_000_000;
/// Time after which a node that was not heard has no calls. Units: µs.
const LOST_US: i64 = limit::RETENTION_DAYS as i64 * 86_400_000_000;
/// Answers looked at for one call: one per name, of which it has few.
const MOST: i64 = 20;
/// What is said to all nodes once a no or a withdrawal is there.
const CHANNEL: &str = "optag_early_answers";

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyKind {
    /// For one call.
    Yes,
    /// For every call.
    No,
    /// Of a call in progress.
    Withdraw,
}

impl EarlyKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Withdraw => "withdraw",
        }
    }

    /// What a later version says and this one does not know keeps nothing from being refused.
    fn of(name: &str) -> Self {
        match name {
            "yes" => Self::Yes,
            "withdraw" => Self::Withdraw,
            _ => Self::No,
        }
    }
}

/// For which call an answer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits<'a> {
    /// Of one of these hashes.
    Named(&'a [String]),
    /// This one, of that node.
    At(CallId, u16),
}

/// An answer to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEarly<'a> {
    /// What it says.
    pub kind: EarlyKind,
    /// For which call.
    pub waits: Waits<'a>,
    /// How it was given and what shows it.
    pub answer: &'a str,
    /// How long it waits.
    pub kept_for: Duration,
}

/// An answer that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyAnswer {
    /// Names the row.
    pub id: String,
    /// What it says.
    pub kind: EarlyKind,
    /// How it was given and what shows it.
    pub answer: String,
}

impl Index {
    /// Keeps an answer; one that waits under the same name is replaced. Its row; none where too many wait.
    ///
    /// Errors: it is not durable.
    pub async fn keep_early(&self, new: NewEarly<'_>) -> Result<Option<String>, IndexError> {
        let now = self.database.kind.now_us();
        let mut transaction = self.database.begin_control().await?;
        let replaced = match new.waits {
            Waits::Named(names) => self.replace_early(&mut transaction, names).await?,
            Waits::At(..) => 0,
        };
        let count = format!("SELECT COUNT(*) FROM early_answers WHERE used = 0 AND expires_at_us > {now}");
        let count = sqlx::query(AssertSqlSafe(count)).fetch_one(&mut *transaction).await?;
        if replaced == 0 && count.try_get::<i64, _>(0)? >= WAITING {
            return Ok(None);
        }
        let id = uuid::Uuid::now_v7().to_string();
        let (call, node) = match new.waits {
            Waits::Named(_) => (None, None),
            Waits::At(call, node) => (Some(call.to_string()), Some(i64::from(node))),
        };
        let insert = format!(
            "INSERT INTO early_answers (id, kind, call, node, answer, kept_at_us, expires_at_us)
             VALUES ($1, $2, $3, $4, $5, {now}, {now} + $6)"
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(&id)
            .bind(new.kind.name())
            .bind(call)
            .bind(node)
            .bind(new.answer)
            .bind(new.kept_for.as_micros() as i64)
            .execute(&mut *transaction)
            .await?;
        if let Waits::Named(names) = new.waits {
            for name in names {
                sqlx::query(
                    "INSERT INTO early_answer_names (name, answer) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                )
                .bind(name)
                .bind(&id)
                .execute(&mut *transaction)
                .await?;
            }
        }
        if new.kind != EarlyKind::Yes {
            self.database.say(&mut transaction, CHANNEL).await?;
        }
        transaction.commit().await?;
        Ok(Some(id))
    }

    async fn replace_early(
        &self,
        transaction: &mut Transaction<'static, Any>,
        names: &[String],
    ) -> Result<u64, IndexError> {
        if names.is_empty() {
            return Ok(0);
        }
        let mut update = Statement::new("UPDATE early_answers SET used = 3 WHERE used < 2 AND call IS NULL");
        update.push(&format!(" AND expires_at_us > {} AND id IN", self.database.kind.now_us()));
        update.push(" (SELECT answer FROM early_answer_names WHERE name IN (");
        update.bind_list(names.iter().cloned()).push("))");
        Ok(update.query().execute(&mut **transaction).await?.rows_affected())
    }

    /// What waits for a call with these hashes that was admitted `ago`: each no, then a yes, the oldest first. A yes is
    /// given only once it is taken.
    ///
    /// Errors: index unavailable.
    pub async fn early_for(&self, names: &[String], ago: Duration) -> Result<Vec<EarlyAnswer>, IndexError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.database.kind.now_us();
        let mut select = Statement::new("SELECT early_answers.id, early_answers.kind, early_answers.answer");
        select.push(
            " FROM early_answers JOIN early_answer_names ON early_answer_names.answer = early_answers.id",
        );
        select.push(" WHERE early_answer_names.name IN (").bind_list(names.iter().cloned()).push(")");
        // What was given to one call stands for others that had to look for it then.
        select
            .push(" AND (early_answers.kind = 'no' AND used < 3 OR early_answers.kind = 'yes' AND used = 0)");
        select.push(&format!(" AND expires_at_us > {now} - ")).bind_number(ago.as_micros() as i64);
        select.push(" ORDER BY early_answers.kind, kept_at_us, early_answers.id LIMIT ").bind_number(MOST);
        let rows = select.query().fetch_all(&self.database.control).await?;
        Ok(rows.iter().map(early).collect::<Result<_, _>>()?)
    }

    /// Takes a yes; true if it was there. Only one caller gets it.
    ///
    /// Errors: index unavailable; somebody may have taken it.
    pub async fn take_yes(&self, id: &str) -> Result<bool, IndexError> {
        let gone = sqlx::query("DELETE FROM early_answers WHERE id = $1 AND used = 0 RETURNING id").bind(id);
        Ok(gone.fetch_optional(&self.database.control).await?.is_some())
    }

    /// Says that a call has an answer. A no goes on waiting for others.
    ///
    /// Errors: it is not durable.
    pub async fn early_given(&self, id: &str) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "UPDATE early_answers SET used = 1, expires_at_us = CASE WHEN call IS NULL THEN expires_at_us ELSE {now} END
             WHERE id = $1 AND used = 0"
        );
        sqlx::query(AssertSqlSafe(sql)).bind(id).execute(&self.database.control).await?;
        Ok(())
    }

    /// Says that a no has reached the calls that it was for: it waits for no others.
    ///
    /// Errors: it is not durable.
    pub async fn retire_early(&self, id: &str) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "UPDATE early_answers SET used = 1, expires_at_us = CASE WHEN expires_at_us < {now} THEN expires_at_us
                 ELSE {now} END WHERE id = $1"
        );
        sqlx::query(AssertSqlSafe(sql)).bind(id).execute(&self.database.control).await?;
        Ok(())
    }

    /// A no for a name of one of the calls in progress that `node` has, and whatever waits for its calls.
    ///
    /// Errors: the index does not answer.
    pub async fn early_for_node(&self, node: u16) -> Result<Vec<(CallId, EarlyAnswer)>, IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "SELECT live_calls.call AS call, early_answers.id AS id, kind, early_answers.answer AS answer
             FROM live_calls JOIN early_answer_names ON early_answer_names.name = live_calls.name
             JOIN early_answers ON early_answers.id = early_answer_names.answer
             WHERE live_calls.node = $1 AND live_calls.name <> '' AND early_answers.call IS NULL
                 AND early_answers.kind = 'no' AND used < 2 AND expires_at_us > {now}
             UNION SELECT call, id, kind, answer FROM early_answers
             WHERE early_answers.node = $2 AND used = 0 AND expires_at_us > {now}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(node)).bind(i64::from(node));
        let rows = rows.fetch_all(&self.database.control).await?;
        let one = |row: &AnyRow| Ok((call(row)?, early(row)?));
        Ok(rows.iter().map(one).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Counts answers that wait, and those whose time is over since the last time that any node counted; removes what
    /// no call can ask for any more. (waiting, expired)
    ///
    /// Errors: the index does not answer.
    pub async fn expire_early(&self) -> Result<(u64, u64), IndexError> {
        let now = self.database.kind.now_us();
        let run = async |sql: String| {
            let done = sqlx::query(AssertSqlSafe(sql)).execute(&self.database.control).await?;
            Ok::<_, IndexError>(done.rows_affected())
        };
        let expired =
            run(format!("UPDATE early_answers SET used = 2 WHERE used = 0 AND expires_at_us <= {now}"))
                .await?;
        run(format!("DELETE FROM early_answers WHERE expires_at_us < {now} - {KEPT_AFTER_US}")).await?;
        // Identifiers of calls, though hashed, stay no longer than a recording of them could.
        run(format!(
            "DELETE FROM live_calls WHERE node IN (SELECT number FROM nodes WHERE heartbeat_us < {now} - {LOST_US})"
        ))
        .await?;
        let waiting = sqlx::query("SELECT COUNT(*) FROM early_answers WHERE used = 0");
        let waiting = waiting.fetch_one(&self.database.control).await?.try_get::<i64, _>(0)?;
        Ok((waiting.max(0) as u64, expired))
    }

    /// Wakes `woken` whenever a node keeps a no or a withdrawal, for as long as it is polled.
    pub async fn follow_early(&self, woken: &Notify) {
        self.database.follow(CHANNEL, woken).await;
    }
}

fn call(row: &AnyRow) -> Result<CallId, sqlx::Error> {
    row.try_get::<String, _>("call")?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn early(row: &AnyRow) -> Result<EarlyAnswer, sqlx::Error> {
    let kind = EarlyKind::of(&row.try_get::<String, _>("kind")?);
    Ok(EarlyAnswer { id: row.try_get("id")?, kind, answer: row.try_get("answer")? })
}
