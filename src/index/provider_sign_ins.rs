//! People who sign in by an OpenID Connect provider, on any node: their users, what was used once, and who signed out there.
//! Times are given by the caller. What the columns mean is up to `auth::provider`.

use sqlx::Row;

use super::users::read;
use super::{Index, IndexError, UserRow};
use optag_core::clock::WallTime;

/// That somebody signed out at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogout {
    /// Of the notice, which counts once.
    pub id: String,
    /// SHA-256 of the session; none: all of the subject's.
    pub sid: Option<String>,
    /// SHA-256 of issuer and subject; none: whoever has the session.
    pub subject: Option<String>,
    /// When, by the provider's clock.
    pub at: WallTime,
    /// When it need not be known any more.
    pub expires_at: WallTime,
}

/// What a provider gives a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The user's own name.
    pub display_name: String,
    /// Names of roles with commas between.
    pub roles: String,
    /// Departments, as JSON.
    pub departments: String,
    /// Whether what a second administrator confirmed still counts.
    pub keeps_confirmed: bool,
    /// When the user signed in; none: the user did not.
    pub signed_in_at: Option<WallTime>,
}

impl Index {
    /// The user of a subject.
    ///
    /// Errors: index unavailable.
    pub async fn user_of_subject(&self, subject: &str) -> Result<Option<UserRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM users WHERE subject = $1").bind(subject);
        Ok(row.fetch_optional(&self.database.control).await?.as_ref().map(read).transpose()?)
    }

    /// Gives a user what the provider says now.
    ///
    /// Errors: it is not durable.
    pub async fn set_provided(&self, id: &str, set: &Provided) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_control().await?;
        sqlx::query(
            "UPDATE users SET display_name = $1, roles = $2, departments = $3,
                 used_at_us = COALESCE($4, used_at_us)
             WHERE id = $5",
        )
        .bind(&set.display_name)
        .bind(&set.roles)
        .bind(&set.departments)
        .bind(set.signed_in_at.map(WallTime::as_unix_micros))
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        if !set.keeps_confirmed {
            let gone = sqlx::query(
                "UPDATE users SET confirmed_roles = NULL, confirmed_departments = NULL WHERE id = $1",
            );
            gone.bind(id).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Gives a user roles that a second administrator has confirmed, until the provider says something else.
    ///
    /// Errors: it is not durable.
    pub async fn set_confirmed(&self, id: &str, roles: &str, departments: &str) -> Result<(), IndexError> {
        let set = sqlx::query(
            "UPDATE users SET roles = $1, departments = $2, confirmed_roles = $3, confirmed_departments = $4
             WHERE id = $5",
        );
        let set = set.bind(roles).bind(departments).bind(roles).bind(departments).bind(id);
        set.execute(&self.database.control).await?;
        Ok(())
    }

    /// Uses something up; false if it was used before. What has expired is forgotten.
    ///
    /// Errors: it is not durable.
    pub async fn use_once(
        &self,
        sha256: &str,
        now: WallTime,
        expires_at: WallTime,
    ) -> Result<bool, IndexError> {
        let gone = sqlx::query("DELETE FROM provider_used WHERE expires_at_us <= $1");
        gone.bind(now.as_unix_micros()).execute(&self.database.control).await?;
        let used = sqlx::query(
            "INSERT INTO provider_used (sha256, expires_at_us) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        );
        let used = used.bind(sha256).bind(expires_at.as_unix_micros());
        Ok(used.execute(&self.database.control).await?.rows_affected() > 0)
    }

    /// Ends the sign-ins of whoever signed out at the provider, and those that are under way. Returns the names of their
    /// users. `None`: the notice was carried out before.
    ///
    /// Errors: they may not have ended, and the notice may come again.
    pub async fn provider_logout(
        &self,
        logout: &ProviderLogout,
        now: WallTime,
    ) -> Result<Option<Vec<String>>, IndexError> {
        // First of all and by itself: a sign-in that is written meanwhile looks for it afterwards.
        let gone = sqlx::query("DELETE FROM provider_logouts WHERE expires_at_us <= $1");
        gone.bind(now.as_unix_micros()).execute(&self.database.control).await?;
        sqlx::query(
            "INSERT INTO provider_logouts (id, sid, subject, at_us, expires_at_us, done)
             VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING",
        )
        .bind(&logout.id)
        .bind(&logout.sid)
        .bind(&logout.subject)
        .bind(logout.at.as_unix_micros())
        .bind(logout.expires_at.as_unix_micros())
        .execute(&self.database.control)
        .await?;
        let done = sqlx::query("SELECT 1 AS one FROM provider_logouts WHERE id = $1 AND done = 1");
        if done.bind(&logout.id).fetch_optional(&self.database.control).await?.is_some() {
            return Ok(None);
        }
        let of_user = "token_sha256 LIKE 'user ' || users.id || ' %'";
        let condition = match (&logout.sid, &logout.subject) {
            // A provider may name the session here and not in its ID tokens.
            (Some(_), Some(_)) => {
                "(sign_ins.provider_sid = $1 OR sign_ins.provider_sid IS NULL) AND users.subject = $2"
            }
            (Some(_), None) => "sign_ins.provider_sid = $1",
            (None, _) => "users.subject = $1",
        };
        let found = format!(
            "SELECT DISTINCT users.name AS name, sign_ins.id AS id FROM sign_ins JOIN users ON {of_user} WHERE {condition}"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(found));
        for value in logout.sid.iter().chain(&logout.subject) {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&self.database.control).await?;
        let mut names = Vec::new();
        for row in &rows {
            let gone =
                sqlx::query("DELETE FROM sign_ins WHERE id = $1").bind(row.try_get::<String, _>("id")?);
            if gone.execute(&self.database.control).await?.rows_affected() > 0 {
                names.push(row.try_get("name")?);
            }
        }
        names.sort_unstable();
        names.dedup();
        let done = sqlx::query("UPDATE provider_logouts SET done = 1 WHERE id = $1").bind(&logout.id);
        done.execute(&self.database.control).await?;
        Ok(Some(names))
    }

    /// Whether a session was ended at the provider, or all of its subject's since the moment `since`.
    ///
    /// Errors: index unavailable.
    pub async fn has_logged_out(
        &self,
        sid: Option<&str>,
        subject: &str,
        since: WallTime,
    ) -> Result<bool, IndexError> {
        let found = sqlx::query(
            "SELECT 1 AS one FROM provider_logouts
             WHERE (sid = $1 AND (subject IS NULL OR subject = $2))
                OR (subject = $3 AND at_us >= $4 AND (sid IS NULL OR $5 = 1))
             LIMIT 1",
        );
        let found = found.bind(sid).bind(subject).bind(subject).bind(since.as_unix_micros());
        let found = found.bind(i64::from(sid.is_none()));
        Ok(found.fetch_optional(&self.database.control).await?.is_some())
    }
}
