//! State shared by the spool's thread and its callers: queue, calls' places, statistics.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::SpoolError;
use super::frame::Position;
use super::key::DataKey;
use super::record::{Body, SpoolRecord};
use crate::spool::packed::Packed;
use crate::spool::refusal::Refusal;
use crate::spool::settings::SpoolConfig;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::latency::Latency;
use optag_files::disk::Disk;
use optag_media::timebase::FRAME_MS;

/// Size of a queued record beside its audio.
const RECORD_OVERHEAD_BYTES: usize = 256;

/// A consent or an end of a call that has become durable.
#[derive(Clone, Debug, PartialEq)]
pub struct DurableEvent {
    /// The call.
    pub call: CallId,
    /// Its record: `Consent` or `Closed`.
    pub body: Body,
}

/// Called on the spool's thread after a commit, for each consent and each end of a call in it.
pub type OnDurable = Box<dyn Fn(DurableEvent) + Send>;

/// Called with the result once everything queued before is durable, or failed.
pub(super) type Barrier = Box<dyn FnOnce(Result<(), SpoolError>) + Send>;

/// Work for the spool's thread, in order.
pub(super) enum Item {
    Records(Vec<SpoolRecord>),
    Barrier(Barrier),
    Destroy(CallId, Sender<Result<(), SpoolError>>),
    /// Closes the spool; earlier items may take this long.
    Close(Duration),
}

/// Positions of a call's durable records. Its size grows with the number of segments that contain them.
pub(super) struct Place {
    pub key: Arc<DataKey>,
    pub last: Option<Position>,
    pub next_ordinal: u32,
    /// Frames of audio, gaps between blocks included.
    pub frames: u32,
    /// Unencoded part of its audio.
    pub packed: Packed,
    /// Bytes of its records per segment.
    pub segments: BTreeMap<u64, u64>,
    /// Positions, by ordinal, of records that the call's next record does not refer to.
    pub moved: BTreeMap<u32, Position>,
    /// Readers hold a clone: while they do, no record is moved, as they have copied the positions.
    pub read_by: Arc<()>,
    /// To be destroyed, and the disk has failed so far: no longer readable or writable.
    pub doomed: bool,
}

impl Place {
    pub(super) fn new(key: DataKey) -> Self {
        Self {
            key: Arc::new(key),
            last: None,
            next_ordinal: 0,
            frames: 0,
            packed: Packed::default(),
            segments: BTreeMap::new(),
            moved: BTreeMap::new(),
            read_by: Arc::default(),
            doomed: false,
        }
    }

    /// Adds a record's length to the call's bytes in a segment.
    pub(super) fn reach(&mut self, segment: u64, bytes: u64) {
        *self.segments.entry(segment).or_default() += bytes;
    }

    /// Whether a reader is open.
    pub(super) fn is_read(&self) -> bool {
        Arc::strong_count(&self.read_by) > 1
    }
}

/// Statistics of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpoolStats {
    /// Size of all segments. Units: bytes.
    pub bytes: u64,
    /// Number of calls with a key.
    pub calls: usize,
    /// Admission of the oldest of them.
    pub oldest_at: Option<WallTime>,
    /// Number of syncs.
    pub syncs: u64,
    /// Total duration of syncs. Units: ns.
    pub sync_ns: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes of records moved out of sparse segments, included in `written_bytes`.
    pub moved_bytes: u64,
    /// Failed writes and syncs.
    pub failures: u64,
    /// Dropped records: their calls are gone, or they are inconsistent.
    pub dropped_records: u64,
    /// Bytes waiting for the disk, as counted for the queue's bound.
    pub queued_bytes: u64,
    /// Audio of the calls with a key, time without media included. Units: ms.
    pub audio_ms: u64,
    /// Unencoded audio of those calls.
    pub packed: Packed,
    /// Used share of the cap, or of the file-system space available to the spool, whichever is larger.
    pub fill_ratio: f64,
    /// Free space on the file system. Units: bytes.
    pub disk_free_bytes: u64,
    /// Sequence of the last durable record.
    pub durable_sequence: u64,
}

/// State visible to both sides.
pub(super) struct Shared {
    pub config: SpoolConfig,
    pub disk: Arc<dyn Disk>,
    queue: Mutex<Queue>,
    changed: Condvar,
    places: Mutex<HashMap<CallId, Place>>,
    refusal: Mutex<Option<Refusal>>,
    /// Free space on the file system. Units: bytes.
    pub disk_free_bytes: AtomicU64,
    /// Bits of an `f64`.
    fill_ratio: AtomicU64,
    /// Whether unencoded audio has used up its share of the spool.
    pub packed_is_full: AtomicBool,
    pub durable_sequence: AtomicU64,
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_ns: AtomicU64,
    pub sync_latency: Latency,
    pub written_bytes: AtomicU64,
    pub moved_bytes: AtomicU64,
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
    pub(super) fn new(config: SpoolConfig, disk: Arc<dyn Disk>) -> Self {
        Self {
            config,
            disk,
            queue: Mutex::default(),
            changed: Condvar::new(),
            places: Mutex::default(),
            refusal: Mutex::default(),
            disk_free_bytes: AtomicU64::new(0),
            fill_ratio: AtomicU64::new(0),
            packed_is_full: AtomicBool::new(false),
            durable_sequence: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            sync_ns: AtomicU64::new(0),
            sync_latency: Latency::default(),
            written_bytes: AtomicU64::new(0),
            moved_bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            dropped_records: AtomicU64::new(0),
        }
    }

