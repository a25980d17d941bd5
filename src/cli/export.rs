//! `optag export`: hands out a recording as an audio file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use axum::http::Method;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::ConfigArgs;
use super::transport::Transport;
use crate::base::id::CallId;

/// Write a recording to an audio file.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  optag export 01890a5d-ac96-774b-bcce-b302099a8057 -o call.wav --format wav --purpose caller_request"
)]
pub struct ExportArgs {
    /// Id of the recording.
    id: CallId,
    /// File to write; it must not exist.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// opus: as stored. wav: 16-bit PCM, plays anywhere.
    #[arg(long, value_enum, default_value_t = Format::Opus)]
    format: Format,
    /// Why you need it: training, caller_request or administration. Written to the audit.
    #[arg(long, default_value = "caller_request")]
    purpose: String,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Opus,
    Wav,
}

/// Runs the command.
pub async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&args.config).await?;
    let format = match args.format {
        Format::Opus => "opus",
        Format::Wav => "wav",
    };
    let path = format!("/api/v1/recordings/{}/audio", args.id);
    let query = [("format", format.to_owned()), ("purpose", args.purpose), ("export", "true".to_owned())];
    let mut audio = transport.send(Method::GET, &path, &query).await?;
    let mut file = tokio::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&args.output)
        .await
        .with_context(|| format!("cannot create {}", args.output.display()))?;
    let mut bytes = 0;
    while let Some(part) = audio.try_next().await? {
        file.write_all(&part).await?;
        bytes += part.len();
    }
    file.sync_all().await?;
    println!("{}: {bytes} bytes", args.output.display());
    Ok(ExitCode::SUCCESS)
}
