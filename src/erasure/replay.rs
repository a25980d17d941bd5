//! Repairs a deletion log with missing entries, and replays it against a store, an index or a spool restored from a backup.
//! In: an installation's data without a running recorder. Out: nothing erased is left anywhere.

use std::collections::BTreeSet;

use anyhow::bail;
use futures::TryStreamExt;

use crate::erasure::deletion_log::Relation;
use crate::erasure::service::EraseService;
use optag_core::id::CallId;
use optag_storage::store::names;

/// Rows read per query.
const BATCH: u32 = 1_000;

/// Result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Number of lost entries recovered from the store's copies.
    pub taken_over: u64,
    /// Number of erased recordings that had reappeared.
    pub returned: usize,
    /// Number of erasures that are not complete.
    pub open: usize,
}

/// Merges the store's copies of the log, erases again what reappeared, and records the log's head in index and store.
///
/// `accept_loss`: continue although index or store saw entries that no copy has any more. Errors: store or index
/// unavailable; entries are lost and the loss was not accepted.
pub async fn replay(erasure: &EraseService, accept_loss: bool) -> anyhow::Result<Replayed> {
    let taken_over = erasure.take_over_copies().await?;
    let compared = erasure.compare_heads().await?;
    if compared.index == Relation::Behind && !accept_loss {
        bail!(
            "index records more erasures than the deletion log and its copies in the store: some are \
             lost. Restore a newer deletions.log, or continue without them (--accept-loss)"
        );
    }
    let returned = returned(erasure).await?;
    for id in &returned {
        erasure.reopen(*id).await?;
    }
    let open = erasure.complete_open().await;
    erasure.anchor_all().await?;
    Ok(Replayed { taken_over, returned: returned.len(), open })
}

/// Erased recordings of which store, index or spool hold something again.
async fn returned(erasure: &EraseService) -> anyhow::Result<BTreeSet<CallId>> {
    let mut found = BTreeSet::new();
    let mut objects = erasure.stores.store.list(names::PREFIX);
    while let Some(object) = objects.try_next().await? {
        found.extend(names::parse(&object.key).map(|(id, _)| id).filter(|id| erasure.log.is_erased(*id)));
    }
    let mut after = None;
    loop {
        let ids = erasure.stores.index.live_after(after, BATCH).await?;
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        found.extend(ids.into_iter().filter(|id| erasure.log.is_erased(*id)));
    }
    found.extend(erasure.stores.spool.calls().into_iter().filter(|id| erasure.log.is_erased(*id)));
    Ok(found)
}
