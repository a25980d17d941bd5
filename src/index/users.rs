//! Users, shared by all nodes: their rows, and the links by which they set their passwords. In: changes, each in one
//! transaction. Out: rows. What the columns mean is up to `auth`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::{Index, IndexError};
use optag_core::clock::WallTime;

/// Addresses kept of a user; the one used longest ago goes first.
const ADDRESSES: i64 = 20;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Never used again.
    pub id: String,
    /// By which the user signs in; unique.
    pub name: String,
    /// The user's own name, for people.
    pub display_name: String,
    /// Names of roles with commas between.
    pub roles: String,
    /// Departments, as JSON.
    pub departments: String,
    /// Argon2id as a PHC string; none until a link was used.
    pub password: Option<String>,
    /// The sealed secret of the codes.
    pub totp: Option<String>,
    /// The last time step whose code was used.
    pub totp_step: i64,
    /// Grows with what ends every sign-in.
    pub epoch: i64,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// Who was last given a link to set the password.
    pub vouched_by: String,
    /// When the user was made.
    pub created_at: WallTime,
    /// The last sign-in.
    pub used_at: Option<WallTime>,
    /// SHA-256 of issuer and subject, of a user who signs in by a provider.
    pub subject: Option<String>,
    /// Roles that a second administrator confirmed to such a user.
    pub confirmed_roles: Option<String>,
    /// The departments of these, as JSON.
    pub confirmed_departments: Option<String>,
}

/// What became of a new user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserPut {
    /// It is durable.
    Done,
    /// There is a user or a token of this name.
    NameTaken,
    /// There are as many as there may be.
    TooMany,
}

/// What a link sets.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The user's own name.
    pub display_name: String,
    /// Argon2id as a PHC string.
    pub password: String,
    /// The sealed secret of the codes.
    pub totp: String,
    /// The time step of the code that was given.
    pub totp_step: i64,
    /// SHA-256 of each recovery code.
    pub recovery_sha256: Vec<String>,
}

impl Index {
    /// Users by name.
    ///
    /// Errors: index unavailable.
    pub async fn users(&self) -> Result<Vec<UserRow>, IndexError> {
        let rows = sqlx::query("SELECT * FROM users ORDER BY name").fetch_all(&self.database.control);
        Ok(rows.await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// The user of a name.
    ///
    /// Errors: index unavailable.
    pub async fn user_named(&self, name: &str) -> Result<Option<UserRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM users WHERE name = $1").bind(name);
        Ok(row.fetch_optional(&self.database.control).await?.as_ref().map(read).transpose()?)
    }

    /// The user of an id.
    ///
    /// Errors: index unavailable.
    pub async fn user(&self, id: &str) -> Result<Option<UserRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM users WHERE id = $1").bind(id);
        Ok(row.fetch_optional(&self.database.control).await?.as_ref().map(read).transpose()?)
    }

