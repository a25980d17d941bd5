//! `optag erase`: erases a recording for good.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;

use super::ConfigArgs;
use super::transport::Transport;
use crate::base::id::CallId;

/// Erase a recording everywhere, for good.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  optag erase 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'asked for by the caller, case 4711'"
)]
pub struct EraseArgs {
    /// Id of the recording.
    id: CallId,
    /// Why, for the audit. No personal data, please.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command. The exit code is 0 when the erasure is durable, even if the store is
/// still to be reached.
pub async fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&args.config).await?;
    let path = format!("/api/v1/recordings/{}", args.id);
    let receipt = transport.json(Method::DELETE, &path, &[("reason", args.reason)]).await?;
    println!("{}", serde_json::to_string_pretty(&receipt)?);
    Ok(ExitCode::SUCCESS)
}
