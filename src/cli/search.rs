//! `optag search`: finds recordings by what a caller can tell.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;

use super::ConfigArgs;
use super::transport::Transport;

/// Find recordings by number, name, department and time.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  optag search --number '+45 12 34 56 78' --from 2026-11-01 --purpose caller_request"
)]
pub struct SearchArgs {
    /// Number called from or called, in any spelling.
    #[arg(long)]
    number: Option<String>,
    /// The caller's name, or a part of it.
    #[arg(long)]
    name: Option<String>,
    /// Department id.
    #[arg(long)]
    department: Option<String>,
    /// Earliest start of the call: a day (2026-11-24) or a time (2026-11-24T10:00:00Z).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Latest start of the call.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Page of the results, from 1.
    #[arg(long, default_value_t = 1)]
    page: u32,
    /// Why you look: training, caller_request or administration. Written to the audit.
    #[arg(long, default_value = "administration")]
    purpose: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: SearchArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&args.config).await?;
    let mut query = vec![("page", args.page.to_string()), ("purpose", args.purpose)];
    let filters = [
        ("number", args.number),
        ("name", args.name),
        ("department", args.department),
        ("from", args.from),
        ("to", args.to),
    ];
    query.extend(filters.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))));
    let found = transport.json(Method::GET, "/api/v1/recordings", &query).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let empty = Vec::new();
    let rows = found["recordings"].as_array().unwrap_or(&empty);
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        println!(
            "{}  {}  {:<12}  {:>7.1} s  {:<16}  {}",
            text("id"),
            text("started_at"),
            text("department"),
            row["duration_ms"].as_f64().unwrap_or_default() / 1e3,
            text("caller_number"),
            text("caller_name"),
        );
    }
    println!("{} of {} found", rows.len(), found["total"]);
    Ok(ExitCode::SUCCESS)
}