    /// Writes a new user, if there are fewer than `most` and no token has the name.
    ///
    /// Errors: it is not durable.
    pub async fn put_user(&self, row: &UserRow, most: i64) -> Result<UserPut, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let put = insert(&mut transaction, row, most).await?;
        if put == UserPut::Done {
            transaction.commit().await?;
        }
        Ok(put)
    }

    /// Sets roles and departments.
    ///
    /// Errors: it is not durable.
    pub async fn set_user_roles(&self, id: &str, roles: &str, departments: &str) -> Result<(), IndexError> {
        let set = sqlx::query("UPDATE users SET roles = $1, departments = $2 WHERE id = $3");
        set.bind(roles).bind(departments).bind(id).execute(&self.database.control).await?;
        Ok(())
    }

    /// Lets a user sign in, or not any more, which ends every sign-in and every link.
    ///
    /// Errors: it is not durable.
    pub async fn set_user_disabled(&self, id: &str, disabled: bool) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let set = sqlx::query("UPDATE users SET disabled = $1, epoch = epoch + 1 WHERE id = $2");
        set.bind(i64::from(disabled)).bind(id).execute(&mut *transaction).await?;
        if disabled {
            drop_links(&mut transaction, id).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Makes the password, the codes and every sign-in of a user worthless, and writes the link by which new ones are set.
    ///
    /// Errors: it is not durable.
    pub async fn reset_user(
        &self,
        id: &str,
        by: &str,
        link_sha256: &str,
        expires_at: WallTime,
    ) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_control().await?;
        sqlx::query(
            "UPDATE users SET password = NULL, totp = NULL, epoch = epoch + 1, vouched_by = $1 WHERE id = $2",
        )
        .bind(by)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        drop_links(&mut transaction, id).await?;
        let codes = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1");
        codes.bind(id).execute(&mut *transaction).await?;
        put_link(&mut transaction, link_sha256, Some(id), expires_at).await?;
        Ok(transaction.commit().await?)
    }

    /// Writes a link by which the first user is made; expired ones go.
    ///
    /// Errors: it is not durable.
    pub async fn put_first_link(
        &self,
        sha256: &str,
        now: WallTime,
        expires_at: WallTime,
    ) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let gone = sqlx::query("DELETE FROM user_links WHERE expires_at_us <= $1");
        gone.bind(now.as_unix_micros()).execute(&mut *transaction).await?;
        put_link(&mut transaction, sha256, None, expires_at).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes the links by which the first user is made.
    ///
    /// Errors: it is not durable.
    pub async fn drop_first_links(&self) -> Result<(), IndexError> {
        let gone = sqlx::query("DELETE FROM user_links WHERE user_id IS NULL");
        gone.execute(&self.database.control).await.map(drop).map_err(Into::into)
    }

    /// The user of a link that was not used; within, none for a link that makes the first user.
    ///
    /// Errors: index unavailable.
    pub async fn user_link(&self, sha256: &str, now: WallTime) -> Result<Option<Option<String>>, IndexError> {
        let row = sqlx::query("SELECT user_id FROM user_links WHERE sha256 = $1 AND expires_at_us > $2")
            .bind(sha256);
        let row = row.bind(now.as_unix_micros()).fetch_optional(&self.database.control).await?;
        Ok(row.map(|row| row.try_get("user_id")).transpose()?)
    }

    /// Uses a link: sets what the user chose, and makes every other link and sign-in of the user worthless. Returns
    /// whether the link was still good.
    ///
    /// Errors: it is not durable.
    pub async fn enrol_user(
        &self,
        link_sha256: &str,
        user_id: &str,
        set: &Enrolment,
        now: WallTime,
    ) -> Result<bool, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let used =
            sqlx::query("DELETE FROM user_links WHERE sha256 = $1 AND user_id = $2 AND expires_at_us > $3");
        let used = used.bind(link_sha256).bind(user_id).bind(now.as_unix_micros());
        if used.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        enrol(&mut transaction, user_id, set).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The same with a link that makes the first user. `None`: the link is not good any more.
    ///
    /// Errors: it is not durable.
    pub async fn enrol_first_user(
        &self,
        link_sha256: &str,
        row: &UserRow,
        set: &Enrolment,
        now: WallTime,
    ) -> Result<Option<UserPut>, IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let used = sqlx::query(
            "DELETE FROM user_links WHERE sha256 = $1 AND user_id IS NULL AND expires_at_us > $2",
        );
        let used = used.bind(link_sha256).bind(now.as_unix_micros());
        if used.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(None);
        }
        let put = insert(&mut transaction, row, i64::MAX).await?;
        if put != UserPut::Done {
            // Not committed: the link stays.
            return Ok(Some(put));
        }
        enrol(&mut transaction, &row.id, set).await?;
        // There is one first user, whichever link was used.
        sqlx::query("DELETE FROM user_links WHERE user_id IS NULL").execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Some(UserPut::Done))
    }

    /// Uses the code of a time step; false if it, or one of a later step, was used.
    ///
    /// Errors: it is not durable.
    pub async fn use_totp_step(&self, id: &str, step: i64) -> Result<bool, IndexError> {
        let used = sqlx::query("UPDATE users SET totp_step = $1 WHERE id = $2 AND totp_step < $3");
        let used = used.bind(step).bind(id).bind(step).execute(&self.database.control).await?;
        Ok(used.rows_affected() > 0)
    }

    /// Uses a recovery code; false if there is none, or it was used.
    ///
    /// Errors: it is not durable.
    pub async fn use_recovery_code(&self, id: &str, sha256: &str) -> Result<bool, IndexError> {
        let used = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1 AND sha256 = $2");
        let used = used.bind(id).bind(sha256).execute(&self.database.control).await?;
        Ok(used.rows_affected() > 0)
    }

    /// Number of recovery codes that were not used.
    ///
    /// Errors: index unavailable.
    pub async fn recovery_codes_left(&self, id: &str) -> Result<i64, IndexError> {
        let left = sqlx::query("SELECT COUNT(*) AS total FROM recovery_codes WHERE user_id = $1");
        Ok(left.bind(id).fetch_one(&self.database.control).await?.try_get("total")?)
    }

    /// Whether a user signed in from an address, given by its hash.
    ///
    /// Errors: index unavailable.
    pub async fn user_was_at(&self, id: &str, address: &str, since: WallTime) -> Result<bool, IndexError> {
        let row = sqlx::query(
            "SELECT 1 AS one FROM user_addresses WHERE user_id = $1 AND address = $2 AND used_at_us > $3",
        );
        let row = row.bind(id).bind(address).bind(since.as_unix_micros());
        Ok(row.fetch_optional(&self.database.control).await?.is_some())
    }

    /// Notes a sign-in from an address, given by its hash.
    ///
    /// Errors: it is not durable.
    pub async fn user_signed_in(&self, id: &str, address: &str, now: WallTime) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_control().await?;
        let used = sqlx::query("UPDATE users SET used_at_us = $1 WHERE id = $2");
        used.bind(now.as_unix_micros()).bind(id).execute(&mut *transaction).await?;
        sqlx::query(
            "INSERT INTO user_addresses (user_id, address, used_at_us) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, address) DO UPDATE SET used_at_us = excluded.used_at_us",
        )
        .bind(id)
        .bind(address)
        .bind(now.as_unix_micros())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM user_addresses WHERE user_id = $1 AND address NOT IN (
                 SELECT address FROM user_addresses WHERE user_id = $2 ORDER BY used_at_us DESC, address LIMIT $3)",
        )
        .bind(id)
        .bind(id)
        .bind(ADDRESSES)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

