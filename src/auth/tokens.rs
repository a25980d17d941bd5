//! The access tokens of all nodes, in the index. In: a token from a client, and its address. Out: its [`Actor`].
//!
//! A node looks for changes before it admits anyone, if it has not for `FRESH`, so that a token which was created or
//! revoked anywhere is so everywhere within a second. While the index does not answer, nobody can say who was revoked: then
//! a token still does what a machine needs, announce calls and pass on answers, for [`KNOWN_FOR_HOURS`] since the index
//! was last heard, also after a restart; every other right is refused until the index is back.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::token_files::{LastKnown, TokenFiles};
use super::{Actor, Permission};
use crate::index::{Index, IndexError, TokenPut};
use optag_core::clock::{Clock, WallTime};

pub use super::token::{BadToken, NewToken, StoredToken};
pub use super::token_files::TokenFileError;

/// Maximum number of tokens.
const TOKENS: i64 = 1_000;
/// For how long what the index said is taken as it is.
const FRESH: Duration = Duration::from_millis(400);
/// The same for a token that is not among them: it may be new.
const FRESH_FOR_NEW: Duration = Duration::from_millis(10);
/// How long a machine waits for the index to say whether something changed. It is admitted all the same.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a person waits for it, before being refused.
const PATIENCE_OF_PEOPLE: Duration = Duration::from_secs(5);
/// Age, when a request begins, from which it is unknown who was revoked.
const CURRENT: Duration = Duration::from_secs(1);
/// Time between two questions for machines while the index does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Time between two looks without any request: what is known stays young.
const LOOK: Duration = Duration::from_secs(5);
/// For how long machines are admitted by what was last known. Units: hours.
pub const KNOWN_FOR_HOURS: i64 = 24;
/// How exactly the last use of a token, and the age of what is known, are kept. Units: µs.
const HOUR_US: i64 = 3_600_000_000;

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file of tokens.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// It is not described properly.
    #[error(transparent)]
    Bad(#[from] BadToken),
    /// A token or a user of this name exists.
    #[error("there is already a token or a user of this name")]
    NameTaken,
    /// There is no such token.
    #[error("there is no token of this name")]
    NoSuchToken,
    /// There is no room for another.
    #[error("there are {TOKENS} tokens already")]
    TooMany,
    /// No random numbers.
    #[error("no random numbers from the system")]
    NoRandom,
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Why nobody is admitted by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody's.
    Unknown,
    /// It has expired.
    Expired,
    /// It may not be used from there.
    Network,
    /// The index is away, and the token is not for what a machine does, or was known too long ago.
    Unverified,
}

/// What is known of the tokens.
#[derive(Default)]
struct View {
    tokens: Vec<StoredToken>,
    /// As the index had it; none until it has answered.
    version: Option<i64>,
    /// When the index last answered this process.
    heard: Option<Instant>,
    /// When it last did not.
    failed: Option<Instant>,
    /// When it last answered this process or an earlier one.
    seen_at: Option<WallTime>,
    /// When that was last written to the file.
    kept_at: Option<WallTime>,
    /// Whether a file of an earlier version may be there.
    earlier: bool,
}

impl View {
    fn heard_within(&self, time: Duration) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < time)
    }
}

/// Tokens by a connection to the index, with what is known of them while it is away.
pub struct Tokens {
    index: Index,
    clock: Arc<dyn Clock>,
    /// None where another process has the data directory.
    files: Option<TokenFiles>,
    view: Mutex<View>,
    /// Whoever asks the index.
    asking: tokio::sync::Mutex<()>,
    /// Counts what is to be written to the file, and what was: writes may overtake each other.
    to_keep: AtomicU64,
    kept: Arc<Mutex<u64>>,
}

impl Tokens {
    /// The tokens of an index, for the process that owns the data directory. `earlier` is the file that earlier versions
    /// kept tokens in: it is taken over once the index answers, and counts until then. Asks nobody.
    ///
    /// Errors: that file is there and cannot be used.
    pub fn open(index: Index, earlier: &Path, clock: Arc<dyn Clock>) -> Result<Self, TokenError> {
        let files = TokenFiles::new(earlier);
        let mut view = View { earlier: true, ..View::default() };
        let earlier = files.read_earlier()?;
        if let Some(known) = files.read_last_known() {
            (view.tokens, view.seen_at) = (known.tokens, Some(known.seen_at));
        } else if let Some(earlier) = earlier {
            (view.tokens, view.seen_at) = (earlier.tokens, Some(clock.wall()));
        }
        Ok(Self { files: Some(files), view: Mutex::new(view), ..Self::beside(index, clock) })
    }

