//! Configuration errors.

use std::path::PathBuf;

/// Why a configuration was not accepted. The message says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The text is no TOML, or a value has the wrong type.
    #[error("line {line}: {reason}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// The parser's reason.
        reason: String,
    },
    /// A key that does not exist.
    #[error("line {line}: unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// Counted from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// The most similar known key there.
        nearest: String,
    },
    /// An environment variable that names no key.
    #[error("environment variable {name}: unknown setting; did you mean {nearest}?")]
    UnknownVariable {
        /// The variable as set.
        name: String,
        /// The most similar known one.
        nearest: String,
    },
    /// An environment variable whose value has the wrong type.
    #[error("environment variable {name}: expected {expected}")]
    Variable {
        /// The variable.
        name: String,
        /// The type that the setting has.
        expected: &'static str,
    },
    /// A value outside its range.
    #[error("{key}: {allowed}")]
    Value {
        /// `section.key`.
        key: String,
        /// What is allowed, as a sentence.
        allowed: String,
    },
    /// A file or directory that a key names is missing or cannot be used.
    #[error("{key}: cannot use {}: {reason}", path.display())]
    Unusable {
        /// `section.key`.
        key: &'static str,
        /// What it names.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}
