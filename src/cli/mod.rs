//! The commands, one file each. In: arguments. Out: text, or JSON on request, and an exit code: 0 success, 1 the
//! command or a check failed, 2 wrong arguments or configuration.

mod access_log;
pub mod assurance;
pub mod audit;
pub mod case;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod erase;
pub mod export;
pub mod import;
mod installation;
pub mod keys;
pub mod load;
mod load_sip;
pub mod manual;
pub mod nodes;
pub mod prompt;
pub mod recover;
pub mod replay_deletions;
pub mod retention;
pub mod search;
pub mod serve;
pub mod token;
mod transport;
pub mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::hardening;
use crate::config::ConfigError;
use installation::InstallationError;

/// Exit code for wrong arguments (clap's own), an invalid configuration or a missing installation.
const MISUSE: u8 = 2;

/// Self-hosted recorder of consented phone calls.
#[derive(Debug, Parser)]
#[command(name = "optag", version, about, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "\
Self-hosted recorder of consented phone calls: RTP comes in, a caller's yes by key press opens \
the recording, Opus lands in your own store, and nothing outlives 90 days.";

const AFTER_HELP: &str = "\
Start with `optag demo`: it plays simulated calls to a recorder on this machine and shows what was kept.

Exit codes: 0 success; 1 the command failed, or what it checked is not in order; 2 wrong arguments or
configuration, or no installation in the data directory.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Load(load::LoadArgs),
    Search(search::SearchArgs),
    Export(export::ExportArgs),
    Erase(erase::EraseArgs),
    Assurance(assurance::AssuranceArgs),
    Case(case::CaseArgs),
    Import(import::ImportArgs),
    Check(check::CheckArgs),
    Doctor(doctor::DoctorArgs),
    Keys(keys::KeysArgs),
    Nodes(nodes::NodesArgs),
    Prompt(prompt::PromptArgs),
    Recover(recover::RecoverArgs),
    Retention(retention::RetentionArgs),
    Audit(audit::AuditArgs),
    ReplayDeletions(replay_deletions::ReplayArgs),
    Token(token::TokenArgs),
    User(user::UserArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

/// Location of the configuration: shared by every command that works on an installation.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML). Default: ./optag.toml if it exists, else the built-in defaults.
    #[arg(long, value_name = "FILE", env = "OPTAG_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory; overrides the configuration.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Runs the command given on the command line.
pub fn run() -> ExitCode {
    // Before the first thread: large allocations stay large.
    hardening::no_huge_pages();
    hardening::private_files();
    let cli = Cli::parse();
    // Also before the first thread: threads inherit the confinement of their parent.
    let confined = match &cli.command {
        Command::Serve(args) => serve::confine(args),
        _ => None,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("optag: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args, confined).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Load(args) => load::run(args).await,
            Command::Search(args) => search::run(args).await,
            Command::Export(args) => export::run(args).await,
            Command::Erase(args) => erase::run(args).await,
            Command::Assurance(args) => assurance::run(args).await,
            Command::Case(args) => case::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Keys(args) => keys::run(args).await,
            Command::Nodes(args) => nodes::run(args).await,
            Command::Prompt(args) => prompt::run(args).await,
            Command::Recover(args) => recover::run(args).await,
            Command::Retention(args) => retention::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::ReplayDeletions(args) => replay_deletions::run(args).await,
            Command::Token(args) => token::run(args).await,
            Command::User(args) => user::run(args).await,
            Command::Completions(args) => manual::completions(&args),
            Command::Man(args) => manual::pages(&args),
        }
    });
    done.unwrap_or_else(|error| {
        eprintln!("optag: {}", causes(&error));
        if error.is::<ConfigError>() || error.is::<InstallationError>() {
            return ExitCode::from(MISUSE);
        }
        ExitCode::FAILURE
    })
}

/// An error with its causes; one that is contained in the text before it is omitted.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        text if text.contains(&cause) => text.to_owned(),
        text => format!("{text}: {cause}"),
    })
}
