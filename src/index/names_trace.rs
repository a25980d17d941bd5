//! What is left of a name in SQLite's indexes of trigrams when its entries are gone: FTS5 keeps, of the first trigram
//! of each page, a copy to find the page by (the table `…_idx`), and leaves it when the trigram itself goes.
//!
//! Such a copy must lie above the last trigram of the page before and not above the first of its own. The
//! next trigram that there is does both, and takes its place.

use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::database::{Database, Kind};
use super::known_names::{quoted, trigrams};
use super::likeness::words;
use optag_core::id::CallId;

impl Database {
    /// The name of a row, where SQLite has it.
    ///
    /// Errors: it does not answer.
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

    /// Takes copies of trigrams of a name and of its words out of the indexes where nothing has them any more.
    /// The name itself is gone, or is another row's too.
    ///
    /// Errors: it does not answer.
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

/// The same for one text in one index.
async fn forget(transaction: &mut Transaction<'_, Any>, of: &str, text: &str) -> Result<(), sqlx::Error> {
    // The last first: the next one that there is may not be one that goes too.
    for trigram in trigrams(text).iter().rev() {
        // As FTS5 writes it: the number of the index and the text.
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
