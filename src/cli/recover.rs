//! `optag recover`: delivers the spool of a dead recorder, from its disk or a copy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

use super::ConfigArgs;
use super::installation::existing;
use crate::app::master_key;
use crate::app::open::{Opened, open};
use crate::config::MasterKeySource;
use crate::delivery::Delivery;
use crate::erasure::deletion_log::DeletionLog;
use crate::recorder::recovery::settle_recovered;
use crate::recorder::resume::Resumed;
use optag_files::disk::{Disk, OsDisk};
use optag_storage::archive::seal::day_keys::DayKeys;

/// Deliver the spool of a failed recorder from this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  optag recover --spool /mnt/dead/optag-data/spool --config /etc/optag.toml

Its master key, deletion log and keys of the days are looked for beside the spool; where there is no
master key, this node's counts if it is given by OPTAG_MASTER_KEY or a command. What its log says is
erased is not delivered. Recordings go to the store and the index of this configuration, sealed with
this node's keys. A recording that is in the store already is not stored again. Done twice, it is
done once. Stop the recorder that works on this configuration's data first.")]
pub struct RecoverArgs {
    /// The dead recorder's spool directory.
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,
    /// Its master key; default: master.key beside the spool, else this node's from elsewhere.
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// Its deletion log; default: deletions.log beside the spool.
    #[arg(long, value_name = "FILE")]
    deletions: Option<PathBuf>,
    /// Its directory of day keys; default: keys beside the spool.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: RecoverArgs) -> anyhow::Result<ExitCode> {
    let mut config = existing(&args.config)?;
    if !args.spool.join("segments").is_dir() {
        bail!("{} is not a spool directory", args.spool.display());
    }
    let beside = args.spool.parent().unwrap_or(Path::new("."));
    let file = args.master_key.clone().unwrap_or_else(|| beside.join("master.key"));
    let theirs = match &config.spool.master_key {
        _ if file.exists() => MasterKeySource::File(file),
        // Nodes of one store have one master key.
        shared @ (MasterKeySource::Environment(_) | MasterKeySource::Command(_))
            if args.master_key.is_none() =>
        {
            shared.clone()
        }
        _ => bail!("no master key at {}: without it the spool cannot be read", file.display()),
    };
    // A running recorder holds the lock of its own spool.
    std::fs::create_dir_all(&config.spool.dir)?;
    let own = config.spool.dir.join("lock");
    let _own = OsDisk
        .lock(&own)
        .with_context(|| format!("a recorder is running on {}; stop it first", config.data_dir.display()))?;
    // The dead recorder's spool and master key; everything else is this installation's.
    config.seal.master_key = Some(std::mem::replace(&mut config.spool.master_key, theirs.clone()));
    config.spool.dir.clone_from(&args.spool);
    let opened = open(Arc::new(config), None, |_| {}).await?.alone()?;
    let keys = args.keys.unwrap_or_else(|| beside.join("keys"));
    let taken = take_keys(&opened, &keys, &theirs).await?;
    let deletions = args.deletions.unwrap_or_else(|| beside.join("deletions.log"));
    let erased = take_deletions(&opened, &deletions).await?;
    let learned = opened.erasure.learn_orders().await;
    learned.context("cannot learn what other nodes have erased; nothing is delivered before")?;
    settle_recovered(&opened.recovered, &Resumed::default(), &opened.erasure, &opened.deliveries).await?;
    let waiting = opened.deliveries.len();
    println!("{waiting} calls to deliver; {taken} day keys and {erased} erasures imported");
    let delivery = Delivery::new(Arc::clone(&opened.deliveries), Arc::clone(&opened.erasure));
    delivery.until_settled().await;
    let left = opened.erasure.complete_open().await;
    println!("{waiting} calls delivered{}", if left > 0 { "; some erasures are incomplete" } else { "" });
    let spool = opened.stores.spool.clone();
    tokio::task::spawn_blocking(move || spool.close()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Imports the dead recorder's day keys, which open what it delivered. Their expiry is unchanged.
async fn take_keys(opened: &Opened, dir: &Path, master: &MasterKeySource) -> anyhow::Result<usize> {
    if !dir.is_dir() {
        return Ok(0);
    }
    let (secret, _) = master_key::load(master).await?;
    let theirs = DayKeys::open(dir, secret.key()?).context("cannot open the dead recorder's day keys")?;
    let mut taken = 0;
    for key in theirs.list()? {
        opened.stores.vault.keys().bring_in(key.day, theirs.identity(&key)?, key.needed_until)?;
        taken += 1;
    }
    Ok(taken)
}

/// Imports the dead recorder's erasures before anything is delivered.
async fn take_deletions(opened: &Opened, file: &Path) -> anyhow::Result<usize> {
    if !file.exists() {
        tracing::warn!(file = %file.display(), "no deletion log found: erasures ordered on the dead recorder are unknown");
        return Ok(0);
    }
    let theirs = DeletionLog::open(file).context("cannot open the dead recorder's deletion log")?;
    let mut taken = 0;
    for id in theirs.all() {
        let Some((order, _)) = theirs.history(id)?.filter(|_| !opened.erasure.log.is_erased(id)) else {
            continue;
        };
        opened.erasure.take_over(order).await?;
        taken += 1;
    }
    Ok(taken)
}
