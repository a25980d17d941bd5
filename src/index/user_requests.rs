//! Changes of users that wait for a second administrator. In: requests, and what became of them. Out: those that wait.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Index, IndexError};
use optag_core::clock::WallTime;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRequestRow {
    /// Its name.
    pub id: String,
    /// `roles` or `reset`.
    pub kind: String,
    /// Id of the user.
    pub user_id: String,
    /// Roles that the user would have.
    pub roles: String,
    /// Departments that the user would have, as JSON.
    pub departments: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: WallTime,
    /// When it cannot be confirmed any more.
    pub expires_at: WallTime,
}

impl Index {
    /// Writes a request in place of an earlier one of its kind about the user; expired ones go. False: there are `most`
    /// already.
    ///
    /// Errors: it is not durable.
    pub async fn put_user_request(&self, row: &UserRequestRow, most: i64) -> Result<bool, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let gone = sqlx::query(
            "DELETE FROM user_requests WHERE expires_at_us <= $1 OR (user_id = $2 AND kind = $3)",
        );
        let gone = gone.bind(row.asked_at.as_unix_micros()).bind(&row.user_id).bind(&row.kind);
        gone.execute(&mut *transaction).await?;
        let counted = sqlx::query("SELECT COUNT(*) AS total FROM user_requests");
        if counted.fetch_one(&mut *transaction).await?.try_get::<i64, _>("total")? >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO user_requests (id, kind, user_id, roles, departments, asked_by, asked_at_us, expires_at_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&row.id)
        .bind(&row.kind)
        .bind(&row.user_id)
        .bind(&row.roles)
        .bind(&row.departments)
        .bind(&row.asked_by)
        .bind(row.asked_at.as_unix_micros())
        .bind(row.expires_at.as_unix_micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Requests that wait, the oldest first.
    ///
    /// Errors: index unavailable.
    pub async fn user_requests(&self, now: WallTime) -> Result<Vec<UserRequestRow>, IndexError> {
        let rows =
            sqlx::query("SELECT * FROM user_requests WHERE expires_at_us > $1 ORDER BY asked_at_us, id");
        let rows = rows.bind(now.as_unix_micros()).fetch_all(&self.database.control).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Takes a request away; false if there is none.
    ///
    /// Errors: it is not durable.
    pub async fn drop_user_request(&self, id: &str) -> Result<bool, IndexError> {
        let gone = sqlx::query("DELETE FROM user_requests WHERE id = $1").bind(id);
        Ok(gone.execute(&self.database.control).await?.rows_affected() > 0)
    }
}

fn read(row: &AnyRow) -> Result<UserRequestRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    Ok(UserRequestRow {
        id: text("id")?,
        kind: text("kind")?,
        user_id: text("user_id")?,
        roles: text("roles")?,
        departments: text("departments")?,
        asked_by: text("asked_by")?,
        asked_at: time("asked_at_us")?,
        expires_at: time("expires_at_us")?,
    })
}
