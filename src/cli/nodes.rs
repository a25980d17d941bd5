//! `optag nodes`: the nodes that share the index, and those that will not come back.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::ConfigArgs;
use crate::cli::installation::load_config;
use crate::cluster::membership::LEASE;
use crate::index::{Index, IndexPlace, NodeRow};

/// Show the nodes that share the index.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag nodes
  optag nodes lost 3")]
pub struct NodesArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Declare that a silent node will not come back. Other nodes stop waiting for it: requests about its calls get
    /// 404 instead of 503. If it comes back all the same, it registers again and takes the answers that wait for it.
    Lost {
        /// Number of the node.
        number: u16,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs the command.
pub async fn run(args: NodesArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        None => show(&registry(&args.config).await?.nodes().await?, args.json),
        Some(Action::Lost { number, config }) => lost(&registry(&config).await?, number).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn registry(args: &ConfigArgs) -> anyhow::Result<Index> {
    let config = load_config(args)?;
    if matches!(config.index, IndexPlace::Sqlite(_)) {
        bail!("one node only: nodes share an index in PostgreSQL (index.postgres)");
    }
    Ok(Index::open(&config.index, &config.country_code).await?)
}

async fn lost(index: &Index, number: u16) -> anyhow::Result<()> {
    let nodes = index.nodes().await?;
    let Some(node) = nodes.iter().find(|node| node.number == number) else {
        bail!("no node {number} in the registry, or it is gone already");
    };
    if !index.lose_node(number, LEASE).await? {
        let silent = node.silent_for.as_secs();
        bail!(
            "node {number} sent a heartbeat {silent} s ago: stop it first, and wait for {} s",
            LEASE.as_secs()
        );
    }
    println!("node {number} is gone; it had {} calls at its last heartbeat", node.beat.calls);
    Ok(())
}

fn show(nodes: &[NodeRow], as_json: bool) {
    let state = |node: &NodeRow| if node.silent_for > LEASE { "silent" } else { node.beat.state.name() };
    if as_json {
        let all = nodes.iter().map(|node| {
            json!({
                "number": node.number,
                "id": node.beat.id,
                "state": state(node),
                "silent_s": node.silent_for.as_secs(),
                "calls": node.beat.calls,
                "capacity_calls": node.beat.capacity_calls,
                "version": node.version,
                "address": node.beat.address,
            })
        });
        return println!("{}", serde_json::Value::from_iter(all));
    }
    println!(
        "{:>6}  {:9} {:>9} {:>7} {:>9}  {:9} address",
        "number", "state", "heartbeat", "calls", "capacity", "version"
    );
    for node in nodes {
        let heard = format!("{} s", node.silent_for.as_secs());
        let address =
            if node.beat.address.is_empty() { "none: [cluster] is not set" } else { &node.beat.address };
        println!(
            "{:>6}  {:9} {heard:>9} {:>7} {:>9}  {:9} {address}",
            node.number,
            state(node),
            node.beat.calls,
            node.beat.capacity_calls,
            node.version
        );
    }
}
