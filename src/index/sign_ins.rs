//! People who are signed in, on any node. In: sign-ins, their use, their end. Out: those that are valid. Times are given
//! by the caller.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Index, IndexError};
use optag_core::clock::WallTime;

/// A browser in which somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRow {
    /// SHA-256 of the cookie's secret, in hexadecimal.
    pub sha256: String,
    /// By which its owner names it.
    pub id: String,
    /// SHA-256 of the access token that it was opened with, in hexadecimal, or the user.
    pub token_sha256: String,
    /// SHA-256 of the provider's session, if a provider named one.
    pub provider_sid: Option<String>,
    /// The provider's ID token, sealed.
    pub id_token: Option<String>,
    /// When it was opened.
    pub created_at: WallTime,
    /// When it was last used, to within a minute.
    pub used_at: WallTime,
    /// When it ends, however much it is used.
    pub expires_at: WallTime,
}

impl Index {
    /// Writes a new sign-in. Of those with the same token, the `most` used last stay; ended ones go.
    ///
    /// Errors: it is not durable.
    pub async fn put_sign_in(
        &self,
        row: &SignInRow,
        idle_since: WallTime,
        most: i64,
    ) -> Result<(), IndexError> {
        let mut transaction = self.database.begin().await?;
        sqlx::query("DELETE FROM sign_ins WHERE expires_at_us <= $1 OR used_at_us <= $2")
            .bind(row.created_at.as_unix_micros())
            .bind(idle_since.as_unix_micros())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO sign_ins
                 (sha256, id, token_sha256, provider_sid, id_token, created_at_us, used_at_us, expires_at_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&row.sha256)
        .bind(&row.id)
        .bind(&row.token_sha256)
        .bind(&row.provider_sid)
        .bind(&row.id_token)
        .bind(row.created_at.as_unix_micros())
        .bind(row.used_at.as_unix_micros())
        .bind(row.expires_at.as_unix_micros())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM sign_ins WHERE token_sha256 = $1 AND id NOT IN (
                 SELECT id FROM sign_ins WHERE token_sha256 = $2 ORDER BY used_at_us DESC, id DESC LIMIT $3)",
        )
        .bind(&row.token_sha256)
        .bind(&row.token_sha256)
        .bind(most)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The sign-in of a cookie.
    ///
    /// Errors: index unavailable.
    pub async fn sign_in(&self, sha256: &str) -> Result<Option<SignInRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM sign_ins WHERE sha256 = $1").bind(sha256);
        Ok(row.fetch_optional(&self.database.pool).await?.as_ref().map(read).transpose()?)
    }

    /// Sign-ins with an access token, the one used last first.
    ///
    /// Errors: index unavailable.
    pub async fn sign_ins_of(&self, token_sha256: &str) -> Result<Vec<SignInRow>, IndexError> {
        let rows =
            sqlx::query("SELECT * FROM sign_ins WHERE token_sha256 = $1 ORDER BY used_at_us DESC, id DESC");
        let rows = rows.bind(token_sha256).fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Notes that a sign-in was used.
    ///
    /// Errors: index unavailable.
    pub async fn sign_in_used(&self, sha256: &str, at: WallTime) -> Result<(), IndexError> {
        let used = sqlx::query("UPDATE sign_ins SET used_at_us = $1 WHERE sha256 = $2 AND used_at_us < $3");
        let at = at.as_unix_micros();
        used.bind(at).bind(sha256).bind(at).execute(&self.database.pool).await?;
        Ok(())
    }

    /// Ends a sign-in of an access token by its id; returns whether there was one.
    ///
    /// Errors: it has not ended.
    pub async fn end_sign_in(&self, token_sha256: &str, id: &str) -> Result<bool, IndexError> {
        let gone = sqlx::query("DELETE FROM sign_ins WHERE token_sha256 = $1 AND id = $2");
        let gone = gone.bind(token_sha256).bind(id).execute(&self.database.pool).await?;
        Ok(gone.rows_affected() > 0)
    }
}

impl Index {
    /// Ends a sign-in by its cookie.
    ///
    /// Errors: it has not ended.
    pub async fn drop_sign_in(&self, sha256: &str) -> Result<(), IndexError> {
        let gone = sqlx::query("DELETE FROM sign_ins WHERE sha256 = $1").bind(sha256);
        gone.execute(&self.database.pool).await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<SignInRow, sqlx::Error> {
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    Ok(SignInRow {
        sha256: row.try_get("sha256")?,
        id: row.try_get("id")?,
        token_sha256: row.try_get("token_sha256")?,
        provider_sid: row.try_get("provider_sid")?,
        id_token: row.try_get("id_token")?,
        created_at: time("created_at_us")?,
        used_at: time("used_at_us")?,
        expires_at: time("expires_at_us")?,
    })
}
