//! Who makes a request.

use serde::{Deserialize, Serialize};

use super::{BadRoles, Departments, Permission, Role, Roles};

/// The user of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Sent", into = "Sent")]
pub struct Actor {
    /// Name of the access token, or of the local user.
    pub name: String,
    /// What for.
    pub roles: Roles,
    /// The departments that bound every right.
    pub departments: Departments,
    /// Whether rights are missing only because the index does not answer.
    pub(crate) unverified: bool,
}

/// An actor as one node tells another. A node of an earlier version knows a single role and no departments: it is told
/// of an actor whom it would take for what they are, and believes nothing of others.
#[derive(Serialize, Deserialize)]
struct Sent {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<Roles>,
    #[serde(default)]
    departments: Option<Departments>,
}

impl From<Actor> for Sent {
    fn from(actor: Actor) -> Self {
        let Actor { name, roles, departments, .. } = actor;
        let mut each = roles.iter();
        let role = match (each.next(), each.next()) {
            (Some(role), None) if departments.are_all() => Some(role),
            _ => None,
        };
        drop(each);
        Self { name, role, roles: Some(roles), departments: Some(departments) }
    }
}

impl TryFrom<Sent> for Actor {
    type Error = BadRoles;

    fn try_from(sent: Sent) -> Result<Self, BadRoles> {
        let roles = match (sent.roles, sent.role) {
            (Some(roles), _) => Roles::new(roles.iter())?,
            (None, Some(role)) => Roles::one(role),
            (None, None) => return Err(BadRoles::None),
        };
        Ok(Self::new(sent.name, roles, sent.departments.unwrap_or_default()))
    }
}

impl Actor {
    /// An actor.
    pub fn new(name: impl Into<String>, roles: Roles, departments: Departments) -> Self {
        Self { name: name.into(), roles, departments, unverified: false }
    }

    /// An actor with one role, in all departments.
    pub fn with_role(name: impl Into<String>, role: Role) -> Self {
        Self::new(name, Roles::one(role), Departments::All)
    }

    /// The local user who runs a command on the data directory, and could read its files anyway.
    pub fn local_user() -> Self {
        let user = std::env::var("USER").unwrap_or_else(|_| "unknown".into());
        Self::with_role(format!("local user {user}"), Role::Admin)
    }

    /// The same with nothing but the rights of a machine, as nobody can say whether the others were revoked. `None`: there
    /// are no such rights.
    pub(super) fn into_machine(self) -> Option<Self> {
        let roles = self.roles.of_machines()?;
        let unverified = roles != self.roles;
        Some(Self { roles, unverified, ..self })
    }

    /// Whether rights are missing only because the index does not answer.
    pub fn is_unverified(&self) -> bool {
        self.unverified
    }

    /// Whether one of the roles permits an operation.
    pub fn allows(&self, permission: Permission) -> bool {
        self.roles.allow(permission)
    }

    /// Whether it is nothing but an employee's telephone.
    pub fn is_agent(&self) -> bool {
        self.roles.iter().all(|role| role == Role::Agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_an_earlier_version_learns_of_nobody_whom_it_would_give_more_than_is_theirs() {
        let sent = |actor: &Actor| serde_json::to_value(actor).unwrap();
        let mut actor = Actor::with_role("ada", Role::Feed);
        assert_eq!(sent(&actor)["role"], "feed");
        actor.departments = Departments::only(["tax"]);
        assert!(sent(&actor).get("role").is_none(), "it would not be bound to its departments");
        let back: Actor = serde_json::from_value(sent(&actor)).unwrap();
        assert_eq!(back, actor);
        actor.departments = Departments::All;
        actor.roles = "listener,contact".parse().unwrap();
        assert!(sent(&actor).get("role").is_none());
        let earlier: Actor = serde_json::from_str(r#"{"name":"pbx","role":"erasure-officer"}"#).unwrap();
        assert_eq!(earlier, Actor::with_role("pbx", Role::Contact));
        assert!(serde_json::from_str::<Actor>(r#"{"name":"pbx"}"#).is_err());
        assert!(serde_json::from_str::<Actor>(r#"{"name":"x","roles":[]}"#).is_err());
    }
}
