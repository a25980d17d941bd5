//! One-time links, by which a user sets password and second factor. In: a link's secret, and what the user chose. Out: the
//! user, with recovery codes that are shown this once. A link that makes the first user holds while nobody administers.

use qrcode::QrCode;
use qrcode::types::Color;

use super::password_sign_in::PasswordSignIns;
use super::passwords::{self, PasswordFault};
use super::second_factor::{FactorError, recovery_codes, recovery_sha256, step_of, totp};
use super::sign_ins::random;
use super::token::hash;
use super::user::{BadUser, Rights, User, checked_display_name, checked_name};
use super::{Permission, Role, Roles};
use crate::index::{Enrolment, IndexError, UserPut, UserRow};

/// A link that was opened.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Whose it is; none makes the first user.
    pub user: Option<User>,
    /// The secret of the codes, in Base 32.
    pub secret: String,
    secret_bytes: [u8; 20],
}

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The name of the first user; others have one.
    pub name: String,
    /// The user's own name.
    pub display_name: String,
    /// The password.
    pub password: String,
    /// A code of the telephone.
    pub code: String,
    /// Whether the first user also listens, in an installation of one person.
    pub everything: bool,
}

/// Why nothing was set.
#[derive(Debug, thiserror::Error)]
pub enum NotEnrolled {
    /// The link was used, has expired, or is none.
    #[error("the link is not valid")]
    Gone,
    /// The password is not taken.
    #[error("the password is not taken")]
    Password(PasswordFault),
    /// The code is wrong.
    #[error("the code is wrong")]
    Code,
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] BadUser),
    /// A token or a user has the name.
    #[error("the name is taken")]
    NameTaken,
    /// Too many passwords are being hashed, or there are no random numbers.
    #[error("busy")]
    Busy,
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<FactorError> for NotEnrolled {
    fn from(_: FactorError) -> Self {
        Self::Busy
    }
}

/// What is ready to be set, and to be audited before.
pub struct Ready {
    link_sha256: String,
    row: UserRow,
    is_first: bool,
    set: Enrolment,
    /// Recovery codes, to be shown once it is set.
    pub recovery_codes: Vec<String>,
}

impl Ready {
    /// The user's name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// As it stands in the audit log.
    pub fn detail(&self) -> String {
        match self.is_first {
            true => format!("first user {}: {}; password and code set", self.row.name, self.row.roles),
            false => format!("user {}: password and code set", self.row.name),
        }
    }
}

impl Invitation {
    /// The address that an app takes the secret from.
    pub fn otpauth(&self, name: &str) -> String {
        totp(&self.secret_bytes, name).to_url().unwrap_or_default()
    }

    /// The same address as a QR code: its width, and for each row the columns of dark modules.
    ///
    /// Shape: `width` rows. `None`: it is too long for one.
    pub fn qr(&self, name: &str) -> Option<(usize, Vec<Vec<usize>>)> {
        let code = QrCode::new(self.otpauth(name)).ok()?;
        let width = code.width();
        let dark = |row: &[Color]| (0..width).filter(|at| row[*at] == Color::Dark).collect();
        Some((width, code.to_colors().chunks(width).map(dark).collect()))
    }
}

impl PasswordSignIns {
    /// Opens a link, without using it.
    ///
    /// Errors: it is none, or the index does not answer.
    pub async fn invitation(&self, link: &str) -> Result<Invitation, NotEnrolled> {
        let found = self.index.user_link(&hash(link), self.clock.wall()).await?;
        let user = match found.ok_or(NotEnrolled::Gone)? {
            Some(id) => {
                let row = self.index.user(&id).await?.filter(|row| !row.disabled);
                Some(User::of_row(row.ok_or(NotEnrolled::Gone)?))
            }
            None => {
                let users = self.index.users().await?;
                if users.into_iter().map(User::of_row).any(|user| administers(&user, self.by_provider)) {
                    return Err(NotEnrolled::Gone);
                }
                None
            }
        };
        let secret_bytes = self.key.secret_of_link(link);
        let secret = totp(&secret_bytes, "").secret().to_base32();
        Ok(Invitation { user, secret, secret_bytes })
    }

