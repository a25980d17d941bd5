//! Orders to erase, of all nodes, each with the node that completes it. In: orders, completions. Out: what is ordered, and by which node it is completed; what changed since.
//!
//! An order of a person is never removed. One by expiry is, some time after it is complete: by then every copy is older
//! than any recording may be. The table is not partitioned by day: orders of persons are few, and those by expiry
//! leave in small batches by an index of their own, alike in SQLite and PostgreSQL.

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::holds::{HoldRow, Lock};
use super::statement::Statement;
use super::{Index, IndexError, id_of};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::limit;

/// Cause of orders that nobody asked for: the recording's time is over.
pub const EXPIRY: &str = "expiry";
/// Cause of orders that no hold stops.
pub const WITHDRAWAL: &str = "withdrawal";
/// Parameters of one statement.
pub(super) const TOGETHER: usize = 500;
/// Orders read or removed at a time.
const PAGE: i64 = 1_000;
/// How long orders by expiry are kept once they are complete. Units: µs.
const KEPT_US: i64 = limit::RETENTION_DAYS as i64 * 86_400_000_000;
/// Longest time between what a transaction writes and its commit, which the time limits of a session bound. Units: µs.
const COMMITS_WITHIN_US: i64 = 600_000_000;

/// An order to erase a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The recording.
    pub id: CallId,
    /// Why, as the deletion log names it.
    pub cause: String,
    /// Number of the erasure request.
    pub request: Option<String>,
    /// When the erasure was ordered.
    pub at: WallTime,
    /// The node that completes it.
    pub node: u16,
    /// The node that recorded the call says that its spool has nothing of it.
    pub spool_clear: bool,
    /// Its completion; none while it is open.
    pub done: Option<DoneRow>,
}

/// Completion of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRow {
    /// When every copy was verified as deleted.
    pub at: WallTime,
    /// Deleted copies.
    pub gone: Vec<String>,
    /// Nothing was found, and someone accepted that.
    pub accepted_missing: bool,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It stands, or an earlier one does: that one.
    Ordered(OrderRow),
    /// The recording is held.
    Held(HoldRow),
    /// The files of this node may have holds that nobody else knows.
    Waits(u16),
}

impl Index {
    /// Orders an erasure unless the recording is held: both are decided in one transaction. `waits`: only once every
    /// node has its holds here.
    ///
    /// Errors: not durable.
    pub async fn decide_order(&self, order: &OrderRow, waits: bool) -> Result<Decided, IndexError> {
        let mut transaction = self.database.begin().await?;
        self.lock_holds(&mut transaction, Lock::Reading).await?;
        if order.cause != WITHDRAWAL {
            if waits && let Some(node) = self.node_that_shares_nothing(&mut transaction, order.node).await? {
                return Ok(Decided::Waits(node));
            }
            if let Some(hold) = self.held(&mut transaction, order.id, order.at).await? {
                return Ok(Decided::Held(hold));
            }
        }
        self.insert_order(&mut transaction, order).await?;
        let sql = "SELECT * FROM deletion_orders WHERE id = $1";
        let row = sqlx::query(sql).bind(order.id.to_string()).fetch_one(&mut *transaction).await?;
        let row = read(&row)?;
        self.database.notify(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Decided::Ordered(row))
    }

