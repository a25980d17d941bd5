//! The `[sign_in.oidc]` section: from raw to checked.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::auth::provider::settings::{MappedDepartments, Mapping, ProviderSettings};
use crate::auth::user::{BadUser, Rights};
use crate::auth::{Departments, Role, Roles};
use crate::config::error::ConfigError;
use crate::config::raw::{RawMapping, RawOidc};
use crate::config::values::{number, wrong};
use optag_core::private::Private;

/// Maximum number of mappings.
const MAPPINGS: usize = 500;
/// Longest name of the provider. Units: characters.
const NAME_CHARS: usize = 60;

/// What of the configuration the section must fit to.
pub(super) struct Around<'a> {
    /// `sign_in.url`.
    pub url: &'a str,
    /// `sign_in.four_eyes`.
    pub four_eyes: bool,
    /// Ids of departments.
    pub departments: &'a [&'a str],
}

/// Checks the section. `None`: there is no provider.
pub(super) fn check(raw: RawOidc, around: &Around<'_>) -> Result<Option<ProviderSettings>, ConfigError> {
    let wrong = |key: &str, allowed: &str| wrong(&format!("sign_in.oidc.{key}"), allowed);
    if raw.issuer.is_empty() {
        return match raw == RawOidc::default() {
            true => Ok(None),
            false => Err(wrong("issuer", "required: the https:// address of the provider")),
        };
    }
    let issuer = Url::parse(&raw.issuer).ok().filter(|url| url.has_host());
    let issuer = issuer.ok_or_else(|| wrong("issuer", "a URL such as https://login.example/realms/city"))?;
    if issuer.scheme() != "https" && !(issuer.scheme() == "http" && raw.allow_http) {
        return Err(wrong("issuer", "https; http only with allow_http = true"));
    }
    if issuer.query().is_some() || issuer.fragment().is_some() || !issuer.username().is_empty() {
        return Err(wrong("issuer", "no user, query or fragment"));
    }
    if around.url.is_empty() {
        return Err(super::values::wrong(
            "sign_in.url",
            "required with sign_in.oidc.issuer: the provider sends people back there",
        ));
    }
    if raw.client_id.trim().is_empty() {
        return Err(wrong("client_id", "required: as whom the recorder is registered at the provider"));
    }
    let name = match raw.name.trim() {
        "" => issuer.host_str().unwrap_or_default().to_owned(),
        name => name.to_owned(),
    };
    if name.chars().count() > NAME_CHARS || name.chars().any(|c| c.is_control() || "<>&\"'".contains(c)) {
        return Err(wrong("name", &format!("at most {NAME_CHARS} characters, without < > & and quotes")));
    }
    if raw.user_claim.trim().is_empty() {
        return Err(wrong("user_claim", "the name of a claim, such as preferred_username"));
    }
    let listed = |text: &str, by: &[char]| -> Vec<String> {
        text.split(by).map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    };
    let group_claims = listed(&raw.group_claims, &[',']);
    if group_claims.is_empty() {
        return Err(wrong("group_claims", "at least one claim, such as groups"));
    }
    if raw.mapping.is_empty() || raw.mapping.len() > MAPPINGS {
        return Err(wrong(
            "mapping",
            &format!("1 to {MAPPINGS} [[sign_in.oidc.mapping]]: nobody else gets in"),
        ));
    }
    let proxy = match Url::parse(&raw.proxy) {
        _ if raw.proxy.is_empty() => None,
        Ok(url) if ["http", "https"].contains(&url.scheme()) => Some(Private::new(raw.proxy)),
        _ => return Err(wrong("proxy", "a URL such as http://proxy.example:3128, or empty")),
    };
    let mappings = raw.mapping.iter().enumerate().map(|(at, one)| mapping(one, at, around));
    let path = |text: String| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
    Ok(Some(ProviderSettings {
        client_id: raw.client_id.trim().to_owned(),
        client_secret_file: path(raw.client_secret_file),
        name,
        scopes: listed(&raw.scopes, &[',', ' ']).into_iter().filter(|scope| scope != "openid").collect(),
        user_claim: raw.user_claim.trim().to_owned(),
        group_claims,
        mappings: mappings.collect::<Result<_, _>>()?,
        leeway: Duration::from_secs(number("sign_in.oidc.leeway_s", raw.leeway_s, 0..=300)?),
        ca_file: path(raw.ca_file),
        proxy,
        allow_http: raw.allow_http,
        issuer: raw.issuer,
    }))
}

