//! What of a changed configuration a running recorder takes.
//!
//! In: the configuration as written at the start, and as written now. Out: a checked configuration in which only what can
//! change at run time has changed, and the keys that need a restart. Not here: what the parts do with it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::error::ConfigError;
use crate::config::raw::{self, RawConfig};
use crate::config::settings::Config;
use crate::config::{check, environment, read};

/// Keys that a running recorder takes. `department` and `prompt` are all blocks of that name.
const TAKEN: [&str; 7] = [
    "department",
    "prompt",
    "consent.timeout_s",
    "retention.default_days",
    "log.level",
    "employees.objecting",
    "employees.on_objection",
];

/// A configuration as written. It may hold secrets, so it is not printed.
pub struct Written {
    raw: RawConfig,
    env: Vec<(String, String)>,
}

/// What a reload changes.
pub struct Changes {
    /// The configuration that counts from now on: the running one, with what can be taken of the new one.
    pub config: Config,
    /// Changed keys that are taken.
    pub taken: Vec<String>,
    /// Changed keys that need a restart.
    pub restart: Vec<String>,
}

impl Written {
    /// Reads a file, if there is one, lets `env` override it, and checks every value, as [`Config::load`].
    ///
    /// Errors: as of [`Config::load`].
    pub fn load(
        path: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Config), ConfigError> {
        Self::parse(&read(path)?, env)
    }

    fn parse(
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Config), ConfigError> {
        let env: Vec<_> = env.into_iter().collect();
        let raw = environment::with_env(raw::from_toml(text)?, &env)?;
        let config = check::check(raw.clone(), &env)?;
        Ok((Self { raw, env }, config))
    }

    /// Takes of `newer` what can be taken. Nothing changes on an error.
    ///
    /// Errors: what can be taken does not fit what stays: a default department that is gone, say.
    pub fn reload(&mut self, newer: &Written) -> Result<Changes, ConfigError> {
        let (before, now) = (keys(&self.raw), keys(&newer.raw));
        let changed =
            now.into_iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| key);
        let (taken, restart): (Vec<_>, Vec<_>) = changed.partition(|key| TAKEN.contains(&key.as_str()));
        let mut raw = self.raw.clone();
        raw.department.clone_from(&newer.raw.department);
        raw.prompt.clone_from(&newer.raw.prompt);
        raw.consent.timeout_s = newer.raw.consent.timeout_s;
        raw.retention.default_days = newer.raw.retention.default_days;
        raw.log.level.clone_from(&newer.raw.log.level);
        raw.employees.clone_from(&newer.raw.employees);
        let config = check::check(raw.clone(), &self.env)?;
        self.raw = raw;
        Ok(Changes { config, taken, restart })
    }
}

/// Every key with its value; blocks by their name alone.
fn keys(raw: &RawConfig) -> BTreeMap<String, toml::Value> {
    let table = toml::Table::try_from(raw).expect("settings are strings, integers and flags");
    let mut found = BTreeMap::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(section) => {
                found.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => drop(found.insert(name, value)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Written {
        Written::parse(text, []).unwrap().0
    }

    const DEPARTMENTS: &str = "[[department]]\nid = 'a'\nname = 'A'\nrecord = true\n";

    #[test]
    fn what_can_be_taken_is_taken_and_the_rest_is_named() {
        let mut running = written(&format!("[log]\nlevel = 'info'\n{DEPARTMENTS}"));
        let text = format!(
            "[log]\nlevel = 'debug'\n[rtp]\ntimeout_s = 90\n[consent]\ntimeout_s = 9\n[[sip.client]]\n\
             addresses = '192.0.2.1'\n{DEPARTMENTS}[[department]]\nid = 'b'\nname = 'B'\n"
        );
        let changes = running.reload(&written(&text)).unwrap();
        assert_eq!(changes.taken, ["consent.timeout_s", "department", "log.level"]);
        assert_eq!(changes.restart, ["rtp.timeout_s", "sip.client"]);
        let config = changes.config;
        assert_eq!(config.log.level, "debug");
        assert_eq!(config.rtp.timeout.as_secs(), 60, "as it was");
        let timeouts: Vec<_> = config.departments.iter().map(|one| one.consent_timeout.as_secs()).collect();
        assert_eq!(timeouts, [9, 9]);
        // The same again: what was taken is no change any more, what needs a restart still is one.
        let changes = running.reload(&written(&text)).unwrap();
        assert_eq!((changes.taken.len(), changes.restart.len()), (0, 2));
    }

    #[test]
    fn what_does_not_fit_what_stays_changes_nothing() {
        let with_default = |id: &str| {
            format!("[sip]\ndefault_department = '{id}'\n[[department]]\nid = '{id}'\nname = 'A'\n")
        };
        let mut running = written(&with_default("a"));
        // The default department needs a restart, and the old one is gone.
        assert!(running.reload(&written(&with_default("b"))).is_err());
        let changes = running.reload(&written(&with_default("a"))).unwrap();
        assert_eq!(changes.config.departments[0].id, "a");
        assert!(changes.taken.is_empty());
    }
}
