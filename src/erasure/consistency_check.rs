//! Checks whether index, store and deletion log agree, and repairs what can be repaired: manifests in the store contain
//! what the index does, so a lost index can be rebuilt. In: an installation's data without a running recorder. Out: each
//! difference, and whether it was repaired.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::TryStreamExt;

use crate::erasure::deletion_log::Cause;
use crate::erasure::service::EraseService;
use crate::index::CallRow;
use crate::metrics;
use crate::stores::Stores;
use optag_core::id::CallId;
use optag_storage::archive::vault::VaultError;
use optag_storage::store::names::{self, Kind};

/// Rows read per query.
const BATCH: u32 = 1_000;

/// A difference between index, store and deletion log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Description; no personal data.
    pub text: String,
    /// Whether the difference was repaired.
    pub repaired: bool,
}

/// Recordings by where they exist.
#[derive(Debug, Default)]
struct Inventory {
    audio: BTreeMap<CallId, u64>,
    manifests: BTreeSet<CallId>,
    rows: BTreeSet<CallId>,
    spooled: BTreeSet<CallId>,
    strange: Vec<String>,
    /// Erased, by the word of the index, whichever node did it.
    gone: HashSet<CallId>,
}

/// Compares index, store and deletion log; with `repair`, also repairs what can be repaired without guessing.
/// `spooled` are the calls not yet delivered.
///
/// Errors: store or index cannot be read.
pub async fn compare(
    erasure: &EraseService,
    spooled: BTreeSet<CallId>,
    repair: bool,
) -> anyhow::Result<Vec<Finding>> {
    let inventory = Inventory::take(&erasure.stores, spooled).await?;
    let mut findings: Vec<Finding> = inventory.strange.iter().map(|name| left(name, "foreign")).collect();
    let all: BTreeSet<CallId> =
        inventory.audio.keys().chain(&inventory.manifests).chain(&inventory.rows).copied().collect();
    for id in all {
        if let Some((text, can)) = inventory.verdict(id, erasure) {
            let repaired = match can {
                Mend::Nothing => false,
                _ if !repair => false,
                Mend::Row => row_from_store(id, &inventory, erasure).await,
                Mend::Erase => erased_again(id, erasure).await,
            };
            findings.push(Finding { text: format!("{id}: {text}"), repaired });
        }
    }
    Ok(findings)
}

/// Possible repairs of a difference.
enum Mend {
    Nothing,
    Row,
    Erase,
}

impl Inventory {
    async fn take(stores: &Stores, spooled: BTreeSet<CallId>) -> anyhow::Result<Self> {
        let mut found = Self { spooled, ..Self::default() };
        let mut objects = stores.store.list(names::PREFIX);
        while let Some(object) = objects.try_next().await? {
            match (names::parse(&object.key), names::kind(&object.key)) {
                (Some((id, _)), Some((Kind::Audio, _))) => drop(found.audio.insert(id, object.bytes)),
                (Some((id, _)), Some((Kind::Manifest, _))) => drop(found.manifests.insert(id)),
                _ if names::is_ours(&object.key) => {}
                _ => found.strange.push(object.key),
            }
        }
        let mut after = None;
        loop {
            let ids = stores.index.live_after(after, BATCH).await?;
            after = ids.last().copied();
            found.rows.extend(ids);
            if after.is_none() {
                break;
            }
        }
        let unknown = found.audio.keys().chain(&found.manifests).filter(|id| !found.rows.contains(id));
        let unknown: Vec<CallId> = unknown.copied().collect();
        found.gone = stores.index.gone_among(&unknown).await?;
        Ok(found)
    }

    fn verdict(&self, id: CallId, erasure: &EraseService) -> Option<(&'static str, Mend)> {
        let (audio, manifest) = (self.audio.contains_key(&id), self.manifests.contains(&id));
        let row = self.rows.contains(&id);
        if erasure.log.is_erased(id) || self.gone.contains(&id) {
            // An open order is not a difference: it will be completed.
            let open = erasure.log.open_orders().iter().any(|order| order.id == id);
            return (!open).then_some(("erased, but present again: restored from a backup?", Mend::Erase));
        }
        // Calls in the spool have not been delivered yet.
        if self.spooled.contains(&id) {
            return None;
        }
        match (audio, manifest, row) {
            (true, true, true) => None,
            (true, true, false) => Some(("in the store, but not in the index", Mend::Row)),
            (true, false, true) => {
                Some(("in the index, but its manifest is not in the store", Mend::Nothing))
            }
            (true, false, false) => Some(("audio without its manifest, not in the index", Mend::Nothing)),
            (false, true, false) => Some(("a manifest without its audio", Mend::Nothing)),
            (false, _, true) => Some(("in the index, but its audio is not in the store", Mend::Nothing)),
            (false, false, false) => None,
        }
    }
}

/// Rebuilds an index row from its manifest, if the audio has the length given there.
async fn row_from_store(id: CallId, inventory: &Inventory, erasure: &EraseService) -> bool {
    let manifest = match erasure.stores.vault.manifest(id).await {
        Ok(manifest) => manifest,
        Err(error) => {
            error.newer().into_iter().for_each(metrics::newer_format);
            let why: &dyn std::fmt::Display = match &error {
                VaultError::NoKey => &"day key missing",
                other => other,
            };
            tracing::warn!(call = %id, %why, "cannot rebuild index row");
            return false;
        }
    };
    let bytes = manifest.object.as_ref().map_or(manifest.audio_bytes, |object| object.bytes);
    if inventory.audio.get(&id) != Some(&bytes) {
        tracing::warn!(call = %id, "cannot rebuild index row: audio length differs from the manifest");
        return false;
    }
    let call = CallRow {
        id,
        department: manifest.call.department.clone(),
        ended_at: manifest.ended_at,
        outcome: manifest.ended_by.of_recorded(),
    };
    let written = async {
        erasure.stores.index.put_recording(&manifest).await?;
        erasure.stores.index.put_call(&call).await
    };
    written.await.inspect_err(|error| tracing::warn!(call = %id, %error, "cannot rebuild index row")).is_ok()
}

/// Erases again what the log says is erased.
async fn erased_again(id: CallId, erasure: &EraseService) -> bool {
    let erased = erasure.complete(id, Cause::Request).await;
    erased
        .inspect_err(|(step, error)| {
            tracing::warn!(call = %id, step = step.name(), %error, "erasure incomplete, will retry");
        })
        .is_ok()
}

fn left(name: &str, what: &str) -> Finding {
    Finding { text: format!("store: {name} is {what}"), repaired: false }
}
