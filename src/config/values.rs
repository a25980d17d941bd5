//! Checks of single values.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::config::error::ConfigError;

/// The error of a value that is not allowed.
pub(super) fn wrong(key: &str, allowed: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), allowed: allowed.to_owned() }
}

/// A number within its range.
pub(super) fn number(key: &str, value: i64, range: RangeInclusive<i64>) -> Result<u64, ConfigError> {
    match range.contains(&value) {
        true => Ok(value as u64),
        false => Err(wrong(key, &format!("{} to {} is allowed, not {value}", range.start(), range.end()))),
    }
}

/// A path, or one below the data directory if it is empty.
pub(super) fn path_or(text: &str, data_dir: &Path, name: &str) -> PathBuf {
    match text {
        "" => data_dir.join(name),
        text => PathBuf::from(text),
    }
}
