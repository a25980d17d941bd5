//! Legal holds of all nodes. In: holds, their release. Out: what is held.
//!
//! A hold and an order to erase are written under one lock ([`Index::lock_holds`]): orders share it, whoever changes holds
//! waits for them. So of a hold and an order for one recording, whichever nodes they come to, the later sees the earlier.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::database::Kind;
use super::{Index, IndexError, id_of};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// How long after its end a hold is kept. Units: µs.
const KEPT_AFTER_US: i64 = 90 * 86_400_000_000;

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The recording.
    pub id: CallId,
    /// End of the hold.
    pub until: WallTime,
    /// Reason given by the owner.
    pub reason: String,
    /// Lawful basis, if one was named.
    pub lawful_basis: Option<String>,
    /// Who placed the hold.
    pub by: String,
    /// When the hold was placed.
    pub at: WallTime,
}

/// Result of placing a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Durable, and in force on every node.
    InForce,
    /// The recording is erased, its erasure is ordered, or it has expired.
    Erased,
    /// There are too many holds.
    Full,
    /// The files of this node may still have orders that nobody else knows.
    Waits(u16),
}

/// Who is to be waited for, and when a recording expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placing {
    /// The recording's limit.
    pub limit: WallTime,
    /// Maximum number of holds.
    pub most: u32,
    /// This node.
    pub node: u16,
}

impl Index {
    /// Places a hold, or changes the one that there is. A recording past its limit can no longer be held unless it is.
    ///
    /// Errors: not durable.
    pub async fn put_hold(&self, hold: &HoldRow, placing: Placing) -> Result<Placed, IndexError> {
        let mut transaction = self.database.begin().await?;
        self.lock_holds(&mut transaction, Lock::Changing).await?;
        if let Some(node) = self.node_that_shares_nothing(&mut transaction, placing.node).await? {
            return Ok(Placed::Waits(node));
        }
        let held = self.held(&mut transaction, hold.id, hold.at).await?.is_some();
        if self.is_ordered_or_erased(&mut transaction, hold.id).await? {
            return Ok(Placed::Erased);
        }
        if !held && placing.limit <= self.later_of(&mut transaction, hold.at).await? {
            return Ok(Placed::Erased);
        }
        let count = sqlx::query("SELECT COUNT(*) FROM holds WHERE lifted_at_us IS NULL AND id <> $1");
        let count = count.bind(hold.id.to_string()).fetch_one(&mut *transaction).await?;
        if count.try_get::<i64, _>(0)? >= i64::from(placing.most) {
            return Ok(Placed::Full);
        }
        write(&mut transaction, hold, "").await?;
        self.database.notify(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Placed::InForce)
    }