fn mapping(raw: &RawMapping, at: usize, around: &Around<'_>) -> Result<Mapping, ConfigError> {
    let wrong = |key: &str, allowed: &str| wrong(&format!("sign_in.oidc.mapping[{at}].{key}"), allowed);
    if raw.group.trim().is_empty() {
        return Err(wrong("group", "required: a group or role as it stands in the claim"));
    }
    let roles: Roles = raw.roles.parse().map_err(|error| wrong("roles", &format!("{error}")))?;
    if around.four_eyes && roles.iter().any(|role| role == Role::Admin) {
        return Err(wrong(
            "roles",
            "admin hears and administers, which needs sign_in.four_eyes = false; give the separate roles",
        ));
    }
    let fixed = match raw.departments.trim() {
        "" => None,
        "all" => Some(Departments::All),
        ids => Some(Departments::only(ids.split(',').map(str::trim).filter(|id| !id.is_empty()))),
    };
    if let Some(Departments::Only(ids)) = &fixed
        && let Some(unknown) = ids.iter().find(|id| !around.departments.contains(&id.as_str()))
    {
        return Err(wrong("departments", &format!("no department has the id `{unknown}`")));
    }
    let claim = raw.departments_claim.trim();
    let given = match claim {
        "" => fixed.clone(),
        // What the claim will have.
        _ => Some(Departments::only(["x"])),
    };
    let rights = Rights::new(roles.clone(), given).map_err(|error| match error {
        BadUser::Machine => wrong("roles", &error.to_string()),
        BadUser::NoDepartments => wrong("departments", "ids with commas, or all; or departments_claim"),
        error => wrong("departments", &error.to_string()),
    })?;
    let departments = match (claim, fixed) {
        ("", _) => MappedDepartments::Fixed(rights.departments),
        (claim, None) => MappedDepartments::Claim(claim.to_owned()),
        (_, Some(_)) => return Err(wrong("departments_claim", "not beside departments")),
    };
    Ok(Mapping { group: raw.group.trim().to_owned(), roles, departments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const ONE: &str = "[sign_in]\nurl = 'https://optag.example'\n[sign_in.oidc]\nissuer = 'https://login.example/realms/city'\n\
        client_id = 'optag'\n[[sign_in.oidc.mapping]]\ngroup = 'optag-trainers'\nroles = 'listener'\ndepartments = 'demo'\n";

    fn provider(text: &str) -> ProviderSettings {
        Config::parse(text, []).unwrap().sign_in.provider.unwrap()
    }

    #[test]
    fn a_provider_is_described_by_five_keys_and_the_rest_has_usual_values() {
        assert_eq!(Config::default().sign_in.provider, None);
        let one = provider(ONE);
        assert_eq!(
            (one.issuer.as_str(), one.name.as_str()),
            ("https://login.example/realms/city", "login.example")
        );
        assert_eq!(
            (one.scopes, one.group_claims.len(), one.leeway.as_secs()),
            (vec!["profile".to_owned()], 3, 60)
        );
        let mapping = &one.mappings[0];
        assert_eq!(mapping.departments, MappedDepartments::Fixed(Departments::only(["demo"])));
        let claimed = ONE.replace("departments = 'demo'", "departments_claim = 'delimitation.department'");
        let claimed = &provider(&claimed).mappings[0].departments;
        assert_eq!(*claimed, MappedDepartments::Claim("delimitation.department".into()));
        let auditor = ONE.replace("listener", "auditor").replace("departments = 'demo'", "");
        assert_eq!(provider(&auditor).mappings[0].departments, MappedDepartments::Fixed(Departments::All));
        let env = [("OPTAG_SIGN_IN_OIDC_CLIENT_ID".to_owned(), "other".to_owned())];
        assert_eq!(Config::parse(ONE, env).unwrap().sign_in.provider.unwrap().client_id, "other");
        assert_eq!(one.client_secret_file, None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let more =
            |text: &str| ONE.replace("client_id = 'optag'\n", &format!("client_id = 'optag'\n{text}\n"));
        for (text, key) in [
            (ONE.replace("url = 'https://optag.example'\n", ""), "sign_in.url"),
            (ONE.replace("issuer = 'https://login.example/realms/city'\n", ""), "sign_in.oidc.issuer"),
            (ONE.replace("https://login", "http://login"), "sign_in.oidc.issuer"),
            (ONE.replace("realms/city", "realms/city?x=1"), "sign_in.oidc.issuer"),
            (ONE.replace("client_id = 'optag'\n", ""), "sign_in.oidc.client_id"),
            (more("name = '<b>'"), "sign_in.oidc.name"),
            (more("user_claim = ''"), "sign_in.oidc.user_claim"),
            (more("group_claims = ' '"), "sign_in.oidc.group_claims"),
            (more("leeway_s = 301"), "sign_in.oidc.leeway_s"),
            (more("proxy = 'proxy'"), "sign_in.oidc.proxy"),
            (ONE.split("[[").next().unwrap().to_owned(), "sign_in.oidc.mapping"),
            (ONE.replace("'optag-trainers'", "''"), "sign_in.oidc.mapping[0].group"),
            (ONE.replace("listener", "king"), "sign_in.oidc.mapping[0].roles"),
            (ONE.replace("listener", "feed"), "sign_in.oidc.mapping[0].roles"),
            (ONE.replace("listener", "admin").replace("'demo'", "'all'"), "sign_in.oidc.mapping[0].roles"),
            (ONE.replace("'demo'", "'dmeo'"), "sign_in.oidc.mapping[0].departments"),
            (ONE.replace("departments = 'demo'", ""), "sign_in.oidc.mapping[0].departments"),
            (ONE.replace("listener", "administrator"), "sign_in.oidc.mapping[0].departments"),
            (format!("{ONE}departments_claim = 'x'"), "sign_in.oidc.mapping[0].departments_claim"),
        ] {
            let error = Config::parse(&text, []).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
        let alone = "[sign_in]\nlocal = false\n";
        assert!(Config::parse(alone, []).unwrap_err().to_string().contains("sign_in.local"));
        let everything = ONE.replace("listener", "admin").replace("'demo'", "'all'");
        let everything = everything.replace("[sign_in]\n", "[sign_in]\nfour_eyes = false\nlocal = false\n");
        assert!(!Config::parse(&everything, []).unwrap().sign_in.local);
    }
}