    /// The same beside that process: no file is read or written.
    pub fn beside(index: Index, clock: Arc<dyn Clock>) -> Self {
        let (view, asking) = Default::default();
        let (to_keep, kept) = Default::default();
        Self { index, clock, files: None, view, asking, to_keep, kept }
    }

    /// The actor of `token`, used from `address`.
    ///
    /// Errors: nobody is admitted.
    pub async fn authenticate(&self, token: &str, address: IpAddr) -> Result<Actor, Refusal> {
        self.authenticate_hash(&super::token::hash(token), address).await
    }

    /// The actor of the token with this hash, used from `address`.
    ///
    /// Errors: nobody is admitted.
    pub(super) async fn authenticate_hash(&self, presented: &str, address: IpAddr) -> Result<Actor, Refusal> {
        let found = |view: &View| {
            // All of them, so that the time taken tells nothing.
            let all = view.tokens.iter().enumerate();
            all.fold(None, |found, (at, one)| if one.is_of(presented) { Some(at) } else { found })
        };
        let begun = Instant::now();
        let known = {
            let view = self.view();
            found(&view).map(|at| view.tokens[at].roles.of_machines().is_some())
        };
        let (fresh, patience) = match known {
            None => (FRESH_FOR_NEW, PATIENCE),
            Some(true) => (FRESH, PATIENCE),
            Some(false) => (FRESH, PATIENCE_OF_PEOPLE),
        };
        self.refresh(fresh, patience).await;
        let (mut view, now) = (self.view(), self.clock.wall());
        let current = view.heard.is_some_and(|heard| heard + CURRENT >= begun);
        // While the index is away, it may have been created elsewhere.
        let at = found(&view).ok_or(if current { Refusal::Unknown } else { Refusal::Unverified })?;
        let stored = view.tokens[at].clone();
        if stored.expires_at.is_some_and(|at| at <= now) {
            return Err(Refusal::Expired);
        }
        if !stored.may_come_from(address) {
            return Err(Refusal::Network);
        }
        let actor = Actor::new(stored.name, stored.roles, stored.departments);
        if !current {
            let known_for = view.seen_at.map(|seen| now.micros_since(seen));
            if known_for.is_none_or(|known_for| known_for >= KNOWN_FOR_HOURS * HOUR_US) {
                return Err(Refusal::Unverified);
            }
            return actor.into_machine().ok_or(Refusal::Unverified);
        }
        if stored.used_at.is_none_or(|used| now.micros_since(used) >= HOUR_US) {
            view.tokens[at].used_at = Some(now);
            let (index, sha256) = (self.index.clone(), stored.sha256);
            // Where this fails, the use is not noted.
            tokio::spawn(async move { index.token_used(&sha256, now).await });
        }
        Ok(actor)
    }

    /// Creates a token and returns it, durable; it cannot be shown again.
    ///
    /// Errors: it is not created.
    pub async fn create(&self, new: &NewToken) -> Result<String, TokenError> {
        let (stored, token) = new.drawn(self.clock.wall())?.ok_or(TokenError::NoRandom)?;
        match self.index.put_token(&stored.to_row(), TOKENS).await? {
            TokenPut::NameTaken => Err(TokenError::NameTaken),
            TokenPut::TooMany => Err(TokenError::TooMany),
            TokenPut::Done => {
                self.look_again();
                Ok(token)
            }
        }
    }

    /// Whether a token can make others.
    ///
    /// Errors: the index does not answer.
    pub async fn administer(&self) -> Result<bool, TokenError> {
        Ok(self.list().await?.iter().any(|stored| stored.roles.allow(Permission::Administer)))
    }

