//! Adds names of recordings from before migration 40 to the known names, in batches, so that no writer waits for
//! long. The next process continues where one stopped. Until all are added, names are searched row by row.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Row};

use super::database::Kind;
use super::{Index, IndexError};

/// Rows per batch: about 50 ms of write lock.
const BATCH: i64 = if cfg!(test) { 7 } else { 500 };
/// Delay before a failed batch is retried.
const AGAIN: Duration = Duration::from_secs(5);

impl Index {
    /// Adds names in the background until all are added; ends with the runtime.
    pub(super) fn fill_names_beside(&self) {
        let index = self.clone();
        tokio::spawn(async move {
            loop {
                let began = Instant::now();
                match index.fill_some_names().await {
                    Ok(true) => return,
                    // Uses at most half of the write lock's time.
                    Ok(false) => tokio::time::sleep(began.elapsed()).await,
                    Err(error) => {
                        tracing::warn!(%error, "cannot index names of earlier recordings, will retry");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        });
    }

    /// Whether the index of names is complete.
    pub(super) async fn names_are_filled(&self) -> Result<bool, IndexError> {
        let filled = &self.database.names_filled;
        if !filled.load(Ordering::Acquire) {
            let left = sqlx::query("SELECT 1 AS one FROM names_fill").fetch_optional(&self.database.readers);
            filled.store(left.await?.is_none(), Ordering::Release);
        }
        Ok(filled.load(Ordering::Acquire))
    }

    /// Adds the next batch; returns whether none is left.
    pub(super) async fn fill_some_names(&self) -> Result<bool, IndexError> {
        if self.names_are_filled().await? {
            return Ok(true);
        }
        let mut transaction = self.database.begin().await?;
        // Only one of several nodes at a time; no row may be erased before its name is added, since the name would
        // stay.
        let locked = if self.database.kind == Kind::Postgres { " FOR UPDATE" } else { "" };
        let at = sqlx::query(AssertSqlSafe(format!("SELECT started_at_us, id FROM names_fill{locked}")));
        let Some(at) = at.fetch_optional(&mut *transaction).await? else { return Ok(true) };
        let (started_at_us, id): (i64, String) = (at.try_get("started_at_us")?, at.try_get("id")?);
        let rows = format!(
            "SELECT started_at_us, id, caller_name_folded FROM recordings
             WHERE erased_at_us IS NULL AND (started_at_us, id) < ($1, $2)
             ORDER BY started_at_us DESC, id DESC LIMIT {BATCH}"
        );
        let on = |sql: String| sqlx::query(AssertSqlSafe(sql)).bind(started_at_us).bind(id.clone());
        let last = match self.database.kind {
            Kind::Sqlite => {
                let known = format!(
                    "INSERT INTO known_names (folded) SELECT DISTINCT caller_name_folded FROM ({rows})
                     WHERE caller_name_folded <> '' ON CONFLICT DO NOTHING"
                );
                on(known).execute(&mut *transaction).await?;
                on(format!("SELECT started_at_us, id FROM ({rows}) ORDER BY started_at_us, id LIMIT 1"))
            }
            Kind::Postgres => on(format!(
                "WITH batch AS MATERIALIZED ({rows} FOR SHARE), known AS MATERIALIZED (SELECT optag_know_names(
                     ARRAY(SELECT caller_name_folded FROM batch WHERE caller_name_folded <> '')) AS done)
                 SELECT started_at_us, id FROM batch CROSS JOIN known ORDER BY started_at_us, id LIMIT 1"
            )),
        };
        if let Some(last) = last.fetch_optional(&mut *transaction).await? {
            sqlx::query("UPDATE names_fill SET started_at_us = $1, id = $2")
                .bind(last.try_get::<i64, _>("started_at_us")?)
                .bind(last.try_get::<String, _>("id")?)
                .execute(&mut *transaction)
                .await?;
        }
        let done = sqlx::query(
            "DELETE FROM names_fill WHERE NOT EXISTS (SELECT 1 FROM recordings
                 WHERE erased_at_us IS NULL AND (started_at_us, id) < (names_fill.started_at_us, names_fill.id))",
        );
        let done = done.execute(&mut *transaction).await?.rows_affected() > 0;
        transaction.commit().await?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    use super::*;
    use crate::index::database::Database;
    use crate::index::{IndexPlace, Query};

    /// An index as the previous version left it, with one or several recordings per moment.
    async fn earlier(file: &std::path::Path) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let mut migrator = crate::index::migrations::sqlite();
        migrator.migrations =
            migrator.iter().filter(|one| one.version < 40).cloned().collect::<Vec<_>>().into();
        migrator.run_direct(None, &mut connection, false).await.unwrap();
        for n in 0..60_i64 {
            let name = if n % 9 == 0 { "NULL".to_owned() } else { format!("'name of {n}'") };
            let erased = if n % 11 == 0 { "5" } else { "NULL" };
            let at = 1_700_000_000_000_000 + n / 3 * 1_000;
            let row = format!(
                "INSERT INTO recordings VALUES ('00000000-0000-0000-0000-{n:012}', 'd{}', {at}, {at}, {at}, 1, NULL,
                     NULL, NULL, NULL, {name}, {name}, NULL, 1, '', {at}, {erased}, '', 0, '')",
                n % 2
            );
            sqlx::raw_sql(AssertSqlSafe(row)).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    async fn found(index: &Index, name: &str, department: Option<&str>) -> u64 {
        let department = department.map(str::to_owned);
        let query = Query { name: Some(name.to_owned().into()), department, most: 100, ..Query::default() };
        let found = index.search(&query).await.unwrap();
        assert_eq!(found.rows.len() as u64, found.total);
        found.total
    }

    #[tokio::test]
    async fn names_of_an_earlier_version_are_taken_in_over_many_restarts_and_found_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        earlier(&file).await;
        let live = (0..60).filter(|n| n % 9 != 0 && n % 11 != 0).count() as u64;
        let odd = (0..60).filter(|n| n % 9 != 0 && n % 11 != 0 && n % 2 == 1).count() as u64;
        let mut rounds = 0;
        let mut done = false;
        while !done {
            // Each round is a process of its own, which ends after one batch.
            let database = Database::new(&IndexPlace::Sqlite(file.clone())).unwrap();
            let index = Index { database, receivers: Default::default(), country_code: "45".into() };
            assert_eq!(found(&index, "name of", None).await, live, "{rounds}");
            assert_eq!(found(&index, "name of", Some("d1")).await, odd, "{rounds}");
            assert_eq!(found(&index, "of 59", None).await, 1);
            done = index.fill_some_names().await.unwrap();
            index.database.pool.close().await;
            index.database.readers.close().await;
            rounds += 1;
        }
        assert!(rounds > 5, "{rounds}");
        let index = Index::open(&IndexPlace::Sqlite(file), "45").await.unwrap();
        assert!(index.names_are_filled().await.unwrap());
        let rows =
            sqlx::query("SELECT COUNT(*) AS total FROM known_names").fetch_one(&index.database.readers);
        assert_eq!(rows.await.unwrap().get::<i64, _>("total") as u64, live);
        assert_eq!(found(&index, "name of", None).await, live);
        assert_eq!(found(&index, "9", Some("d1")).await, 5);
    }
}
