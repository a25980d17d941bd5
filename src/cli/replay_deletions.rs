//! `optag replay-deletions`: repairs an installation after a restore from a backup.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::ConfigArgs;
use super::installation::existing;
use crate::app::open::open;
use crate::erasure::replay::replay;
use crate::http::access::Actor;
use crate::http::audited::{Audit, AuditAction, AuditEntry};
use optag_core::private::Private;

/// Erase again what a restored backup brought back. Stop the recorder first.
#[derive(Debug, Args)]
#[command(after_help = "\
Run this after a restore of the store, the index, the spool or the data directory. It takes over what the
copies of the deletion log in the store know, erases everything in the log that is there again, and lets
index and store remember the log as it is now.

Exit code 0: nothing erased is there. 1: an erasure is not complete; run it again.")]
pub struct ReplayArgs {
    /// Continue although the index records erasures that neither the log nor its copies contain.
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let config = Arc::new(existing(&args.config)?);
    let opened = open(Arc::clone(&config), None, |_| {}).await?.alone()?;
    let entry = AuditEntry {
        at: opened.clock.wall(),
        actor: Actor::local_user().name,
        action: AuditAction::ReplayDeletions,
        purpose: None,
        recording: None,
        detail: args.accept_loss.then(|| Private::new("loss accepted".to_owned())),
    };
    opened.trail().append(entry).await?;
    let replayed = replay(&opened.erasure, args.accept_loss).await?;
    println!(
        "{} entries recovered from copies, {} erased recordings had reappeared, {} erasures are still open",
        replayed.taken_over, replayed.returned, replayed.open
    );
    Ok(if replayed.open == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
