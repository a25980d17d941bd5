//! Work that one node does for all nodes: a lease by name, by the database's clock. A lease and no session lock, for that
//! would not survive a pooler that ends sessions after each transaction.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{Index, IndexError};

impl Index {
    /// Takes a job for `node`, or goes on with it, for `lease` from now; false: another node has it.
    ///
    /// Errors: index unavailable: nobody knows who has it.
    pub async fn take_job(&self, name: &str, node: u16, lease: Duration) -> Result<bool, IndexError> {
        let now = self.database.kind.now_us();
        let sql = format!(
            "INSERT INTO jobs (name, node, until_us) VALUES ($1, $2, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET node = excluded.node, until_us = excluded.until_us
             WHERE jobs.node = excluded.node OR jobs.until_us <= {now}"
        );
        let taken = sqlx::query(AssertSqlSafe(sql))
            .bind(name)
            .bind(i64::from(node))
            .bind(lease.as_micros() as i64)
            .execute(&self.database.pool)
            .await?;
        Ok(taken.rows_affected() > 0)
    }
}
