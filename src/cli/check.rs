//! `optag check`: checks that index, store, spool and audit log agree.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::ConfigArgs;
use super::installation::existing;
use crate::app::open::open;
use crate::erasure::consistency_check::{self, Finding};

/// Check that index, store, spool and audit log agree. Stop the recorder first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag check --data ./optag-data
  optag check --repair               rebuild a lost index from the store

Exit code: 0 no differences, or all repaired; 1 differences remain. Each difference is a line.")]
pub struct CheckArgs {
    /// Repair what can be repaired: rebuild lost index rows from the store's manifests, and erase again what
    /// reappeared.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let config = Arc::new(existing(&args.config)?);
    let opened = open(Arc::clone(&config), None, |_| {}).await?.alone()?;
    let spooled = opened.recovered.calls.iter().map(|call| call.id).collect();
    let mut findings = consistency_check::compare(&opened.erasure, spooled, args.repair).await?;
    let mut tell = |text: String| findings.push(Finding { text, repaired: false });
    if let Err(fault) = opened.audit.verify() {
        tell(fault.to_string());
    }
    if let Err(fault) = tokio::task::block_in_place(|| opened.erasure.log.verify()) {
        tell(fault.to_string());
    }
    let recovered = &opened.recovered;
    if recovered.damaged + recovered.bad_segments + recovered.missing_segments > 0 {
        tell(format!(
            "spool: {} damaged places, {} bad and {} missing segments",
            recovered.damaged, recovered.bad_segments, recovered.missing_segments
        ));
    }
    for finding in &findings {
        println!("{}{}", finding.text, if finding.repaired { ": repaired" } else { "" });
    }
    let repaired = findings.iter().filter(|finding| finding.repaired).count();
    let spooled = recovered.calls.len();
    println!("{} differences, {repaired} repaired; {spooled} calls in the spool", findings.len());
    Ok(if repaired == findings.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
