//! Hand-out links of all nodes, by the hash of their token. In: new links and uses. Out: a link, and whether a use is the
//! first one: of many at once, on whichever nodes, one is.
//!
//! Times are those of whoever asks.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Index, IndexError};
use optag_core::clock::WallTime;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// SHA-256 of its token, in hexadecimal.
    pub sha256: String,
    /// What it hands out.
    pub content: String,
    /// When it expires.
    pub expires_at: WallTime,
    /// Its first use.
    pub used: Option<UsedLink>,
}

/// The first use of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedLink {
    /// When.
    pub at: WallTime,
    /// SHA-256 of the browser's secret, in hexadecimal.
    pub browser_sha256: String,
}

impl Index {
    /// Writes links; those that are there already stay as they are. Removes expired ones.
    ///
    /// Errors: not durable.
    pub async fn put_links(&self, links: &[LinkRow], now: WallTime) -> Result<(), IndexError> {
        let mut transaction = self.database.begin().await?;
        let gone = sqlx::query("DELETE FROM handout_links WHERE expires_at_us <= $1");
        gone.bind(now.as_unix_micros()).execute(&mut *transaction).await?;
        for link in links {
            let used = link.used.as_ref();
            sqlx::query(
                "INSERT INTO handout_links (sha256, content, expires_at_us, used_at_us, browser_sha256)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (sha256) DO NOTHING",
            )
            .bind(&link.sha256)
            .bind(&link.content)
            .bind(link.expires_at.as_unix_micros())
            .bind(used.map(|used| used.at.as_unix_micros()))
            .bind(used.map(|used| used.browser_sha256.clone()))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Number of links that are neither used nor expired.
    ///
    /// Errors: index unavailable.
    pub async fn open_links(&self, now: WallTime) -> Result<u64, IndexError> {
        let count =
            sqlx::query("SELECT COUNT(*) FROM handout_links WHERE expires_at_us > $1 AND used_at_us IS NULL");
        let row = count.bind(now.as_unix_micros()).fetch_one(&self.database.pool).await?;
        Ok(row.try_get::<i64, _>(0)?.max(0) as u64)
    }

    /// The link of a token.
    ///
    /// Errors: index unavailable.
    pub async fn link(&self, sha256: &str) -> Result<Option<LinkRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM handout_links WHERE sha256 = $1").bind(sha256);
        Ok(row.fetch_optional(&self.database.pool).await?.as_ref().map(link).transpose()?)
    }

    /// Removes a link that was not used; returns whether there was one.
    ///
    /// Errors: not durable.
    pub async fn drop_link(&self, sha256: &str) -> Result<bool, IndexError> {
        let gone = sqlx::query("DELETE FROM handout_links WHERE sha256 = $1 AND used_at_us IS NULL");
        Ok(gone.bind(sha256).execute(&self.database.pool).await?.rows_affected() > 0)
    }

    /// Uses an unused link for a browser; false if it is used, expired or unknown.
    ///
    /// Errors: not durable; it may be used all the same.
    pub async fn use_link(
        &self,
        sha256: &str,
        browser_sha256: &str,
        now: WallTime,
    ) -> Result<bool, IndexError> {
        let used = sqlx::query(
            "UPDATE handout_links SET used_at_us = $1, browser_sha256 = $2
             WHERE sha256 = $3 AND used_at_us IS NULL AND expires_at_us > $4 RETURNING sha256",
        );
        let used = used
            .bind(now.as_unix_micros())
            .bind(browser_sha256)
            .bind(sha256)
            .bind(now.as_unix_micros())
            .fetch_optional(&self.database.pool)
            .await?;
        Ok(used.is_some())
    }
}

fn link(row: &AnyRow) -> Result<LinkRow, sqlx::Error> {
    let used_at: Option<i64> = row.try_get("used_at_us")?;
    let browser: Option<String> = row.try_get("browser_sha256")?;
    Ok(LinkRow {
        sha256: row.try_get("sha256")?,
        content: row.try_get("content")?,
        expires_at: WallTime::from_unix_micros(row.try_get("expires_at_us")?),
        used: used_at.map(|at| UsedLink {
            at: WallTime::from_unix_micros(at),
            browser_sha256: browser.unwrap_or_default(),
        }),
    })
}
