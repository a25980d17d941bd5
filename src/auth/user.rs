//! A user: who may sign in by a name of their own, and with which rights. In: a description, or a row. Out: a [`User`].

use super::{Actor, Departments, Role, Roles};
use crate::index::UserRow;
use optag_core::call::text::is_plain;
use optag_core::clock::WallTime;
use optag_core::limit;

/// Longest name.
const NAME_CHARS: usize = 64;

/// Why a user cannot be as described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    /// Not a name to sign in by.
    #[error(
        "a name has 2 to {NAME_CHARS} letters, digits, dots, hyphens, underscores or @, and begins with a letter"
    )]
    Name,
    /// Not a name of a person.
    #[error("a display name has 1 to {} characters", limit::TEXT_CHARS)]
    DisplayName,
    /// A machine is no user.
    #[error("the roles feed and agent are for machines, which have tokens")]
    Machine,
    /// The role concerns the whole installation.
    #[error("the roles admin and administrator concern the whole installation: their departments are `all`")]
    OfAll,
    /// The role shows what people said.
    #[error("say which departments the user is for: some of them, or all")]
    NoDepartments,
}

/// What a user may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// What for; none while it waits for a second administrator.
    pub roles: Option<Roles>,
    /// The departments that bound them.
    pub departments: Departments,
}

impl Rights {
    /// Checked rights. No departments given: all, for roles that show nothing of what people said.
    ///
    /// Errors: they cannot be given.
    pub fn new(roles: Roles, departments: Option<Departments>) -> Result<Self, BadUser> {
        if roles.are_of_a_machine() {
            return Err(BadUser::Machine);
        }
        let of_all = roles.iter().any(Role::is_of_all);
        let departments = match departments {
            None if !of_all && roles.iter().any(Role::names_departments) => {
                return Err(BadUser::NoDepartments);
            }
            Some(Departments::Only(_)) if of_all => return Err(BadUser::OfAll),
            Some(Departments::Only(ids)) if ids.is_empty() => return Err(BadUser::NoDepartments),
            given => given.unwrap_or_default(),
        };
        Ok(Self { roles: Some(roles), departments })
    }

    /// No right at all.
    pub fn none() -> Self {
        Self { roles: None, departments: Departments::only::<&str>([]) }
    }

    /// Each role.
    pub fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        self.roles.iter().flat_map(Roles::iter)
    }

    pub(super) fn of_texts(roles: &str, departments: &str) -> Option<Self> {
        let roles = if roles.is_empty() { None } else { Some(roles.parse().ok()?) };
        Some(Self { roles, departments: serde_json::from_str(departments).ok()? })
    }

    pub(super) fn roles_text(&self) -> String {
        self.roles.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn departments_text(&self) -> String {
        serde_json::to_string(&self.departments).unwrap_or_default()
    }
}

impl std::fmt::Display for Rights {
    /// As in the audit log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.roles {
            None => f.write_str("no role"),
            Some(roles) => write!(f, "{roles}; departments {}", self.departments),
        }
    }
}

/// A user as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never used again.
    pub id: String,
    /// By which the user signs in.
    pub name: String,
    /// The user's own name.
    pub display_name: String,
    /// What the user may do.
    pub rights: Rights,
    /// Whether the user has set a password.
    pub enrolled: bool,
    /// Whether the user signs in by a provider, which says what they may do.
    pub is_provided: bool,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// Who was last given a link to set the password.
    pub vouched_by: String,
    /// When the user was made.
    pub created_at: WallTime,
    /// The last sign-in.
    pub used_at: Option<WallTime>,
}

impl User {
    /// From the index. Rights that only a later version knows are none here.
    pub(super) fn of_row(row: UserRow) -> Self {
        let rights = Rights::of_texts(&row.roles, &row.departments).unwrap_or_else(Rights::none);
        Self {
            id: row.id,
            name: row.name,
            display_name: row.display_name,
            rights,
            enrolled: row.password.is_some(),
            is_provided: row.subject.is_some(),
            disabled: row.disabled,
            vouched_by: row.vouched_by,
            created_at: row.created_at,
            used_at: row.used_at,
        }
    }

    /// As whom the user acts. `None`: the user may do nothing.
    pub fn actor(&self) -> Option<Actor> {
        let roles = self.rights.roles.clone().filter(|_| !self.disabled)?;
        Some(Actor::new(self.name.clone(), roles, self.rights.departments.clone()))
    }
}

/// A name as it is stored and compared: in lower case, without space around it.
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A folded name that a user may have.
///
/// Errors: it is not one.
pub fn checked_name(name: &str) -> Result<String, BadUser> {
    let name = folded(name);
    let may = |c: char| c.is_alphanumeric() || "._-@".contains(c);
    let good = (2..=NAME_CHARS).contains(&name.chars().count())
        && name.chars().all(may)
        && name.starts_with(char::is_alphabetic)
        && is_plain(&name);
    if good { Ok(name) } else { Err(BadUser::Name) }
}

/// A display name.
///
/// Errors: it is not one.
pub fn checked_display_name(name: &str) -> Result<String, BadUser> {
    let name = name.trim();
    let good = (1..=limit::TEXT_CHARS).contains(&name.chars().count()) && is_plain(name);
    if good { Ok(name.to_owned()) } else { Err(BadUser::DisplayName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_be_mistaken_for_another_or_for_the_command_line() {
        for (name, stored) in [("Ada", "ada"), (" åse.Møller@x.dk ", "åse.møller@x.dk"), ("ab", "ab")] {
            assert_eq!(checked_name(name), Ok(stored.to_owned()));
        }
        let long = "a".repeat(NAME_CHARS + 1);
        for wrong in ["", "a", "local user root", "a\u{202e}b", "1ada", "a,b", "<b>", long.as_str()] {
            assert_eq!(checked_name(wrong), Err(BadUser::Name), "{wrong}");
        }
        assert_eq!(checked_display_name(" Ada Møller "), Ok("Ada Møller".to_owned()));
        for wrong in ["", "  ", "a\nb"] {
            assert_eq!(checked_display_name(wrong), Err(BadUser::DisplayName));
        }
    }

    #[test]
    fn rights_name_their_departments_and_a_machine_is_no_user() {
        let new = |roles: &str, departments| Rights::new(roles.parse().unwrap(), departments);
        assert_eq!(new("feed", None), Err(BadUser::Machine));
        assert_eq!(new("listener", None), Err(BadUser::NoDepartments));
        assert_eq!(new("listener", Some(Departments::only::<&str>([]))), Err(BadUser::NoDepartments));
        assert_eq!(new("administrator", Some(Departments::only(["tax"]))), Err(BadUser::OfAll));
        let rights = new("listener,contact", Some(Departments::only(["tax"]))).unwrap();
        let read = Rights::of_texts(&rights.roles_text(), &rights.departments_text());
        assert_eq!(read, Some(rights));
        let none = Rights::none();
        assert_eq!(Rights::of_texts(&none.roles_text(), &none.departments_text()), Some(none));
        assert_eq!(Rights::of_texts("king", "\"all\""), None);
    }
}
