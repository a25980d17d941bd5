//! Roles and their permissions. One table: what is not in it, nobody may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an actor is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything. Of earlier versions, and for installations of one person; otherwise give the separate roles.
    Admin,
    /// Runs the recorder: users and tokens, clock, drain, retention report. Hears nothing.
    Administrator,
    /// Reads the audit log and the retention report, places and lifts legal holds. Hears nothing.
    Auditor,
    /// Searches and listens, for training.
    Listener,
    /// Answers callers: searches, hands out, erases; listens to make sure that a recording is the one that is meant.
    #[serde(alias = "erasure-officer")]
    Contact,
    /// Sees and pauses the calls in progress of own departments, withdraws on the caller's word, reads who listened.
    Supervisor,
    /// A PBX or SBC that announces calls.
    Feed,
    /// The telephone of an employee who takes calls: reports the caller's yes, no or withdrawal.
    Agent,
}

/// An operation that requires permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Announce and control calls.
    Calls,
    /// See calls in progress.
    SeeCalls,
    /// Pause a call in progress and go on with it.
    Pause,
    /// Report a caller's answer.
    Answer,
    /// Report a caller's withdrawal.
    Withdraw,
    /// Find recordings and see their details.
    Search,
    /// Play a recording.
    Listen,
    /// Export a recording as a file.
    Export,
    /// Erase a recording.
    Erase,
    /// Answer callers' requests: cases, from intake to closing.
    Cases,
    /// Read the retention report.
    Report,
    /// Read the audit log.
    Audit,
    /// Place and lift legal holds.
    Hold,
    /// Run the recorder: tokens, clock, drain.
    Administer,
}

impl Permission {
    /// Every permission with its name.
    pub const ALL: [(&str, Permission); 14] = [
        ("calls", Permission::Calls),
        ("see_calls", Permission::SeeCalls),
        ("pause", Permission::Pause),
        ("answer", Permission::Answer),
        ("withdraw", Permission::Withdraw),
        ("search", Permission::Search),
        ("listen", Permission::Listen),
        ("export", Permission::Export),
        ("erase", Permission::Erase),
        ("cases", Permission::Cases),
        ("report", Permission::Report),
        ("audit", Permission::Audit),
        ("hold", Permission::Hold),
        ("administer", Permission::Administer),
    ];
}

impl Role {
    /// Every role with its name.
    pub const ALL: [(&str, Role); 8] = [
        ("admin", Role::Admin),
        ("administrator", Role::Administrator),
        ("auditor", Role::Auditor),
        ("listener", Role::Listener),
        ("contact", Role::Contact),
        ("supervisor", Role::Supervisor),
        ("feed", Role::Feed),
        ("agent", Role::Agent),
    ];
    /// The name of [`Role::Contact`] in earlier versions.
    const EARLIER_CONTACT: &str = "erasure-officer";

    /// The permission table.
    pub const fn allows(self, permission: Permission) -> bool {
        use Permission::*;
        match self {
            Role::Admin => true,
            Role::Administrator => matches!(permission, Administer | Report),
            Role::Auditor => matches!(permission, Audit | Hold | Report),
            Role::Listener => matches!(permission, Search | Listen),
            Role::Contact => matches!(permission, Search | Export | Erase | Cases | Report),
            Role::Supervisor => matches!(permission, SeeCalls | Pause | Withdraw | Audit),
            Role::Feed => matches!(permission, Calls | SeeCalls | Pause | Answer | Withdraw),
            Role::Agent => matches!(permission, Answer | Withdraw),
        }
    }

    /// Whether it is of a machine, which does not sign in to the pages.
    pub const fn is_machine(self) -> bool {
        matches!(self, Role::Feed | Role::Agent)
    }

    /// Whether it concerns the whole installation, so that departments do not bound it.
    pub const fn is_of_all(self) -> bool {
        matches!(self, Role::Admin | Role::Administrator)
    }

    /// Whether its departments must be named, `all` included: it shows what a person said.
    pub const fn names_departments(self) -> bool {
        matches!(self, Role::Listener | Role::Contact | Role::Supervisor)
    }

