//! `optag serve`: the recorder itself.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use super::transport::load_config;
use crate::app::run::Running;
use crate::app::{harden, logging};

/// Run the recorder until SIGTERM or SIGINT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag serve                          everything on 127.0.0.1, data under ./optag-data
  optag serve --config /etc/optag.toml
  optag serve --print-config           the commented configuration with every key

The first start prints an admin token, once. SIGTERM: no new calls, what was heard is made durable, exit 0.")]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the commented default configuration and exit.
    #[arg(long)]
    print_config: bool,
}

/// Runs the command.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    if args.print_config {
        print!("{}", crate::app::config::EXAMPLE);
        return Ok(ExitCode::SUCCESS);
    }
    let config = load_config(&args.config)?;
    logging::init(&config.log)?;
    harden::no_core_dumps();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = Running::start(Arc::new(config)).await?;
    if let Some(path) = running.new_master_key() {
        println!(
            "A master key was made: {}\n\
             Every recording is sealed with keys that it seals. Without it no recording can be opened, by\n\
             nobody; a disk that breaks takes both. Keep a copy elsewhere, or let seal.escrow_recipient\n\
             have copies of the days' keys: docs/keys.md.",
            path.display()
        );
    }
    if let Some(token) = &running.new_admin_token {
        println!("admin token, shown this once: {token}");
    }
    for (name, addresses) in [("UDP", &running.sip.udp), ("TCP", &running.sip.tcp), ("TLS", &running.sip.tls)]
    {
        for address in addresses {
            println!("SIPREC over {name}: {address}");
        }
    }
    println!("optag is ready: API http://{}, metrics http://{}", running.api, running.metrics);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down: no new calls");
    running.stop().await?;
    Ok(ExitCode::SUCCESS)
}
