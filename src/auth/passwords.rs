//! Passwords: which ones are taken, and their hashes. In: a password. Out: its hash, or whether it is the one of a hash.
//!
//! A hash costs 19 MiB and some tens of milliseconds: few are made at once, off the threads that serve requests, and few
//! may wait for their turn; the rest is refused. A name that nobody has costs the same as one that somebody has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics;

/// Shortest password. Source: NIST SP 800-63B-4 §3.1.1.2 asks for 8 beside a second factor, and for 15 without.
pub const SHORTEST: usize = 12;
/// Longest password.
pub const LONGEST: usize = 200;
/// Passwords that wait for their turn.
const WAITING: usize = 16;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Length of a salt. Source: RFC 9106 §3.1.
const SALT_BYTES: usize = 16;
/// Passwords that everybody tries first, of those that are long enough, in lower case and without what is not a letter or a
/// digit.
const COMMON: &str = include_str!("common_passwords.txt");

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFault {
    /// It has fewer than [`SHORTEST`] characters.
    Short,
    /// It has more than [`LONGEST`] characters.
    Long,
    /// It is one of those that are tried first, or little more than the user's name.
    Common,
}

/// Checks a password for a user of this name. No kinds of characters are asked for.
///
/// Errors: it is not taken.
pub fn check(password: &str, name: &str) -> Result<(), PasswordFault> {
    match password.chars().count() {
        ..SHORTEST => return Err(PasswordFault::Short),
        SHORTEST..=LONGEST => {}
        _ => return Err(PasswordFault::Long),
    }
    let bare =
        |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let (told, name) = (bare(password), bare(name));
    let rest = |part: &str| if part.is_empty() { told.len() } else { told.replace(part, "").len() };
    let different = {
        let mut all: Vec<char> = password.chars().collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let common = COMMON.lines().any(|line| line == told) || different < 5;
    if common || rest(&name) < SHORTEST / 2 { Err(PasswordFault::Common) } else { Ok(()) }
}

/// There is no turn for another password at the moment, or the system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct NoTurn;

/// Makes and checks hashes, few at once.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Passwords {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::at_once((processors / 2).clamp(1, 4))
    }
}

/// Counts whoever waits, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Passwords {
    fn at_once(turns: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), waiting: AtomicUsize::new(0) }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// Errors: there is no turn.
    pub async fn hash(&self, password: String) -> Result<String, NoTurn> {
        let turn = self.turn().await?;
        off_the_threads(turn, move || hash(&password)).await.flatten().ok_or(NoTurn)
    }

    /// Whether a password is the one of a hash. Without one it takes as long, and is not.
    ///
    /// Errors: there is no turn.
    pub async fn is_right(&self, password: String, of: Option<String>) -> Result<bool, NoTurn> {
        let turn = self.turn().await?;
        let checked = off_the_threads(turn, move || {
            let against = match &of {
                Some(hash) => hash.as_str(),
                None => nobodys(),
            };
            let same = Argon2::default().verify_password(password.as_bytes(), against).is_ok();
            same && of.is_some()
        });
        checked.await.ok_or(NoTurn)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, NoTurn> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = Place(&self.waiting);
        let turn = match before < WAITING {
            true => tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await.ok(),
            false => None,
        };
        turn.and_then(Result::ok).ok_or_else(|| {
            metrics::sign_in(metrics::SignInResult::Busy);
            NoTurn
        })
    }
}

/// Runs to its end even if nobody waits for it any more, and keeps its turn until then.
async fn off_the_threads<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.ok()
}

fn hash(password: &str) -> Option<String> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).ok()?;
    Some(hash.to_string())
}

/// The hash of a password that nobody knows.
fn nobodys() -> &'static str {
    static NOBODYS: OnceLock<String> = OnceLock::new();
    NOBODYS.get_or_init(|| {
        let mut random = [0; 32];
        let drawn = aws_lc_rs::rand::fill(&mut random).ok();
        drawn.and_then(|()| hash(&optag_core::hex::hex(&random))).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_none_that_is_tried_first() {
        assert_eq!(check("kort", "ada"), Err(PasswordFault::Short));
        assert_eq!(check(&"æ".repeat(LONGEST + 1), "ada"), Err(PasswordFault::Long));
        for common in ["password1234", "Password-1234", "qwertyuiop123", "aaaaaaaaaaaaaaaa", "12121212121212"]
        {
            assert_eq!(check(common, "ada"), Err(PasswordFault::Common), "{common}");
        }
        assert_eq!(check("karen.blixen1", "karen.blixen"), Err(PasswordFault::Common));
        for good in ["fire gode heste", "blåbærgrød med is", "karen.blixen rider hjem"] {
            assert_eq!(check(good, "karen.blixen"), Ok(()), "{good}");
        }
        assert!(COMMON.lines().all(|line| line.chars().all(char::is_alphanumeric)));
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_alone() {
        let passwords = Passwords::default();
        let hash = passwords.hash("fire gode heste".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("fire gode heste".into()).await.unwrap());
        assert!(passwords.is_right("fire gode heste".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.is_right("fire gode hest".into(), Some(hash)).await.unwrap());
        assert!(!passwords.is_right("fire gode heste".into(), None).await.unwrap());
        assert!(!passwords.is_right(String::new(), Some("damaged".into())).await.unwrap());
        assert!(Argon2::default().verify_password(b"", nobodys()).is_err() && nobodys().len() > 60);
    }

    #[tokio::test]
    async fn few_wait_for_their_turn_and_the_rest_is_refused_at_once() {
        let passwords = Arc::new(Passwords::at_once(1));
        let held = Arc::clone(&passwords.turns).acquire_owned().await.unwrap();
        let wait = || {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.is_right("x".into(), None).await.is_ok() })
        };
        let waiting: Vec<_> = (0..WAITING).map(|_| wait()).collect();
        while passwords.waiting.load(Ordering::Acquire) < WAITING {
            tokio::task::yield_now().await;
        }
        assert!(!wait().await.unwrap(), "there is no place");
        drop(held);
        for one in waiting {
            assert!(one.await.unwrap());
        }
        assert_eq!(passwords.waiting.load(Ordering::Acquire), 0);
    }
}
