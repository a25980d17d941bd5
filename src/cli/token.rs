//! `optag token`: access tokens of the API.

use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::ConfigArgs;
use super::access_log::AccessLog;
use super::installation::existing;
use crate::auth::tokens::{NewToken, StoredToken, Tokens};
use crate::auth::{Departments, Role, Roles};
use crate::config::Config;
use crate::index::Index;
use optag_core::clock::{Clock, OsClock, WallTime};

/// Create, list and revoke access tokens. Changes take effect within a second, on every node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag token create pbx-1 --role feed --from 192.0.2.10
  optag token create ada --role listener --department tax --department care --expires-days 365
  optag token create ole --role contact --role listener --all-departments
  optag token list
  optag token revoke pbx-1

Roles of people: listener (searches and plays, for training), contact (searches, hands out, erases, for callers
and administration; also known as erasure-officer), supervisor (sees and pauses calls in progress, withdraws on the caller's
word, reads the audit log of own departments), auditor (audit log, legal holds, retention report), administrator
(runs the recorder; hears nothing), admin (everything, for an installation of one person).
Roles of machines, which cannot sign in to the pages: feed (announces calls), agent (an employee's telephone: passes
on a caller's yes, no or withdrawal; the token's name is the employee).

A token of listener, contact or supervisor says which departments it is for.")]
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
        /// Role of the token; may be given several times.
        #[arg(long, required = true)]
        role: Vec<RoleArg>,
        /// Id of a department that the token is bound to; may be given several times.
        #[arg(long, value_name = "ID", conflicts_with = "all_departments")]
        department: Vec<String>,
        /// The token is for all departments, also those that are configured later.
        #[arg(long)]
        all_departments: bool,
        /// Address or network that the token may be used from, such as 192.0.2.0/24; may be given several times.
        #[arg(long, value_name = "NETWORK")]
        from: Vec<String>,
        /// Days after which the token expires; otherwise never.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3660))]
        expires_days: Option<u16>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show names, roles, departments, networks, expiry and last use, to within an hour.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
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
pub(super) struct RoleArg(pub Role);

impl FromStr for RoleArg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names: Vec<&str> = Role::ALL.iter().map(|(name, _)| *name).collect();
        Role::from_name(name)
            .map(Self)
            .ok_or_else(|| format!("unknown role, must be one of {}", names.join(", ")))
    }
}

/// The tokens of an installation, with the audit log of this node.
struct Opened {
    config: Config,
    tokens: Tokens,
    log: AccessLog,
}

fn open(args: &ConfigArgs) -> anyhow::Result<Opened> {
    let config = existing(args)?;
    crate::app::open::prepare(&config)?;
    if config.tokens_path.exists() {
        bail!(
            "{} is of an earlier version: start the recorder once, which takes it over into the index",
            config.tokens_path.display()
        );
    }
    let tokens = Tokens::beside(Index::lazy(&config.index, &config.country_code)?, Arc::new(OsClock));
    Ok(Opened { tokens, log: AccessLog::of(&config), config })
}

/// Errors: one of these departments is not configured.
pub(super) fn check_known(config: &Config, departments: &[String]) -> anyhow::Result<()> {
    let known: Vec<&str> = config.departments.iter().map(|one| one.id.as_str()).collect();
    for id in departments {
        if !known.contains(&id.as_str()) {
            bail!("there is no department `{id}`, must be one of {}", known.join(", "));
        }
    }
    Ok(())
}

/// Runs the command.
pub async fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Create { name, role, department, all_departments, from, expires_days, config } => {
            let opened = open(&config)?;
            let roles = Roles::new(role.into_iter().map(|role| role.0))?;
            check_known(&opened.config, &department)?;
            let departments = match (all_departments, department.is_empty()) {
                (true, _) => Some(Departments::All),
                (false, true) => None,
                (false, false) => Some(Departments::only(department)),
            };
            let expires_at = expires_days.map(|days| OsClock.wall().plus_days(i64::from(days)));
            let new = NewToken { name, roles, departments, networks: from, expires_at };
            let bounds = new.departments.as_ref().unwrap_or(&Departments::All);
            opened.log.note(format!("create token {}: {}; departments {bounds}", new.name, new.roles))?;
            println!("{}", opened.tokens.create(&new).await?);
        }
        Action::List { json, config } => show(&open(&config)?.tokens.list().await?, json)?,
        Action::Revoke { name, config } => {
            let opened = open(&config)?;
            opened.log.note(format!("revoke token {name}"))?;
            opened.tokens.revoke(&name).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(tokens: &[StoredToken], as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let time = |at: Option<WallTime>| at.map(|at| at.to_string());
    if as_json {
        let all: Vec<_> = tokens
            .iter()
            .map(|one| {
                json!({
                    "name": one.name, "roles": one.roles, "departments": one.departments, "from": one.networks,
                    "created_at": time(Some(one.created_at)), "expires_at": time(one.expires_at),
                    "used_at": time(one.used_at),
                })
            })
            .collect();
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?);
    }
    for one in tokens {
        let (roles, departments) = (one.roles.to_string(), one.departments.to_string());
        let expires = time(one.expires_at).map_or("never expires".to_owned(), |at| format!("expires {at}"));
        let used = time(one.used_at).map_or("never used".to_owned(), |at| format!("used {at}"));
        let from = if one.networks.is_empty() {
            String::new()
        } else {
            format!("  from {}", one.networks.join(", "))
        };
        writeln!(out, "{:<24} {roles:<24} {departments:<24} {expires}, {used}{from}", one.name)?;
    }
    Ok(())
}
