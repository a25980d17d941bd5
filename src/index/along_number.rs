//! Search by the index of last four digits of either party's number.

use super::conditions::{Along, after, checks, page, party, time};
use super::query::{COUNTED, LOOKED_AT};
use super::search_terms::{Asked, Found};
use super::statement::Statement;
use super::{Index, IndexError};

impl Index {
    /// Merges the matches of both parties, each newest first, into one list.
    pub(super) async fn along_number(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let query = asked.query;
        let most = (query.skip as i64).saturating_add(i64::from(query.most) + 1);
        let mut rows = Statement::new("SELECT r.* FROM (SELECT started_at_us, id FROM (");
        for caller in [true, false] {
            rows.push(if caller { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
            rows.push("SELECT started_at_us, id FROM recordings WHERE erased_at_us IS NULL AND ");
            party(&mut rows, &self.database, asked, caller);
            checks(&mut rows, asked, "", Along::Number);
            after(&mut rows, query, "");
            rows.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(most);
            rows.push(if caller { ") AS of_caller" } else { ") AS of_called" });
        }
        rows.push(") AS of_both");
        page(&mut rows, query, query.skip);
        rows.push(") AS found JOIN recordings r ON r.id = found.id ORDER BY r.started_at_us DESC, r.id DESC");
        let rows = self.read_rows(rows).await?;
        let alone = asked.name.is_none()
            && query.department.is_none()
            && query.within.are_all()
            && query.verdict.is_none();
        let (total, looked_at, cap) = match alone {
            true => {
                let total = self.count_number(asked, COUNTED).await?;
                (total, total, COUNTED)
            }
            false => {
                let looked_at = self.count_number(asked, LOOKED_AT).await?;
                (self.count_checked(asked).await?, looked_at, LOOKED_AT)
            }
        };
        Ok(Found::page(rows, query, total as u64, looked_at > cap))
    }

    /// Counts rows with the number, up to one more than `most` for each party.
    pub(super) async fn count_number(&self, asked: &Asked<'_>, most: i64) -> Result<i64, IndexError> {
        let mut total = 0;
        for caller in [true, false] {
            let mut sql = Statement::new(
                "SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM recordings WHERE erased_at_us IS NULL AND ",
            );
            party(&mut sql, &self.database, asked, caller);
            time(&mut sql, asked.query, "");
            sql.push(" LIMIT ").bind_number(most + 1).push(") AS counted");
            total += self.total(sql).await?;
        }
        Ok(total)
    }

    /// Counts rows, among the newest with the number, that also meet the other conditions.
    async fn count_checked(&self, asked: &Asked<'_>) -> Result<i64, IndexError> {
        let mut total = 0;
        for caller in [true, false] {
            // The index contains the department too: rows are read only to check the other conditions.
            let mut sql = Statement::new("SELECT COUNT(hit) AS total FROM (SELECT CASE WHEN TRUE");
            checks(&mut sql, asked, "", Along::Number);
            sql.push(" THEN 1 END AS hit FROM recordings WHERE erased_at_us IS NULL AND ");
            party(&mut sql, &self.database, asked, caller);
            time(&mut sql, asked.query, "");
            sql.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(LOOKED_AT);
            sql.push(") AS newest");
            total += self.total(sql).await?;
        }
        Ok(total)
    }
}
