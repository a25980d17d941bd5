//! Finds the configuration and the installation that a command uses.
//!
//! In: the arguments, the environment, `./optag.toml`. Out: a checked [`Config`]. Only `serve` and `demo` create an
//! installation; every other command requires one, so that a mistyped directory is an error instead of an empty
//! archive.

use std::path::{Path, PathBuf};

use crate::cli::ConfigArgs;
use crate::config::{Config, Written};

/// File used if no other is given.
const USUAL_FILE: &str = "optag.toml";
/// What `optag serve` leaves in its data directory: any one of them identifies an installation.
const TRACES: [&str; 5] = ["tokens.json", "deletions.log", "index.sqlite", "master.key", "spool/segments"];

/// Why a command cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallationError {
    /// No recorder has run there.
    #[error(
        "no installation in {}: check --data, --config and the working directory (`optag serve` creates one)",
        .0.display()
    )]
    Missing(PathBuf),
}

/// The configuration given by the arguments: `--config`, else `./optag.toml` if it exists, else the defaults.
///
/// Errors: the file cannot be read, or a value is invalid.
pub(super) fn load_config(args: &ConfigArgs) -> anyhow::Result<Config> {
    load_written(args).map(|(_, config)| config)
}

/// The same, with what is needed to compare it with a later one.
///
/// Errors: as of [`load_config`].
pub(super) fn load_written(args: &ConfigArgs) -> anyhow::Result<(Written, Config)> {
    let usual = Path::new(USUAL_FILE);
    let file = args.config.as_deref().or_else(|| usual.exists().then_some(usual));
    // Before anything is read: stored prompts are in the data directory.
    let data = args.data.as_ref().map(|data| ("OPTAG_DATA_DIR".to_owned(), data.display().to_string()));
    let (written, mut config) = Written::load(file, std::env::vars().chain(data))?;
    if let Some(data) = &args.data {
        config.set_data_dir(data);
    }
    Ok((written, config))
}

/// As [`load_config`], for a command that needs an existing installation.
///
/// Errors: also [`InstallationError`]; nothing is created.
pub(super) fn existing(args: &ConfigArgs) -> anyhow::Result<Config> {
    let config = load_config(args)?;
    let dir = &config.data_dir;
    let used =
        TRACES.iter().any(|name| dir.join(name).exists()) || config.spool.dir.join("segments").exists();
    if !used {
        return Err(InstallationError::Missing(dir.clone()).into());
    }
    Ok(config)
}