    async fn insert_order(
        &self,
        transaction: &mut Transaction<'static, Any>,
        order: &OrderRow,
    ) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "INSERT INTO deletion_orders (id, cause, request, ordered_at_us, node, changed_at_us)
             VALUES ($1, $2, $3, $4, $5, {now}) ON CONFLICT (id) DO NOTHING"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(order.id.to_string())
            .bind(&order.cause)
            .bind(&order.request)
            .bind(order.at.as_unix_micros())
            .bind(i64::from(order.node))
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Enters orders that were accepted before, whatever is held. Those that are there stay as they are.
    ///
    /// Errors: not durable.
    pub async fn enter_orders(&self, orders: &[OrderRow]) -> Result<(), IndexError> {
        if orders.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        self.lock_holds(&mut transaction, Lock::Reading).await?;
        for order in orders {
            self.insert_order(&mut transaction, order).await?;
        }
        self.database.notify(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Open orders that `node` completes, after `after` in order of id.
    ///
    /// Errors: index unavailable.
    pub async fn open_orders(&self, node: u16, after: Option<CallId>) -> Result<Vec<OrderRow>, IndexError> {
        let sql = "SELECT * FROM deletion_orders WHERE done_at_us IS NULL AND node = $1 AND id > $2
             ORDER BY id LIMIT $3";
        let rows = sqlx::query(sql).bind(i64::from(node)).bind(text(after)).bind(PAGE);
        all(rows.fetch_all(&self.database.pool).await?)
    }

    /// Orders of persons, after `after` in order of id.
    ///
    /// Errors: index unavailable.
    pub async fn orders_after(&self, after: Option<CallId>) -> Result<Vec<OrderRow>, IndexError> {
        let sql = "SELECT * FROM deletion_orders WHERE cause <> 'expiry' AND id > $1 ORDER BY id LIMIT $2";
        let rows = sqlx::query(sql).bind(text(after)).bind(PAGE);
        all(rows.fetch_all(&self.database.pool).await?)
    }

    /// Orders of persons that changed after `since`, and whatever was written within the longest time of a transaction
    /// before. Units: µs, by the database's clock.
    ///
    /// Errors: index unavailable.
    pub async fn orders_changed(&self, since_us: i64) -> Result<Vec<OrderRow>, IndexError> {
        let sql = "SELECT * FROM deletion_orders WHERE cause <> 'expiry' AND changed_at_us > $1";
        let rows = sqlx::query(sql).bind(since_us - COMMITS_WITHIN_US);
        all(rows.fetch_all(&self.database.pool).await?)
    }

    /// The database's time. Units: µs since 1970.
    ///
    /// Errors: index unavailable.
    pub async fn database_time_us(&self) -> Result<i64, IndexError> {
        let now = format!("SELECT {} AS now_us", self.database.kind.now_us());
        let row = sqlx::query(AssertSqlSafe(now)).fetch_one(&self.database.pool).await?;
        Ok(row.try_get("now_us")?)
    }

    /// The orders for these recordings.
    ///
    /// Errors: index unavailable.
    pub async fn orders(&self, ids: &[CallId]) -> Result<Vec<OrderRow>, IndexError> {
        let mut found = Vec::new();
        for ids in ids.chunks(TOGETHER) {
            let mut select = Statement::new("SELECT * FROM deletion_orders WHERE id IN (");
            select.bind_list(ids.iter().map(CallId::to_string)).push(")");
            found.extend(all(select.query().fetch_all(&self.database.readers).await?)?);
        }
        Ok(found)
    }

    /// Which of these recordings are ordered to be erased.
    ///
    /// Errors: index unavailable.
    pub async fn ordered_among(&self, ids: &[CallId]) -> Result<HashSet<CallId>, IndexError> {
        let mut found = HashSet::new();
        for ids in ids.chunks(TOGETHER) {
            let mut select = Statement::new("SELECT id FROM deletion_orders WHERE id IN (");
            select.bind_list(ids.iter().map(CallId::to_string)).push(")");
            found.extend(self.ids(select.query()).await?);
        }
        Ok(found)
    }

    /// Which of these recordings are erased: their order is complete, or their row is reduced.
    ///
    /// Errors: index unavailable.
    pub async fn gone_among(&self, ids: &[CallId]) -> Result<HashSet<CallId>, IndexError> {
        let mut found = HashSet::new();
        for ids in ids.chunks(TOGETHER) {
            let mut select =
                Statement::new("SELECT id FROM deletion_orders WHERE done_at_us IS NOT NULL AND id IN (");
            select.bind_list(ids.iter().map(CallId::to_string));
            select.push(") UNION SELECT id FROM recordings WHERE erased_at_us IS NOT NULL AND id IN (");
            select.bind_list(ids.iter().map(CallId::to_string)).push(")");
            found.extend(self.ids(select.query()).await?);
        }
        Ok(found)
    }

    /// Says that the node that recorded these calls has nothing of them in its spool.
    ///
    /// Errors: not durable.
    pub async fn confirm_spool(&self, ids: &[CallId]) -> Result<(), IndexError> {
        for ids in ids.chunks(TOGETHER) {
            let mut update = Statement::new("UPDATE deletion_orders SET spool_clear = 1 WHERE id IN (");
            update.bind_list(ids.iter().map(CallId::to_string)).push(")");
            update.query().execute(&self.database.pool).await?;
        }
        Ok(())
    }

    /// Writes an order with its completion. The completion of one that is complete stays.
    ///
    /// Errors: not durable.
    pub async fn order_done(&self, order: &OrderRow) -> Result<(), IndexError> {
        let Some(done) = &order.done else { return Ok(()) };
        let now = self.database.kind.now_us();
        let sql = format!(
            "INSERT INTO deletion_orders (id, cause, request, ordered_at_us, node, done_at_us, gone, accepted_missing,
                 changed_at_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, {now})
             ON CONFLICT (id) DO UPDATE SET done_at_us = excluded.done_at_us, gone = excluded.gone,
                 accepted_missing = excluded.accepted_missing, changed_at_us = excluded.changed_at_us
             WHERE deletion_orders.done_at_us IS NULL"
        );
        let mut transaction = self.database.begin().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(order.id.to_string())
            .bind(&order.cause)
            .bind(&order.request)
            .bind(order.at.as_unix_micros())
            .bind(i64::from(order.node))
            .bind(done.at.as_unix_micros())
            .bind(serde_json::to_string(&done.gone).unwrap_or_default())
            .bind(i64::from(done.accepted_missing))
            .execute(&mut *transaction)
            .await?;
        if order.cause != EXPIRY {
            self.database.notify(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Opens a complete order again, or one that is not known here; false: it is open, and another node completes it.
    ///
    /// Errors: not durable.
    pub async fn reopen_order(&self, order: &OrderRow) -> Result<bool, IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "INSERT INTO deletion_orders (id, cause, request, ordered_at_us, node, changed_at_us)
             VALUES ($1, $2, $3, $4, $5, {now}) ON CONFLICT (id) DO UPDATE SET done_at_us = NULL,
                 node = excluded.node, changed_at_us = excluded.changed_at_us
             WHERE deletion_orders.done_at_us IS NOT NULL OR deletion_orders.node = excluded.node"
        );
        let reopened = sqlx::query(AssertSqlSafe(sql))
            .bind(order.id.to_string())
            .bind(&order.cause)
            .bind(&order.request)
            .bind(order.at.as_unix_micros())
            .bind(i64::from(order.node))
            .execute(&self.database.pool)
            .await?;
        Ok(reopened.rows_affected() > 0)
    }

    /// Removes orders by expiry that were completed long ago.
    ///
    /// Errors: index unavailable.
    pub async fn forget_old_orders(&self) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "DELETE FROM deletion_orders WHERE id IN (SELECT id FROM deletion_orders
             WHERE cause = 'expiry' AND done_at_us < {now} - {KEPT_US} LIMIT {PAGE})"
        );
        while sqlx::query(AssertSqlSafe(sql.clone())).execute(&self.database.pool).await?.rows_affected() > 0
        {
        }
        Ok(())
    }
}

fn text(after: Option<CallId>) -> String {
    after.map(|id| id.to_string()).unwrap_or_default()
}

fn all(rows: Vec<AnyRow>) -> Result<Vec<OrderRow>, IndexError> {
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn read(row: &AnyRow) -> Result<OrderRow, sqlx::Error> {
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    let flag = |column: &str| row.try_get::<i64, _>(column).map(|flag| flag != 0);
    let done = match row.try_get::<Option<i64>, _>("done_at_us")? {
        None => None,
        Some(at) => Some(DoneRow {
            at: WallTime::from_unix_micros(at),
            gone: serde_json::from_str(&row.try_get::<String, _>("gone")?)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            accepted_missing: flag("accepted_missing")?,
        }),
    };
    Ok(OrderRow {
        id: id_of(row)?,
        cause: row.try_get("cause")?,
        request: row.try_get("request")?,
        at: time("ordered_at_us")?,
        node: u16::try_from(row.try_get::<i64, _>("node")?).unwrap_or_default(),
        spool_clear: flag("spool_clear")?,
        done,
    })
}
