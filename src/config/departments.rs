//! Checks of `[[department]]`.

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::raw::RawDepartment;
use optag_core::call::{ConsentKeys, Department, Prompt};
use optag_core::limit;

/// Longest key sequence.
const SEQUENCE_KEYS: usize = 8;

/// Checks all departments; what one leaves out comes from `default_days` and `default_timeout_s`.
pub(super) fn check(
    raw: Vec<RawDepartment>,
    prompts: &[Prompt],
    default_days: u8,
    default_timeout_s: u64,
    asked: &[String],
) -> Result<Vec<Department>, ConfigError> {
    let mut departments: Vec<Department> = Vec::with_capacity(raw.len());
    for one in raw {
        let id = one.id.clone();
        let wrong = |key: &str, allowed: String| ConfigError::Value {
            key: format!("department `{id}`{}{key}", if key.is_empty() { "" } else { ", " }),
            allowed,
        };
        if departments.iter().any(|other| other.id == one.id) {
            return Err(wrong("", "the id is used twice; each department needs its own".into()));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if one.id.is_empty() || one.id.len() > 64 || !one.id.chars().all(plain) {
            return Err(wrong("id", "1 to 64 letters a-z, digits, `-` or `_`".into()));
        }
        if one.name.is_empty() || one.name.chars().count() > limit::TEXT_CHARS {
            return Err(wrong("name", format!("1 to {} characters", limit::TEXT_CHARS)));
        }
        let days = one.retention_days.unwrap_or(i64::from(default_days));
        if !(1..=i64::from(limit::RETENTION_DAYS)).contains(&days) {
            return Err(wrong("retention_days", format!("1 to {} days", limit::RETENTION_DAYS)));
        }
        let timeout_s = one.consent_timeout_s.unwrap_or(default_timeout_s as i64);
        if !(1..=600).contains(&timeout_s) {
            return Err(wrong("consent_timeout_s", "1 to 600 seconds".into()));
        }
        check_keys(&one.keys).map_err(|(key, allowed)| wrong(key, allowed))?;
        let mut own = Vec::new();
        for version in &one.prompts {
            let named = prompts
                .iter()
                .find(|prompt| prompt.version == *version && prompt.covers.contains(&one.id))
                .ok_or_else(|| {
                    wrong("prompts", format!("`{version}` is no prompt that names this department"))
                })?;
            own.push(named.clone());
        }
        departments.push(Department {
            asked_before: asked.contains(&one.id),
            id: one.id,
            name: one.name,
            numbers: one.numbers,
            record: one.record,
            retention_days: days as u8,
            keys: one.keys,
            consent_timeout: Duration::from_secs(timeout_s as u64),
            prompts: own,
        });
    }
    match departments.is_empty() {
        true => {
            Err(ConfigError::Value { key: "department".into(), allowed: "at least one is needed".into() })
        }
        false => Ok(departments),
    }
}

/// No sequence may begin with another: the shorter one would always be heard first.
pub(super) fn check_keys(keys: &ConsentKeys) -> Result<(), (&'static str, String)> {
    let all = [("keys.yes", &keys.yes), ("keys.no", &keys.no), ("keys.withdraw", &keys.withdraw)];
    for (name, sequence) in all {
        let valid = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D');
        if sequence.is_empty() || sequence.len() > SEQUENCE_KEYS || !sequence.chars().all(valid) {
            return Err((name, format!("1 to {SEQUENCE_KEYS} of the keys 0-9 * # A-D")));
        }
        if let Some((other, _)) =
            all.iter().find(|(other, longer)| *other != name && longer.starts_with(sequence.as_str()))
        {
            return Err((name, format!("must not equal or be a prefix of {other}")));
        }
    }
    Ok(())
}
