//! `optag check`: whether index, store, spool and audit agree.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use futures::TryStreamExt;

use super::ConfigArgs;
use super::transport::load_config;
use crate::app::open::{Opened, open};
use crate::archive::key;
use crate::base::id::CallId;

/// Rows taken at a time.
const BATCH: u32 = 1_000;

/// Check that index, store, spool and audit agree. Stop the recorder first.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  optag check --data ./optag-data\n\nExit code 0: they agree. 1: they do not; each difference is a line."
)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let config = Arc::new(load_config(&args.config)?);
    let Some(opened) = open(Arc::clone(&config), |_| {}).await? else {
        bail!("a recorder is running on {}; stop it first", config.data_dir.display());
    };
    let findings = findings(&opened).await?;
    for finding in &findings {
        println!("{finding}");
    }
    let spooled = opened.recovered.calls.len();
    println!("{} differences; {spooled} calls wait in the spool", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn findings(opened: &Opened) -> anyhow::Result<Vec<String>> {
    let erasing = &opened.erasing;
    let mut findings = Vec::new();
    let (mut audio, mut manifests, mut indexed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut objects = erasing.store.list(key::PREFIX);
    while let Some(object) = objects.try_next().await? {
        match (key::parse(&object.key), key::kind(&object.key)) {
            (Some((id, _)), Some((key::Kind::Audio, _))) => drop(audio.insert(id)),
            (Some((id, _)), Some((key::Kind::Manifest, _))) => drop(manifests.insert(id)),
            _ if key::is_ours(&object.key) => {}
            _ => findings.push(format!("store: {} is not one of ours", object.key)),
        }
    }
    let mut after = None;
    loop {
        let ids = erasing.index.live_after(after, BATCH).await?;
        after = ids.last().copied();
        indexed.extend(ids);
        if after.is_none() {
            break;
        }
    }
    let spooled: BTreeSet<CallId> = opened.recovered.calls.iter().map(|call| call.id).collect();
    let mut tell =
        |ids: Vec<&CallId>, what: &str| findings.extend(ids.into_iter().map(|id| format!("{id}: {what}")));
    tell(indexed.difference(&audio).collect(), "in the index, but its audio is not in the store");
    tell(indexed.difference(&manifests).collect(), "in the index, but its manifest is not in the store");
    let waiting = |id: &&CallId| !spooled.contains(id);
    tell(audio.difference(&indexed).filter(waiting).collect(), "in the store, but not in the index");
    tell(manifests.difference(&audio).filter(waiting).collect(), "a manifest without its audio");
    let erased: BTreeSet<CallId> = erasing.log.all().into_iter().collect();
    let open: BTreeSet<CallId> = erasing.log.open_orders().into_iter().map(|order| order.id).collect();
    tell(
        erased.difference(&open).filter(|id| audio.contains(id) || indexed.contains(id)).collect(),
        "erased, yet there again: restored from a backup?",
    );
    if let Err(fault) = opened.audit.verify() {
        findings.push(fault.to_string());
    }
    let recovered = &opened.recovered;
    if recovered.damaged + recovered.bad_segments + recovered.missing_segments > 0 {
        findings.push(format!(
            "spool: {} damaged places, {} bad and {} missing segments",
            recovered.damaged, recovered.bad_segments, recovered.missing_segments
        ));
    }
    Ok(findings)
}
