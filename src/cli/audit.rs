//! `optag audit`: verifies or exports the audit log.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use axum::http::Method;
use clap::{Args, Subcommand};
use futures::TryStreamExt;

use super::ConfigArgs;
use super::installation::existing;
use super::transport::Transport;
use crate::audit::{AuditLog, path_in, read_checkpoints};
use optag_core::signing::{Signed, Signer};
use optag_storage::store::Store;

/// Lines read at a time.
const LINES: u64 = 5_000;
/// Maximum size of a checkpoint. Units: bytes.
const CHECKPOINT_BYTES: u64 = 64 << 10;

/// Verify or export the audit log.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag audit verify
  optag audit verify --checkpoint /mnt/elsewhere/000000004711.json
  optag audit export -o audit-2026.jsonl
  optag audit verify --file audit-2026.jsonl --public-key 1f…")]
pub struct AuditArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the chain and compare it with the signed checkpoints, here and in the store. Works while a recorder runs. Exit code: 0 unmodified; 1 modified, truncated or cannot be read.
    Verify {
        /// Exported audit log to verify instead of this installation's own.
        #[arg(long, value_name = "FILE", requires = "public_key")]
        file: Option<PathBuf>,
        /// A checkpoint kept elsewhere; may be given several times.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// The public key in hexadecimal; otherwise this installation's.
        #[arg(long, value_name = "HEX")]
        public_key: Option<String>,
        /// Skip the checkpoints in the store.
        #[arg(long)]
        no_store: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Write the audit log to a file, and its checkpoints to FILE with the extension `checkpoints.jsonl`. The export is audited.
    Export {
        /// File to write; it must not exist.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs the command.
pub async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Verify { file, checkpoint, public_key, no_store, config } => {
            let mut anchors = Vec::new();
            for path in &checkpoint {
                let found = from_file(path)?;
                if found.is_empty() {
                    bail!("{} contains no checkpoint", path.display());
                }
                anchors.extend(found);
            }
            let (log, key) = match file {
                Some(file) => (AuditLog::new(file), public_key.unwrap_or_default()),
                None => {
                    let config = existing(&config)?;
                    if !config.signing_key_file.exists() {
                        bail!("no {}; has a recorder run here?", config.signing_key_file.display());
                    }
                    let signer = Signer::load_or_create(&config.signing_key_file)?;
                    if !no_store {
                        match from_store(&Store::open(&config.store)?, &signer.node()).await {
                            Ok(found) => anchors.extend(found),
                            Err(error) => println!("cannot compare the store's checkpoints: {error:#}"),
                        }
                    }
                    (AuditLog::new(path_in(&config.data_dir)), public_key.unwrap_or(signer.public_key()))
                }
            };
            verify(&log, &anchors, &key)
        }
        Action::Export { output, config } => export(output, &config).await,
    }
}

fn verify(log: &AuditLog, anchors: &[Signed], key: &str) -> anyhow::Result<ExitCode> {
    match log.verify_against(anchors, Some(key)) {
        Ok(verdict) => {
            println!(
                "entries {} to {} are unmodified; {} checkpoints compared, {} of them from elsewhere",
                verdict.first,
                verdict.last,
                verdict.compared,
                anchors.len()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            println!("{fault}");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn export(output: PathBuf, config: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(config).await?;
    let create = |path: &PathBuf| {
        let made = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
        made.with_context(|| format!("cannot create {}", path.display()))
    };
    let mut file = std::io::BufWriter::new(create(&output)?);
    let mut checkpoints = create(&output.with_extension("checkpoints.jsonl"))?;
    #[derive(serde::Deserialize)]
    struct Page {
        lines: Vec<Box<serde_json::value::RawValue>>,
        checkpoints: Vec<Box<serde_json::value::RawValue>>,
        last: u64,
        more: bool,
    }
    let (mut last, mut count) = (0, 0);
    loop {
        let query = [("after", last.to_string()), ("most", LINES.to_string())];
        let text = transport.text(Method::GET, "/api/v1/audit", &query).await?;
        let page: Page = serde_json::from_str(&text)?;
        for line in &page.lines {
            writeln!(file, "{}", line.get())?;
        }
        (last, count) = (page.last, count + page.lines.len());
        if !page.more {
            for one in page.checkpoints {
                writeln!(checkpoints, "{}", one.get())?;
            }
            break;
        }
    }
    file.into_inner()?.sync_all()?;
    checkpoints.sync_all()?;
    println!("{}: {count} entries", output.display());
    Ok(ExitCode::SUCCESS)
}

fn from_file(path: &std::path::Path) -> anyhow::Result<Vec<Signed>> {
    // One checkpoint over several lines, or one per line.
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match serde_json::from_str::<Signed>(&text) {
        Ok(one) => Ok(vec![one]),
        Err(_) => Ok(read_checkpoints(path)?),
    }
}

async fn from_store(store: &Store, node: &str) -> anyhow::Result<Vec<Signed>> {
    let listed = store.list(&format!("anchors/{node}/audit/"));
    let names: Vec<String> = listed.map_ok(|object| object.key).try_collect().await?;
    let mut found = Vec::new();
    for name in names {
        let json = store.get_small(&name, CHECKPOINT_BYTES).await?;
        found.extend(serde_json::from_slice::<Signed>(&json).ok());
    }
    Ok(found)
}
