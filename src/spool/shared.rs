//! What the spool's thread and its callers share: the queue, the calls' places, the figures.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::SpoolConfig;
use super::disk::Disk;
use super::error::SpoolError;
use super::frame::Position;
use super::key::DataKey;
use super::record::{Body, SpoolRecord};
use crate::base::clock::WallTime;
use crate::base::id::CallId;

/// Bytes that a record takes in the queue beside its audio.
const RECORD_OVERHEAD_BYTES: usize = 256;

/// A consent or an end that is durable now.
#[derive(Clone, Debug, PartialEq)]
pub struct DurableEvent {
    /// The call.
    pub call: CallId,
    /// Its record: `Consent` or `Closed`.
    pub body: Body,
}

/// Work for the spool's thread, in order.
pub(super) enum Item {
    Records(Vec<SpoolRecord>),
    Barrier(Box<dyn FnOnce(Result<(), SpoolError>) + Send>),
    Destroy(CallId, Sender<Result<(), SpoolError>>),
    Close,
}

/// Where a call's durable records are.
pub(super) struct Place {
    pub key: Arc<DataKey>,
    pub last: Option<Position>,
    pub next_ordinal: u32,
    pub segments: BTreeSet<u64>,
}

/// Figures of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpoolStats {
    /// Bytes that the segments take.
    pub bytes: u64,
    /// Calls that have a key here.
    pub calls: usize,
    /// When the oldest of them was admitted.
    pub oldest_at: Option<WallTime>,
    /// Syncs so far.
    pub syncs: u64,
    /// Time they took. Units: ns.
    pub sync_ns: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
    /// Writes and syncs that the disk refused.
    pub failures: u64,
    /// Records of calls that are gone, dropped.
    pub dropped_records: u64,
}

/// What both sides see.
pub(super) struct Shared {
    pub config: SpoolConfig,
    pub disk: Arc<dyn Disk>,
    queue: Mutex<Queue>,
    changed: Condvar,
    places: Mutex<HashMap<CallId, Place>>,
    accepts: AtomicBool,
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_ns: AtomicU64,
    pub written_bytes: AtomicU64,
    pub failures: AtomicU64,
    pub dropped_records: AtomicU64,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
}

impl Shared {
    pub fn new(config: SpoolConfig, disk: Arc<dyn Disk>) -> Self {
        Self {
            config,
            disk,
            queue: Mutex::default(),
            changed: Condvar::new(),
            places: Mutex::default(),
            accepts: AtomicBool::new(true),
            bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            sync_ns: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            dropped_records: AtomicU64::new(0),
        }
    }

    pub fn append(&self, batch: Vec<SpoolRecord>) -> Result<(), Vec<SpoolRecord>> {
        let bytes = queued_bytes(&batch);
        let mut queue = lock(&self.queue);
        // A single batch may be larger than the queue: it is taken when nothing else waits.
        let full = queue.bytes > 0 && queue.bytes + bytes > self.config.queue_bytes;
        if queue.closed || full {
            return Err(batch);
        }
        queue.bytes += bytes;
        queue.items.push_back(Item::Records(batch));
        self.changed.notify_one();
        Ok(())
    }

    /// Queues what takes no room. A closed spool answers at once.
    pub fn push(&self, item: Item) {
        let mut queue = lock(&self.queue);
        if !queue.closed {
            queue.items.push_back(item);
            self.changed.notify_one();
            return;
        }
        drop(queue);
        match item {
            Item::Barrier(done) => done(Err(SpoolError::Closed)),
            Item::Destroy(_, reply) => drop(reply.send(Err(SpoolError::Closed))),
            Item::Records(_) | Item::Close => {}
        }
    }

    /// Waits for work and takes all there is.
    pub fn take(&self) -> Vec<Item> {
        let mut queue = lock(&self.queue);
        while queue.items.is_empty() {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.items.drain(..).collect()
    }

    /// The bytes of a batch are off the queue: it is durable.
    pub fn settled(&self, bytes: usize) {
        let mut queue = lock(&self.queue);
        queue.bytes = queue.bytes.saturating_sub(bytes);
    }

    pub fn close(&self) -> Vec<Item> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.items.drain(..).collect()
    }

    pub fn places(&self) -> MutexGuard<'_, HashMap<CallId, Place>> {
        lock(&self.places)
    }

    pub fn set_accepts(&self, accepts: bool) {
        self.accepts.store(accepts, Ordering::Relaxed);
    }

    pub fn accepts_new_calls(&self) -> bool {
        self.accepts.load(Ordering::Relaxed)
    }

    pub fn calls(&self) -> Vec<CallId> {
        self.places().keys().copied().collect()
    }

    pub fn stats(&self) -> SpoolStats {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let places = self.places();
        SpoolStats {
            bytes: read(&self.bytes),
            calls: places.len(),
            oldest_at: places.keys().min().map(|id| id.admitted_at()),
            syncs: read(&self.syncs),
            sync_ns: read(&self.sync_ns),
            written_bytes: read(&self.written_bytes),
            failures: read(&self.failures),
            dropped_records: read(&self.dropped_records),
        }
    }
}

/// What a batch counts for in the queue. Units: bytes.
pub(super) fn queued_bytes(batch: &[SpoolRecord]) -> usize {
    let audio = batch.iter().map(|record| match &record.body {
        Body::Media(block) => block.bytes.len() + 3 * block.lengths.len(),
        _ => 0,
    });
    audio.sum::<usize>() + batch.len() * RECORD_OVERHEAD_BYTES
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
