//! The only source of truth on disk: a log of sealed records, group-committed, recovered by scanning.
//!
//! In: [`record::SpoolRecord`]s of all calls. Out: durability, and each call's records read back. Not here: what an
//! object is, and when a call is delivered.
//!
//! # Constraints
//! - What was acknowledged survives any crash; an unacknowledged record is complete or absent.
//! - There is no second ledger. A call exists as long as its key file does; destroying that file is how a call is
//!   released after delivery, and how it is erased.
//! - After a failed write or sync the descriptor is not used again: the segment is left, and everything not
//!   acknowledged is written again, with the same seals, to a new one.
//! - A nonce seals one plaintext. What changes when a record is rewritten (`previous`, the CRC) is therefore outside
//!   its seal.
//! - Releasing a call never waits for a write: it may free the space that the write lacks.
//! - Memory is bounded: the queue by its bytes, a call by the segments that contain its records, a scan by one segment.
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
//! Numbers are little-endian; the nonce is big-endian. A key file is 88 bytes: "okey" · version u8 · zero 3 · call 16 ·
//! nonce 12 · the data key sealed with the master key 32, tag 16 · CRC32C; it is written to a temporary file, synced and
//! renamed, and overwritten before it is removed. Kinds of records: 1 opened, 2 consent, 3 media, 4 gap, 5 closed, 16
//! joined, 17 described, 18 unencoded media; 8 and 9 are the state that engine and signalling need to resume the call
//! after a restart, of which the last counts. `previous` chains a call's records backwards, so that one call is read
//! without reading the others; where the chain refers to a record that was moved, the call's place has its position;
//! where the chain is broken, the call's segments are scanned.
//!
//! # Operation
//! One thread owns the files. It takes what is queued, seals it, writes it, syncs once, and only then acknowledges: at
//! once when idle, otherwise as fast as the disk syncs. Header and name of a segment are durable before a record is
//! written to it. Each start of the process has a new incarnation, higher than any found and no lower than the seconds
//! of the wall clock, so no nonce repeats under a key even if the last segments are lost. Sequences and segment numbers
//! only increase. A failed commit is retried without limit, with pauses of 20 ms to 1 s, while the bounded queue pushes
//! back. A segment is removed once it contains no record of a call that has a key; from a segment that contains little
//! else, those records are copied out (`compaction`), so that one long call does not occupy the space of the others.
//! New calls are refused at 85 % of the cap, and on a file system with less than `min_free_bytes` left, whoever uses it;
//! calls in progress continue to the last byte of the file system.
//!
//! Faults and their consequences: `docs/design/spool.md`.

mod capacity;
mod commit;
mod compaction;
pub mod error;
pub mod frame;
pub mod key;
mod keyring;
mod master;
mod packed;
mod payload;
mod reader;
pub mod record;
pub mod recover;
mod refusal;
mod segment;
mod settings;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub use crate::spool::capacity::FULL;
pub use error::SpoolError;
pub use key::MasterKey;
pub use keyring::key_dir;
pub use master::MasterSecret;
pub use packed::Packed;
pub use reader::CallReader;
pub use refusal::Refusal;
pub use settings::SpoolConfig;
pub use shared::{DurableEvent, OnDurable, SpoolStats};

use optag_core::id::CallId;
use optag_core::latency::Counted;
use optag_core::locked::Secret;
use optag_files::disk::Disk;
use record::SpoolRecord;
use recover::Recovered;
use shared::{Item, Shared};
use writer::Writer;

/// How long closing waits for a failing disk.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Handle to an open spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    thread: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl Spool {
    /// Opens the directory, recovers its contents, and starts the writer.
    ///
    /// Errors: another process uses it, wrong master key, or disk.
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
    /// Errors: the queue is full: the whole batch is returned; or the spool is at its cap: the batch's audio is
    /// returned.
    pub fn append(&self, batch: Vec<SpoolRecord>) -> Result<(), Vec<SpoolRecord>> {
        self.shared.append(batch)
    }

    /// Calls `done` once everything appended before is durable.
    pub fn barrier(&self, done: Box<dyn FnOnce(Result<(), SpoolError>) + Send>) {
        self.shared.push(Item::Barrier(done));
    }

    /// Destroys a call's key: from then on nothing of the call can be read, even after a crash. Queued records of the
    /// call are dropped. An unknown call is not an error. Blocks.
    ///
    /// Errors: the key may still be on the disk; retry.
    pub fn destroy_key(&self, call: CallId) -> Result<(), SpoolError> {
        let (reply, answer) = std::sync::mpsc::channel();
        self.shared.push(Item::Destroy(call, reply));
        answer.recv().unwrap_or(Err(SpoolError::Closed))
    }

    /// Reads a call's durable records in order. Blocks.
    ///
    /// Errors: no such call, or disk.
    pub fn read(&self, call: CallId) -> Result<CallReader, SpoolError> {
        CallReader::open(&self.shared, call)
    }

    /// A secret derived from a call's key for another purpose, always the same for one label.
    ///
    /// Errors: no such call, or its key was destroyed.
    pub fn derive(&self, call: CallId, label: &[u8]) -> Result<Secret, SpoolError> {
        let places = self.shared.places();
        let place = places.get(&call).filter(|place| !place.doomed);
        place.ok_or(SpoolError::NoCall { call })?.key.derive(label)
    }

    /// Whether new calls are accepted: below 85 % of the cap, and enough free space on the file system.
    pub fn accepts_new_calls(&self) -> bool {
        self.refuses().is_none()
    }

    /// Why new calls are refused; none if they are accepted.
    pub fn refuses(&self) -> Option<Refusal> {
        self.shared.refusal()
    }

    /// Whether new calls may add unencoded audio: its share is not used up.
    pub fn takes_packed(&self) -> bool {
        !self.shared.packed_is_full.load(Ordering::Relaxed)
    }

    /// Unencoded audio of a call.
    pub fn packed(&self, call: CallId) -> Packed {
        self.shared.packed(call)
    }

    /// Whether the spool has readable records of a call.
    pub fn holds(&self, call: CallId) -> bool {
        self.shared.places().get(&call).is_some_and(|place| !place.doomed)
    }

    /// Whether the queue is nearly full: appending may fail.
    pub fn is_backed_up(&self) -> bool {
        self.shared.is_backed_up()
    }

    /// Calls with a key.
    pub fn calls(&self) -> Vec<CallId> {
        self.shared.calls()
    }

    /// Statistics for metrics.
    pub fn stats(&self) -> SpoolStats {
        self.shared.stats()
    }

    /// Durations of syncs.
    pub fn sync_latency(&self) -> Counted {
        self.shared.sync_latency.read()
    }

    /// Makes queued records durable and stops the writer. Blocks, for a few seconds if the disk fails; barriers not
    /// reached then get an error.
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
