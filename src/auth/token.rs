//! An access token as it is stored: 256 random bits, of which only the SHA-256 is kept, with what it is for.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{BadRoles, Departments, Role, Roles};
use crate::index::TokenRow;
use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::limit;
use optag_sip::sip::allow_list::AllowList;

/// Prefix of every token, by which scanners for leaked secrets can recognise it.
pub(super) const PREFIX: &str = "optag_";
/// Networks of a token.
const NETWORKS: usize = 100;

/// Why a token cannot be created as it is described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// The name is empty, too long, or has control characters.
    #[error("a name has 1 to {} characters", limit::TEXT_CHARS)]
    Name,
    /// The roles do not go together.
    #[error(transparent)]
    Roles(#[from] BadRoles),
    /// The role concerns the whole installation.
    #[error("the roles admin and administrator concern the whole installation: their departments are `all`")]
    OfAll,
    /// The role shows what people said.
    #[error("say which departments the token is for: some of them, or all")]
    NoDepartments,
    /// Not a network.
    #[error("`{0}` is no address or network such as 192.0.2.0/24")]
    Network(String),
    /// Too many networks.
    #[error("at most {NETWORKS} networks")]
    TooManyNetworks,
    /// It expires in the past.
    #[error("the token would have expired already")]
    Expired,
}

/// A token to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Who uses it; unique; appears in the audit log.
    pub name: String,
    /// What for.
    pub roles: Roles,
    /// The departments that bound it; none given: all, for roles that show nothing of what people said.
    pub departments: Option<Departments>,
    /// Addresses and networks from which it may be used; none: from anywhere.
    pub networks: Vec<String>,
    /// When it expires.
    pub expires_at: Option<WallTime>,
}

impl NewToken {
    /// One with a single role, in all departments, from anywhere, for ever.
    pub fn of(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            roles: Roles::one(role),
            departments: Some(Departments::All),
            networks: Vec::new(),
            expires_at: None,
        }
    }

    /// The same as it is stored, with the token itself, which cannot be shown again.
    ///
    /// Errors: it is not described properly. `None`: the system gives no random numbers.
    pub(super) fn drawn(&self, now: WallTime) -> Result<Option<(StoredToken, String)>, BadToken> {
        let departments = self.bounds()?;
        let plain = optag_core::call::text::is_plain(&self.name);
        if !(1..=limit::TEXT_CHARS).contains(&self.name.chars().count()) || !plain {
            return Err(BadToken::Name);
        }
        if self.networks.len() > NETWORKS {
            return Err(BadToken::TooManyNetworks);
        }
        AllowList::parse(self.networks.iter().map(String::as_str)).map_err(BadToken::Network)?;
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(BadToken::Expired);
        }
        let mut secret = [0; 32];
        if aws_lc_rs::rand::fill(&mut secret).is_err() {
            return Ok(None);
        }
        let token = format!("{PREFIX}{}", hex(&secret));
        let stored = StoredToken {
            name: self.name.clone(),
            roles: self.roles.clone(),
            departments,
            networks: self.networks.clone(),
            sha256: hash(&token),
            created_at: now,
            expires_at: self.expires_at,
            used_at: None,
        };
        Ok(Some((stored, token)))
    }

    /// Its departments.
    ///
    /// Errors: they must be named, or must be all.
    fn bounds(&self) -> Result<Departments, BadToken> {
        let of_all = self.roles.iter().any(Role::is_of_all);
        match &self.departments {
            None if !of_all && self.roles.iter().any(Role::names_departments) => Err(BadToken::NoDepartments),
            Some(Departments::Only(_)) if of_all => Err(BadToken::OfAll),
            Some(Departments::Only(ids)) if ids.is_empty() => Err(BadToken::NoDepartments),
            given => Ok(given.clone().unwrap_or_default()),
        }
    }
}

/// A token as stored and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct StoredToken {
    /// Who uses it; unique; appears in the audit log.
    pub name: String,
    /// What for.
    pub roles: Roles,
    /// The departments that bound it.
    pub departments: Departments,
    /// Addresses and networks from which it may be used; none: from anywhere.
    pub networks: Vec<String>,
    /// SHA-256 of the token, in hexadecimal.
    pub sha256: String,
    /// When it was created.
    pub created_at: WallTime,
    /// When it expires.
    pub expires_at: Option<WallTime>,
    /// When it was used last, to within an hour.
    pub used_at: Option<WallTime>,
}

/// A token in a file of this version or an earlier one: 0.2.0 knew one role and nothing that bounds a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    role: Option<Role>,
    roles: Option<Roles>,
    departments: Option<Departments>,
    #[serde(default)]
    networks: Vec<String>,
    sha256: String,
    created_at: WallTime,
    expires_at: Option<WallTime>,
    used_at: Option<WallTime>,
}

impl TryFrom<Written> for StoredToken {
    type Error = BadRoles;

    fn try_from(written: Written) -> Result<Self, BadRoles> {
        let Written { name, role, roles, departments, networks, sha256, created_at, expires_at, used_at } =
            written;
        let roles = match (roles, role) {
            (Some(roles), _) => Roles::new(roles.iter())?,
            (None, Some(role)) => Roles::one(role),
            (None, None) => return Err(BadRoles::None),
        };
        let departments = departments.unwrap_or_default();
        Ok(Self { name, roles, departments, networks, sha256, created_at, expires_at, used_at })
    }
}

impl StoredToken {
    /// Whether it is this token. Takes as long wherever they differ.
    pub(super) fn is_of(&self, presented_sha256: &str) -> bool {
        verify_slices_are_equal(self.sha256.as_bytes(), presented_sha256.as_bytes()).is_ok()
    }

    /// Whether it may be used from an address.
    pub(super) fn may_come_from(&self, address: IpAddr) -> bool {
        self.networks.is_empty()
            || AllowList::parse(self.networks.iter().map(String::as_str)).is_ok_and(|all| all.allows(address))
    }

    /// As the index has it.
    pub(super) fn to_row(&self) -> TokenRow {
        TokenRow {
            name: self.name.clone(),
            sha256: self.sha256.clone(),
            roles: self.roles.to_string(),
            departments: serde_json::to_string(&self.departments).unwrap_or_default(),
            networks: self.networks.join(","),
            created_at: self.created_at,
            expires_at: self.expires_at,
            used_at: self.used_at,
        }
    }

    /// From the index. `None`: a later version wrote what this one does not know, so that nobody is admitted by it.
    pub(super) fn of_row(row: TokenRow) -> Option<Self> {
        let networks = row.networks.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        Some(Self {
            roles: row.roles.parse().ok()?,
            departments: serde_json::from_str(&row.departments).ok()?,
            name: row.name,
            networks,
            sha256: row.sha256,
            created_at: row.created_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
        })
    }
}

/// SHA-256 of a text, in hexadecimal.
pub(super) fn hash(text: impl AsRef<[u8]>) -> String {
    hex(digest(&SHA256, text.as_ref()).as_ref())
}
