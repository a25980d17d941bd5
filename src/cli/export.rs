//! `optag export`: exports a recording as an audio file, as a package with its cover sheet, or as a one-time link.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use axum::http::Method;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::ConfigArgs;
use super::transport::{ByteStream, Transport};
use crate::http::VERDICTS;
use optag_core::id::CallId;

/// Write a recording to a file, or create a one-time link to it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag export ID -o call.wav --format wav --purpose caller_request
  optag export ID -o call.zip --handout --language da --purpose caller_request
  optag export ID -o call.zip.age --handout --passphrase-file phrase.txt --purpose caller_request
  optag export ID --link --expires-hours 24 --purpose caller_request

A package (--handout) is a ZIP archive of the audio and a cover sheet that says what it is, how long it is
kept and who has listened; with a passphrase it is an age file (age -d).")]
pub struct ExportArgs {
    /// Id of the recording.
    id: CallId,
    /// File to write; it must not exist.
    #[arg(short, long, value_name = "FILE", required_unless_present = "link")]
    output: Option<PathBuf>,
    /// opus: as stored. wav: 16-bit PCM, plays anywhere. Default: opus, and wav for hand-outs.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write audio and cover sheet as one package for the data subject.
    #[arg(long)]
    handout: bool,
    /// Print a link by which the package can be fetched once.
    #[arg(long, conflicts_with_all = ["output", "handout", "passphrase_file"])]
    link: bool,
    /// Hours until the link expires.
    #[arg(long, default_value_t = 72, requires = "link")]
    expires_hours: u32,
    /// Only the caller's own voice (hand-outs and links).
    #[arg(long)]
    own_voice_only: bool,
    /// Language of the cover sheet.
    #[arg(long, value_enum, default_value_t = Language::En)]
    language: Language,
    /// File with the passphrase of the package in its first line; at least 12 characters.
    #[arg(long, value_name = "FILE", requires = "handout")]
    passphrase_file: Option<PathBuf>,
    /// Purpose: training, caller_request or administration. Written to the audit log.
    #[arg(long)]
    purpose: String,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Opus,
    Wav,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    En,
    Da,
}

/// Runs the command.
pub async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&args.config).await?;
    let name = |format| if format == Format::Wav { "wav" } else { "opus" };
    let language = if matches!(args.language, Language::Da) { "da" } else { "en" };
    let mut wanted = json!({
        "format": name(args.format.unwrap_or(Format::Wav)),
        "own_voice_only": args.own_voice_only,
        "language": language,
    });
    let path = |what: &str| format!("/api/v1/recordings/{}/{what}", args.id);
    let mut query = vec![("purpose", args.purpose)];
    if args.link {
        wanted["expires_hours"] = json!(args.expires_hours);
        let answer = transport.post(&path("links"), &query, &wanted).await?;
        let answer: serde_json::Value = serde_json::from_slice(&super::transport::collect(answer).await?)?;
        println!("{}", answer["url"].as_str().unwrap_or_default());
        println!("works once, until {}", answer["expires_at"].as_str().unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    // Created before the request: what the recorder hands out is in its audit log.
    let output = args.output.context("--output is required")?;
    let file = create(&output).await?;
    let copied = async {
        let (headers, bytes) = if args.handout {
            if let Some(file) = &args.passphrase_file {
                wanted["passphrase"] = json!(passphrase(file)?);
            }
            transport.fetch(Method::POST, &path("handout"), &query, Some(&wanted)).await?
        } else {
            if args.own_voice_only {
                bail!("--own-voice-only requires --handout or --link");
            }
            query.push(("format", name(args.format.unwrap_or(Format::Opus)).to_owned()));
            query.push(("export", "true".to_owned()));
            transport.fetch(Method::GET, &path("audio"), &query, None).await?
        };
        Ok((headers, write(bytes, file).await?))
    };
    let headers = match copied.await {
        Ok((headers, length)) => {
            println!("{}: {length} bytes", output.display());
            headers
        }
        Err(error) => {
            let _ = tokio::fs::remove_file(&output).await;
            return Err(error);
        }
    };
    // Missing parts are reported to the person who exports.
    match headers.get(VERDICTS).and_then(|value| value.to_str().ok()) {
        Some(verdicts) => {
            for fault in
                super::search::faults(verdicts.split(',').map(str::trim).filter(|one| !one.is_empty()))
            {
                eprintln!("{}: {fault}", output.display());
            }
        }
        None => eprintln!("{}: cannot tell whether anything is missing", output.display()),
    }
    Ok(ExitCode::SUCCESS)
}

fn passphrase(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = text.lines().next().unwrap_or_default().to_owned();
    if first.is_empty() {
        bail!("{} contains no passphrase in its first line", file.display());
    }
    Ok(first)
}

async fn create(output: &Path) -> anyhow::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(output).await;
    file.with_context(|| format!("cannot create {}", output.display()))
}

async fn write(mut bytes: ByteStream, mut file: tokio::fs::File) -> anyhow::Result<usize> {
    let mut length = 0;
    while let Some(part) = bytes.try_next().await? {
        file.write_all(&part).await?;
        length += part.len();
    }
    file.sync_all().await?;
    Ok(length)
}
