//! `optag doctor`: what a new installation gets wrong, and how to mend it.
//!
//! In: a checked configuration. Out: findings, one for each thing that was looked at. It starts no recorder and leaves
//! nothing behind; in the store it writes a small object and removes it. Not here: whether index, store and audit agree
//! (`erasure::consistency_check`).

mod backends;
mod disk;
mod network;
mod provider;

use std::fmt::Display;

use serde::Serialize;

use crate::config::Config;

pub use provider::provider;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and may fail later or under load.
    Warning,
    /// Calls would not be recorded, stored or protected as promised.
    Wrong,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: a key of the configuration, or an operation.
    pub check: String,
    /// How bad it is.
    pub state: State,
    /// What was found, without secrets.
    pub detail: String,
    /// What to do about it; empty if nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mend: String,
}

impl Finding {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, detail: detail.into(), mend: String::new() }
    }

    fn warning(check: impl Into<String>, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Warning, detail: detail.into(), mend: mend.into() }
    }

    fn wrong(check: impl Into<String>, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Wrong, ..Self::warning(check, detail, mend) }
    }

    /// What came of trying something.
    fn of(check: &str, tried: Result<String, impl Display>, mend: &str) -> Self {
        match tried {
            Ok(detail) => Self::ok(check, detail),
            Err(error) => Self::wrong(check, error.to_string(), mend),
        }
    }
}

/// Looks at everything.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let running = disk::recorder_runs(config);
    let mut findings = vec![match config.check_files() {
        Ok(()) => Finding::ok("configuration", "every file that it names can be used"),
        Err(error) => {
            Finding::wrong("configuration", error.to_string(), "correct the key, or the file that it names")
        }
    }];
    if running {
        findings.push(Finding::ok("recorder", "one runs on this data directory; its ports are not tried"));
    }
    findings.extend(network::ports(config, running));
    findings.extend(network::limits(config));
    findings.extend(disk::room(config));
    findings.extend(disk::modes(config));
    findings.extend(disk::certificates(config));
    findings.extend(network::names(config).await);
    findings.extend(backends::clock());
    findings.extend(backends::store(config).await);
    findings.extend(backends::database(config).await);
    findings.extend(provider::provider(config).await);
    findings
}
