//! Administering users: making, changing, disabling them. In: an order and who gives it. Out: what became of it; what needs
//! a second administrator becomes a request, which somebody else confirms. Not here: signing in (`password_sign_in`).
//!
//! Every change is looked up with each request of the user, on every node, so that it holds within a second.

use std::sync::Arc;

use super::Actor;
use super::enrolment::{administers, new_row};
use super::four_eyes::{is_guarded, needs_second, unguarded};
use super::settings::SignInSettings;
use super::sign_ins::random;
use super::token::hash;
use super::user::{BadUser, Rights, User, checked_display_name, checked_name, folded};
use crate::index::{Index, IndexError, UserPut, UserRequestRow};
use optag_core::clock::{Clock, WallTime};

/// Maximum number of users.
pub(super) const USERS: i64 = 5_000;
/// Maximum number of requests that wait.
pub(super) const REQUESTS: i64 = 500;
/// How long a link may be used. Units: hours.
pub const LINK_HOURS: i64 = 48;
/// How long a request may be confirmed. Units: hours.
pub const REQUEST_HOURS: i64 = 72;
pub(super) const HOUR_US: i64 = 3_600_000_000;

/// Why a user is not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// It is not described properly.
    #[error(transparent)]
    Bad(#[from] BadUser),
    /// A user or a token has the name.
    #[error("there is already a user or a token of this name")]
    NameTaken,
    /// There is no such user.
    #[error("there is no user of this name")]
    NoSuchUser,
    /// The provider says what the user may do, and how they sign in.
    #[error("the user signs in by the provider, which says what they may do: change their groups there")]
    Provided,
    /// There is no such request.
    #[error("there is no such request, or it has expired")]
    NoSuchRequest,
    /// Whoever confirms is not a second person.
    #[error("a second administrator must confirm this")]
    NotSecond,
    /// There is no room for another.
    #[error("there are too many already")]
    TooMany,
    /// No random numbers.
    #[error("no random numbers from the system")]
    NoRandom,
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// A user to make.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// By which the user signs in.
    pub name: String,
    /// The user's own name; empty: the same.
    pub display_name: String,
    /// What the user may do.
    pub rights: Rights,
}

/// A link by which a password is set.
#[derive(Clone, Debug)]
pub struct UserLink {
    /// Its secret, which cannot be read again.
    pub secret: String,
    /// When it cannot be used any more.
    pub expires_at: WallTime,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Other roles or departments.
    Roles,
    /// A new link for a user who hears recordings.
    Reset,
}

