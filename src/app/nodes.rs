//! A node among others: what the configuration says of it, and the certificates by which nodes know each other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::app::capacity::STREAMS;
use crate::cluster::identity::Identity;
use crate::cluster::membership::{Membership, Told};
use crate::cluster::name_hashes::{LABEL, NameHashes};
use crate::cluster::shared_calls::SharedCalls;
use crate::cluster::tls::NodeTls;
use crate::config::Config;
use crate::http::Door;
use crate::index::{Index, IndexPlace};
use optag_storage::spool::MasterSecret;

/// Time between two looks for certificates that changed.
const LOOK: Duration = Duration::from_secs(60);

/// What this node shares with others; none where the index is its own.
///
/// Errors: its identity cannot be read or made.
pub(super) fn shared(
    config: &Config,
    index: &Index,
    master: &MasterSecret,
) -> anyhow::Result<Option<Arc<SharedCalls>>> {
    if matches!(config.index, IndexPlace::Sqlite(_)) {
        return Ok(None);
    }
    let hashes = NameHashes::new(&master.derive(LABEL)?);
    let told = Told {
        address: config.cluster.as_ref().map(|cluster| cluster.address.clone()).unwrap_or_default(),
        capacity_calls: u32::try_from(config.rtp.pairs() / STREAMS).unwrap_or(u32::MAX),
        names_key: hashes.check(),
    };
    let identity = Identity::open(&config.data_dir).context(in_dir(&config.data_dir))?;
    let members = Arc::new(Membership::new(index.clone(), identity, told));
    Ok(Some(Arc::new(SharedCalls::new(members, hashes, config.early_answers))))
}

fn in_dir(dir: &Path) -> String {
    format!("cannot open {}", dir.join("node.json").display())
}

/// The certificates of this node, where it has any.
///
/// Errors: they cannot be read.
pub(super) fn tls(config: &Config) -> anyhow::Result<Option<Arc<NodeTls>>> {
    let load =
        |files| NodeTls::load(files).map(Arc::new).context("cannot read the certificates of [cluster]");
    config.cluster.as_ref().map(|cluster| load(cluster.files.clone())).transpose()
}

/// What other nodes go through.
pub(super) fn door(tls: &Arc<NodeTls>) -> Door {
    let tls = Arc::clone(tls);
    Arc::new(move || tls.acceptor())
}

/// Takes certificates that changed, until it is dropped.
pub(super) async fn watch(tls: Arc<NodeTls>) {
    loop {
        tokio::time::sleep(LOOK).await;
        match tls.reload() {
            Ok(true) => tracing::info!("certificates of [cluster] reloaded"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "cannot reload the certificates of [cluster]; the old ones stay in use");
            }
        }
    }
}
