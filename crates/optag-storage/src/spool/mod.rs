//! The one truth on disk: a log of sealed records, group-committed, recovered by scanning.
//!
//! In: [`record::SpoolRecord`]s of all calls. Out: durability, and each call's records read
//! back. Not here: what an object is, and when a call is delivered.
//!
//! # Constraints
//! - What was acknowledged survives any crash; what was not may be there or not, never half.
//! - There is no second ledger. A call exists while its key file does; destroying that file is
//!   how a call is released after delivery, and how it is erased.
//! - After a failed write or sync that descriptor is not used again: the segment is left, and
//!   everything not acknowledged is written again, same seals, to a new one.
//! - A nonce seals one text. What changes when a record is written again (`previous`, the CRC) is
//!   therefore outside its seal.
//! - Releasing a call never waits for a write: what it frees may be what the write lacks.
//! - Memory is bounded: the queue by its bytes, a call by the segments it has records in, a scan by one
//!   segment.
//!
//! # Layout
//! ```text
//! segments/seg-<number, 16 hex>.log        keys/<call id>.key
//!
//! segment   head 64: "optagspl" · version u16 · length u16 · incarnation u32 · number u64 ·
//!           node id 16 · zero · CRC32C u32          then records, then zeros
//! record    head 64: "oRec" · CRC32C u32 of all that follows · sealed length u32 ·
//!           incarnation u32 · sequence u64 · call 16 · kind u8 · encoding u8 · zero u16 ·
//!           ordinal u32 · previous (segment u64, offset u32) · zero u32
//!           then the payload, sealed by AES-256-GCM with the call's key, nonce
//!           incarnation‖sequence, the head's middle authenticated; tag 16
//! ```
//! Numbers are little-endian; the nonce is big-endian. A key file is 88 bytes: "okey" · version u8
//! · zero 3 · call 16 · nonce 12 · the data key sealed by the master key 32, tag 16 · CRC32C; it is
//! written beside, synced and renamed, and overwritten before it is removed. Kinds of records: 1
//! opened, 2 consent, 3 media, 4 gap, 5 closed, 18 media that is not encoded yet; 8 and 9 are what the engine and signalling need to
//! go on with the call after a restart, of which the last counts. `previous` chains a call's records backwards, so that one call is
//! read back without reading the others; where the chain leads to a record that was moved, the call's place knows where it
//! is; where it is broken, the call's segments are scanned.
//!
//! # Operation
//! One thread owns the files. It takes what is queued, seals it, writes it, syncs once, and only
//! then answers: at once when idle, and as fast as the disk syncs otherwise. The head and the name
//! of a segment are durable before a record is written to it. Each start of the process has a new
//! incarnation, higher than any found and no lower than the seconds of the wall clock, so no nonce
//! repeats under a key even where the last segments are lost. Sequences and segment
//! numbers go up only. A failure is tried again for ever, with pauses of 20 ms to 1 s, and the
//! bounded queue pushes back meanwhile. A segment goes when no call that has a key
//! has a record in it; of one that holds little else, those records are copied out (`compaction`), so that one long call
//! does not keep the room of the others. The cap at 85 % refuses new calls, and so does a file system with less than
//! `min_free_bytes` left, whoever fills it; calls in progress go on to the last byte of the file system.
//!
//! Faults and what becomes of them: `docs/design/spool.md`.

mod capacity;
mod commit;
mod compaction;
pub mod error;
pub mod frame;
pub mod key;
mod keyring;
mod master;
mod payload;
mod reader;
pub mod record;
pub mod recover;
mod segment;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub use crate::spool::capacity::{FULL, Refusal};
pub use error::SpoolError;
pub use key::MasterKey;
pub use keyring::key_dir;
pub use master::MasterSecret;
pub use reader::CallReader;
pub use shared::{DurableEvent, Packed, SpoolStats};

use optag_core::id::CallId;
use optag_core::latency::Counted;
use optag_core::locked::Secret;
use optag_files::disk::Disk;
use record::SpoolRecord;
use recover::Recovered;
use shared::{Item, Shared};
use writer::Writer;

/// How long closing waits for a disk that refuses.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How a spool runs.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// Size of a segment file. Units: bytes.
    pub segment_bytes: u64,
    /// The most that all segments may take. Units: bytes.
    pub max_bytes: u64,
    /// Records that may wait for the disk. Units: bytes.
    pub queue_bytes: usize,
    /// Room that new calls leave on the file system, whoever uses the rest. Units: bytes.
    pub min_free_bytes: u64,
    /// Of the cap, what audio that is not encoded may take before new calls bring no more. Units: bytes.
    pub packed_max_bytes: u64,
}

