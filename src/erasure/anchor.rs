//! Anchors the deletion log outside this node: a copy of it in the store, its head in the index, and the comparison with
//! both. The same for the audit log's signed checkpoints.
//!
//! The copy is in blocks of 4,096 entries, `anchors/<node>/deletions/<n>.log`, the last of which grows. A log with fewer
//! entries than index or store recorded, or with different ones, is out of step: nothing is served or delivered until
//! `optag replay-deletions` has repaired it.

use std::path::Path;

use anyhow::Context;
use futures::TryStreamExt;

use crate::audit::{AuditFault, AuditLog};
use crate::erasure::deletion_log::{Head, Relation};
use crate::erasure::service::EraseService;
use crate::metrics;
use optag_core::clock::WallTime;
use optag_core::signing::Signed;
use optag_storage::store::StoreError;
use optag_storage::store::names::ANCHORS_PREFIX as PREFIX;

/// Entries in one block of the deletion log's copy.
const BLOCK: u64 = if cfg!(test) { 16 } else { 4_096 };
/// Maximum size of a block. Units: bytes.
const BLOCK_BYTES: u64 = 64 << 20;
/// Maximum size of a checkpoint. Units: bytes.
const CHECKPOINT_BYTES: u64 = 64 << 10;

/// Result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Relation of the log to the head recorded in the index.
    pub index: Relation,
    /// Relation of the log to the store's copy.
    pub store: Relation,
    /// Number of entries in the store's copy.
    pub store_entries: u64,
}

impl EraseService {
    /// Compares the deletion log with its head in the index and its copy in the store, and reports the result to the
    /// guard.
    ///
    /// Errors: store or index unavailable; the result of the other one is reported all the same.
    pub async fn compare_heads(&self) -> anyhow::Result<Compared> {
        let node = self.guard.signer.node();
        let seen = self.stores.index.deletion_head(&node).await.context("the index")?;
        let seen = seen.map_or(Head::default(), |(entries, hash)| Head { entries, hash });
        let index = tokio::task::block_in_place(|| self.log.relation(&seen))?;
        self.guard.found(index);
        let (store, store_entries) = self.compare_copy(&node).await.context("the store")?;
        self.guard.found(store);
        metrics::deletion_log_ok(self.guard.in_step());
        Ok(Compared { index, store, store_entries })
    }

    /// Updates the store's copy and the index's head to the log's current state.
    ///
    /// Errors: store or index unavailable; to be retried.
    pub async fn anchor_deletions(&self) -> anyhow::Result<()> {
        let mut anchored = self.guard.anchored.lock().await;
        let from = match *anchored {
            Some(from) => from,
            None => self.compare_heads().await?.store_entries,
        };
        if !self.guard.in_step() {
            return Ok(());
        }
        let head = self.log.head();
        if head.entries > from || anchored.is_none() {
            let node = self.guard.signer.node();
            self.write_blocks(&node, from, head.entries).await?;
            self.stores.index.set_deletion_head(&node, head.entries, &head.hash).await?;
            *anchored = Some(head.entries);
        }
        Ok(())
    }

    /// Merges all copies of deletion logs in the store into this log, this installation's first, one block at a time;
    /// returns the number of entries added.
    ///
    /// Errors: store unavailable, a line is not an entry, or added entries are not durable.
    pub async fn take_over_copies(&self) -> anyhow::Result<u64> {
        let own = format!("{PREFIX}{}/", self.guard.signer.node());
        let mut names: Vec<String> =
            self.stores.store.list(PREFIX).map_ok(|object| object.key).try_collect().await?;
        names.retain(|name| name.contains("/deletions/") && name.ends_with(".log"));
        names.sort_by_key(|name| (!name.starts_with(&own), name.clone()));
        let mut known = tokio::task::block_in_place(|| self.log.known_lines())?;
        let mut taken = 0;
        for name in names {
            let lines = self.block(&name).await?;
            taken += tokio::task::block_in_place(|| self.log.take_over_beside(&lines, &mut known))?;
        }
        Ok(taken)
    }

    /// Rewrites the store's copy completely after lost entries were merged.
    ///
    /// Errors: store or index unavailable.
    pub async fn anchor_all(&self) -> anyhow::Result<()> {
        let mut anchored = self.guard.anchored.lock().await;
        let (head, node) = (self.log.head(), self.guard.signer.node());
        self.write_blocks(&node, 0, head.entries).await?;
        self.stores.index.set_deletion_head(&node, head.entries, &head.hash).await?;
        *anchored = Some(head.entries);
        self.guard.repaired();
        metrics::deletion_log_ok(true);
        Ok(())
    }