impl RequestKind {
    const ALL: [(&str, Self); 2] = [("roles", Self::Roles), ("reset", Self::Reset)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A change that waits for a second administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRequest {
    /// Its name.
    pub id: String,
    /// What it asks for.
    pub kind: RequestKind,
    /// The user.
    pub user: User,
    /// The rights that the user would have.
    pub rights: Rights,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: WallTime,
    /// When it cannot be confirmed any more.
    pub expires_at: WallTime,
}

impl UserRequest {
    /// As it stands in the audit log.
    pub fn detail(&self) -> String {
        let asked_by = &self.asked_by;
        match self.kind {
            RequestKind::Roles => format!("user {}: {}, asked by {asked_by}", self.user.name, self.rights),
            RequestKind::Reset => format!("user {}: reset, asked by {asked_by}", self.user.name),
        }
    }
}

/// Who gives an order.
#[derive(Clone, Debug)]
pub enum By {
    /// Somebody who was admitted by the API, and is bound by the rule of four eyes.
    Actor(Actor),
    /// Whoever runs a command on the data directory, and could read its keys anyway.
    LocalUser(Actor),
}

impl By {
    fn name(&self) -> &str {
        match self {
            Self::Actor(actor) | Self::LocalUser(actor) => &actor.name,
        }
    }
}

/// The users of all nodes.
pub struct Users {
    index: Index,
    clock: Arc<dyn Clock>,
    settings: SignInSettings,
}

impl Users {
    /// Those in an index.
    pub fn new(index: Index, clock: Arc<dyn Clock>, settings: SignInSettings) -> Self {
        Self { index, clock, settings }
    }

    /// The address of a link; `api` is where this node listens, for installations without an address of their own.
    pub fn address_of(&self, link: &UserLink, api: &str) -> String {
        let base = if self.settings.url.is_empty() { api } else { &self.settings.url };
        format!("{base}/enrol/{}", link.secret)
    }

    /// All users, by name.
    ///
    /// Errors: the index does not answer.
    pub async fn list(&self) -> Result<Vec<User>, UserError> {
        Ok(self.index.users().await?.into_iter().map(User::of_row).collect())
    }

    /// The user of a name.
    ///
    /// Errors: there is none, or the index does not answer.
    pub async fn named(&self, name: &str) -> Result<User, UserError> {
        let row = self.index.user_named(&folded(name)).await?;
        row.map(User::of_row).ok_or(UserError::NoSuchUser)
    }

    /// The same, of those who sign in with a password.
    async fn local(&self, name: &str) -> Result<User, UserError> {
        let user = self.named(name).await?;
        if user.is_provided { Err(UserError::Provided) } else { Ok(user) }
    }

    /// Makes a user, with a link by which they set their password, and asks a second administrator for the rights that
    /// need one.
    ///
    /// Errors: nothing is made.
    pub async fn add(
        &self,
        new: &NewUser,
        by: &By,
    ) -> Result<(User, UserLink, Option<UserRequest>), UserError> {
        let name = checked_name(&new.name)?;
        let display_name = match new.display_name.trim() {
            "" => name.clone(),
            given => checked_display_name(given)?,
        };
        let id = random::<8>().map_err(|_| UserError::NoRandom)?;
        let now = self.clock.wall();
        let mut row = new_row(id, name, display_name, &Rights::none(), by.name(), now);
        let nobody = User::of_row(row.clone());
        let waits = self.needs_second(by, &nobody, &new.rights);
        let given = if waits { unguarded(&new.rights) } else { new.rights.clone() };
        (row.roles, row.departments) = (given.roles_text(), given.departments_text());
        match self.index.put_user(&row, USERS).await? {
            UserPut::NameTaken => return Err(UserError::NameTaken),
            UserPut::TooMany => return Err(UserError::TooMany),
            UserPut::Done => {}
        }
        let user = User::of_row(row);
        let link = self.new_link(&user, by.name()).await?;
        let request = match waits {
            true => Some(self.ask(RequestKind::Roles, &user, &new.rights, by).await?),
            false => None,
        };
        Ok((user, link, request))
    }

    /// Gives a user other roles and departments, or asks a second administrator for it. Returns the request.
    ///
    /// Errors: nothing is changed.
    pub async fn set_rights(
        &self,
        name: &str,
        rights: &Rights,
        by: &By,
    ) -> Result<Option<UserRequest>, UserError> {
        let user = self.local(name).await?;
        if self.needs_second(by, &user, rights) {
            return self.ask(RequestKind::Roles, &user, rights, by).await.map(Some);
        }
        let (roles, departments) = (rights.roles_text(), rights.departments_text());
        self.index.set_user_roles(&user.id, &roles, &departments).await?;
        Ok(None)
    }

    /// Makes password and codes of a user worthless, and a link by which new ones are set; or asks a second administrator
    /// for it, who then gets the link.
    ///
    /// Errors: nothing is changed.
    pub async fn reset(&self, name: &str, by: &By) -> Result<Result<UserLink, UserRequest>, UserError> {
        let user = self.local(name).await?;
        let hears = user.rights.roles().any(is_guarded) && user.name != by.name();
        if hears && self.is_bound(by) {
            return self.ask(RequestKind::Reset, &user, &user.rights, by).await.map(Err);
        }
        self.new_link(&user, by.name()).await.map(Ok)
    }

    /// Lets a user sign in, or not any more, which ends every sign-in within a second.
    ///
    /// Errors: nothing is changed.
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), UserError> {
        let user = self.named(name).await?;
        Ok(self.index.set_user_disabled(&user.id, disabled).await?)
    }

    /// What waits for a second administrator, the oldest first.
    ///
    /// Errors: the index does not answer.
    pub async fn requests(&self) -> Result<Vec<UserRequest>, UserError> {
        let rows = self.index.user_requests(self.clock.wall()).await?;
        let users = self.list().await?;
        let request = |row: UserRequestRow| {
            let kind = RequestKind::ALL.iter().find(|(name, _)| *name == row.kind)?.1;
            let user = users.iter().find(|user| user.id == row.user_id)?.clone();
            Some(UserRequest {
                id: row.id,
                kind,
                user,
                rights: Rights::of_texts(&row.roles, &row.departments)?,
                asked_by: row.asked_by,
                asked_at: row.asked_at,
                expires_at: row.expires_at,
            })
        };
        Ok(rows.into_iter().filter_map(request).collect())
    }

    /// A request that `by` may confirm: somebody else's, who did not set the password of whoever confirms.
    ///
    /// Errors: there is none, or it takes somebody else.
    pub async fn confirmable(&self, id: &str, by: &By) -> Result<UserRequest, UserError> {
        let all = self.requests().await?;
        let request = all.into_iter().find(|one| one.id == id).ok_or(UserError::NoSuchRequest)?;
        let By::Actor(actor) = by else { return Ok(request) };
        let own = match self.named(&actor.name).await {
            Ok(confirming) => confirming.vouched_by == request.asked_by,
            // A token.
            Err(UserError::NoSuchUser) => false,
            Err(error) => return Err(error),
        };
        let concerned = request.user.name == actor.name;
        let second = actor.name != request.asked_by && !own && !concerned;
        if second { Ok(request) } else { Err(UserError::NotSecond) }
    }

    /// Carries out a request that was found [`confirmable`](Self::confirmable), once. Returns the link of a reset.
    ///
    /// Errors: it was confirmed or denied meanwhile; or the index does not answer, and it may have to be asked for again.
    pub async fn confirm(&self, request: &UserRequest, by: &By) -> Result<Option<UserLink>, UserError> {
        if !self.index.drop_user_request(&request.id).await? {
            return Err(UserError::NoSuchRequest);
        }
        match request.kind {
            RequestKind::Reset => self.new_link(&request.user, by.name()).await.map(Some),
            RequestKind::Roles => {
                let (roles, departments) = (request.rights.roles_text(), request.rights.departments_text());
                let id = &request.user.id;
                match request.user.is_provided {
                    true => self.index.set_confirmed(id, &roles, &departments).await?,
                    false => self.index.set_user_roles(id, &roles, &departments).await?,
                }
                Ok(None)
            }
        }
    }

    /// Takes a request away.
    ///
    /// Errors: there is none, or the index does not answer.
    pub async fn deny(&self, id: &str) -> Result<(), UserError> {
        match self.index.drop_user_request(id).await? {
            true => Ok(()),
            false => Err(UserError::NoSuchRequest),
        }
    }

    /// A link that makes the first user, while neither a user nor, as `tokens_administer` tells, a token administers.
    /// Links made before stay good.
    ///
    /// Errors: the index does not answer.
    pub async fn first_link(&self, tokens_administer: bool) -> Result<Option<UserLink>, UserError> {
        let users = self.list().await?;
        let by_provider = self.settings.provider.is_some();
        let somebody = users.iter().any(|user| administers(user, by_provider));
        // A password would let nobody in.
        if tokens_administer || somebody || !self.settings.local {
            self.index.drop_first_links().await?;
            return Ok(None);
        }
        let link = self.drawn()?;
        self.index.put_first_link(&hash(&link.secret), self.clock.wall(), link.expires_at).await?;
        Ok(Some(link))
    }

    fn is_bound(&self, by: &By) -> bool {
        self.settings.four_eyes && matches!(by, By::Actor(_))
    }

    fn needs_second(&self, by: &By, user: &User, rights: &Rights) -> bool {
        self.is_bound(by) && needs_second(by.name(), user, rights)
    }

    fn drawn(&self) -> Result<UserLink, UserError> {
        let secret = random::<32>().map_err(|_| UserError::NoRandom)?;
        Ok(UserLink { secret, expires_at: self.clock.wall().plus_micros(LINK_HOURS * HOUR_US) })
    }

    async fn new_link(&self, user: &User, by: &str) -> Result<UserLink, UserError> {
        let link = self.drawn()?;
        // Whoever sets their own password anew is no more of a second person than before.
        let by = if by == user.name { user.vouched_by.as_str() } else { by };
        self.index.reset_user(&user.id, by, &hash(&link.secret), link.expires_at).await?;
        Ok(link)
    }

    async fn ask(
        &self,
        kind: RequestKind,
        user: &User,
        rights: &Rights,
        by: &By,
    ) -> Result<UserRequest, UserError> {
        let now = self.clock.wall();
        let row = UserRequestRow {
            id: random::<8>().map_err(|_| UserError::NoRandom)?,
            kind: kind.name().to_owned(),
            user_id: user.id.clone(),
            roles: rights.roles_text(),
            departments: rights.departments_text(),
            asked_by: by.name().to_owned(),
            asked_at: now,
            expires_at: now.plus_micros(REQUEST_HOURS * HOUR_US),
        };
        if !self.index.put_user_request(&row, REQUESTS).await? {
            return Err(UserError::TooMany);
        }
        Ok(UserRequest {
            id: row.id,
            kind,
            user: user.clone(),
            rights: rights.clone(),
            asked_by: row.asked_by,
            asked_at: now,
            expires_at: row.expires_at,
        })
    }
}

#[cfg(test)]
mod tests;
