//! Signing in with name, password and code. In: what was typed, and from where. Out: the user, or why not; whoever asks
//! learns no more than that something was wrong.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::attempts::Attempts;
use super::passwords::{NoTurn, Passwords};
use super::second_factor::{FactorKey, recovery_sha256, step_of, totp};
use super::token::hash;
use super::user::{User, folded};
use crate::index::{Index, IndexError, UserRow};
use optag_core::clock::Clock;

/// How long an address is known after a sign-in. Units: days.
const KNOWN_DAYS: i64 = 90;

/// What was typed.
pub struct Typed<'a> {
    /// The name.
    pub name: &'a str,
    /// The password.
    pub password: &'a str,
    /// The code of the telephone, or a recovery code.
    pub code: &'a str,
}

/// Why nobody is admitted.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Name, password or code is wrong; with the user's name where it is somebody's.
    #[error("name, password or code is wrong")]
    Wrong(Option<String>),
    /// Too many attempts.
    #[error("too many attempts")]
    Slowed,
    /// Too many passwords are being checked.
    #[error(transparent)]
    Busy(#[from] NoTurn),
    /// The user of this name has no role, or none yet.
    #[error("the user has no role")]
    NoRole(String),
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Users by their passwords.
pub struct PasswordSignIns {
    pub(super) index: Index,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) key: FactorKey,
    pub(super) passwords: Passwords,
    /// Whether others sign in by a provider.
    pub(super) by_provider: bool,
    attempts: Attempts,
}

impl PasswordSignIns {
    /// Those in an index. `key` opens their second factors.
    pub fn new(index: Index, clock: Arc<dyn Clock>, key: FactorKey) -> Self {
        Self {
            index,
            clock,
            key,
            passwords: Passwords::default(),
            by_provider: false,
            attempts: Attempts::default(),
        }
    }

    /// The same where others sign in by a provider, and may be the first who administer.
    pub fn beside_provider(self, by_provider: bool) -> Self {
        Self { by_provider, ..self }
    }

    /// The user who typed this, with a code that was not used before.
    ///
    /// Errors: see [`NotAdmitted`].
    pub async fn admit(&self, typed: Typed<'_>, address: IpAddr, now: Instant) -> Result<User, NotAdmitted> {
        let name = folded(typed.name);
        let row = self.index.user_named(&name).await?;
        let id = row.as_ref().map_or("", |row| row.id.as_str());
        let place = self.key.address(id, address);
        let since = self.clock.wall().plus_days(-KNOWN_DAYS);
        // Nobody's is asked for as well: it takes as long.
        let known = self.index.user_was_at(id, &place, since).await? && row.is_some();
        if !self.attempts.allows(hash(&name), address, known, now) {
            return Err(NotAdmitted::Slowed);
        }
        let of = row.as_ref().filter(|row| !row.disabled).and_then(|row| row.password.clone());
        let right = self.passwords.is_right(typed.password.to_owned(), of).await?;
        let Some(row) = row else { return Err(NotAdmitted::Wrong(None)) };
        if !right || !self.uses_code(&row, typed.code).await? {
            return Err(NotAdmitted::Wrong(Some(row.name)));
        }
        let id = row.id.clone();
        let user = User::of_row(row);
        if user.actor().is_none() {
            return Err(NotAdmitted::NoRole(user.name));
        }
        self.index.user_signed_in(&id, &place, self.clock.wall()).await?;
        Ok(user)
    }

    /// Uses a code up; false if it is not good, or was used.
    async fn uses_code(&self, row: &UserRow, code: &str) -> Result<bool, IndexError> {
        if let Some(sha256) = recovery_sha256(code) {
            return self.index.use_recovery_code(&row.id, &sha256).await;
        }
        let opened = row.totp.as_deref().and_then(|sealed| self.key.open(&row.id, sealed).ok());
        let Some(secret) = opened else {
            tracing::error!("a user's second factor cannot be opened: was the master key replaced?");
            return Ok(false);
        };
        match step_of(&totp(&secret, &row.name), code, self.clock.wall()) {
            Some(step) => self.index.use_totp_step(&row.id, step).await,
            None => Ok(false),
        }
    }
}
