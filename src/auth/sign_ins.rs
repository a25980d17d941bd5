//! People who are signed in to the pages. In: an access token or a user, once; then the secret of a browser's cookie with
//! each request. Out: whose it is. They are rows of the index, so that every node knows them and an end is one everywhere.
//!
//! A sign-in is worth what its token or its user is, which is looked up with each request: revoking the token, or disabling
//! the user, ends it, and changed roles count at once. It ends by itself after some time without a request, and after some
//! time however much it is used. Only the hash of a secret is kept.

use std::net::IpAddr;
use std::sync::Arc;

use super::Actor;
use super::settings::SignInSettings;
use super::token::hash;
use super::tokens::{Refusal, Tokens};
use super::user::User;
use crate::index::{Index, IndexError, SignInRow, UserRow};
use optag_core::clock::{Clock, WallTime};
use optag_core::hex::hex;

/// Sign-ins of one token or user; the one used longest ago goes first.
const MOST: i64 = 20;
/// How exactly the last use is kept. Units: µs.
const USE_US: i64 = 60_000_000;
/// Before the id of a user, where others have the hash of a token.
const USER: &str = "user ";

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum NotSignedIn {
    /// The token admits nobody.
    #[error("the token admits nobody")]
    Token(Refusal),
    /// The token is a machine's.
    #[error("the token belongs to a machine")]
    Machine(Actor),
    /// There is no such sign-in, or it has ended.
    #[error("not signed in")]
    Ended,
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The system gives no random numbers.
    #[error("no random numbers from the system")]
    NoRandom,
}

impl From<Refusal> for NotSignedIn {
    fn from(refusal: Refusal) -> Self {
        Self::Token(refusal)
    }
}

/// Whoever is signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Whose it is.
    pub actor: Actor,
    /// By which its owner names it.
    pub id: String,
    /// SHA-256 of the token, or the user, by which the owner's other sign-ins are found.
    owner: String,
    /// The provider's ID token, sealed, of whoever signed in by a provider.
    pub(super) id_token: Option<String>,
}

/// A sign-in as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSignIn {
    /// Its name.
    pub id: String,
    /// When it began.
    pub created_at: WallTime,
    /// When it was last used, to within a minute.
    pub used_at: WallTime,
    /// When it ends at the latest.
    pub expires_at: WallTime,
}

/// What a provider said of a sign-in.
#[derive(Clone, Debug)]
pub struct OfProvider {
    /// SHA-256 of the provider's session, if it names one.
    pub(super) sid: Option<String>,
    /// The ID token, sealed.
    pub(super) id_token: Option<String>,
    /// SHA-256 of issuer and subject.
    pub(super) subject: String,
    /// When the provider said so, by its clock.
    pub(super) at: WallTime,
}

/// The sign-ins of all nodes.
pub struct SignIns {
    index: Index,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
    settings: SignInSettings,
}

impl SignIns {
    /// Those in an index, with its tokens.
    pub fn new(index: Index, tokens: Arc<Tokens>, clock: Arc<dyn Clock>, settings: SignInSettings) -> Self {
        Self { index, tokens, clock, settings }
    }

    /// How people sign in.
    pub fn settings(&self) -> &SignInSettings {
        &self.settings
    }

    fn idle_us(&self) -> i64 {
        self.settings.idle.as_micros() as i64
    }

    /// Signs in with a token; returns whose it is and the secret for the browser, which cannot be read again.
    ///
    /// Errors: see [`NotSignedIn`].
    pub async fn open(&self, token: &str, address: IpAddr) -> Result<(Actor, String), NotSignedIn> {
        let token_sha256 = hash(token);
        let actor = self.tokens.authenticate_hash(&token_sha256, address).await?;
        if actor.is_unverified() {
            return Err(Refusal::Unverified.into());
        }
        if actor.roles.are_of_a_machine() {
            return Err(NotSignedIn::Machine(actor));
        }
        let secret = self.put(token_sha256, None).await?;
        Ok((actor, secret))
    }

    /// Signs in a user who was admitted; returns whose it is and the secret for the browser, which cannot be read again.
    ///
    /// Errors: see [`NotSignedIn`].
    pub async fn open_for(&self, user: &User) -> Result<(Actor, String), NotSignedIn> {
        self.open_as(user, None).await
    }

