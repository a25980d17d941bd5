//! Authorisation of a request: what its actor's roles permit. Not here: the departments that bound it (`reach`).

use super::problem::Problem;
use crate::http::audited::Purpose;
use crate::metrics::{self, AuthFailure};

pub use crate::auth::{Actor, Departments, Permission, Role, Roles};

/// Why nothing but the work of machines is permitted.
pub(super) const UNVERIFIED: &str =
    "the index does not answer, so nobody can say whether this token was revoked";
/// Seconds after which it may be asked again.
pub(super) const RETRY_S: u32 = 2;

impl Role {
    /// The purposes for which it may search, read and listen.
    pub const fn purposes(self) -> &'static [Purpose] {
        use Purpose::{Administration, CallerRequest, Training};
        match self {
            Role::Admin => &[Training, CallerRequest, Administration],
            Role::Listener => &[Training],
            Role::Contact => &[CallerRequest, Administration],
            Role::Administrator | Role::Auditor | Role::Supervisor | Role::Feed | Role::Agent => &[],
        }
    }
}

impl Actor {
    /// The purposes that some of the roles may state.
    pub fn purposes(&self) -> Vec<Purpose> {
        let stated = |purpose: &Purpose| self.roles.iter().any(|role| role.purposes().contains(purpose));
        Purpose::ALL.into_iter().filter(stated).collect()
    }

    /// Errors: 403 if no role with this permission may state this purpose.
    pub fn may_look(&self, permission: Permission, purpose: Purpose) -> Result<(), Problem> {
        let mut roles = self.roles.iter().filter(|role| role.allows(permission));
        if roles.any(|role| role.purposes().contains(&purpose)) {
            return Ok(());
        }
        metrics::auth_failed(AuthFailure::Forbidden);
        let roles = self.words();
        Err(Problem::forbidden(format!("the {roles} does not allow the purpose `{}`", purpose.name())))
    }

    /// Errors: 403 if no role includes `permission`.
    pub fn need(&self, permission: Permission) -> Result<(), Problem> {
        self.need_any(&[permission])
    }

    /// Errors: 403 if no role includes one of these permissions.
    pub fn need_any(&self, permissions: &[Permission]) -> Result<(), Problem> {
        if permissions.iter().any(|one| self.allows(*one)) {
            return Ok(());
        }
        if self.is_unverified() {
            return Err(Problem::unavailable(UNVERIFIED, RETRY_S));
        }
        metrics::auth_failed(AuthFailure::Forbidden);
        Err(Problem::forbidden(format!("the {} does not allow this", self.words())))
    }

    /// Errors: 403 if the actor is bound to some departments, where a request is about all.
    pub fn need_all_departments(&self, why: &str) -> Result<(), Problem> {
        if self.departments.are_all() {
            return Ok(());
        }
        metrics::auth_failed(AuthFailure::Forbidden);
        Err(Problem::forbidden(format!("this needs the departments `all`: {why}")))
    }

    /// The roles in words.
    fn words(&self) -> String {
        let names: Vec<_> = self.roles.iter().map(|role| format!("`{}`", role.name())).collect();
        format!("role {}", names.join(" with "))
    }
}
