//! Removes what is left of a name in SQLite's trigram indexes once its entries are deleted: FTS5 copies the first
//! trigram of each page into the table `…_idx`, to find the page, and keeps the copy when the trigram itself is
//! deleted.
//!
//! Such a copy must sort above the last trigram of the previous page and not above the first of its own. The next
//! existing trigram meets both conditions and replaces the copy.

use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::database::{Database, Kind};
use super::known_names::{quoted, trigrams};
use super::likeness::words;
use optag_core::id::CallId;

impl Database {
    /// The name in a row; none for PostgreSQL.
    ///
    /// Errors: index unavailable.
    pub(super) async fn name_of(
        &self,
        transaction: &mut Transaction<'_, Any>,
        id: CallId,
    ) -> Result<Option<String>, sqlx::Error> {
        if self.kind != Kind::Sqlite {
            return Ok(None);
        }
        let row = sqlx::query("SELECT caller_name_folded FROM recordings WHERE id = $1").bind(id.to_string());
        let row = row.fetch_optional(&mut **transaction).await?;
        row.map_or(Ok(None), |row| row.try_get("caller_name_folded"))
    }

    /// Replaces page keys that are trigrams of a name, or of its words, where no entry has that trigram any more. The
    /// name itself is already deleted, or another row has it too.
    ///
    /// Errors: index unavailable.
    pub(super) async fn forget_trigrams(
        &self,
        transaction: &mut Transaction<'_, Any>,
        name: &str,
    ) -> Result<(), sqlx::Error> {
        forget(transaction, "names", name).await?;
        for word in words(name) {
            forget(transaction, "words", &format!(" {word} ")).await?;
        }
        Ok(())
    }
}

/// Does so for one text in one index.
async fn forget(transaction: &mut Transaction<'_, Any>, of: &str, text: &str) -> Result<(), sqlx::Error> {
    // In reverse order: otherwise the replacement could be a trigram that is removed as well.
    for trigram in trigrams(text).iter().rev() {
        // As FTS5 stores it: the index number and the text.
        let copy = format!("0{trigram}");
        let copies = format!("SELECT 1 AS one FROM {of}_trigrams_idx WHERE term = CAST($1 AS BLOB)");
        let copies =
            sqlx::query(AssertSqlSafe(copies)).bind(&copy).fetch_optional(&mut **transaction).await?;
        if copies.is_none() {
            continue;
        }
        let there = format!("SELECT 1 AS one FROM {of}_trigrams WHERE {of}_trigrams MATCH $1 LIMIT 1");
        let there = sqlx::query(AssertSqlSafe(there))
            .bind(quoted(trigram))
            .fetch_optional(&mut **transaction)
            .await?;
        if there.is_some() {
            continue;
        }
        let next = format!(
            "UPDATE {of}_trigrams_idx SET term = CAST('0' || (SELECT MIN(term) FROM
                 (SELECT term FROM {of}_terms WHERE term > $2 ORDER BY term LIMIT 1)) AS BLOB)
             WHERE term = CAST($1 AS BLOB) AND EXISTS (SELECT 1 FROM {of}_terms WHERE term > $2)"
        );
        sqlx::query(AssertSqlSafe(next)).bind(&copy).bind(trigram).execute(&mut **transaction).await?;
    }
    Ok(())
}
