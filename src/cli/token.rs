//! `optag token`: access tokens of the API.

use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::ConfigArgs;
use super::installation::existing;
use crate::http::access::Role;
use crate::http::tokens::Tokens;
use optag_core::clock::{Clock, OsClock};

/// Create, list and revoke access tokens. Changes apply to a running recorder at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag token create pbx-1 --role feed
  optag token list
  optag token revoke pbx-1

Roles: admin (everything), feed (announces calls), listener (searches and plays, for training),
erasure-officer (searches, hands out, erases, for callers and administration), agent (an employee who takes
calls: passes on a caller's yes, no or withdrawal; the token's name is the employee).")]
pub struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a token; it is shown only once.
    Create {
        /// Name of the system or person it is for.
        name: String,
        /// Role of the token.
        #[arg(long)]
        role: RoleArg,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show names and roles.
    List {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Revoke a token.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// A role, parsed from its name.
#[derive(Clone, Copy, Debug)]
struct RoleArg(Role);

impl FromStr for RoleArg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names: Vec<&str> = Role::ALL.iter().map(|(name, _)| *name).collect();
        Role::from_name(name)
            .map(Self)
            .ok_or_else(|| format!("unknown role, must be one of {}", names.join(", ")))
    }
}

/// Runs the command.
pub async fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let open = |config: &ConfigArgs| -> anyhow::Result<Tokens> {
        let config = existing(config)?;
        crate::app::open::prepare(&config)?;
        Ok(Tokens::open(&config.tokens_path)?)
    };
    match args.action {
        Action::Create { name, role, config } => {
            println!("{}", open(&config)?.create(&name, role.0, OsClock.wall())?);
        }
        Action::List { config } => {
            for token in open(&config)?.list()? {
                println!("{:<24} {:<16} {}", token.name, token.role.name(), token.created_at);
            }
        }
        Action::Revoke { name, config } => open(&config)?.revoke(&name)?,
    }
    Ok(ExitCode::SUCCESS)
}
