//! `optag doctor`: what is wrong with the machine, the configuration, the store or the database, and how to mend it.

use std::process::ExitCode;

use clap::Args;

use super::ConfigArgs;
use super::installation::load_config;
use crate::doctor::{State, examine};

/// Check ports, limits, disks, file modes, clocks, certificates, store and database, and say how to mend what is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag doctor --config /etc/optag.toml          before the first start, as the user that the recorder runs as
  optag doctor --json | jq '.[] | select(.state != \"ok\")'

It starts nothing and may be run beside a recorder, whose ports are then not tried. It writes a small object to the
store and removes it.

Exit code: 0 nothing is wrong (there may be warnings); 1 something is.")]
pub struct DoctorArgs {
    /// Print a JSON array of findings: check, state (ok, warning, wrong), detail, mend.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(&args.config)?;
    let findings = examine(&config).await;
    let count = |state: State| findings.iter().filter(|one| one.state == state).count();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for one in &findings {
            let word = match one.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Wrong => "WRONG",
            };
            println!("{word:<8} {}: {}", one.check, one.detail);
            if !one.mend.is_empty() {
                println!("         → {}", one.mend);
            }
        }
        println!(
            "{} wrong, {} warnings, {} ok",
            count(State::Wrong),
            count(State::Warning),
            count(State::Ok)
        );
    }
    Ok(if count(State::Wrong) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