    /// Revokes the token with this name, durably.
    ///
    /// Errors: there is none, or it is not revoked.
    pub async fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let gone = self.index.drop_token(name).await?;
        self.look_again();
        if gone { Ok(()) } else { Err(TokenError::NoSuchToken) }
    }

    /// All tokens, by name. Those of an earlier version's file are taken over first.
    ///
    /// Errors: the index does not answer.
    pub async fn list(&self) -> Result<Vec<StoredToken>, TokenError> {
        self.take_over().await?;
        let (_, rows) = self.index.access_tokens().await?;
        Ok(rows.into_iter().filter_map(StoredToken::of_row).collect())
    }

    /// Keeps what is known young, for as long as it is polled.
    pub async fn follow(self: Arc<Self>) {
        loop {
            self.refresh(FRESH, PATIENCE_OF_PEOPLE).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_again(&self) {
        let mut view = self.view();
        (view.heard, view.failed) = (None, None);
    }

    /// Asks the index for changes if it has not answered within `fresh`, for at most `patience`.
    async fn refresh(&self, fresh: Duration, patience: Duration) {
        let is_due = || {
            let view = self.view();
            let waits = patience == PATIENCE && view.failed.is_some_and(|at| at.elapsed() < ASK_AGAIN);
            !view.heard_within(fresh) && !waits
        };
        if !is_due() {
            return;
        }
        let asked = async {
            let _turn = self.asking.lock().await;
            if is_due() { self.ask().await } else { Ok(()) }
        };
        let why = match tokio::time::timeout(patience, asked).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} ms", patience.as_millis()),
        };
        if self.view().failed.replace(Instant::now()).is_none() {
            tracing::warn!(
                why,
                "cannot check tokens; only what machines do is permitted until the index answers"
            );
        }
    }

    async fn ask(&self) -> Result<(), TokenError> {
        self.take_over().await?;
        // The answer is as old as the question.
        let (asked, now) = (Instant::now(), self.clock.wall());
        let version = self.view().version;
        let changed = match version == Some(self.index.access_version().await?) {
            true => None,
            false => Some(self.index.access_tokens().await?),
        };
        let mut view = self.view();
        if let Some((version, rows)) = changed {
            let known = rows.len();
            view.tokens = rows.into_iter().filter_map(StoredToken::of_row).collect();
            if view.tokens.len() < known {
                tracing::warn!("tokens of a newer version admit nobody here");
            }
            (view.version, view.kept_at) = (Some(version), None);
        }
        if view.failed.take().is_some() {
            tracing::info!("tokens are checked again");
        }
        (view.heard, view.seen_at) = (Some(asked), Some(now));
        if view.kept_at.is_none_or(|kept| now.micros_since(kept) >= HOUR_US) {
            view.kept_at = Some(now);
            let known = LastKnown { seen_at: now, tokens: view.tokens.clone() };
            self.keep(known);
        }
        Ok(())
    }

    /// Writes what is known to the file, without waiting for it.
    fn keep(&self, known: LastKnown) {
        let (Some(files), kept) = (self.files.clone(), Arc::clone(&self.kept)) else { return };
        let number = self.to_keep.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::task::spawn_blocking(move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if number < *kept {
                return;
            }
            match files.keep_last_known(&known) {
                Ok(()) => *kept = number,
                Err(error) => {
                    tracing::warn!(%error, "cannot save the known tokens for when the index is away")
                }
            }
        });
    }

    /// Takes the tokens of an earlier version's file into the index, once, and of what is known where the index is new:
    /// it was lost. Durable before the file is put aside.
    async fn take_over(&self) -> Result<(), TokenError> {
        let Some(files) = self.files.as_ref().filter(|_| self.view().earlier) else { return Ok(()) };
        let now = self.clock.wall();
        if let Some(earlier) = files.read_earlier()? {
            let rows: Vec<_> = earlier.tokens.iter().map(StoredToken::to_row).collect();
            if self.index.take_over_tokens(&earlier.sha256, &rows, now).await? {
                tracing::info!(tokens = rows.len(), "tokens.json taken over into the index");
            }
            if let Err(error) = files.put_earlier_aside() {
                tracing::warn!(%error, "cannot put tokens.json aside; it does not count any more");
            }
        } else if self.index.access_version().await? == 0 {
            let young = |seen: WallTime| now.micros_since(seen) < KNOWN_FOR_HOURS * HOUR_US;
            let rows: Vec<_> = {
                let view = self.view();
                let known = if view.seen_at.is_some_and(young) { view.tokens.as_slice() } else { &[] };
                known.iter().map(StoredToken::to_row).collect()
            };
            if !rows.is_empty() {
                let known =
                    format!("last known: {}", rows.iter().map(|row| &*row.sha256).collect::<String>());
                self.index.take_over_tokens(&super::token::hash(known), &rows, now).await?;
                tracing::warn!(
                    tokens = rows.len(),
                    "the index had no tokens; those last known here were put back"
                );
            }
        }
        self.view().earlier = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
