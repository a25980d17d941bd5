//! Which configuration a command works with, and whether it finds an installation there.
//!
//! In: the arguments, the environment, `./optag.toml`. Out: a checked [`Config`]. Only `serve` and
//! `demo` create an installation; every other command works on one that exists, so that a mistyped
//! directory is an error and not an empty archive in which nothing is found.

use std::path::{Path, PathBuf};

use crate::cli::ConfigArgs;
use crate::config::Config;

/// The file that counts where no other is named.
const USUAL_FILE: &str = "optag.toml";
/// What `optag serve` leaves in its data directory: any one of them makes it an installation.
const TRACES: [&str; 5] = ["tokens.json", "deletions.log", "index.sqlite", "master.key", "spool/segments"];

/// Why a command cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallationError {
    /// Nobody ran a recorder there.
    #[error(
        "no installation in {}: check --data, --config and the working directory (`optag serve` creates one)",
        .0.display()
    )]
    Missing(PathBuf),
}

/// The configuration that the arguments name: `--config`, else `./optag.toml` where there is one,
/// else the defaults.
///
/// Errors: the file cannot be read, or a value is wrong.
pub(super) fn load_config(args: &ConfigArgs) -> anyhow::Result<Config> {
    let usual = Path::new(USUAL_FILE);
    let file = args.config.as_deref().or_else(|| usual.exists().then_some(usual));
    let mut config = Config::load(file, std::env::vars())?;
    if let Some(data) = &args.data {
        config.set_data_dir(data);
    }
    Ok(config)
}

/// As [`load_config`], for a command that works on what is there.
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
