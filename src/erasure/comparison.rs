//! Compares index and store by name, as two sorted streams: recordings in the index that the store lacks, and
//! recordings in the store that the index lacks. Each difference is verified individually, since recordings come and
//! go during the comparison.

use std::collections::VecDeque;

use crate::erasure::deletion_log::DeletionLog;
use crate::index::IndexError;
use crate::stores::Stores;
use optag_core::id::CallId;
use optag_storage::store::names::{self, Kind};
use optag_storage::store::remains::Sought;
use optag_storage::store::versions::{CopyKind, StoredCopy};

/// Index rows read per query.
const ROWS: u32 = 1_000;
/// Maximum number of differences verified individually; the others are only counted.
const LOOKED_AT: u64 = 1_000;
/// Maximum number of differences named.
const NAMED: usize = 20;

/// Differences between index and store.
#[derive(Debug, Default)]
pub struct Differences {
    /// Recordings in the index.
    pub rows: u64,
    /// Recordings in the store.
    pub recordings: u64,
    /// Recordings in the index that are incomplete in the store, by listing or by name.
    pub missing: u64,
    /// Recordings that exist in the store by name but are missing from its listing.
    pub unlisted: u64,
    /// Recordings in the store that are in neither index nor spool.
    pub unknown: u64,
    /// Erased recordings that are present again.
    pub returned: u64,
    /// Objects under the prefix that no recorder wrote.
    pub strangers: u64,
    /// The first differences, in words.
    pub notes: Vec<String>,
    /// The store does not list in name order: the result is unreliable.
    pub disordered: bool,
    looked_at: u64,
}

/// A comparison in progress.
pub struct Comparison<'a> {
    stores: &'a Stores,
    log: &'a DeletionLog,
    rows: VecDeque<CallId>,
    after: Option<CallId>,
    rows_end: bool,
    here: Option<Here>,
    last: Option<CallId>,
    /// Differences found so far.
    pub found: Differences,
}

/// One recording's objects, as listed.
struct Here {
    id: CallId,
    audio: bool,
    manifest: bool,
    any: bool,
}

impl<'a> Comparison<'a> {
    /// Starts a comparison.
    pub fn new(stores: &'a Stores, log: &'a DeletionLog) -> Self {
        Self {
            stores,
            log,
            rows: VecDeque::new(),
            after: None,
            rows_end: false,
            here: None,
            last: None,
            found: Differences::default(),
        }
    }

    /// Processes the next listed copy.
    ///
    /// Errors: index unavailable.
    pub async fn copy(&mut self, copy: &StoredCopy) -> Result<(), IndexError> {
        let Some((id, _)) = names::parse(&copy.key) else {
            if !names::is_ours(&copy.key) {
                self.found.strangers += 1;
                self.note(|| format!("{}: foreign object", copy.key));
            }
            return Ok(());
        };
        if self.here.as_ref().is_none_or(|here| here.id != id) {
            self.flush().await?;
            self.found.disordered |= self.last.is_some_and(|last| last >= id);
            self.last = Some(id);
            self.here = Some(Here { id, audio: false, manifest: false, any: false });
        }
        let Some(here) = &mut self.here else { return Ok(()) };
        if copy.kind == CopyKind::Object {
            here.any = true;
            match names::kind(&copy.key) {
                Some((Kind::Audio, _)) => here.audio = true,
                Some((Kind::Manifest, _)) => here.manifest = true,
                None => {}
            }
        }
        Ok(())
    }

    /// Ends the listing: the remaining rows of the index are missing in the store.
    ///
    /// Errors: index unavailable.
    pub async fn end(mut self) -> Result<Differences, IndexError> {
        self.flush().await?;
        while let Some(row) = self.row().await? {
            self.missing(row).await?;
            self.rows.pop_front();
        }
        Ok(self.found)
    }

    /// Compares the recording whose objects have all been listed.
    async fn flush(&mut self) -> Result<(), IndexError> {
        let Some(here) = self.here.take() else { return Ok(()) };
        self.found.recordings += u64::from(here.any);
        while let Some(row) = self.row().await?.filter(|row| *row <= here.id) {
            self.rows.pop_front();
            if row < here.id {
                self.missing(row).await?;
                continue;
            }
            if !(here.audio && here.manifest) {
                self.missing(row).await?;
            }
            return Ok(());
        }
        if here.any { self.unknown(here.id).await } else { Ok(()) }
    }

