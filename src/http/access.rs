//! Authorisation: actors, roles and their permissions.

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::http::audited::Purpose;

/// The user of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Name of the access token, or of the local user.
    pub name: String,
    /// Its role.
    pub role: Role,
}

/// The role of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Admin,
    /// A PBX or SBC that announces calls.
    Feed,
    /// Searches and listens, for training.
    Listener,
    /// Answers citizens: searches, hands out, erases.
    ErasureOfficer,
    /// An employee who takes calls: reports the caller's yes, no or withdrawal.
    Agent,
}

/// An operation that requires permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Announce, control and see calls.
    Calls,
    /// Report a caller's answer or withdrawal.
    Answer,
    /// Find recordings and see their details.
    Search,
    /// Play a recording.
    Listen,
    /// Export a recording as a file.
    Export,
    /// Erase a recording.
    Erase,
    /// Read the retention report.
    Report,
    /// Place and lift legal holds, read the audit log, confirm the clock.
    Oversee,
}

impl Permission {
    /// Every permission with its name.
    pub const ALL: [(&str, Permission); 8] = [
        ("calls", Permission::Calls),
        ("answer", Permission::Answer),
        ("search", Permission::Search),
        ("listen", Permission::Listen),
        ("export", Permission::Export),
        ("erase", Permission::Erase),
        ("report", Permission::Report),
        ("oversee", Permission::Oversee),
    ];
}

impl Role {
    /// Every role with its name.
    pub const ALL: [(&str, Role); 5] = [
        ("admin", Role::Admin),
        ("feed", Role::Feed),
        ("listener", Role::Listener),
        ("erasure-officer", Role::ErasureOfficer),
        ("agent", Role::Agent),
    ];

    /// The permission table.
    pub const fn allows(self, permission: Permission) -> bool {
        use Permission::{Answer, Calls, Erase, Export, Listen, Report, Search};
        match self {
            Role::Admin => true,
            Role::Feed => matches!(permission, Calls | Answer),
            Role::Agent => matches!(permission, Answer),
            Role::Listener => matches!(permission, Search | Listen),
            Role::ErasureOfficer => matches!(permission, Search | Export | Erase | Report),
        }
    }

    /// The purposes for which it may search, read and listen.
    pub const fn purposes(self) -> &'static [Purpose] {
        use Purpose::{Administration, CallerRequest, Training};
        match self {
            Role::Admin => &[Training, CallerRequest, Administration],
            Role::Listener => &[Training],
            Role::ErasureOfficer => &[CallerRequest, Administration],
            Role::Feed | Role::Agent => &[],
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, role)| *role)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

impl Actor {
    /// The local user who runs a command on the data directory, and could read its files anyway.
    pub fn local_user() -> Self {
        let user = std::env::var("USER").unwrap_or_else(|_| "unknown".into());
        Self { name: format!("local user {user}"), role: Role::Admin }
    }

    /// Errors: 403 if the role does not permit this purpose.
    pub fn may_look(&self, purpose: Purpose) -> Result<(), Problem> {
        if self.role.purposes().contains(&purpose) {
            return Ok(());
        }
        crate::metrics::auth_failed(crate::metrics::AuthFailure::Forbidden);
        let role = self.role.name();
        Err(Problem::forbidden(format!("the role `{role}` does not allow the purpose `{}`", purpose.name())))
    }

    /// Errors: 403 if the role does not include `permission`.
    pub fn need(&self, permission: Permission) -> Result<(), Problem> {
        match self.role.allows(permission) {
            true => Ok(()),
            false => {
                crate::metrics::auth_failed(crate::metrics::AuthFailure::Forbidden);
                Err(Problem::forbidden(format!("the role `{}` does not allow this", self.role.name())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_own_work_and_nothing_else() {
        use Permission::{Answer, Calls, Erase, Export, Listen, Oversee, Report, Search};
        let all = [Calls, Answer, Search, Listen, Export, Erase, Report, Oversee];
        let may = |role: Role| all.map(|one| role.allows(one));
        assert_eq!(may(Role::Admin), [true; 8]);
        assert_eq!(may(Role::Feed), [true, true, false, false, false, false, false, false]);
        assert_eq!(may(Role::Listener), [false, false, true, true, false, false, false, false]);
        assert_eq!(may(Role::ErasureOfficer), [false, false, true, false, true, true, true, false]);
        assert_eq!(may(Role::Agent), [false, true, false, false, false, false, false, false]);
        for (name, role) in Role::ALL {
            assert_eq!((Role::from_name(name), role.name()), (Some(role), name));
        }
    }
}