async fn insert(
    transaction: &mut Transaction<'static, Any>,
    row: &UserRow,
    most: i64,
) -> Result<UserPut, sqlx::Error> {
    // First of all, so that no token gets the name in between.
    sqlx::query("UPDATE access_version SET version = version + 1").execute(&mut **transaction).await?;
    let counted = sqlx::query("SELECT COUNT(*) AS total FROM users");
    if counted.fetch_one(&mut **transaction).await?.try_get::<i64, _>("total")? >= most {
        return Ok(UserPut::TooMany);
    }
    let token = sqlx::query("SELECT 1 AS one FROM access_tokens WHERE name = $1").bind(&row.name);
    if token.fetch_optional(&mut **transaction).await?.is_some() {
        return Ok(UserPut::NameTaken);
    }
    let inserted = sqlx::query(
        "INSERT INTO users (id, name, display_name, roles, departments, password, totp, totp_step, epoch, disabled,
             vouched_by, created_at_us, used_at_us, subject)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
    )
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.display_name)
    .bind(&row.roles)
    .bind(&row.departments)
    .bind(&row.password)
    .bind(&row.totp)
    .bind(row.totp_step)
    .bind(row.epoch)
    .bind(i64::from(row.disabled))
    .bind(&row.vouched_by)
    .bind(row.created_at.as_unix_micros())
    .bind(row.used_at.map(WallTime::as_unix_micros))
    .bind(&row.subject)
    .execute(&mut **transaction)
    .await?;
    Ok(if inserted.rows_affected() == 0 { UserPut::NameTaken } else { UserPut::Done })
}

async fn enrol(
    transaction: &mut Transaction<'static, Any>,
    id: &str,
    set: &Enrolment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE users SET display_name = $1, password = $2, totp = $3, totp_step = $4, epoch = epoch + 1
         WHERE id = $5",
    )
    .bind(&set.display_name)
    .bind(&set.password)
    .bind(&set.totp)
    .bind(set.totp_step)
    .bind(id)
    .execute(&mut **transaction)
    .await?;
    drop_links(transaction, id).await?;
    let codes = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1");
    codes.bind(id).execute(&mut **transaction).await?;
    for sha256 in &set.recovery_sha256 {
        let code = sqlx::query("INSERT INTO recovery_codes (user_id, sha256) VALUES ($1, $2)");
        code.bind(id).bind(sha256).execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn drop_links(transaction: &mut Transaction<'static, Any>, id: &str) -> Result<(), sqlx::Error> {
    let gone = sqlx::query("DELETE FROM user_links WHERE user_id = $1");
    gone.bind(id).execute(&mut **transaction).await.map(drop)
}

async fn put_link(
    transaction: &mut Transaction<'static, Any>,
    sha256: &str,
    user_id: Option<&str>,
    expires_at: WallTime,
) -> Result<(), sqlx::Error> {
    let put = sqlx::query("INSERT INTO user_links (sha256, user_id, expires_at_us) VALUES ($1, $2, $3)");
    let put = put.bind(sha256).bind(user_id).bind(expires_at.as_unix_micros());
    put.execute(&mut **transaction).await.map(drop)
}

pub(super) fn read(row: &AnyRow) -> Result<UserRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column);
    Ok(UserRow {
        id: text("id")?,
        name: text("name")?,
        display_name: text("display_name")?,
        roles: text("roles")?,
        departments: text("departments")?,
        password: maybe("password")?,
        totp: maybe("totp")?,
        totp_step: row.try_get("totp_step")?,
        epoch: row.try_get("epoch")?,
        disabled: row.try_get::<i64, _>("disabled")? != 0,
        vouched_by: text("vouched_by")?,
        created_at: WallTime::from_unix_micros(row.try_get("created_at_us")?),
        used_at: row.try_get::<Option<i64>, _>("used_at_us")?.map(WallTime::from_unix_micros),
        subject: maybe("subject")?,
        confirmed_roles: maybe("confirmed_roles")?,
        confirmed_departments: maybe("confirmed_departments")?,
    })
}