/// Called on the spool's thread after a commit, for each consent and end of a call in it.
pub type OnDurable = Box<dyn Fn(DurableEvent) + Send>;

/// An open spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    thread: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl Spool {
    /// Opens the directory, recovers what is in it, and starts the writer.
    ///
    /// Errors: another process has it, the master key is the wrong one, or the disk's.
    pub fn open(
        config: SpoolConfig,
        disk: Arc<dyn Disk>,
        master: MasterKey,
        on_durable: OnDurable,
    ) -> Result<(Self, Recovered), SpoolError> {
        let (writer, recovered) = Writer::open(config, disk, master)?;
        let shared = writer.shared();
        let thread = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(&on_durable))
            .map_err(|error| SpoolError::disk("start the thread of", &shared.config.dir, error))?;
        Ok((Self { shared, thread: Arc::new(std::sync::Mutex::new(Some(thread))) }, recovered))
    }

    /// Queues records; never waits for the disk.
    ///
    /// Errors: the queue is full, and the batch comes back whole; or the spool is at its cap, and
    /// its audio comes back.
    pub fn append(&self, batch: Vec<SpoolRecord>) -> Result<(), Vec<SpoolRecord>> {
        self.shared.append(batch)
    }

    /// Calls `done` once everything appended before is durable.
    pub fn barrier(&self, done: Box<dyn FnOnce(Result<(), SpoolError>) + Send>) {
        self.shared.push(Item::Barrier(done));
    }

    /// Destroys a call's key: from then on nothing of the call can be read, after a crash
    /// neither. Records of it that are still queued are dropped. No such call is fine. Blocks.
    ///
    /// Errors: the key may still be on the disk; do it again.
    pub fn destroy_key(&self, call: CallId) -> Result<(), SpoolError> {
        let (reply, answer) = std::sync::mpsc::channel();
        self.shared.push(Item::Destroy(call, reply));
        answer.recv().unwrap_or(Err(SpoolError::Closed))
    }

    /// Reads a call's durable records in order. Blocks.
    ///
    /// Errors: there is no such call, or the disk's.
    pub fn read(&self, call: CallId) -> Result<CallReader, SpoolError> {
        CallReader::open(&self.shared, call)
    }

    /// A secret that a call's key gives for another purpose, always the same under one label.
    ///
    /// Errors: the spool has no such call, or its key was destroyed.
    pub fn derive(&self, call: CallId, label: &[u8]) -> Result<Secret, SpoolError> {
        let places = self.shared.places();
        let place = places.get(&call).filter(|place| !place.doomed);
        place.ok_or(SpoolError::NoCall { call })?.key.derive(label)
    }

    /// Whether there is room for new calls: under 85 % of the cap, and enough left on the file system.
    pub fn accepts_new_calls(&self) -> bool {
        self.refuses().is_none()
    }

    /// Why there is no room for new calls, if there is none.
    pub fn refuses(&self) -> Option<Refusal> {
        self.shared.refusal()
    }

    /// Whether new calls may bring audio that is not encoded: it has not filled its share.
    pub fn takes_packed(&self) -> bool {
        !self.shared.packed_is_full.load(Ordering::Relaxed)
    }

    /// What a call has that is not encoded.
    pub fn packed(&self, call: CallId) -> Packed {
        self.shared.packed(call)
    }

    /// Whether the spool has records of a call that can be read.
    pub fn holds(&self, call: CallId) -> bool {
        self.shared.places().get(&call).is_some_and(|place| !place.doomed)
    }

    /// Whether the queue is all but full: what is appended now would come back.
    pub fn is_backed_up(&self) -> bool {
        self.shared.is_backed_up()
    }

    /// Calls that have a key here.
    pub fn calls(&self) -> Vec<CallId> {
        self.shared.calls()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> SpoolStats {
        self.shared.stats()
    }

    /// How long the syncs took.
    pub fn sync_latency(&self) -> Counted {
        self.shared.sync_latency.read()
    }

    /// Makes what is queued durable and stops the writer. Blocks; where the disk refuses, for a
    /// few seconds, and the barriers not reached then tell of it.
    pub fn close(&self) {
        self.close_within(CLOSE_WITHIN);
    }

    fn close_within(&self, patience: Duration) {
        self.shared.push(Item::Close(patience));
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
