//! The spool's thread: takes queued items, seals them, has them committed, and answers.
//!
//! In: the queue's items. Out: durable records, removed key files, events. Not here: how a commit is written
//! (`commit`), opening a spool and managing its space (`capacity`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::error::SpoolError;
use super::frame::{self, RecordHead};
use super::key::{DataKey, KEY_FILE_BYTES, MasterKey, TAG_BYTES};
use super::keyring::Keyring;
use super::payload;
use super::record::{Body, SpoolRecord};
use super::segment::Segment;
use super::shared::{Barrier, DurableEvent, Item, OnDurable, Place, Shared, queued_bytes};
use crate::spool::compaction::Moving;
use crate::spool::packed::Packed;
use crate::spool::refusal::Refusal;
use optag_core::id::CallId;

/// Interval at which free space is checked.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pauses after failures, so that a failing disk is not hammered: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A sealed record that is not durable yet.
pub(super) struct Pending {
    pub call: CallId,
    pub sequence: u64,
    pub bytes: Vec<u8>,
    pub sealed_crc: u32,
    /// Frames of audio of the call, this record included.
    pub frames: u32,
    /// Unencoded audio in it.
    pub packed: Packed,
    event: Option<Body>,
}

/// A key file that is not durable yet.
pub(super) struct PendingKey {
    pub call: CallId,
    pub file: [u8; KEY_FILE_BYTES],
}

/// Items taken from the queue that wait for the next commit, or for the disk to recover.
#[derive(Default)]
pub(super) struct Backlog {
    pub records: Vec<Pending>,
    pub keys: Vec<PendingKey>,
    barriers: Vec<Barrier>,
    /// Size for the queue's bound.
    bytes: usize,
}

impl Backlog {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.keys.is_empty() && self.barriers.is_empty()
    }
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) master: MasterKey,
    pub(super) keyring: Keyring,
    pub(super) node_id: [u8; 16],
    pub(super) incarnation: u32,
    pub(super) sequence: u64,
    /// Number of the next segment; never reused.
    pub(super) next_segment: u64,
    /// The current segment; none before the first record and after a failure.
    pub(super) segment: Option<Segment>,
    /// Size of each segment on disk.
    pub(super) sizes: BTreeMap<u64, u64>,
    /// Bytes in each segment of records of calls with a key.
    pub(super) live: BTreeMap<u64, u64>,
    /// State of compaction.
    pub(super) moving: Moving,
    pub(super) backlog: Backlog,
    /// Some segment may be unneeded.
    pub(super) has_leftovers: bool,
    pub(super) looked_at_room: Option<Instant>,
    /// When the refusal of new calls was last logged.
    pub(super) told_refusal: Option<Instant>,
    /// Pause after the last failure; none if the last commit succeeded.
    pub(super) pause: Option<Duration>,
    pub(super) lock: Box<dyn Send + Sync>,
}

impl Writer {
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Runs until the spool is closed.
    pub(super) fn run(mut self, on_durable: &OnDurable) {
        let mut try_at = Instant::now();
        let mut close_by = None;
        let mut moved = false;
        loop {
            let wait = match (self.backlog.is_empty(), close_by) {
                (true, _) if moved => Duration::ZERO,
                (true, Some(_)) => Duration::ZERO,
                (true, None) => LOOK_EVERY,
                (false, _) => try_at.saturating_duration_since(Instant::now()),
            };
            for item in self.shared.take(wait) {
                match item {
                    Item::Records(batch) => self.seal_all(batch),
                    Item::Barrier(done) => self.backlog.barriers.push(done),
                    // Does not wait for a failing disk: what is released may be the space it lacks.
                    Item::Destroy(call, reply) => drop(reply.send(self.destroy(call))),
                    Item::Close(patience) => close_by = Some(Instant::now() + patience),
                }
            }
            if !self.backlog.is_empty() && Instant::now() >= try_at {
                match self.try_commit() {
                    Ok(()) => self.settle(on_durable),
                    Err(error) => try_at = Instant::now() + self.failed(&error),
                }
            }
            self.forget_segments();
            // After urgent work, one segment at a time.
            let idle = self.backlog.is_empty() && self.pause.is_none() && close_by.is_none();
            moved = idle && self.move_some();
            self.forget_segments();
            self.look_at_room();
            if close_by.is_some_and(|by| self.backlog.is_empty() || Instant::now() >= by) {
                return self.finish();
            }
        }
    }