    /// The next recording in the index.
    async fn row(&mut self) -> Result<Option<CallId>, IndexError> {
        if self.rows.is_empty() && !self.rows_end {
            self.rows = self.stores.index.live_after(self.after, ROWS).await?.into();
            self.rows_end = self.rows.is_empty();
            self.found.rows += self.rows.len() as u64;
            self.after = self.rows.back().copied().or(self.after);
        }
        Ok(self.rows.front().copied())
    }

    /// Verifies a recording in the index that the listing does not show in full.
    async fn missing(&mut self, id: CallId) -> Result<(), IndexError> {
        if self.log.is_erased(id) {
            return Ok(());
        }
        if !self.looks() {
            self.found.missing += 1;
            return Ok(());
        }
        let row = self.stores.index.get(id).await?;
        if row.is_none_or(|row| row.erased_at.is_some()) {
            return Ok(());
        }
        let stored = self.stores.index.stored(id).await?;
        let look = self.stores.store.look(&Sought::recording(id, stored.as_ref())).await;
        let has = |wanted: Kind| {
            look.as_ref().is_ok_and(|look| {
                look.found.iter().any(|copy| {
                    copy.kind == CopyKind::Object
                        && names::kind(&copy.key).is_some_and(|(kind, _)| kind == wanted)
                })
            })
        };
        match (has(Kind::Audio), has(Kind::Manifest)) {
            (true, true) => {
                self.found.unlisted += 1;
                self.note(|| format!("{id}: in the store, but missing from its listing"));
            }
            (audio, manifest) => {
                self.found.missing += 1;
                let what = match (audio, manifest) {
                    (true, false) => "its manifest is",
                    (false, true) => "its audio is",
                    _ => "it is",
                };
                self.note(|| format!("{id}: {what} not in the store, by name or by list"));
            }
        }
        Ok(())
    }

    /// Verifies a listed recording that the index does not have.
    async fn unknown(&mut self, id: CallId) -> Result<(), IndexError> {
        if self.log.is_erased(id) {
            // A recording with an open erasure is reported by the deletion log's part of the report.
            let open = self.log.open_orders().iter().any(|order| order.id == id);
            if !open {
                self.found.returned += 1;
                self.note(|| format!("{id}: erased, but present again"));
            }
            return Ok(());
        }
        if self.looks() {
            let on_its_way = self.stores.spool.calls().contains(&id);
            if on_its_way || self.stores.index.get(id).await?.is_some_and(|row| row.erased_at.is_none()) {
                return Ok(());
            }
            self.note(|| format!("{id}: in the store, but not in the index"));
        }
        self.found.unknown += 1;
        Ok(())
    }

    /// Whether one more difference is verified individually.
    fn looks(&mut self) -> bool {
        self.found.looked_at += 1;
        self.found.looked_at <= LOOKED_AT
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.found.notes.len() < NAMED {
            self.found.notes.push(text());
        }
    }
}

impl Differences {
    /// Number of differences.
    pub fn count(&self) -> u64 {
        self.missing + self.unlisted + self.unknown + self.returned
    }

    /// Summary in words, totals first.
    pub fn summary(self) -> Vec<String> {
        let mut summary = Vec::new();
        for (count, what) in [
            (self.missing, "recordings in the index are incomplete in the store"),
            (self.unlisted, "recordings exist in the store but are missing from its listing"),
            (self.unknown, "recordings in the store are in neither index nor spool"),
            (self.returned, "erased recordings reappeared"),
            (self.strangers, "foreign objects under the prefix"),
        ] {
            if count > 0 {
                summary.push(format!("{count} {what}"));
            }
        }
        if self.looked_at > LOOKED_AT {
            summary.push(format!(
                "the first {LOOKED_AT} differences were verified by name, the others were not"
            ));
        }
        summary.extend(self.notes);
        summary
    }
}
