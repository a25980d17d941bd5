//! What a start looks at before anything is delivered or served: the store's lock, the deletion log, orders of other nodes.

use std::time::Duration;

use crate::app::open::Opened;
use optag_core::limit;

/// How long the start waits for index and store to tell what they saw of the deletion log.
const COMPARE: Duration = Duration::from_secs(10);

/// A store that would keep recordings too long is refused; one that is away is not.
pub(super) async fn check_store(opened: &Opened) -> anyhow::Result<()> {
    let Some(admin) = opened.stores.store.admin() else { return Ok(()) };
    match admin.refuse_long_lock(limit::RETENTION_DAYS).await {
        Err(error @ optag_storage::store::StoreError::Config(_)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "store not reachable yet; recordings stay in the spool");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether the deletion log is the one that index and store saw. Where it is not, calls are
/// recorded and nothing else: their audio waits in the spool.
pub(super) async fn compare_deletions(opened: &Opened) {
    // Calls that go on wait for the start, so it does not wait for an index that is away.
    let compared = match opened.stores.index.probe().await {
        Ok(()) => tokio::time::timeout(COMPARE, opened.erasure.compare_heads()).await,
        Err(error) => Ok(Err(error.into())),
    };
    match compared.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer"))) {
        Ok(compared) if !opened.erasure.guard.in_step() => {
            tracing::error!(?compared, "deletion log is missing erasures; run `optag replay-deletions`");
        }
        Ok(_) => {}
        // The sweeper asks again before it writes a copy.
        Err(error) => tracing::warn!("cannot compare the deletion log with its copies yet: {error:#}"),
    }
}

/// What other nodes have ordered to be erased, before anything is delivered or served. Where the index is away, nothing
/// is served, and what is delivered meanwhile is erased once it is back.
pub(super) async fn learn_orders(opened: &Opened) {
    let learned = tokio::time::timeout(COMPARE, opened.erasure.learn_orders()).await;
    if let Err(error) = learned.map_err(anyhow::Error::from).and_then(|learned| Ok(learned?)) {
        tracing::warn!(%error, "cannot read holds and deletion orders of the index yet");
    }
}
