//! `optag serve`: the recorder itself.

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use super::installation::{load_config, load_written};
use crate::app::confinement::{self, Confined};
use crate::app::logging::Levels;
use crate::app::server::Server;
use crate::app::service_manager::{self, State};
use crate::app::upgrade::Handover;
use crate::app::{hardening, logging};
use crate::auth::users::LINK_HOURS;
use crate::config::{Changes, HANDOVER_VARIABLE, Written};
use crate::doctor;
use crate::metrics;
use optag_files::atomic_file;

/// File in the data directory with the link that makes the first user.
const FIRST_LINK: &str = "first-sign-in";

/// Run the recorder until SIGTERM or SIGINT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag serve                          everything on 127.0.0.1, data under ./optag-data
  optag serve --config /etc/optag.toml
  optag serve --print-config           the commented configuration with every key

The first start prints a link, or writes it to DATA/first-sign-in: it makes the first user, who makes the others
(docs/guide/users.md). Tokens of machines: optag token. SIGTERM, SIGINT, SIGQUIT: no new calls, those in progress go on
(shutdown.drain_limit_s), what was heard is delivered (shutdown.deliver_limit_s), exit 0; a second one ends
both waits. SIGHUP: departments, prompts and log.level are read again; the log says what needs a restart.
SIGUSR2: the program file, which may be a newer one, takes over in the same process; calls go on, none is
refused and no packet is lost.")]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the commented default configuration and exit.
    #[arg(long)]
    print_config: bool,
    /// Check the configuration, the files that it names and, with a warning, the sign-in provider, and exit.
    #[arg(long)]
    check: bool,
}

/// Confines this thread and its descendants to what a recorder needs; `None` if the configuration disables that or is
/// invalid, which [`run`] reports. A program that takes over inherits the restrictions of the previous one; if there
/// were none, it is confined here.
pub fn confine(args: &ServeArgs) -> Option<Confined> {
    if args.check || args.print_config {
        return None;
    }
    if let Some(reported) = Handover::confined_before().filter(|reported| !reported.is_empty()) {
        return Some(Confined::inherited(&reported));
    }
    let config = load_config(&args.config).ok().filter(|config| config.confine)?;
    hardening::private_files();
    Some(confinement::confine(&config, &std::env::current_exe().ok()?))
}