    async fn write_blocks(&self, node: &str, from: u64, entries: u64) -> anyhow::Result<()> {
        for n in from / BLOCK..entries.div_ceil(BLOCK) {
            let most = BLOCK.min(entries - n * BLOCK);
            let block = tokio::task::block_in_place(|| self.log.lines(n * BLOCK, most))?;
            self.stores.store.put_over(&block_name(node, n), (block.join("\n") + "\n").into()).await?;
        }
        Ok(())
    }

    async fn compare_copy(&self, node: &str) -> anyhow::Result<(Relation, u64)> {
        let mut last: Option<u64> = None;
        let mut blocks = self.stores.store.list(&format!("{PREFIX}{node}/deletions/"));
        while let Some(object) = blocks.try_next().await? {
            last = last.max(block_number(&object.key));
        }
        let Some(last) = last else { return Ok((Relation::InStep, 0)) };
        let theirs = self.block(&block_name(node, last)).await?;
        let entries = last * BLOCK + theirs.len() as u64;
        if entries > self.log.head().entries {
            return Ok((Relation::Behind, entries));
        }
        let ours = tokio::task::block_in_place(|| self.log.lines(last * BLOCK, BLOCK))?;
        let same = ours.get(..theirs.len()) == Some(&theirs[..]);
        Ok((if same { Relation::InStep } else { Relation::Forked }, entries))
    }

    async fn block(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let bytes = self.stores.store.get_small(name, BLOCK_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    /// Signs the audit log's last entry and keeps the checkpoint for later comparison: beside the log, in the store
    /// under a write-once name, and in `dir` if given. A process checks once whether an earlier one stored the last
    /// checkpoint, and retries until it is stored.
    ///
    /// Errors: the audit log cannot be read, or the local checkpoint cannot be written.
    ///
    /// Errors: the trail cannot be read, or no checkpoint be kept beside it.
    pub async fn anchor_audit(
        &self,
        audit: &AuditLog,
        at: WallTime,
        dir: Option<&Path>,
    ) -> Result<(), AuditFault> {
        let signed = tokio::task::block_in_place(|| audit.checkpoint(&self.guard.signer, at))?;
        let name = signed.as_ref().and_then(|signed| checkpoint_name(&self.guard.signer.node(), signed));
        let (Some(signed), Some(name)) = (signed, name) else {
            metrics::audit_anchored(true);
            return Ok(());
        };
        let mut anchored = self.guard.audit_anchored.lock().await;
        if anchored.as_ref() == Some(&name) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&signed).map_err(std::io::Error::from)?;
        let stored = self.stores.store.put_small(&name, text.clone().into()).await;
        let copied = dir.map_or(Ok(()), |dir| {
            let file = dir.join(name.rsplit('/').next().unwrap_or_default());
            std::fs::create_dir_all(dir).and_then(|()| std::fs::write(file, &text))
        });
        let ok = stored.is_ok() && copied.is_ok();
        match ok {
            true => *anchored = Some(name),
            false => tracing::warn!(?stored, ?copied, "audit checkpoint stored locally only"),
        }
        metrics::audit_anchored(ok);
        Ok(())
    }

    /// This installation's audit checkpoints in the store. Objects that are not checkpoints are skipped.
    ///
    /// Errors: store unavailable.
    pub async fn audit_anchors(&self) -> Result<Vec<Signed>, StoreError> {
        let prefix = format!("{PREFIX}{}/audit/", self.guard.signer.node());
        let names: Vec<String> =
            self.stores.store.list(&prefix).map_ok(|object| object.key).try_collect().await?;
        let mut found = Vec::new();
        for name in names {
            let json = self.stores.store.get_small(&name, CHECKPOINT_BYTES).await?;
            found.extend(serde_json::from_slice::<Signed>(&json).ok());
        }
        Ok(found)
    }
}

fn block_name(node: &str, n: u64) -> String {
    format!("{PREFIX}{node}/deletions/{n:012}.log")
}

fn block_number(name: &str) -> Option<u64> {
    name.rsplit_once('/')?.1.strip_suffix(".log")?.parse().ok()
}

fn checkpoint_name(node: &str, signed: &Signed) -> Option<String> {
    let checkpoint: crate::audit::Checkpoint = signed.read().ok()?;
    Some(format!("{PREFIX}{node}/audit/{:012}.json", checkpoint.sequence))
}

#[cfg(test)]
pub(crate) mod tests;
