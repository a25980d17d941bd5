//! Access tokens, shared by all nodes. In: changes, each in one transaction with the version that it raises. Out: the
//! tokens, and whether they changed. What the columns mean is up to `auth`.

use sqlx::any::{AnyQueryResult, AnyRow};
use sqlx::{Any, Row, Transaction};

use super::{Index, IndexError};
use optag_core::clock::WallTime;

/// Characters of a token's hash by which a name is told from the same name of another node.
const APART: usize = 8;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Who uses it; unique.
    pub name: String,
    /// SHA-256 of the token, in hexadecimal; unique.
    pub sha256: String,
    /// Names of roles with commas between.
    pub roles: String,
    /// Departments, as JSON.
    pub departments: String,
    /// Networks from which it may be used, with commas between; empty: any.
    pub networks: String,
    /// When it was created.
    pub created_at: WallTime,
    /// When it expires.
    pub expires_at: Option<WallTime>,
    /// When it was used last, to within an hour.
    pub used_at: Option<WallTime>,
}

/// What became of a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPut {
    /// It is durable.
    Done,
    /// There is a token or a user of this name.
    NameTaken,
    /// There are as many as there may be.
    TooMany,
}

impl Index {
    /// The version of the tokens; 0 until there was one.
    ///
    /// Errors: index unavailable.
    pub async fn access_version(&self) -> Result<i64, IndexError> {
        let row = sqlx::query("SELECT version FROM access_version").fetch_one(&self.database.control);
        Ok(row.await?.try_get("version")?)
    }

    /// The tokens by name, of this version or a later one.
    ///
    /// Errors: index unavailable.
    pub async fn access_tokens(&self) -> Result<(i64, Vec<TokenRow>), IndexError> {
        let version = self.access_version().await?;
        let rows = sqlx::query("SELECT * FROM access_tokens ORDER BY name").fetch_all(&self.database.control);
        Ok((version, rows.await?.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Writes a new token, if there are fewer than `most`.
    ///
    /// Errors: it is not durable.
    pub async fn put_token(&self, row: &TokenRow, most: i64) -> Result<TokenPut, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        // First of all, so that no other change comes in between.
        raise(&mut transaction).await?;
        let counted = sqlx::query("SELECT COUNT(*) AS total FROM access_tokens");
        if counted.fetch_one(&mut *transaction).await?.try_get::<i64, _>("total")? >= most {
            return Ok(TokenPut::TooMany);
        }
        let user = sqlx::query("SELECT 1 AS one FROM users WHERE name = $1").bind(&row.name);
        if user.fetch_optional(&mut *transaction).await?.is_some() {
            return Ok(TokenPut::NameTaken);
        }
        if insert(&mut transaction, row).await?.rows_affected() == 0 {
            return Ok(TokenPut::NameTaken);
        }
        transaction.commit().await?;
        Ok(TokenPut::Done)
    }

    /// Removes a token; returns whether there was one.
    ///
    /// Errors: it is not durable.
    pub async fn drop_token(&self, name: &str) -> Result<bool, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        raise(&mut transaction).await?;
        let gone = sqlx::query("DELETE FROM access_tokens WHERE name = $1").bind(name);
        let gone = gone.execute(&mut *transaction).await?.rows_affected() > 0;
        transaction.commit().await?;
        Ok(gone)
    }

    /// Notes that a token was used. Does not raise the version.
    ///
    /// Errors: index unavailable.
    pub async fn token_used(&self, sha256: &str, at: WallTime) -> Result<(), IndexError> {
        let used = sqlx::query("UPDATE access_tokens SET used_at_us = $1 WHERE sha256 = $2");
        used.bind(at.as_unix_micros()).bind(sha256).execute(&self.database.control).await?;
        Ok(())
    }

    /// Takes over the tokens of a file, once: a file with this hash that was taken over before changes nothing. A name
    /// that another token has is made unique by the token's hash. Returns whether it was taken over now.
    ///
    /// Errors: it is not durable; nothing was taken over.
    pub async fn take_over_tokens(
        &self,
        file_sha256: &str,
        rows: &[TokenRow],
        now: WallTime,
    ) -> Result<bool, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        raise(&mut transaction).await?;
        let taken = sqlx::query(
            "INSERT INTO taken_token_files (sha256, taken_at_us) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        );
        let taken = taken.bind(file_sha256).bind(now.as_unix_micros()).execute(&mut *transaction).await?;
        if taken.rows_affected() == 0 {
            return Ok(false);
        }
        for row in rows {
            if insert(&mut transaction, row).await?.rows_affected() == 0 {
                let apart: String = row.sha256.chars().take(APART).collect();
                let row = TokenRow { name: format!("{} ({apart})", row.name), ..row.clone() };
                // Nothing is inserted where it is the same token.
                insert(&mut transaction, &row).await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }
}

async fn raise(transaction: &mut Transaction<'static, Any>) -> Result<(), sqlx::Error> {
    let raised = sqlx::query("UPDATE access_version SET version = version + 1");
    raised.execute(&mut **transaction).await.map(drop)
}

async fn insert(
    transaction: &mut Transaction<'static, Any>,
    row: &TokenRow,
) -> Result<AnyQueryResult, sqlx::Error> {
    sqlx::query(
        "INSERT INTO access_tokens (name, sha256, roles, departments, networks, created_at_us, expires_at_us, used_at_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(&row.name)
    .bind(&row.sha256)
    .bind(&row.roles)
    .bind(&row.departments)
    .bind(&row.networks)
    .bind(row.created_at.as_unix_micros())
    .bind(row.expires_at.map(WallTime::as_unix_micros))
    .bind(row.used_at.map(WallTime::as_unix_micros))
    .execute(&mut **transaction)
    .await
}

fn read(row: &AnyRow) -> Result<TokenRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let time =
        |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(WallTime::from_unix_micros));
    Ok(TokenRow {
        name: text("name")?,
        sha256: text("sha256")?,
        roles: text("roles")?,
        departments: text("departments")?,
        networks: text("networks")?,
        created_at: WallTime::from_unix_micros(row.try_get("created_at_us")?),
        expires_at: time("expires_at_us")?,
        used_at: time("used_at_us")?,
    })
}