    /// The same for a user whom a provider has sent. Whoever has signed out there meanwhile is not signed in.
    ///
    /// Errors: see [`NotSignedIn`].
    pub async fn open_provided(&self, user: &User, of: &OfProvider) -> Result<(Actor, String), NotSignedIn> {
        let (actor, secret) = self.open_as(user, Some(of)).await?;
        // Written before it is asked: a notice that comes meanwhile finds the sign-in.
        if self.index.has_logged_out(of.sid.as_deref(), &of.subject, of.at).await? {
            self.index.drop_sign_in(&hash(&secret)).await?;
            return Err(NotSignedIn::Ended);
        }
        Ok((actor, secret))
    }

    async fn open_as(&self, user: &User, of: Option<&OfProvider>) -> Result<(Actor, String), NotSignedIn> {
        let row = self.index.user(&user.id).await?.ok_or(NotSignedIn::Ended)?;
        let owner = owner_of(&row.id, row.epoch);
        let actor = User::of_row(row).actor().ok_or(NotSignedIn::Ended)?;
        let secret = self.put(owner, of).await?;
        Ok((actor, secret))
    }

    async fn put(&self, owner: String, of: Option<&OfProvider>) -> Result<String, NotSignedIn> {
        let (secret, id) = (random::<32>()?, random::<8>()?);
        let now = self.clock.wall();
        let row = SignInRow {
            sha256: hash(&secret),
            id,
            token_sha256: owner,
            provider_sid: of.and_then(|of| of.sid.clone()),
            id_token: of.and_then(|of| of.id_token.clone()),
            created_at: now,
            used_at: now,
            expires_at: now.plus_micros(self.settings.longest.as_micros() as i64),
        };
        self.index.put_sign_in(&row, now.plus_micros(-self.idle_us()), MOST).await?;
        Ok(secret)
    }

    /// Whoever is signed in with a browser's secret.
    ///
    /// Errors: see [`NotSignedIn`].
    pub async fn who(&self, secret: &str, address: IpAddr) -> Result<SignedIn, NotSignedIn> {
        let sha256 = hash(secret);
        let row = self.index.sign_in(&sha256).await?.ok_or(NotSignedIn::Ended)?;
        let now = self.clock.wall();
        let idle = now.micros_since(row.used_at) >= self.idle_us();
        if idle || row.expires_at <= now {
            self.index.end_sign_in(&row.token_sha256, &row.id).await?;
            return Err(NotSignedIn::Ended);
        }
        let actor = match row.token_sha256.strip_prefix(USER) {
            Some(user) => self.actor_of(user, &row).await?,
            None if !self.settings.local => return Err(NotSignedIn::Ended),
            None => self.tokens.authenticate_hash(&row.token_sha256, address).await?,
        };
        if actor.is_unverified() {
            return Err(Refusal::Unverified.into());
        }
        if now.micros_since(row.used_at) >= USE_US {
            self.index.sign_in_used(&sha256, now).await?;
        }
        Ok(SignedIn { actor, id: row.id, owner: row.token_sha256, id_token: row.id_token })
    }

    /// As whom a user acts now, if nothing has ended the user's sign-ins since.
    async fn actor_of(&self, user: &str, row: &SignInRow) -> Result<Actor, NotSignedIn> {
        let id = user.split(' ').next().unwrap_or_default();
        let user =
            self.index.user(id).await?.filter(|user| owner_of(&user.id, user.epoch) == row.token_sha256);
        // A way in that was closed, here or by taking the provider out, is closed for whoever came by it.
        let way = |user: &UserRow| match user.subject {
            Some(_) => self.settings.provider.is_some(),
            None => self.settings.local,
        };
        let user = user.filter(way);
        user.and_then(|user| User::of_row(user).actor()).ok_or(NotSignedIn::Ended)
    }

    /// The sign-ins of whoever this is.
    ///
    /// Errors: index unavailable.
    pub async fn own(&self, who: &SignedIn) -> Result<Vec<OwnSignIn>, IndexError> {
        let (now, idle) = (self.clock.wall(), self.idle_us());
        let rows = self.index.sign_ins_of(&who.owner).await?.into_iter();
        let valid = rows.filter(|row| row.expires_at > now && now.micros_since(row.used_at) < idle);
        let own = |row: SignInRow| OwnSignIn {
            id: row.id,
            created_at: row.created_at,
            used_at: row.used_at,
            expires_at: row.expires_at,
        };
        Ok(valid.map(own).collect())
    }