    /// Enters holds that a node's own file has and this table does not, or has from before: once entered, a hold that
    /// is lifted stays lifted. Recordings whose erasure is ordered are not held again.
    ///
    /// Errors: not durable.
    pub async fn restore_holds(&self, holds: &[HoldRow]) -> Result<(), IndexError> {
        if holds.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        self.lock_holds(&mut transaction, Lock::Changing).await?;
        for hold in holds {
            if !self.is_ordered_or_erased(&mut transaction, hold.id).await? {
                let newer = " WHERE excluded.placed_at_us > COALESCE(holds.lifted_at_us, holds.placed_at_us)";
                write(&mut transaction, hold, newer).await?;
            }
        }
        self.database.notify(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Lifts a hold; returns whether there was one.
    ///
    /// Errors: not durable.
    pub async fn lift_hold(&self, id: CallId, at: WallTime) -> Result<bool, IndexError> {
        let mut transaction = self.database.begin().await?;
        let update =
            "UPDATE holds SET lifted_at_us = CASE WHEN placed_at_us > $1 THEN placed_at_us ELSE $2 END
             WHERE id = $3 AND lifted_at_us IS NULL";
        let lifted = sqlx::query(update)
            .bind(at.as_unix_micros())
            .bind(at.as_unix_micros())
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        self.database.notify(&mut transaction).await?;
        transaction.commit().await?;
        Ok(lifted.rows_affected() > 0)
    }

    /// All holds that are not lifted, those that ended included. No hold that was acknowledged before is missing.
    ///
    /// Errors: index unavailable.
    pub async fn holds(&self) -> Result<Vec<HoldRow>, IndexError> {
        let mut transaction = self.database.begin().await?;
        self.lock_holds(&mut transaction, Lock::Reading).await?;
        let rows = sqlx::query("SELECT * FROM holds WHERE lifted_at_us IS NULL ORDER BY id");
        let rows = rows.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Removes holds whose end is long over.
    ///
    /// Errors: index unavailable.
    pub async fn forget_old_holds(&self) -> Result<(), IndexError> {
        let now = self.database.kind.now_us();
        let old = format!("DELETE FROM holds WHERE until_us < {now} - {KEPT_AFTER_US}");
        sqlx::query(AssertSqlSafe(old)).execute(&self.database.pool).await?;
        Ok(())
    }

    /// Takes the lock under which holds and orders are written, until the transaction ends. SQLite has one writer at a
    /// time.
    pub(super) async fn lock_holds(
        &self,
        transaction: &mut Transaction<'static, Any>,
        lock: Lock,
    ) -> Result<(), IndexError> {
        // Source: postgresql.org/docs/current/explicit-locking.html: SHARE conflicts with ROW EXCLUSIVE, and not with
        // itself; every change of the table takes ROW EXCLUSIVE.
        let mode = match (self.database.kind, lock) {
            (Kind::Sqlite, _) => return Ok(()),
            (Kind::Postgres, Lock::Reading) => "LOCK TABLE holds IN SHARE MODE",
            (Kind::Postgres, Lock::Changing) => "LOCK TABLE holds IN ROW EXCLUSIVE MODE",
        };
        sqlx::query(mode).execute(&mut **transaction).await?;
        Ok(())
    }

    /// The hold on a recording, in force by `now` or by the database's clock.
    pub(super) async fn held(
        &self,
        transaction: &mut Transaction<'static, Any>,
        id: CallId,
        now: WallTime,
    ) -> Result<Option<HoldRow>, IndexError> {
        let sql = format!("SELECT * FROM holds WHERE id = $1 AND {}", self.in_force("$2"));
        let row = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).bind(now.as_unix_micros());
        Ok(row.fetch_optional(&mut **transaction).await?.as_ref().map(read).transpose()?)
    }

    /// The condition that a hold is in force by the time in a parameter, or by the clock that all nodes share.
    pub(super) fn in_force(&self, now: &str) -> String {
        let shared = match self.database.kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => format!(" OR holds.until_us > {}", self.database.kind.now_us()),
        };
        format!("(holds.lifted_at_us IS NULL AND (holds.until_us > {now}{shared}))")
    }

    /// Another node, not gone, whose files may have holds or orders that are not in these tables.
    pub(super) async fn node_that_shares_nothing(
        &self,
        transaction: &mut Transaction<'static, Any>,
        own: u16,
    ) -> Result<Option<u16>, IndexError> {
        let asked = "SELECT number FROM nodes WHERE holds_shared = 0 AND state <> 'gone' AND number <> $1
             ORDER BY number LIMIT 1";
        let row = sqlx::query(asked).bind(i64::from(own)).fetch_optional(&mut **transaction).await?;
        let number = row.map(|row| row.try_get::<i64, _>("number")).transpose()?;
        Ok(number.map(|number| u16::try_from(number).unwrap_or_default()))
    }

    /// Says that the holds and open orders of a node's own files are in these tables.
    ///
    /// Errors: not durable.
    pub async fn set_holds_shared(&self, node: u16) -> Result<(), IndexError> {
        let update = "UPDATE nodes SET holds_shared = 1 WHERE number = $1 AND holds_shared = 0";
        sqlx::query(update).bind(i64::from(node)).execute(&self.database.pool).await?;
        Ok(())
    }

    async fn is_ordered_or_erased(
        &self,
        transaction: &mut Transaction<'static, Any>,
        id: CallId,
    ) -> Result<bool, IndexError> {
        let asked = "SELECT 1 FROM deletion_orders WHERE id = $1
             UNION ALL SELECT 1 FROM recordings WHERE id = $2 AND erased_at_us IS NOT NULL";
        let row = sqlx::query(asked).bind(id.to_string()).bind(id.to_string());
        Ok(row.fetch_optional(&mut **transaction).await?.is_some())
    }

    /// The later of a time and the database's clock, where it has one of its own.
    async fn later_of(
        &self,
        transaction: &mut Transaction<'static, Any>,
        at: WallTime,
    ) -> Result<WallTime, IndexError> {
        if !self.database.has_clock() {
            return Ok(at);
        }
        let now = format!("SELECT {} AS now_us", self.database.kind.now_us());
        let row = sqlx::query(AssertSqlSafe(now)).fetch_one(&mut **transaction).await?;
        Ok(at.max(WallTime::from_unix_micros(row.try_get("now_us")?)))
    }
}

/// How holds are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// None is changed meanwhile.
    Reading,
    /// Nobody relies on them meanwhile.
    Changing,
}

/// Writes a hold; `only` is the condition under which one that is there is replaced.
async fn write(
    transaction: &mut Transaction<'static, Any>,
    hold: &HoldRow,
    only: &str,
) -> Result<(), IndexError> {
    let sql = format!(
        "INSERT INTO holds (id, until_us, reason, lawful_basis, placed_by, placed_at_us) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET until_us = excluded.until_us, reason = excluded.reason,
             lawful_basis = excluded.lawful_basis, placed_by = excluded.placed_by,
             placed_at_us = excluded.placed_at_us, lifted_at_us = NULL{only}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(hold.id.to_string())
        .bind(hold.until.as_unix_micros())
        .bind(&hold.reason)
        .bind(&hold.lawful_basis)
        .bind(&hold.by)
        .bind(hold.at.as_unix_micros())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<HoldRow, sqlx::Error> {
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    Ok(HoldRow {
        id: id_of(row)?,
        until: time("until_us")?,
        reason: row.try_get("reason")?,
        lawful_basis: row.try_get("lawful_basis")?,
        by: row.try_get("placed_by")?,
        at: time("placed_at_us")?,
    })
}
