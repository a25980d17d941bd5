//! `optag user`: people who sign in with a password and a code.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::ConfigArgs;
use super::access_log::AccessLog;
use super::installation::existing;
use super::token::{RoleArg, check_known};
use crate::auth::user::{Rights, User, folded};
use crate::auth::users::{By, NewUser, UserLink, UserRequest, Users};
use crate::auth::{Actor, Departments, Role, Roles};
use crate::config::Config;
use crate::index::Index;
use optag_core::clock::{OsClock, WallTime};

/// Create, list and change users. Changes take effect within a second, on every node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag user add ada --name 'Ada Møller' --role listener --department tax
  optag user add per --role administrator
  optag user list
  optag user roles ada --role listener --role contact --department tax --department care
  optag user reset ada
  optag user disable ada
  optag user requests
  optag user confirm ID

add and reset print a link that works once, within 48 hours: on its page the user sets password and authenticator app. Give
it to the user in person, or over something that only they read. Roles: optag token --help.

Rights that an administrator could get at alone wait for a second one (sign_in.four_eyes). This command is not bound by
that: whoever runs it can read the recorder's keys. It is in the audit log like everything else.")]
pub struct UserArgs {
    #[command(subcommand)]
    action: Action,
}

/// What a user may do.
#[derive(Debug, Args)]
struct RightsArgs {
    /// Role of the user; may be given several times.
    #[arg(long, required = true)]
    role: Vec<RoleArg>,
    /// Id of a department that the user is bound to; may be given several times.
    #[arg(long, value_name = "ID", conflicts_with = "all_departments")]
    department: Vec<String>,
    /// The user is for all departments, also those that are configured later.
    #[arg(long)]
    all_departments: bool,
}