/// Runs the command.
pub async fn run(args: ServeArgs, confined: Option<Confined>) -> anyhow::Result<ExitCode> {
    if args.print_config {
        print!("{}", crate::config::EXAMPLE);
        return Ok(ExitCode::SUCCESS);
    }
    let (mut written, config) = load_written(&args.config)?;
    if args.check {
        config.check_files()?;
        // Calls do not need it, so that it is told and refuses neither a start nor an upgrade.
        for finding in doctor::provider(&config).await.iter().filter(|one| one.state == doctor::State::Wrong)
        {
            eprintln!("optag: warning: {}: {} ({})", finding.check, finding.detail, finding.mend);
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Read now: once the file is replaced, the kernel reports another name.
    let program = std::env::current_exe()?;
    let kept = Handover::from_env()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let levels = logging::init(&config.log)?;
    hardening::no_core_dumps();
    let Confined { enforced, missing } = confined.unwrap_or_default();
    match enforced.is_empty() {
        false => tracing::info!(enforced = enforced.join(", "), "process confined"),
        true => tracing::warn!("process not confined (process.confine = false)"),
    }
    missing.iter().for_each(|one| tracing::warn!("not confined: {one}"));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut upgrade = signal(SignalKind::user_defined2())?;
    // Its default is to end the process, and log rotation sends it to many programs.
    let mut mistaken = signal(SignalKind::user_defined1())?;
    let longest_stop = config.longest_stop();
    let running = Server::start(Arc::new(config), kept).await?;
    metrics::confined(&confinement::PARTS.map(|part| (part, enforced.contains(&part))));
    if let Some(path) = running.new_master_key() {
        println!(
            "A master key was created: {}\n\
             Every recording is sealed with keys that it seals. Without it no recording can be opened by\n\
             anyone; a disk failure loses both. Keep a copy elsewhere, or let seal.escrow_recipient\n\
             have copies of the days' keys: docs/guide/keys.md.",
            path.display()
        );
    }
    first_steps(&running).await;
    for (what, bound) in [("SIPREC", &running.sip), ("asking", &running.ask)] {
        for (name, addresses) in [("UDP", &bound.udp), ("TCP", &bound.tcp), ("TLS", &bound.tls)] {
            for address in addresses {
                println!("{what} over {name}: {address}");
            }
        }
    }
    println!("optag is ready: API http://{}, metrics http://{}", running.api, running.metrics);
    service_manager::tell(State::Ready);
    // The second signal is in a hurry; an order by the API is none.
    let mut signals = 0;
    loop {
        tokio::select! {
            _ = terminate.recv() => { signals += 1; break }
            _ = interrupt.recv() => { signals += 1; break }
            _ = quit.recv() => { signals += 1; break }
            _ = mistaken.recv() => tracing::warn!("SIGUSR1 ignored; SIGHUP reloads, SIGUSR2 upgrades"),
            () = running.drain_ordered() => break,
            _ = hangup.recv() => reload(&running, &mut written, &args.config, &levels).await,
            _ = upgrade.recv() => {
                if can_start(&program).await {
                    tracing::info!("upgrading in place; calls continue");
                    let mut kept = running.hand_over().await?;
                    kept.confined = enforced.iter().map(|part| (*part).to_owned()).collect();
                    return Err(kept.exec(&program));
                }
                tracing::error!("new program does not start with this configuration; the current one keeps running");
            }
        }
    }
    tracing::info!("shutting down; new calls are refused");
    service_manager::tell(State::Stopping(longest_stop));
    let hurry = async move {
        while signals < 2 {
            tokio::select! {
                _ = terminate.recv() => signals += 1,
                _ = interrupt.recv() => signals += 1,
                _ = quit.recv() => signals += 1,
            }
            tracing::info!(signals, "signal while draining; the second one ends the wait");
        }
        tracing::warn!("second signal: stopping without waiting for calls and deliveries");
    };
    running.stop(hurry).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says how the first user is made, while there is none: on a terminal, else in a file that nobody else can read, as what
/// else takes standard output may be a log.
async fn first_steps(running: &Server) {
    let file = running.data_dir().join(FIRST_LINK);
    match running.first_link().await {
        Ok(Some(link)) if std::io::stdout().is_terminal() => {
            println!("first sign-in, once within {LINK_HOURS} hours: {link}");
        }
        Ok(Some(link)) => match atomic_file::replace(&file, format!("{link}\n").as_bytes()) {
            Ok(()) => println!("link for the first sign-in: {}", file.display()),
            Err(error) => {
                tracing::warn!(%error, "cannot write the link for the first sign-in; make a user: `optag user add`");
            }
        },
        Ok(None) => drop(std::fs::remove_file(file)),
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "cannot see whether there is a user; where there is none: `optag user add`");
        }
    }
}

/// Takes what can change while calls go on, and says by key what needs a restart. Tokens, the certificate of SIP and the
/// store's credentials are read again by themselves when their files change.
async fn reload(running: &Server, written: &mut Written, args: &ConfigArgs, levels: &Levels) {
    let changes = load_written(args).and_then(|(newer, config)| {
        config.check_files()?;
        Ok(written.reload(&newer)?)
    });
    let Changes { config, taken, restart } = match changes {
        Ok(changes) => changes,
        Err(error) => {
            return tracing::error!(error = %format!("{error:#}"), "SIGHUP: invalid configuration; keeping the current one");
        }
    };
    if !levels.set(&config.log.level) {
        tracing::error!("SIGHUP: cannot change log.level");
    }
    running.reload(&config).await;
    tracing::info!(keys = taken.join(", "), "SIGHUP: configuration reloaded for new calls");
    if !restart.is_empty() {
        tracing::warn!(keys = restart.join(", "), "SIGHUP: changes take effect after SIGUSR2 or a restart");
    }
}

/// Whether the program file starts with the current configuration.
async fn can_start(program: &Path) -> bool {
    let mut check = Command::new(program);
    check.args(std::env::args_os().skip(1)).arg("--check").env_remove(HANDOVER_VARIABLE);
    check.stdin(Stdio::null()).stdout(Stdio::null());
    let checked = tokio::task::spawn_blocking(move || check.status()).await;
    checked.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}
