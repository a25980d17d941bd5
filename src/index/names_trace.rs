//! What is left of a name in SQLite's index of trigrams when its entries are gone: FTS5 keeps, of the first trigram
//! of each page, a copy to find the page by (`names_trigrams_idx`), and leaves it when the trigram itself goes.
//!
//! Such a copy must lie above the last trigram of the page before and not above the first of its own. The
//! next trigram that there is does both, and takes its place.

use std::collections::BTreeSet;

use sqlx::{Any, Row, Transaction};

use super::database::{Database, Kind};
use super::query::PART_NAME;
use optag_core::id::CallId;

impl Database {
    /// The name in the index of names, where SQLite has one.
    ///
    /// Errors: it does not answer.
    pub async fn name_of(
        &self,
        transaction: &mut Transaction<'_, Any>,
        id: CallId,
    ) -> Result<Option<String>, sqlx::Error> {
        if self.kind != Kind::Sqlite {
            return Ok(None);
        }
        let row = sqlx::query("SELECT folded FROM names WHERE id = $1").bind(id.to_string());
        row.fetch_optional(&mut **transaction).await?.map(|row| row.try_get("folded")).transpose()
    }

    /// Takes copies of a name's trigrams out of the index that no name has any more. The name itself is gone.
    ///
    /// Errors: it does not answer.
    pub async fn forget_trigrams(
        &self,
        transaction: &mut Transaction<'_, Any>,
        name: &str,
    ) -> Result<(), sqlx::Error> {
        let letters: Vec<char> = name.chars().collect();
        let trigrams: BTreeSet<String> =
            letters.windows(PART_NAME).map(|letters| letters.iter().collect()).collect();
        // The last first: the next one that there is may not be one that goes too.
        for trigram in trigrams.iter().rev() {
            // As FTS5 writes it: the number of the index and the text.
            let copy = format!("0{trigram}");
            let copies = sqlx::query("SELECT 1 AS one FROM names_trigrams_idx WHERE term = CAST($1 AS BLOB)")
                .bind(&copy)
                .fetch_optional(&mut **transaction)
                .await?;
            if copies.is_none() {
                continue;
            }
            let there =
                sqlx::query("SELECT 1 AS one FROM names_trigrams WHERE names_trigrams MATCH $1 LIMIT 1")
                    .bind(format!("\"{}\"", trigram.replace('"', "\"\"")))
                    .fetch_optional(&mut **transaction)
                    .await?;
            if there.is_some() {
                continue;
            }
            sqlx::query(
                "UPDATE names_trigrams_idx SET term = CAST('0' || (SELECT MIN(term) FROM
                     (SELECT term FROM names_terms WHERE term > $2 ORDER BY term LIMIT 1)) AS BLOB)
                 WHERE term = CAST($1 AS BLOB) AND EXISTS (SELECT 1 FROM names_terms WHERE term > $2)",
            )
            .bind(&copy)
            .bind(trigram)
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }
}
