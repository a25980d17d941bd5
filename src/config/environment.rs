//! The environment, which overrides the file: `OPTAG_API_LISTEN` is `listen` of `[api]`. In: the configuration as written,
//! and variables. Out: the same with their values. Blocks that may stand several times come from the file alone.

use crate::config::error::ConfigError;
use crate::config::raw::{RawConfig, nearest};

/// Environment variable that tells a program which descriptors an upgrade passed on to it; not a setting.
pub const HANDOVER_VARIABLE: &str = "OPTAG_HANDOVER";

/// Variables that the commands read themselves.
const NOT_SETTINGS: [&str; 5] =
    ["OPTAG_CONFIG", "OPTAG_TOKEN", "OPTAG_URL", "OPTAG_MASTER_KEY", HANDOVER_VARIABLE];
/// Whether Kubernetes sets such a variable, in every container beside a service whose name begins with
/// `optag`: `{NAME}_SERVICE_HOST`, `{NAME}_SERVICE_PORT`, `{NAME}_SERVICE_PORT_{PORT}`, `{NAME}_PORT`,
/// `{NAME}_PORT_{N}_{TCP|UDP|SCTP}` and that with `_PROTO`, `_PORT`, `_ADDR`.
/// Source: Kubernetes, "Service", environment variables, after Docker's links.
fn is_service_link(name: &str, value: &str) -> bool {
    let after_port = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let known = ["_TCP", "_UDP", "_SCTP"].iter().find_map(|kind| rest.strip_prefix(kind));
        known.is_some_and(|end| ["", "_PROTO", "_PORT", "_ADDR"].contains(&end))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && value.contains("://")
        || name.match_indices("_PORT_").any(|(at, found)| after_port(&name[at + found.len()..]))
}

/// Lets `OPTAG_…` variables override; a value takes the type that the setting has.
pub(super) fn with_env(raw: RawConfig, env: &[(String, String)]) -> Result<RawConfig, ConfigError> {
    let mut table = toml::Table::try_from(&raw).expect("settings are strings, integers and flags");
    let mut known = Vec::new();
    variables("OPTAG", &[], &table, &mut known);
    for (name, value) in env {
        if !name.starts_with("OPTAG_") || NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        let Some((_, path)) = known.iter().find(|(variable, _)| variable == name) else {
            if is_service_link(name, value) {
                continue;
            }
            let nearest = nearest(name, known.iter().map(|(variable, _)| variable.as_str()));
            return Err(ConfigError::UnknownVariable { name: name.clone(), nearest });
        };
        if let Some(place) = place(&mut table, path) {
            *place = typed(place, name, value)?;
        }
    }
    Ok(table.try_into().expect("the values kept their types"))
}

/// Every variable with the path of its key.
fn variables(prefix: &str, path: &[String], table: &toml::Table, known: &mut Vec<(String, Vec<String>)>) {
    for (name, value) in table {
        let variable = format!("{prefix}_{name}").to_uppercase();
        let path = [path, std::slice::from_ref(name)].concat();
        match value {
            toml::Value::Table(keys) => variables(&variable, &path, keys, known),
            toml::Value::Array(_) => {}
            _ => known.push((variable, path)),
        }
    }
}

/// The value at a path.
fn place<'a>(table: &'a mut toml::Table, path: &[String]) -> Option<&'a mut toml::Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get_mut(first)?;
    match rest {
        [] => Some(value),
        rest => place(value.as_table_mut()?, rest),
    }
}

fn typed(like: &toml::Value, name: &str, value: &str) -> Result<toml::Value, ConfigError> {
    let wrong = |expected| ConfigError::Variable { name: name.to_owned(), expected };
    Ok(match like {
        toml::Value::Integer(_) => {
            toml::Value::Integer(value.trim().parse().map_err(|_| wrong("a whole number"))?)
        }
        toml::Value::Boolean(_) => {
            toml::Value::Boolean(value.trim().parse().map_err(|_| wrong("true or false"))?)
        }
        _ => toml::Value::String(value.to_owned()),
    })
}
