//! `optag keys`: day keys. Works beside a running recorder, which applies changes at once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::civil::Date;

use super::ConfigArgs;
use super::installation::existing;
use crate::app::master_key;
use crate::config::{Config, MasterKeySource};
use optag_core::clock::{Clock, OsClock};
use optag_storage::archive::seal::day_keys::{DayKey, DayKeys, end_of};
use optag_storage::archive::seal::identity::Recipient;
use optag_storage::archive::vault::{Escrow, Vault};
use optag_storage::store::Store;
use optag_storage::store::names::day;

/// List, rotate, copy and destroy the day keys that seal recordings.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag keys list
  optag keys rotate                            seal new recordings with a new key
  optag keys export 2026-11-24 -o day.key      then: age -d -i day.key RECORDING.opus.age > call.opus
  optag keys escrow --to age1… --dir /mnt/safe copies readable with that recipient's identity
  optag keys destroy 2026-11-24 --yes          make every recording of that day unreadable, backups included

docs/guide/keys.md tells which keys there are, and what the loss of each means.")]
pub struct KeysArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List day, recipient, and until when each key is needed.
    List,
    /// Generate a new key for today; stored recordings stay readable.
    Rotate,
    /// Write a day's identities to a file, for `age -d -i FILE`.
    Export {
        /// The day of the calls, in UTC.
        day: Date,
        /// File to write; it must not exist.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Copy every key to the escrow named by the configuration or the options.
    Escrow {
        /// age recipient that the copies are encrypted for.
        #[arg(long, value_name = "RECIPIENT", value_parser = recipient)]
        to: Option<Recipient>,
        /// Directory to write them to; otherwise the store.
        #[arg(long, value_name = "DIR", requires = "to")]
        dir: Option<PathBuf>,
    },
    /// Destroy the keys of a day and their reachable copies.
    Destroy {
        /// The day of the calls, in UTC.
        day: Date,
        /// Confirm. This cannot be undone.
        #[arg(long)]
        yes: bool,
    },
}

fn recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|_| "expected an age recipient: age1 and 58 characters".to_owned())
}

/// Runs the command.
pub async fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let config = existing(&args.config)?;
    if let MasterKeySource::File(path) = &config.spool.master_key
        && !path.exists()
    {
        bail!("no master key at {}: no recorder has run here", path.display());
    }
    let (secret, _) = master_key::load(&config.spool.master_key).await?;
    let keys = Arc::new(DayKeys::open(&config.seal.keys_dir, secret.key()?)?);
    match args.action {
        Action::List => list(&keys)?,
        Action::Rotate => {
            let today = day(OsClock.wall());
            let key = keys.rotate(today, end_of(today).plus_days(longest_days(&config)))?;
            vault(&config, &keys, None)?.copy(&key).await?;
            println!("{}", line(&key));
        }
        Action::Export { day, output } => export(&keys, day, &output)?,
        Action::Escrow { to, dir } => {
            let vault = vault(&config, &keys, to.map(|to| Escrow { recipient: Some(to), dir }))?;
            let all = keys.list()?;
            if !vault.has_escrow() {
                bail!("set seal.escrow_to in the configuration, or --to and --dir here");
            }
            for key in &all {
                vault.copy(key).await?;
            }
            println!("{} keys copied", all.len());
        }
        Action::Destroy { day, yes } => {
            let doomed = keys.of(day)?;
            if doomed.is_empty() {
                bail!("no key for {day}");
            }
            if !yes {
                bail!("this makes every recording of {day} unreadable, backups included; confirm with --yes");
            }
            for key in doomed {
                keys.destroy(&key, None)?;
                println!("{}: destroyed", key.name());
            }
            vault(&config, &keys, None)?
                .remove_copies()
                .await
                .context("some copies could not be removed; run the command again")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(keys: &DayKeys) -> anyhow::Result<()> {
    for key in keys.list()? {
        println!("{}", line(&key));
    }
    for name in keys.destroyed()? {
        println!("{name}  destroyed; copies may remain");
    }
    Ok(())
}

fn line(key: &DayKey) -> String {
    format!("{}  needed until {}  {}", key.day, key.needed_until, key.recipient)
}

fn export(keys: &DayKeys, day: Date, output: &std::path::Path) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let found = keys.of(day)?;
    if found.is_empty() {
        bail!("no key for {day}: nothing was sealed that day, or the key was destroyed");
    }
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(output)
        .with_context(|| format!("cannot create {}", output.display()))?;
    for key in found {
        writeln!(file, "# optag, {}, {}", key.day, key.recipient)?;
        writeln!(file, "{}", keys.identity(&key)?.reveal().as_str())?;
    }
    file.sync_all()?;
    println!(
        "{}: delete it when done; the recorder does not destroy this file when the key expires",
        output.display()
    );
    Ok(())
}

fn vault(config: &Config, keys: &Arc<DayKeys>, escrow: Option<Escrow>) -> anyhow::Result<Vault> {
    let escrow = escrow.or_else(|| config.seal.escrow.clone());
    Ok(Vault::new(Store::open(&config.store)?, Arc::clone(keys), true, escrow))
}

/// Longest retention period of a recording made today. Units: days.
fn longest_days(config: &Config) -> i64 {
    config.departments.iter().map(|one| i64::from(one.retention_days)).max().unwrap_or_default()
}
