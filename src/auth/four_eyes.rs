//! What an administrator cannot do alone: get at audio, or make somebody who confirms it. In: a change of a user, and by
//! whom. Out: whether a second administrator must confirm it.
//!
//! An administrator knows the password of whoever they gave a link to, or could: such a user counts as the administrator.

use super::user::{Rights, User};
use super::{Departments, Permission, Role};

/// Whether a role lets somebody hear recordings, or confirm that others may.
pub fn is_guarded(role: Role) -> bool {
    [Permission::Listen, Permission::Export, Permission::Administer].iter().any(|one| role.allows(*one))
}

/// Of these rights, those that nobody has to confirm.
pub(super) fn unguarded(rights: &Rights) -> Rights {
    let roles: Vec<Role> = rights.roles().filter(|role| !is_guarded(*role)).collect();
    match super::Roles::new(roles) {
        Ok(roles) => Rights { roles: Some(roles), departments: rights.departments.clone() },
        Err(_) => Rights::none(),
    }
}

/// Whether `actor` needs a second administrator to give these rights to a user.
pub(super) fn needs_second(actor: &str, user: &User, rights: &Rights) -> bool {
    let theirs = user.name == actor || user.vouched_by == actor;
    let before: Vec<Role> = user.rights.roles().collect();
    let guarded = || rights.roles().filter(|role| is_guarded(*role));
    let gains = guarded().any(|role| !before.contains(&role))
        || (guarded().next().is_some() && !is_within(&rights.departments, &user.rights.departments));
    theirs && gains
}

/// Whether a role lets somebody hear recordings.
fn hears(role: Role) -> bool {
    role.allows(Permission::Listen) || role.allows(Permission::Export)
}

/// Of what a provider gives to somebody, that which no second administrator has to confirm, and whether something waits.
/// Who administers hears nothing on the provider's word alone: groups may be in the same hands, and nobody here can see that.
pub(super) fn of_provider(given: &Rights, confirmed: Option<&Rights>) -> (Rights, bool) {
    let administers = given.roles().any(|role| role.allows(Permission::Administer));
    let known = |role: Role| confirmed.is_some_and(|rights| rights.roles().any(|one| one == role));
    let everywhere = confirmed.is_some_and(|rights| is_within(&given.departments, &rights.departments));
    let waits = |role: Role| administers && hears(role) && !(known(role) && everywhere);
    let roles: Vec<Role> = given.roles().filter(|role| !waits(*role)).collect();
    let some_wait = given.roles().any(waits);
    match super::Roles::new(roles) {
        Ok(roles) => (Rights { roles: Some(roles), departments: given.departments.clone() }, some_wait),
        Err(_) => (Rights::none(), some_wait),
    }
}

fn is_within(one: &Departments, other: &Departments) -> bool {
    match (one, other) {
        (_, Departments::All) => true,
        (Departments::All, Departments::Only(_)) => false,
        (Departments::Only(one), Departments::Only(other)) => one.is_subset(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::clock::WallTime;

    fn rights(roles: &str, departments: &[&str]) -> Rights {
        let departments = match departments {
            ["all"] => Departments::All,
            ids => Departments::only(ids.iter().copied()),
        };
        Rights { roles: Some(roles.parse().unwrap()), departments }
    }

    fn user(name: &str, vouched_by: &str, rights: Rights) -> User {
        User {
            id: "1".into(),
            name: name.into(),
            display_name: name.into(),
            rights,
            enrolled: true,
            is_provided: false,
            disabled: false,
            vouched_by: vouched_by.into(),
            created_at: WallTime::default(),
            used_at: None,
        }
    }

    #[test]
    fn nobody_gets_at_audio_by_their_own_word_or_by_a_user_whose_password_they_could_set() {
        let administrator = || user("ada", "root", rights("administrator", &["all"]));
        assert!(needs_second("ada", &administrator(), &rights("administrator,listener", &["all"])));
        assert!(needs_second("ada", &administrator(), &rights("admin", &["all"])));
        assert!(!needs_second("ada", &administrator(), &rights("administrator,auditor", &["all"])));
        assert!(!needs_second("ada", &administrator(), &rights("auditor", &["tax"])), "gives up");
        assert!(!needs_second("ole", &administrator(), &rights("administrator,listener", &["all"])));
        let made = || user("puppet", "ada", Rights::none());
        for role in ["listener", "contact", "administrator", "admin", "supervisor,listener"] {
            assert!(needs_second("ada", &made(), &rights(role, &["all"])), "{role}");
            assert!(!needs_second("ole", &made(), &rights(role, &["all"])), "{role}");
        }
        assert!(!needs_second("ada", &made(), &rights("supervisor,auditor", &["all"])));
        let hears = || user("puppet", "ada", rights("listener", &["tax"]));
        assert!(needs_second("ada", &hears(), &rights("listener", &["tax", "care"])));
        assert!(needs_second("ada", &hears(), &rights("listener", &["all"])));
        assert!(!needs_second("ada", &hears(), &rights("listener", &["tax"])));
    }

    #[test]
    fn who_administers_by_a_provider_hears_what_a_second_administrator_has_confirmed() {
        let both = rights("administrator,listener", &["all"]);
        let alone = rights("administrator", &["all"]);
        assert_eq!(of_provider(&both, None), (alone.clone(), true));
        assert_eq!(of_provider(&both, Some(&both)), (both.clone(), false));
        assert_eq!(
            of_provider(&both, Some(&rights("administrator,listener", &["tax"]))),
            (alone.clone(), true)
        );
        let more = rights("administrator,contact,listener", &["all"]);
        assert_eq!(of_provider(&more, Some(&both)), (both.clone(), true));
        assert_eq!(of_provider(&rights("admin", &["all"]), None), (Rights::none(), true));
        for free in [rights("listener,contact", &["all"]), rights("auditor,supervisor", &["tax"]), alone] {
            assert_eq!(of_provider(&free, None), (free.clone(), false));
        }
    }

    #[test]
    fn what_nobody_has_to_confirm_is_given_at_once() {
        assert_eq!(unguarded(&rights("listener,supervisor", &["tax"])), rights("supervisor", &["tax"]));
        assert_eq!(unguarded(&rights("listener", &["tax"])), Rights::none());
    }
}
