//! What a provider's claims mean here. In: the claims of a person. Out: user name, and rights by the configured mappings.

use std::collections::BTreeSet;

use serde_json::Value;

use super::settings::{MappedDepartments, Mapping, ProviderSettings};
use crate::auth::user::Rights;
use crate::auth::{Departments, Role, Roles};

/// Most values of a claim that are looked at.
const VALUES: usize = 2_000;

/// Why claims give no rights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRights {
    /// No mapping is for any of the groups.
    #[error("none of the person's {0} groups is in [[sign_in.oidc.mapping]]")]
    NoMapping(usize),
    /// The provider has left the groups out, because they are too many.
    #[error(
        "the provider left the groups out of the token as they are too many: let it send roles, or fewer groups"
    )]
    LeftOut,
    /// Rights bind all roles to the same departments.
    #[error(
        "the groups give {role} in {departments} only, and other roles elsewhere: all roles of a person must be for the same departments"
    )]
    Mixed {
        /// The role.
        role: &'static str,
        /// Where it is given.
        departments: String,
    },
}

/// A claim. `a.b` is `b` within `a`, unless there is a claim whose name has the dot.
pub(super) fn claim<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    let found = claims.as_object()?;
    if let Some(value) = found.get(path) {
        return Some(value);
    }
    let splits = path.match_indices('.');
    splits.into_iter().find_map(|(at, _)| claim(found.get(&path[..at])?, &path[at + 1..]))
}

/// The texts of a claim: one, or a list of them.
fn texts<'a>(claims: &'a Value, path: &str) -> impl Iterator<Item = &'a str> {
    let (one, several) = match claim(claims, path) {
        Some(Value::String(text)) => (Some(text.as_str()), [].as_slice()),
        Some(Value::Array(values)) => (None, values.as_slice()),
        _ => (None, [].as_slice()),
    };
    one.into_iter().chain(several.iter().take(VALUES).filter_map(Value::as_str))
}

/// A text of a claim, if it has exactly one.
pub(super) fn text<'a>(claims: &'a Value, path: &str) -> Option<&'a str> {
    claim(claims, path)?.as_str().filter(|text| !text.trim().is_empty())
}

/// Whether one of the claims with groups is there at all.
pub(super) fn has_groups(settings: &ProviderSettings, claims: &Value) -> bool {
    settings.group_claims.iter().any(|path| claim(claims, path).is_some())
}

/// What the claims give.
///
/// Errors: nothing, or what cannot be given.
pub(super) fn rights(settings: &ProviderSettings, claims: &Value) -> Result<Rights, NoRights> {
    let groups: BTreeSet<&str> = settings.group_claims.iter().flat_map(|path| texts(claims, path)).collect();
    let given: Vec<(&Mapping, Departments)> = settings
        .mappings
        .iter()
        .filter(|mapping| groups.contains(mapping.group.as_str()))
        .filter_map(|mapping| Some((mapping, departments(mapping, claims)?)))
        .collect();
    if given.is_empty() {
        // Source: Microsoft identity platform, "Groups overage claim"; OpenID Connect Core 1.0 §5.6.2.
        let elsewhere = claim(claims, "_claim_names").is_some_and(|names| names.get("groups").is_some());
        return Err(if elsewhere { NoRights::LeftOut } else { NoRights::NoMapping(groups.len()) });
    }
    let everywhere = union(given.iter().map(|(_, departments)| departments));
    let roles: BTreeSet<Role> = given.iter().flat_map(|(mapping, _)| mapping.roles.iter()).collect();
    for role in &roles {
        let of_role = given.iter().filter(|(mapping, _)| mapping.roles.iter().any(|one| one == *role));
        let departments = union(of_role.map(|(_, departments)| departments));
        if departments != everywhere {
            return Err(NoRights::Mixed { role: role.name(), departments: departments.to_string() });
        }
    }
    // Machines' roles were refused with the configuration.
    let roles = Roles::new(roles).map_err(|_| NoRights::NoMapping(groups.len()))?;
    Ok(Rights { roles: Some(roles), departments: everywhere })
}

/// The departments of a mapping; none where the claim has none.
fn departments(mapping: &Mapping, claims: &Value) -> Option<Departments> {
    match &mapping.departments {
        MappedDepartments::Fixed(departments) => Some(departments.clone()),
        MappedDepartments::Claim(path) => {
            let ids: BTreeSet<&str> =
                texts(claims, path).map(str::trim).filter(|id| !id.is_empty()).collect();
            (!ids.is_empty()).then(|| Departments::only(ids))
        }
    }
}