    fn seal_all(&mut self, batch: Vec<SpoolRecord>) {
        self.backlog.bytes += queued_bytes(&batch);
        for SpoolRecord { call, body } in batch {
            match self.seal(call, body) {
                Some(record) => self.backlog.records.push(record),
                None => self.shared.count_dropped(),
            }
        }
    }

    /// Seals a record with its call's key; the first record draws the key. `None`: the call is gone, or the record is
    /// inconsistent.
    fn seal(&mut self, call: CallId, body: Body) -> Option<Pending> {
        let plain = payload::encode(&body)?;
        let shared = Arc::clone(&self.shared);
        let mut places = shared.places();
        if matches!(body, Body::Opened(_)) && !places.contains_key(&call) {
            let (key, file) = DataKey::draw(&self.master, call).ok()?;
            places.insert(call, Place::new(key));
            self.backlog.keys.push(PendingKey { call, file });
        }
        let place = places.get_mut(&call).filter(|place| !place.doomed)?;
        self.sequence += 1;
        let head = RecordHead {
            sealed_bytes: (plain.len() + TAG_BYTES) as u32,
            incarnation: self.incarnation,
            sequence: self.sequence,
            call,
            kind: payload::kind(&body),
            encoding: payload::ENCODING,
            ordinal: place.next_ordinal,
            previous: None,
        };
        let mut bytes = Vec::with_capacity(head.record_bytes());
        let sealed_crc = frame::seal(&head, &plain, &place.key, &mut bytes).ok()?;
        place.next_ordinal += 1;
        let (frames, packed) = match &body {
            Body::Media(block) => {
                (block.first_frame.saturating_add(block.frames()), payload::packed(block, bytes.len()))
            }
            _ => Default::default(),
        };
        let event = matches!(body, Body::Consent(_) | Body::Closed(_)).then_some(body);
        Some(Pending { call, sequence: head.sequence, bytes, sealed_crc, frames, packed, event })
    }

    /// Everything taken is durable: notifies the waiting callers.
    fn settle(&mut self, on_durable: &OnDurable) {
        let backlog = std::mem::take(&mut self.backlog);
        self.shared.settled(backlog.bytes);
        if self.pause.take().is_some() {
            tracing::info!("spool writable again");
            self.looked_at_room = None;
        }
        if let Some(last) = backlog.records.last() {
            self.shared.durable_sequence.fetch_max(last.sequence, Ordering::Relaxed);
        }
        for record in backlog.records {
            if let Some(body) = record.event {
                on_durable(DurableEvent { call: record.call, body });
            }
        }
        backlog.barriers.into_iter().for_each(|done| done(Ok(())));
    }

    /// Nothing taken counts as durable. Returns the pause before the next attempt.
    fn failed(&mut self, error: &SpoolError) -> Duration {
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        if self.pause.is_none() {
            tracing::error!(%error, "cannot write the spool, retrying on a new segment");
        } else {
            tracing::warn!(%error, "spool still not writable");
        }
        self.pause = Some(pause);
        self.shared.count_failure();
        self.shared.set_refusal(Some(Refusal::Unwritable));
        self.leave_segment();
        self.has_leftovers = true;
        pause
    }

    fn destroy(&mut self, call: CallId) -> Result<(), SpoolError> {
        self.backlog.records.retain(|record| record.call != call);
        self.backlog.keys.retain(|key| key.call != call);
        // Not readable from here on, whatever the disk does. Its place stays until the key is gone: a restart must
        // not find half of its records.
        if let Some(place) = self.shared.places().get_mut(&call) {
            place.doomed = true;
        }
        self.keyring.destroy(&*self.shared.disk, call)?;
        let gone = self.shared.places().remove(&call);
        self.has_leftovers |= gone.is_some();
        for (segment, bytes) in gone.into_iter().flat_map(|place| place.segments) {
            if let Some(live) = self.live.get_mut(&segment) {
                *live = live.saturating_sub(bytes);
            }
        }
        self.forget_segments();
        Ok(())
    }

    /// Answers the remaining items.
    fn finish(mut self) {
        self.leave_segment();
        let queued = self.shared.close();
        for done in self.backlog.barriers.drain(..) {
            done(Err(SpoolError::Closed));
        }
        for item in queued {
            match item {
                Item::Barrier(done) => done(Err(SpoolError::Closed)),
                Item::Destroy(_, reply) => drop(reply.send(Err(SpoolError::Closed))),
                Item::Records(_) | Item::Close(_) => {}
            }
        }
        drop(self.lock);
    }
}
