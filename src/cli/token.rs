//! `optag token`: access tokens of the API.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::ConfigArgs;
use super::installation::{existing, load_config};
use crate::audit::{self, AuditLog};
use crate::auth::tokens::{NewToken, Tokens};
use crate::auth::{Actor, Departments, Role, Roles};
use crate::config::Config;
use crate::http::audited::{AuditAction, AuditEntry};
use optag_core::clock::{Clock, OsClock};

/// Create, list and revoke access tokens. Changes apply to a running recorder at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag token create pbx-1 --role feed
  optag token create ada --role listener --department tax --department care
  optag token create ole --role contact --role listener --all-departments
  optag token list
  optag token revoke pbx-1

Roles of people: listener (searches and plays, for training), contact (searches, hands out, erases, for callers
and administration; also known as erasure-officer), supervisor (sees calls in progress, withdraws on the caller's
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
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show names, roles and departments.
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

/// Errors: one of these departments is not configured.
fn check_known(config: &Config, departments: &[String]) -> anyhow::Result<()> {
    let known: Vec<&str> = config.departments.iter().map(|one| one.id.as_str()).collect();
    for id in departments {
        if !known.contains(&id.as_str()) {
            bail!("there is no department `{id}`, must be one of {}", known.join(", "));
        }
    }
    Ok(())
}

fn audit_log(config: &ConfigArgs) -> anyhow::Result<AuditLog> {
    Ok(AuditLog::new(audit::path_in(&existing(config)?.data_dir)))
}

/// Writes a change of access to the audit log of this node.
fn note(log: &AuditLog, detail: String) -> anyhow::Result<()> {
    let entry = AuditEntry {
        at: OsClock.wall(),
        actor: Actor::local_user().name,
        action: AuditAction::Access,
        purpose: None,
        recording: None,
        detail: Some(detail.into()),
    };
    log.append(&entry).context("the change is not in the audit log")
}

/// Runs the command.
pub async fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let open = |config: &ConfigArgs| -> anyhow::Result<Tokens> {
        let config = existing(config)?;
        crate::app::open::prepare(&config)?;
        Ok(Tokens::open(&config.tokens_path)?)
    };
    match args.action {
        Action::Create { name, role, department, all_departments, config } => {
            let roles = Roles::new(role.into_iter().map(|role| role.0))?;
            let departments = match (all_departments, department.is_empty()) {
                (true, _) => Some(Departments::All),
                (false, true) => None,
                (false, false) => {
                    check_known(&load_config(&config)?, &department)?;
                    Some(Departments::only(department))
                }
            };
            let (tokens, log) = (open(&config)?, audit_log(&config)?);
            let bounds = departments.as_ref().unwrap_or(&Departments::All);
            let detail = format!("token {name} created: {roles}; departments {bounds}");
            let token = tokens.create(&NewToken { name, roles, departments }, OsClock.wall())?;
            note(&log, detail)?;
            println!("{token}");
        }
        Action::List { config } => {
            for token in open(&config)?.list()? {
                let (roles, departments) = (token.roles.to_string(), token.departments.to_string());
                println!("{:<24} {roles:<24} {departments:<24} {}", token.name, token.created_at);
            }
        }
        Action::Revoke { name, config } => {
            open(&config)?.revoke(&name)?;
            note(&audit_log(&config)?, format!("token {name} revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
