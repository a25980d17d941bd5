//! The registry of nodes that share an index: who there is, where each is reached, and when it was last heard.
//! In: heartbeats. Out: all nodes that are not gone. Times are the database's own: no node's clock counts.

use std::time::Duration;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

use super::{Index, IndexError};

/// Times that a number is tried for while other nodes take theirs.
const TRIES: usize = 20;

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It takes no calls yet.
    Starting,
    /// It takes calls.
    Ready,
    /// It takes no new calls.
    Draining,
    /// It ended, and with it every call that it had.
    Gone,
}

impl NodeState {
    /// Every state with its name.
    pub const ALL: [(&str, NodeState); 4] = [
        ("starting", NodeState::Starting),
        ("ready", NodeState::Ready),
        ("draining", NodeState::Draining),
        ("gone", NodeState::Gone),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }

    /// A state that a later version knows and this one does not counts as ready: such a node may have calls.
    fn of(name: &str) -> Self {
        Self::ALL.iter().find(|(known, _)| *known == name).map_or(Self::Ready, |(_, state)| *state)
    }
}

/// A heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The node, as drawn at its first start.
    pub id: String,
    /// `host:port` where other nodes reach it; empty where they do not.
    pub address: String,
    /// What it does.
    pub state: NodeState,
    /// Calls of two streams that its ports suffice for.
    pub capacity_calls: u32,
    /// Calls in progress.
    pub calls: u32,
    /// Tells the key under which it hashes names from other keys.
    pub names_key: String,
}

/// A node of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The last two bytes of the ids of its calls.
    pub number: u16,
    /// Its last heartbeat.
    pub beat: Beat,
    /// The version of its program.
    pub version: String,
    /// Time since the last heartbeat, by the database's clock.
    pub silent_for: Duration,
}

/// Binds what a heartbeat says: address, state, version, capacity, calls, key of names.
fn bound<'q>(query: Query<'q, Any, AnyArguments>, beat: &'q Beat) -> Query<'q, Any, AnyArguments> {
    query
        .bind(&beat.address)
        .bind(beat.state.name())
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(i64::from(beat.capacity_calls))
        .bind(i64::from(beat.calls))
        .bind(&beat.names_key)
}

impl Index {
    /// The number of the node `beat.id`, given to it now where it has none: `wanted` where nobody else has that.
    ///
    /// Errors: the index does not answer, or no number is left.
    pub async fn join(&self, beat: &Beat, wanted: Option<u16>) -> Result<u16, IndexError> {
        let now = self.database.kind.now_us();
        let insert = format!(
            "INSERT INTO nodes (id, number, address, state, version, capacity_calls, calls, names_key, heartbeat_us)
             SELECT $1, CASE WHEN $2 > 0 AND NOT EXISTS (SELECT 1 FROM nodes WHERE number = $3) THEN $4
                 ELSE COALESCE(MAX(number), 0) + 1 END, $5, $6, $7, $8, $9, $10, {now} FROM nodes
             WHERE 1 = 1 ON CONFLICT DO NOTHING"
        );
        let wanted = i64::from(wanted.unwrap_or_default());
        for _ in 0..TRIES {
            let known = sqlx::query("SELECT number FROM nodes WHERE id = $1").bind(&beat.id);
            if let Some(row) = known.fetch_optional(&self.database.control).await? {
                return Ok(number_of(&row)?);
            }
            // Where another node takes the number first, nothing is inserted.
            let insert = sqlx::query(AssertSqlSafe(insert.clone())).bind(&beat.id);
            bound(insert.bind(wanted).bind(wanted).bind(wanted), beat)
                .execute(&self.database.control)
                .await?;
        }
        Err(sqlx::Error::RowNotFound.into())
    }

    /// Renews the lease of a node, and returns all that are not gone. An empty answer: the node is not registered.
    ///
    /// Errors: the index does not answer.
    pub async fn beat(&self, beat: &Beat) -> Result<Vec<NodeRow>, IndexError> {
        let now = self.database.kind.now_us();
        let update = format!(
            "UPDATE nodes SET address = $1, state = $2, version = $3, capacity_calls = $4, calls = $5, names_key = $6,
                 heartbeat_us = {now} WHERE id = $7"
        );
        let renewed = bound(sqlx::query(AssertSqlSafe(update)), beat)
            .bind(&beat.id)
            .execute(&self.database.control)
            .await?;
        match renewed.rows_affected() {
            0 => Ok(Vec::new()),
            _ => self.nodes().await,
        }
    }

    /// Marks a node as gone that has been silent for longer than `silent`, and removes its calls. False: it has not, or
    /// there is no such node.
    ///
    /// Errors: index unavailable; nothing changed.
    pub async fn lose_node(&self, number: u16, silent: Duration) -> Result<bool, IndexError> {
        let now = self.database.kind.now_us();
        let mut transaction = self.database.begin_control().await?;
        let update = format!(
            "UPDATE nodes SET state = 'gone' WHERE number = $1 AND state <> 'gone' AND heartbeat_us < {now} - $2"
        );
        let lost = sqlx::query(AssertSqlSafe(update))
            .bind(i64::from(number))
            .bind(silent.as_micros() as i64)
            .execute(&mut *transaction)
            .await?;
        if lost.rows_affected() == 0 {
            return Ok(false);
        }
        let calls = sqlx::query("DELETE FROM live_calls WHERE node = $1").bind(i64::from(number));
        calls.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// All nodes that are not gone, in order of their numbers.
    ///
    /// Errors: the index does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, IndexError> {
        let now = self.database.kind.now_us();
        let all = format!(
            "SELECT id, number, address, state, version, capacity_calls, calls, names_key,
                 {now} - heartbeat_us AS silent_us FROM nodes WHERE state <> 'gone' ORDER BY number"
        );
        let rows = sqlx::query(AssertSqlSafe(all)).fetch_all(&self.database.control).await?;
        Ok(rows.iter().map(node).collect::<Result<_, _>>()?)
    }
}

fn number_of(row: &AnyRow) -> Result<u16, sqlx::Error> {
    let number = row.try_get::<i64, _>("number")?;
    u16::try_from(number).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn node(row: &AnyRow) -> Result<NodeRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let count = |column: &str| row.try_get::<i64, _>(column).map(|count| count.max(0) as u32);
    Ok(NodeRow {
        number: number_of(row)?,
        beat: Beat {
            id: text("id")?,
            address: text("address")?,
            state: NodeState::of(&text("state")?),
            capacity_calls: count("capacity_calls")?,
            calls: count("calls")?,
            names_key: text("names_key")?,
        },
        version: text("version")?,
        silent_for: Duration::from_micros(row.try_get::<i64, _>("silent_us")?.max(0) as u64),
    })
}