impl RightsArgs {
    fn checked(&self, config: &Config) -> anyhow::Result<Rights> {
        check_known(config, &self.department)?;
        let departments = match (self.all_departments, self.department.is_empty()) {
            (true, _) => Some(Departments::All),
            (false, true) => None,
            (false, false) => Some(Departments::only(self.department.iter().cloned())),
        };
        Ok(Rights::new(Roles::new(self.role.iter().map(|role| role.0))?, departments)?)
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a user; prints the link by which they set their password.
    Add {
        /// By which the user signs in, such as initials.
        user: String,
        /// The user's own name, for people.
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
        #[command(flatten)]
        rights: RightsArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show users with their roles, departments, state and last sign-in.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Give a user other roles and departments in place of those that they have.
    Roles {
        /// The user.
        user: String,
        #[command(flatten)]
        rights: RightsArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make a user's password and codes worthless; prints a link to set new ones.
    Reset {
        /// The user.
        user: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// End a user's sign-ins, and let them sign in no more.
    Disable {
        /// The user.
        user: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Let a disabled user sign in again.
    Enable {
        /// The user.
        user: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show changes that wait for a second administrator.
    Requests {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Confirm a change that an administrator asked for.
    Confirm {
        /// Its id.
        id: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Deny a change that an administrator asked for.
    Deny {
        /// Its id.
        id: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// The users of an installation, with the audit log of this node.
struct Opened {
    config: Config,
    users: Users,
    log: AccessLog,
    by: By,
}

fn open(args: &ConfigArgs) -> anyhow::Result<Opened> {
    let config = existing(args)?;
    crate::app::open::prepare(&config)?;
    let index = Index::lazy(&config.index, &config.country_code)?;
    let users = Users::new(index, Arc::new(OsClock), config.sign_in.clone());
    Ok(Opened { users, log: AccessLog::of(&config), config, by: By::LocalUser(Actor::local_user()) })
}

impl Opened {
    fn show_link(&self, link: &UserLink) {
        println!("{}", self.users.address_of(link, &format!("http://{}", self.config.api.listen)));
    }

    async fn set_disabled(&self, user: &str, disabled: bool) -> anyhow::Result<()> {
        let user = self.users.named(user).await?;
        self.log.note(format!("user {}: {}", user.name, if disabled { "disabled" } else { "enabled" }))?;
        Ok(self.users.set_disabled(&user.name, disabled).await?)
    }
}

/// Runs the command.
pub async fn run(args: UserArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Add { user, name, rights, config } => {
            let opened = open(&config)?;
            let rights = rights.checked(&opened.config)?;
            opened.log.note(format!("make user {}: {rights}", folded(&user)))?;
            let new = NewUser { name: user, display_name: name, rights };
            let (_, link, _) = opened.users.add(&new, &opened.by).await?;
            opened.show_link(&link);
        }
        Action::List { json, config } => show(&open(&config)?.users.list().await?, json)?,
        Action::Roles { user, rights, config } => {
            let opened = open(&config)?;
            let rights = rights.checked(&opened.config)?;
            let user = opened.users.named(&user).await?;
            opened.log.note(format!("user {}: {rights}", user.name))?;
            opened.users.set_rights(&user.name, &rights, &opened.by).await?;
        }
        Action::Reset { user, config } => {
            let opened = open(&config)?;
            let user = opened.users.named(&user).await?;
            opened.log.note(format!("user {}: reset", user.name))?;
            if let Ok(link) = opened.users.reset(&user.name, &opened.by).await? {
                opened.show_link(&link);
            }
        }
        Action::Disable { user, config } => open(&config)?.set_disabled(&user, true).await?,
        Action::Enable { user, config } => open(&config)?.set_disabled(&user, false).await?,
        Action::Requests { json, config } => show_requests(&open(&config)?.users.requests().await?, json)?,
        Action::Confirm { id, config } => {
            let opened = open(&config)?;
            let request = opened.users.confirmable(&id, &opened.by).await?;
            opened.log.note(format!("confirm: {}", request.detail()))?;
            if let Some(link) = opened.users.confirm(&request, &opened.by).await? {
                opened.show_link(&link);
            }
        }
        Action::Deny { id, config } => {
            let opened = open(&config)?;
            let request = opened.users.confirmable(&id, &opened.by).await?;
            opened.log.note(format!("deny: {}", request.detail()))?;
            opened.users.deny(&id).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn role_names(rights: &Rights) -> Vec<&'static str> {
    rights.roles().map(Role::name).collect()
}

fn time(at: Option<WallTime>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn show(users: &[User], as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let state = |user: &User| match (user.disabled, user.enrolled || user.is_provided) {
        (true, _) => "disabled",
        (false, true) => "active",
        (false, false) => "invited",
    };
    if as_json {
        let one = |user: &User| {
            json!({
                "name": user.name, "display_name": user.display_name, "roles": role_names(&user.rights),
                "departments": user.rights.departments, "state": state(user), "by_provider": user.is_provided,
                "invited_by": user.vouched_by,
                "created_at": time(Some(user.created_at)), "signed_in_at": time(user.used_at),
            })
        };
        let all: Vec<_> = users.iter().map(one).collect();
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?);
    }
    for user in users {
        let roles = role_names(&user.rights).join(",");
        let departments = user.rights.departments.to_string();
        let used = time(user.used_at).map_or("never signed in".to_owned(), |at| format!("signed in {at}"));
        let name = &user.display_name;
        writeln!(out, "{:<24} {roles:<24} {departments:<24} {:<8}  {used}  {name}", user.name, state(user))?;
    }
    Ok(())
}

fn show_requests(requests: &[UserRequest], as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let one = |request: &UserRequest| {
            json!({
                "id": request.id, "kind": request.kind.name(), "user": request.user.name,
                "roles": role_names(&request.rights), "departments": request.rights.departments,
                "asked_by": request.asked_by, "asked_at": time(Some(request.asked_at)),
                "expires_at": time(Some(request.expires_at)),
            })
        };
        let all: Vec<_> = requests.iter().map(one).collect();
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?);
    }
    for request in requests {
        writeln!(out, "{}  {}; until {}", request.id, request.detail(), request.expires_at)?;
    }
    Ok(())
}