    /// Checks what a user chose, and makes ready what [`PasswordSignIns::enrol`] sets.
    ///
    /// Errors: see [`NotEnrolled`]; the link stays good.
    pub async fn ready(&self, link: &str, choice: &Choice) -> Result<Ready, NotEnrolled> {
        let invitation = self.invitation(link).await?;
        let row = match &invitation.user {
            Some(user) => self.index.user(&user.id).await?.ok_or(NotEnrolled::Gone)?,
            None => self.first(choice)?,
        };
        let display_name = checked_display_name(&choice.display_name)?;
        passwords::check(&choice.password, &row.name).map_err(NotEnrolled::Password)?;
        let totp = totp(&invitation.secret_bytes, &row.name);
        let step = step_of(&totp, &choice.code, self.clock.wall()).ok_or(NotEnrolled::Code)?;
        let password = self.passwords.hash(choice.password.clone()).await.map_err(|_| NotEnrolled::Busy)?;
        let recovery_codes = recovery_codes()?;
        let set = Enrolment {
            display_name,
            password,
            totp: self.key.seal(&row.id, &invitation.secret_bytes)?,
            totp_step: step,
            recovery_sha256: recovery_codes.iter().filter_map(|code| recovery_sha256(code)).collect(),
        };
        let is_first = invitation.user.is_none();
        Ok(Ready { link_sha256: hash(link), row, is_first, set, recovery_codes })
    }

    fn first(&self, choice: &Choice) -> Result<UserRow, NotEnrolled> {
        let role = if choice.everything { Role::Admin } else { Role::Administrator };
        let rights = Rights::new(Roles::one(role), None)?;
        let id = random::<8>().map_err(|_| NotEnrolled::Busy)?;
        let name = checked_name(&choice.name)?;
        Ok(new_row(
            id,
            name,
            choice.display_name.trim().to_owned(),
            &rights,
            "first start",
            self.clock.wall(),
        ))
    }

    /// Sets it, durably. The link is used then, and every earlier sign-in of the user has ended.
    ///
    /// Errors: see [`NotEnrolled`].
    pub async fn enrol(&self, ready: &Ready) -> Result<(), NotEnrolled> {
        let (index, now) = (&self.index, self.clock.wall());
        let done = match ready.is_first {
            false => index
                .enrol_user(&ready.link_sha256, &ready.row.id, &ready.set, now)
                .await?
                .then_some(UserPut::Done),
            true => index.enrol_first_user(&ready.link_sha256, &ready.row, &ready.set, now).await?,
        };
        match done {
            Some(UserPut::Done) => Ok(()),
            Some(UserPut::NameTaken | UserPut::TooMany) => Err(NotEnrolled::NameTaken),
            None => Err(NotEnrolled::Gone),
        }
    }
}

/// Whether a user can make others; `by_provider`: there is one, by which its users sign in.
pub(super) fn administers(user: &User, by_provider: bool) -> bool {
    let may = |role: Role| role.allows(Permission::Administer);
    (user.enrolled || user.is_provided && by_provider) && !user.disabled && user.rights.roles().any(may)
}

/// A user who has no password yet.
pub(super) fn new_row(
    id: String,
    name: String,
    display_name: String,
    rights: &Rights,
    vouched_by: &str,
    now: optag_core::clock::WallTime,
) -> UserRow {
    UserRow {
        id,
        name,
        display_name,
        roles: rights.roles_text(),
        departments: rights.departments_text(),
        password: None,
        totp: None,
        totp_step: 0,
        epoch: 0,
        disabled: false,
        vouched_by: vouched_by.to_owned(),
        created_at: now,
        used_at: None,
        subject: None,
        confirmed_roles: None,
        confirmed_departments: None,
    }
}