fn union<'a>(all: impl Iterator<Item = &'a Departments>) -> Departments {
    let mut ids = BTreeSet::new();
    for departments in all {
        match departments {
            Departments::All => return Departments::All,
            Departments::Only(some) => ids.extend(some.iter().cloned()),
        }
    }
    Departments::only(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping(group: &str, roles: &str, departments: &str) -> Mapping {
        let departments = match departments.strip_prefix("claim ") {
            Some(path) => MappedDepartments::Claim(path.into()),
            None if departments == "all" => MappedDepartments::Fixed(Departments::All),
            None => MappedDepartments::Fixed(Departments::only(departments.split(','))),
        };
        Mapping { group: group.into(), roles: roles.parse().unwrap(), departments }
    }

    fn settings() -> ProviderSettings {
        ProviderSettings {
            issuer: "https://login.example".into(),
            client_id: "optag".into(),
            client_secret_file: None,
            name: "Login".into(),
            scopes: Vec::new(),
            user_claim: "preferred_username".into(),
            group_claims: ["groups", "roles", "realm_access.roles", "https://kommune.example/roles"]
                .map(str::to_owned)
                .to_vec(),
            mappings: vec![
                mapping("tax-listen", "listener", "tax"),
                mapping("care-listen", "listener", "care"),
                mapping("care-contact", "contact", "care"),
                mapping("all-listen", "listener,supervisor", "all"),
                mapping("admins", "administrator", "all"),
                mapping(
                    "http://x.dk/roles/usersystemrole/optag_listener/1",
                    "listener",
                    "claim delimitation.unit",
                ),
            ],
            leeway: std::time::Duration::from_secs(60),
            ca_file: None,
            proxy: None,
            allow_http: false,
        }
    }

    fn given(claims: Value) -> Result<String, NoRights> {
        rights(&settings(), &claims).map(|rights| rights.to_string())
    }

    #[test]
    fn groups_give_what_is_mapped_to_them_and_nothing_else() {
        for claims in [
            json!({"groups": ["staff", "tax-listen"]}),
            json!({"roles": "tax-listen"}),
            json!({"realm_access": {"roles": ["tax-listen"]}}),
            json!({"realm_access.roles": ["tax-listen"]}),
            json!({"https://kommune.example/roles": ["tax-listen"]}),
        ] {
            assert_eq!(given(claims).unwrap(), "listener; departments tax");
        }
        for claims in [
            json!({}),
            json!({"groups": []}),
            json!({"groups": ["Tax-Listen", "tax-listen ", "tax"]}),
            json!({"groups": {"tax-listen": true}}),
            json!({"other": ["tax-listen"]}),
            json!({"groups": [["tax-listen"], 1, null]}),
            json!([]),
        ] {
            assert!(matches!(given(claims), Err(NoRights::NoMapping(_))));
        }
        let left_out = json!({"_claim_names": {"groups": "src1"}});
        assert_eq!(given(left_out), Err(NoRights::LeftOut));
    }

    #[test]
    fn several_groups_add_up_and_no_role_reaches_where_no_group_gives_it() {
        let of = |groups: &[&str]| given(json!({"groups": groups}));
        assert_eq!(of(&["tax-listen", "care-listen"]).unwrap(), "listener; departments care, tax");
        assert_eq!(of(&["care-listen", "care-contact"]).unwrap(), "listener,contact; departments care");
        assert_eq!(of(&["all-listen", "tax-listen"]).unwrap(), "listener,supervisor; departments all");
        assert_eq!(
            of(&["all-listen", "admins"]).unwrap(),
            "administrator,listener,supervisor; departments all"
        );
        for mixed in
            [["tax-listen", "care-contact"], ["tax-listen", "admins"], ["all-listen", "care-contact"]]
        {
            assert!(matches!(of(&mixed), Err(NoRights::Mixed { .. })), "{mixed:?}");
        }
    }

    #[test]
    fn a_role_with_a_delimitation_is_for_the_departments_that_the_claim_names() {
        let role = "http://x.dk/roles/usersystemrole/optag_listener/1";
        let of = |units: Value| given(json!({"roles": [role], "delimitation": {"unit": units}}));
        assert_eq!(of(json!(["tax", " care "])).unwrap(), "listener; departments care, tax");
        assert_eq!(of(json!("tax")).unwrap(), "listener; departments tax");
        // It is an id like others.
        let rights = rights(&settings(), &json!({"roles": [role], "delimitation": {"unit": "all"}})).unwrap();
        assert!(!rights.departments.are_all());
        for nowhere in [json!([]), json!(""), json!(null), json!({"tax": 1})] {
            assert!(matches!(of(nowhere), Err(NoRights::NoMapping(_))));
        }
    }
}