    /// Ends one of them; returns whether there was one.
    ///
    /// Errors: it has not ended.
    pub async fn end(&self, who: &SignedIn, id: &str) -> Result<bool, IndexError> {
        self.index.end_sign_in(&who.owner, id).await
    }
}

/// What a page must send with a change, besides the cookie: nobody who has only got the browser to send that knows it.
pub fn change_key(secret: &str) -> String {
    hash(format!("change {secret}"))
}

/// Whose a sign-in is, while nothing ends all of the user's.
fn owner_of(user_id: &str, epoch: i64) -> String {
    format!("{USER}{user_id} {epoch}")
}

/// Random bytes in hexadecimal.
///
/// Errors: the system gives none.
pub(super) fn random<const BYTES: usize>() -> Result<String, NotSignedIn> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NotSignedIn::NoRandom)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::super::test_site::{HERE, Site};
    use super::super::tokens::NewToken;
    use super::super::{Departments, Role};
    use super::*;

    async fn ready(site: &Site, role: Role) -> (Arc<Tokens>, SignIns, String) {
        let tokens = Arc::new(site.open());
        let token = tokens.create(&NewToken::of("ada", role)).await.unwrap();
        let sign_ins =
            SignIns::new(site.index(), Arc::clone(&tokens), site.clock.clone(), SignInSettings::default());
        (tokens, sign_ins, token)
    }

    #[tokio::test]
    async fn a_sign_in_ends_without_use_and_after_its_longest_time_and_with_its_token() {
        let site = Site::new();
        let (tokens, sign_ins, token) = ready(&site, Role::Listener).await;
        let (actor, idle) = sign_ins.open(&token, HERE).await.unwrap();
        assert_eq!(actor.departments, Departments::All);
        let (_, used) = sign_ins.open(&token, HERE).await.unwrap();
        site.clock.put_forward_min(29);
        assert_eq!(sign_ins.who(&used, HERE).await.unwrap().actor, actor);
        site.clock.put_forward_min(1);
        assert!(matches!(sign_ins.who(&idle, HERE).await, Err(NotSignedIn::Ended)));
        // Another node sees the same.
        let other =
            SignIns::new(site.index(), Arc::clone(&tokens), site.clock.clone(), SignInSettings::default());
        for _ in 0..28 {
            other.who(&used, HERE).await.unwrap();
            site.clock.put_forward_min(20);
        }
        assert!(other.who(&used, HERE).await.is_ok(), "9 h 50 min");
        site.clock.put_forward_min(10);
        assert!(matches!(other.who(&used, HERE).await, Err(NotSignedIn::Ended)));
        let (_, last) = sign_ins.open(&token, HERE).await.unwrap();
        tokens.revoke("ada").await.unwrap();
        assert!(matches!(sign_ins.who(&last, HERE).await, Err(NotSignedIn::Token(Refusal::Unknown))));
        assert!(matches!(sign_ins.who("", HERE).await, Err(NotSignedIn::Ended)));
    }

    #[tokio::test]
    async fn of_many_sign_ins_with_a_token_those_used_last_stay_and_no_secret_is_kept() {
        let site = Site::new();
        let (_, sign_ins, token) = ready(&site, Role::Contact).await;
        let (_, first) = sign_ins.open(&token, HERE).await.unwrap();
        let mut last = String::new();
        for _ in 0..MOST {
            site.clock.put_forward_min(1);
            last = sign_ins.open(&token, HERE).await.unwrap().1;
        }
        assert!(matches!(sign_ins.who(&first, HERE).await, Err(NotSignedIn::Ended)));
        let who = sign_ins.who(&last, HERE).await.unwrap();
        assert_eq!(sign_ins.own(&who).await.unwrap().len(), MOST as usize);
        for entry in std::fs::read_dir(site.dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(memchr::memmem::find(&bytes, last.as_bytes()).is_none());
        }
        assert_ne!(change_key(&first), change_key(&last));
    }

    #[tokio::test]
    async fn a_machine_is_not_signed_in() {
        let site = Site::new();
        let (_, sign_ins, token) = ready(&site, Role::Feed).await;
        assert!(matches!(sign_ins.open(&token, HERE).await, Err(NotSignedIn::Machine(_))));
        let unknown = sign_ins.open("optag_", HERE).await;
        assert!(matches!(unknown, Err(NotSignedIn::Token(Refusal::Unknown))));
    }
}
