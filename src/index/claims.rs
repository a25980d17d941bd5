//! Which node sweeps what: each expired recording is ordered to be erased by one node, and each order is completed by one.
//! In: a node that has time. Out: what it does; rows that other nodes lock at the moment are left to them.

use sqlx::AssertSqlSafe;

use super::database::Kind;
use super::deletion_orders::TOGETHER;
use super::holds::Lock;
use super::statement::Statement;
use super::{Index, IndexError, id_of};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// How long a node that was not heard keeps its orders. Units: µs.
const DEAD_US: i64 = 60_000_000;

/// Which recordings a node claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Those that expired by then.
    pub now: WallTime,
    /// Of calls admitted since then.
    pub since: Option<WallTime>,
    /// The node.
    pub node: u16,
    /// Whether holds of other nodes' files are to be waited for.
    pub waits: bool,
    /// At most so many.
    pub most: u32,
}

impl Index {
    /// Claims recordings that have expired and are not held, for one node: each is ordered by one node alone.
    /// (claimed, a node that has to be waited for)
    ///
    /// Errors: nothing is claimed.
    pub async fn claim_due(&self, claim: Claim) -> Result<(Vec<CallId>, Option<u16>), IndexError> {
        let mut transaction = self.database.begin().await?;
        self.lock_holds(&mut transaction, Lock::Reading).await?;
        if claim.waits
            && let Some(node) = self.node_that_shares_nothing(&mut transaction, claim.node).await?
        {
            return Ok((Vec::new(), Some(node)));
        }
        let skip = match self.database.kind {
            Kind::Sqlite => "",
            Kind::Postgres => "FOR UPDATE OF recordings SKIP LOCKED",
        };
        let due = format!(
            "SELECT id FROM recordings WHERE erased_at_us IS NULL AND expires_at_us <= $1 AND started_at_us >= $2
             AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = recordings.id AND {})
             AND NOT EXISTS (SELECT 1 FROM deletion_orders WHERE deletion_orders.id = recordings.id)
             ORDER BY expires_at_us LIMIT $4 {skip}",
            self.in_force("$3")
        );
        let due = sqlx::query(AssertSqlSafe(due))
            .bind(claim.now.as_unix_micros())
            .bind(claim.since.map_or(i64::MIN, WallTime::as_unix_micros))
            .bind(claim.now.as_unix_micros())
            .bind(i64::from(claim.most));
        let due = due.fetch_all(&mut *transaction).await?;
        let due: Vec<CallId> = due.iter().map(id_of).collect::<Result<_, _>>()?;
        let mut claimed = Vec::new();
        for ids in due.chunks(TOGETHER) {
            let mut insert = Statement::new(
                "INSERT INTO deletion_orders (id, cause, ordered_at_us, node, changed_at_us) VALUES ",
            );
            for (at, id) in ids.iter().enumerate() {
                insert.push(if at == 0 { "(" } else { ", (" }).bind_text(id.to_string()).push(", 'expiry', ");
                insert.bind_number(claim.now.as_unix_micros()).push(", ").bind_number(claim.node.into());
                insert.push(&format!(", {})", self.database.kind.now_us()));
            }
            // One that another node ordered since this statement's snapshot is that node's.
            insert.push(" ON CONFLICT (id) DO NOTHING RETURNING id");
            let rows = insert.query().fetch_all(&mut *transaction).await?;
            for row in &rows {
                claimed.push(id_of(row)?);
            }
        }
        transaction.commit().await?;
        Ok((claimed, None))
    }

    /// Takes over the open orders of nodes that were not heard for a minute, or are gone: at most `most`.
    ///
    /// Errors: nothing is taken over.
    pub async fn claim_orders_of_dead(&self, node: u16, most: u32) -> Result<u64, IndexError> {
        if self.database.kind == Kind::Sqlite {
            return Ok(0);
        }
        let now = self.database.kind.now_us();
        let sql = format!(
            "UPDATE deletion_orders SET node = $1, changed_at_us = {now} WHERE id IN (
                 SELECT id FROM deletion_orders WHERE done_at_us IS NULL AND node <> $2 AND NOT EXISTS (
                     SELECT 1 FROM nodes WHERE nodes.number = deletion_orders.node AND nodes.state <> 'gone'
                         AND nodes.heartbeat_us > {now} - {DEAD_US})
                 LIMIT $3 FOR UPDATE SKIP LOCKED)"
        );
        let taken = sqlx::query(AssertSqlSafe(sql))
            .bind(i64::from(node))
            .bind(i64::from(node))
            .bind(i64::from(most))
            .execute(&self.database.pool)
            .await?;
        Ok(taken.rows_affected())
    }
}