    /// The role with this name, or with its name in earlier versions.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == Self::EARLIER_CONTACT { Role::Contact.name() } else { name };
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, role)| *role)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// Why roles cannot be given together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoles {
    /// There is no such role.
    #[error("unknown role `{0}`, must be one of {all}", all = Role::ALL.map(|(name, _)| name).join(", "))]
    Unknown(String),
    /// None is given.
    #[error("a role is required")]
    None,
    /// A machine does not sign in, and a person is no machine.
    #[error("the roles feed and agent are for machines: they do not go with others")]
    MachineAndPerson,
}

/// One or several roles of one actor, without repetition. Text: their names with commas between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// A single role.
    pub fn one(role: Role) -> Self {
        Self(vec![role])
    }

    /// These roles.
    ///
    /// Errors: none, or roles that do not go together.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Result<Self, BadRoles> {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort();
        roles.dedup();
        let machines = roles.iter().filter(|role| role.is_machine()).count();
        match (roles.len(), machines) {
            (0, _) => Err(BadRoles::None),
            (all, machines) if machines > 0 && machines < all => Err(BadRoles::MachineAndPerson),
            _ => Ok(Self(roles)),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }

    /// Whether one of them permits an operation.
    pub fn allow(&self, permission: Permission) -> bool {
        self.iter().any(|role| role.allows(permission))
    }

    /// What a machine with these rights would be. `None`: none of them is a machine's.
    pub(super) fn of_machines(&self) -> Option<Self> {
        if self.are_of_a_machine() {
            return Some(self.clone());
        }
        match (self.allow(Permission::Calls), self.allow(Permission::Answer)) {
            (true, _) => Some(Self::one(Role::Feed)),
            (false, true) => Some(Self::one(Role::Agent)),
            (false, false) => None,
        }
    }

    /// Whether they are of a machine.
    pub fn are_of_a_machine(&self) -> bool {
        self.iter().all(Role::is_machine)
    }
}

impl FromStr for Roles {
    type Err = BadRoles;

    fn from_str(names: &str) -> Result<Self, BadRoles> {
        let one = |name: &str| Role::from_name(name).ok_or_else(|| BadRoles::Unknown(name.to_owned()));
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self::new(names.map(one).collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Role::name).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_own_work_and_nothing_else() {
        let may = |role: Role| -> Vec<&str> {
            Permission::ALL.iter().filter(|(_, one)| role.allows(*one)).map(|(name, _)| *name).collect()
        };
        assert_eq!(may(Role::Admin).len(), Permission::ALL.len());
        assert_eq!(may(Role::Administrator), ["report", "administer"]);
        assert_eq!(may(Role::Auditor), ["report", "audit", "hold"]);
        assert_eq!(may(Role::Listener), ["search", "listen"]);
        assert_eq!(may(Role::Contact), ["search", "export", "erase", "cases", "report"]);
        assert_eq!(may(Role::Supervisor), ["see_calls", "pause", "withdraw", "audit"]);
        assert_eq!(may(Role::Feed), ["calls", "see_calls", "pause", "answer", "withdraw"]);
        assert_eq!(may(Role::Agent), ["answer", "withdraw"]);
        for (name, role) in Role::ALL {
            assert_eq!((Role::from_name(name), role.name()), (Some(role), name));
        }
        assert_eq!(Role::from_name("erasure-officer"), Some(Role::Contact));
        let read: Role = serde_json::from_str("\"erasure-officer\"").unwrap();
        assert_eq!(read, Role::Contact);
    }

    #[test]
    fn roles_are_read_as_they_are_written_and_a_machine_is_no_person() {
        let roles: Roles = "listener, contact,listener".parse().unwrap();
        assert_eq!(roles.to_string(), "listener,contact");
        assert!(roles.allow(Permission::Erase) && !roles.allow(Permission::Audit));
        assert_eq!("".parse::<Roles>(), Err(BadRoles::None));
        assert_eq!("king".parse::<Roles>(), Err(BadRoles::Unknown("king".into())));
        assert_eq!("feed,listener".parse::<Roles>(), Err(BadRoles::MachineAndPerson));
        assert!("feed,agent".parse::<Roles>().unwrap().are_of_a_machine());
    }
}
