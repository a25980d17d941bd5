//! Who is signed in, as the API says.

use serde::Deserialize;

/// Whoever is signed in.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Me {
    /// The name.
    pub name: String,
    /// Names of the roles.
    pub roles: Vec<String>,
    /// What is allowed, by names of permissions.
    pub allows: Vec<String>,
    /// Purposes that may be stated.
    pub purposes: Vec<String>,
    /// The departments that bound every right.
    pub departments: Bounds,
    /// What a change must carry.
    #[serde(default)]
    pub change_key: String,
    /// The installation's time zone.
    pub time_zone: String,
}

impl Me {
    /// Whether something is allowed.
    pub(super) fn may(&self, permission: &str) -> bool {
        self.allows.iter().any(|one| one == permission)
    }
}

/// Departments: the word `all`, or their ids.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Bounds(serde_json::Value);

impl Bounds {
    /// Whether they are all.
    pub(super) fn are_all(&self) -> bool {
        self.0 == "all"
    }
}
