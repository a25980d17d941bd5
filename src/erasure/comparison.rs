//! Compares index and store by name, as two sorted streams: recordings of the index that are missing in the store, and
//! recordings in the store that are unknown. Each difference is checked once more by itself, as recordings come and go
//! during the comparison.

use std::collections::VecDeque;

use crate::erasure::deletion_log::DeletionLog;
use crate::index::IndexError;
use crate::stores::Stores;
use optag_core::id::CallId;
use optag_storage::store::names::{self, Kind};
use optag_storage::store::remains::Sought;
use optag_storage::store::versions::{CopyKind, StoredCopy};

/// Rows of the index that are read at a time.
const ROWS: u32 = 1_000;
/// Differences that are looked at by themselves; of the others only the number is told.
const LOOKED_AT: u64 = 1_000;
/// Differences that are named.
const NAMED: usize = 20;

/// What differs.
#[derive(Debug, Default)]
pub struct Differences {
    /// Recordings of the index.
    pub rows: u64,
    /// Recordings of the store.
    pub recordings: u64,
    /// Recordings of the index that the store does not have whole, by list or by name.
    pub missing: u64,
    /// Recordings that the store has by name and its lists leave out.
    pub unlisted: u64,
    /// Recordings of the store of which neither index nor spool knows.
    pub unknown: u64,
    /// Recordings that are erased and there.
    pub returned: u64,
    /// Objects below our prefix that no recorder made.
    pub strangers: u64,
    /// The first of these.
    pub notes: Vec<String>,
    /// The store does not list in order of names: what was compared is not certain.
    pub disordered: bool,
    looked_at: u64,
}

/// One comparison on its way.
pub struct Comparison<'a> {
    stores: &'a Stores,
    log: &'a DeletionLog,
    rows: VecDeque<CallId>,
    after: Option<CallId>,
    rows_end: bool,
    here: Option<Here>,
    last: Option<CallId>,
    /// What was found so far.
    pub found: Differences,
}

/// What the list shows of one recording.
struct Here {
    id: CallId,
    audio: bool,
    manifest: bool,
    any: bool,
}

impl<'a> Comparison<'a> {
    /// Begins.
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

    /// Takes the next copy of the list.
    ///
    /// Errors: the index does not answer.
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

    /// Takes the end of the list: what the index has besides is missing.
    ///
    /// Errors: the index does not answer.
    pub async fn end(mut self) -> Result<Differences, IndexError> {
        self.flush().await?;
        while let Some(row) = self.row().await? {
            self.missing(row).await?;
            self.rows.pop_front();
        }
        Ok(self.found)
    }

    /// Compares the recording that the list has just left.
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

    /// The next row of the index.
    async fn row(&mut self) -> Result<Option<CallId>, IndexError> {
        if self.rows.is_empty() && !self.rows_end {
            self.rows = self.stores.index.live_after(self.after, ROWS).await?.into();
            self.rows_end = self.rows.is_empty();
            self.found.rows += self.rows.len() as u64;
            self.after = self.rows.back().copied().or(self.after);
        }
        Ok(self.rows.front().copied())
    }

    /// The list does not show all of a recording that the index has.
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

    /// The list shows a recording that the index does not have.
    async fn unknown(&mut self, id: CallId) -> Result<(), IndexError> {
        if self.log.is_erased(id) {
            // One whose erasure is open is told of by the deletion log's part.
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

    /// Whether one more difference is looked at by itself.
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
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.missing + self.unlisted + self.unknown + self.returned
    }

    /// In words, the numbers first.
    pub fn told(self) -> Vec<String> {
        let mut told = Vec::new();
        for (count, what) in [
            (self.missing, "recordings in the index are incomplete in the store"),
            (self.unlisted, "recordings exist in the store but are missing from its listing"),
            (self.unknown, "recordings in the store are in neither index nor spool"),
            (self.returned, "erased recordings reappeared"),
            (self.strangers, "foreign objects under the prefix"),
        ] {
            if count > 0 {
                told.push(format!("{count} {what}"));
            }
        }
        if self.looked_at > LOOKED_AT {
            told.push(format!(
                "the first {LOOKED_AT} differences were looked for by name, the others were not"
            ));
        }
        told.extend(self.notes);
        told
    }
}