    pub(super) fn append(&self, batch: Vec<SpoolRecord>) -> Result<(), Vec<SpoolRecord>> {
        let bytes = queued_bytes(&batch);
        let mut queue = lock(&self.queue);
        // A single batch may be larger than the queue: it is accepted if the queue is empty.
        let full = queue.bytes > 0 && queue.bytes + bytes > self.config.queue_bytes;
        if queue.closed || full {
            return Err(batch);
        }
        // At the cap audio is refused; small records are still accepted, so that calls can end.
        let (taken, audio) = match self.bytes.load(Ordering::Relaxed) > self.config.max_bytes {
            true => batch.into_iter().partition(|record| !matches!(record.body, Body::Media(_))),
            false => (batch, Vec::new()),
        };
        if !taken.is_empty() {
            queue.bytes += if audio.is_empty() { bytes } else { queued_bytes(&taken) };
            queue.items.push_back(Item::Records(taken));
            self.changed.notify_one();
        }
        if audio.is_empty() { Ok(()) } else { Err(audio) }
    }

    /// Queues an item that takes no space. A closed spool answers at once.
    pub(super) fn push(&self, item: Item) {
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
            Item::Records(_) | Item::Close(_) => {}
        }
    }

    /// Waits for work, at most this long, and takes everything queued.
    pub(super) fn take(&self, at_most: Duration) -> VecDeque<Item> {
        let until = Instant::now() + at_most;
        let mut queue = lock(&self.queue);
        while queue.items.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut queue.items)
    }

    /// Removes bytes from the queue's count: they are durable, or dropped.
    pub(super) fn settled(&self, bytes: usize) {
        let mut queue = lock(&self.queue);
        queue.bytes = queue.bytes.saturating_sub(bytes);
    }

    /// Closes the queue and returns the remaining items.
    pub(super) fn close(&self) -> VecDeque<Item> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        std::mem::take(&mut queue.items)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, HashMap<CallId, Place>> {
        lock(&self.places)
    }

    /// Sets why new calls are refused; returns the previous reason.
    pub(super) fn set_refusal(&self, refusal: Option<Refusal>) -> Option<Refusal> {
        std::mem::replace(&mut *lock(&self.refusal), refusal)
    }

    pub(super) fn set_fill_ratio(&self, ratio: f64) {
        self.fill_ratio.store(ratio.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped_records.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        *lock(&self.refusal)
    }

    /// Whether less than a sixteenth of the queue is free.
    pub(super) fn is_backed_up(&self) -> bool {
        let most = self.config.queue_bytes;
        let bytes = lock(&self.queue).bytes;
        bytes > 0 && bytes > most - most / 16
    }

    /// Unencoded audio of a call.
    pub(super) fn packed(&self, call: CallId) -> Packed {
        self.places().get(&call).map(|place| place.packed).unwrap_or_default()
    }

    pub(super) fn calls(&self) -> Vec<CallId> {
        self.places().keys().copied().collect()
    }

    pub(super) fn stats(&self) -> SpoolStats {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let queued_bytes = lock(&self.queue).bytes as u64;
        let places = self.places();
        let frames: u64 = places.values().map(|place| u64::from(place.frames)).sum();
        let mut packed = Packed::default();
        places.values().for_each(|place| packed += place.packed);
        SpoolStats {
            bytes: read(&self.bytes),
            calls: places.len(),
            oldest_at: places.keys().min().map(|id| id.admitted_at()),
            syncs: read(&self.syncs),
            sync_ns: read(&self.sync_ns),
            written_bytes: read(&self.written_bytes),
            moved_bytes: read(&self.moved_bytes),
            failures: read(&self.failures),
            dropped_records: read(&self.dropped_records),
            queued_bytes,
            audio_ms: frames * u64::from(FRAME_MS),
            packed,
            fill_ratio: f64::from_bits(read(&self.fill_ratio)),
            disk_free_bytes: read(&self.disk_free_bytes),
            durable_sequence: read(&self.durable_sequence),
        }
    }
}

/// Size of a batch for the queue's bound. Units: bytes.
pub(super) fn queued_bytes(batch: &[SpoolRecord]) -> usize {
    let audio = batch.iter().map(|record| match &record.body {
        Body::Media(block) => block.bytes.len() + 3 * block.lengths.len(),
        Body::Described(context) => context.raw.iter().map(|raw| raw.text.reveal().len()).sum(),
        Body::CallState(text) | Body::DialogState(text) => text.reveal().len(),
        _ => 0,
    });
    audio.sum::<usize>() + batch.len() * RECORD_OVERHEAD_BYTES
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
