//! `optag retention`: the retention report, legal holds, and confirmation of the clock.

use std::io::IsTerminal;
use std::process::ExitCode;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::json;

use super::ConfigArgs;
use super::transport::Transport;
use optag_core::id::CallId;

/// Report on retention, manage legal holds, confirm the clock.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag retention report
  optag retention report --at 2026-11-24 --json
  optag retention hold 01890a5d-ac96-774b-bcce-b302099a8057 --until 2027-03-01T00:00:00Z --reason 'case 17/2026'")]
pub struct RetentionArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check index, store, spool and deletion log. Exit code: 0 success, 1 check failed. Fails if something is older
    /// than allowed, index and store differ, or a part could not be read.
    Report {
        /// Time to report on: a day or a time; default: now.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Hold a recording: it neither expires nor is erased on request.
    Hold {
        /// Id of the recording.
        id: CallId,
        /// Until when, RFC 3339.
        #[arg(long, value_name = "TIME")]
        until: String,
        /// Reason, written to the audit log and shown when an erasure is refused.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Lawful basis for holding past the retention limit: one of `[retention] hold_lawful_bases`.
        #[arg(long, value_name = "TEXT")]
        lawful_basis: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Release a hold.
    Release {
        /// Id of the recording.
        id: CallId,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show every hold.
    Holds {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Confirm that the machine's wall clock is correct after a jump.
    ConfirmClock {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs the command.
pub async fn run(args: RetentionArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Report { at, json, config } => {
            let report = report(&Transport::open(&config).await?, at).await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&report)?),
                false => print(&report),
            }
            return Ok(if report["clean"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Action::Hold { id, until, reason, lawful_basis, config } => {
            let mut body = json!({ "until": until, "reason": reason });
            if let Some(basis) = lawful_basis {
                body["lawful_basis"] = json!(basis);
            }
            let path = format!("/api/v1/recordings/{id}/hold");
            println!("{}", Transport::open(&config).await?.send_json(Method::PUT, &path, &body).await?);
        }
        Action::Release { id, config } => {
            let path = format!("/api/v1/recordings/{id}/hold");
            Transport::open(&config).await?.text(Method::DELETE, &path, &[]).await?;
        }
        Action::Holds { config } => show(&config, Method::GET, "/api/v1/holds").await?,
        Action::ConfirmClock { config } => show(&config, Method::POST, "/api/v1/retention/clock").await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for the report, and shows its progress on the terminal.
async fn report(transport: &Transport, at: Option<String>) -> anyhow::Result<serde_json::Value> {
    let mut query: Vec<_> = at.into_iter().map(|at| ("at", at)).collect();
    let shows = std::io::stderr().is_terminal();
    let mut shown = false;
    loop {
        let answer = transport.json(Method::GET, "/api/v1/retention/report", &query).await?;
        let Some(job) = answer["job"].as_u64() else {
            if shown {
                eprintln!();
            }
            return Ok(answer);
        };
        if shows {
            eprint!("\r{} copies in the store checked", answer["looked_at"]);
            shown = true;
        }
        query.retain(|(key, _)| *key != "job");
        query.push(("job", job.to_string()));
    }
}

async fn show(config: &ConfigArgs, method: Method, path: &str) -> anyhow::Result<()> {
    let answer = Transport::open(config).await?.json(method, path, &[]).await?;
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}

fn print(report: &serde_json::Value) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    println!("at {}, nothing older than {} days:", text(&report["at"]), report["limit_days"]);
    for part in report["parts"].as_array().into_iter().flatten() {
        let count = |name: &str| part[name].as_u64().unwrap_or(0);
        let verdict = match (part["answers"] == true, count("too_old"), count("amiss")) {
            (false, ..) => "could not be checked completely".to_owned(),
            (true, 0, 0) => "ok".to_owned(),
            (true, 0, amiss) => format!("{amiss} AMISS"),
            (true, old, _) => format!("{old} TOO OLD"),
        };
        println!(
            "  {:<13} {:>8} present, oldest {}: {verdict}",
            text(&part["name"]),
            part["there"],
            text(&part["oldest_at"])
        );
        for note in part["notes"].as_array().into_iter().flatten() {
            println!("    {}", text(note));
        }
    }
    for hold in report["held"].as_array().into_iter().flatten() {
        let basis = hold["lawful_basis"].as_str().unwrap_or("within the limit");
        println!("  held: {} until {} ({basis})", text(&hold["id"]), text(&hold["until"]));
    }
    println!("{}", if report["clean"] == true { "clean" } else { "NOT CLEAN" });
}
