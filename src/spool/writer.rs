//! The spool's thread: takes what is queued, seals, writes, syncs once, answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::disk::{Disk, write_all_at};
use super::error::SpoolError;
use super::frame::{self, Position, RecordHead, SEGMENT_HEAD_BYTES, SegmentHead};
use super::key::{DataKey, KEY_FILE_BYTES, MasterKey, TAG_BYTES};
use super::keyring::Keyring;
use super::payload;
use super::record::{Body, SpoolRecord};
use super::recover::{Recovered, Scan};
use super::segment::{self, Segment};
use super::shared::{DurableEvent, Item, Place, Shared, queued_bytes};
use super::{OnDurable, SpoolConfig};
use crate::base::id::CallId;

/// Share of the cap, and of the file system, at which new calls are refused.
const FULL: f64 = 0.85;
/// Pause after a failure, so that a broken disk is not hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How often the room on the file system is looked at.
const LOOK_AT_ROOM: Duration = Duration::from_secs(1);

/// A sealed record that is not durable yet.
struct Pending {
    call: CallId,
    bytes: Vec<u8>,
    sealed_crc: u32,
    event: Option<Body>,
}

/// A key file that is not durable yet.
struct PendingKey {
    call: CallId,
    file: [u8; KEY_FILE_BYTES],
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    master: MasterKey,
    keyring: Keyring,
    node_id: [u8; 16],
    incarnation: u32,
    sequence: u64,
    segment: Segment,
    /// Bytes of each segment on the disk.
    sizes: BTreeMap<u64, u64>,
    looked_at_room: Option<Instant>,
    _lock: Box<dyn Send + Sync>,
}

impl Writer {
    /// Locks the directory, scans it, and starts a new incarnation.
    pub fn open(
        config: SpoolConfig,
        disk: Arc<dyn Disk>,
        master: MasterKey,
    ) -> Result<(Self, Recovered), SpoolError> {
        let spool = config.dir.clone();
        let segments = segment::dir(&spool);
        disk.create_dir(&segments).map_err(|error| SpoolError::disk("make", &segments, error))?;
        let lock_path = spool.join("lock");
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => SpoolError::InUse { path: spool.clone() },
            _ => SpoolError::disk("lock", &lock_path, error),
        })?;
        let keyring = Keyring::open(&*disk, &spool)?;
        let (keys, faults) = keyring.read_all(&*disk, &master)?;
        for (call, _) in faults {
            // Overwritten, or torn before it was acknowledged: nothing can be read with it.
            keyring.destroy(&*disk, call)?;
        }
        let mut scan = Scan::new(keys);
        let names = disk.list(&segments).map_err(|error| SpoolError::disk("list", &segments, error))?;
        let numbers: BTreeSet<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        for &number in &numbers {
            scan.segment(number, &segment::load(&*disk, &spool, number)?);
        }
        let node_id = match scan.node_id {
            Some(id) => id,
            None => {
                let mut id = [0; 16];
                aws_lc_rs::rand::fill(&mut id).map_err(|_| SpoolError::Crypto)?;
                id
            }
        };
        let (incarnation, sequence, number) = (scan.incarnation + 1, scan.sequence, scan.number + 1);
        let sizes = scan.segments.iter().copied().collect();
        let (recovered, places) = scan.finish();
        let head = SegmentHead { incarnation, number, node_id };
        let segment = Segment::create(&*disk, &spool, head, config.segment_bytes)?;
        let shared = Arc::new(Shared::new(config, disk));
        *shared.places() = places;
        let mut writer = Self {
            shared,
            master,
            keyring,
            node_id,
            incarnation,
            sequence,
            segment,
            sizes,
            looked_at_room: None,
            _lock: lock,
        };
        writer.sizes.insert(number, writer.shared.config.segment_bytes);
        writer.forget_segments();
        writer.look_at_room();
        Ok((writer, recovered))
    }

    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Works until the spool is closed.
    pub fn run(mut self, on_durable: &OnDurable) {
        loop {
            let items = self.shared.take();
            let mut pending = Vec::new();
            let mut keys = Vec::new();
            let mut bytes = 0;
            for item in items {
                match item {
                    Item::Records(batch) => {
                        bytes += queued_bytes(&batch);
                        batch.into_iter().for_each(|record| self.seal(record, &mut pending, &mut keys));
                    }
                    Item::Barrier(done) => {
                        self.commit(&mut pending, &mut keys, on_durable);
                        done(Ok(()));
                    }
                    Item::Destroy(call, reply) => {
                        pending.retain(|record: &Pending| record.call != call);
                        keys.retain(|key: &PendingKey| key.call != call);
                        let _ = reply.send(self.destroy(call));
                    }
                    Item::Close => {
                        self.commit(&mut pending, &mut keys, on_durable);
                        self.shared.settled(bytes);
                        return self.refuse(self.shared.close());
                    }
                }
            }
            self.commit(&mut pending, &mut keys, on_durable);
            self.shared.settled(bytes);
            self.look_at_room();
        }
    }

    /// Seals a record under its call's key; the first one draws the key.
    fn seal(&mut self, record: SpoolRecord, pending: &mut Vec<Pending>, keys: &mut Vec<PendingKey>) {
        let SpoolRecord { call, body } = record;
        let sealed = self.try_seal(call, &body, keys);
        match sealed {
            Some((bytes, sealed_crc)) => {
                let event = matches!(body, Body::Consent(_) | Body::Closed(_)).then_some(body);
                pending.push(Pending { call, bytes, sealed_crc, event });
            }
            None => drop(self.shared.dropped_records.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn try_seal(&mut self, call: CallId, body: &Body, keys: &mut Vec<PendingKey>) -> Option<(Vec<u8>, u32)> {
        let plain = payload::encode(body)?;
        let shared = Arc::clone(&self.shared);
        let mut places = shared.places();
        if matches!(body, Body::Opened(_)) && !places.contains_key(&call) {
            let (key, file) = DataKey::draw(&self.master, call).ok()?;
            let place = Place { key: Arc::new(key), last: None, next_ordinal: 0, segments: BTreeSet::new() };
            places.insert(call, place);
            keys.push(PendingKey { call, file });
        }
        let place = places.get_mut(&call)?;
        self.sequence += 1;
        let head = RecordHead {
            sealed_bytes: (plain.len() + TAG_BYTES) as u32,
            incarnation: self.incarnation,
            sequence: self.sequence,
            call,
            kind: payload::kind(body),
            encoding: payload::ENCODING,
            ordinal: place.next_ordinal,
            previous: None,
        };
        let mut bytes = Vec::with_capacity(head.record_bytes());
        let sealed_crc = frame::seal(&head, &plain, &place.key, &mut bytes).ok()?;
        place.next_ordinal += 1;
        Some((bytes, sealed_crc))
    }

    /// Makes everything pending durable, however often the disk refuses, then tells.
    fn commit(&mut self, pending: &mut Vec<Pending>, keys: &mut Vec<PendingKey>, on_durable: &OnDurable) {
        while let Err(error) = self.try_commit(pending, keys) {
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the spool could not be written; trying again on a new segment");
            self.shared.set_accepts(false);
            std::thread::sleep(AFTER_FAILURE);
            // Whatever is on the old descriptor may or may not be durable: it is not used again.
            match self.roll() {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "no new segment either"),
            }
        }
        keys.clear();
        for record in pending.drain(..) {
            if let Some(body) = record.event {
                on_durable(DurableEvent { call: record.call, body });
            }
        }
    }

    fn try_commit(&mut self, pending: &mut [Pending], keys: &[PendingKey]) -> Result<(), SpoolError> {
        let disk = Arc::clone(&self.shared.disk);
        for key in keys {
            self.keyring.write(&*disk, key.call, &key.file)?;
        }
        if !keys.is_empty() {
            self.keyring.sync(&*disk)?;
        }
        if pending.is_empty() {
            return Ok(());
        }
        let before: BTreeMap<CallId, Option<Position>> = {
            let places = self.shared.places();
            pending.iter().filter_map(|record| Some((record.call, places.get(&record.call)?.last))).collect()
        };
        let mut last = before;
        let mut placed = Vec::with_capacity(pending.len());
        let mut buffer = Vec::new();
        for record in pending.iter_mut() {
            if self.segment.offset + (buffer.len() + record.bytes.len()) as u64
                > self.shared.config.segment_bytes
                && self.segment.offset + buffer.len() as u64 > SEGMENT_HEAD_BYTES as u64
            {
                self.write(&buffer)?;
                buffer.clear();
                self.roll()?;
            }
            let at = Position {
                segment: self.segment.number,
                offset: (self.segment.offset + buffer.len() as u64) as u32,
            };
            let previous = last.insert(record.call, Some(at)).flatten();
            if !frame::place(&mut record.bytes, previous, record.sealed_crc) {
                return Err(SpoolError::Crypto);
            }
            placed.push((record.call, at));
            buffer.extend_from_slice(&record.bytes);
        }
        self.write(&buffer)?;
        let mut places = self.shared.places();
        for (call, at) in placed {
            if let Some(place) = places.get_mut(&call) {
                place.last = Some(at);
                place.segments.insert(at.segment);
            }
        }
        Ok(())
    }

    /// Writes and syncs at the segment's end.
    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let path = || segment::path(&self.shared.config.dir, self.segment.number);
        write_all_at(&*self.segment.file, bytes, self.segment.offset)
            .map_err(|error| SpoolError::disk("write", &path(), error))?;
        let started = Instant::now();
        self.segment.file.sync().map_err(|error| SpoolError::disk("sync", &path(), error))?;
        let took = started.elapsed().as_nanos() as u64;
        self.segment.offset += bytes.len() as u64;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.sync_ns.fetch_add(took, Ordering::Relaxed);
        self.shared.written_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Goes on in a new segment.
    fn roll(&mut self) -> Result<(), SpoolError> {
        let disk = Arc::clone(&self.shared.disk);
        let dir = &self.shared.config.dir;
        let mut number = self.sizes.last_key_value().map_or(1, |(&last, _)| last + 1);
        // A number whose creation failed half-way is passed over.
        while disk.open(&segment::path(dir, number), super::disk::Access::Read).is_ok() {
            self.sizes.insert(number, 0);
            number += 1;
        }
        let head = SegmentHead { incarnation: self.incarnation, number, node_id: self.node_id };
        self.segment = Segment::create(&*disk, dir, head, self.shared.config.segment_bytes)?;
        self.sizes.insert(number, self.shared.config.segment_bytes);
        self.forget_segments();
        Ok(())
    }

    fn destroy(&mut self, call: CallId) -> Result<(), SpoolError> {
        // From here on nobody reads it, whatever the disk says.
        let known = self.shared.places().remove(&call).is_some();
        self.keyring.destroy(&*self.shared.disk, call)?;
        if known {
            self.forget_segments();
        }
        Ok(())
    }

    /// Removes segments that hold nothing of any call that still has its key.
    fn forget_segments(&mut self) {
        let needed: BTreeSet<u64> = {
            let places = self.shared.places();
            places.values().flat_map(|place| place.segments.iter().copied()).collect()
        };
        let current = self.segment.number;
        let gone: Vec<u64> = self
            .sizes
            .keys()
            .copied()
            .filter(|number| *number != current && !needed.contains(number))
            .collect();
        for number in gone {
            let path = segment::path(&self.shared.config.dir, number);
            match self.shared.disk.remove(&path) {
                Ok(()) => {
                    self.sizes.remove(&number);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.sizes.remove(&number);
                }
                Err(error) => {
                    tracing::warn!(%error, number, "a segment that nobody needs could not be removed")
                }
            }
        }
        self.shared.bytes.store(self.sizes.values().sum(), Ordering::Relaxed);
    }

    fn look_at_room(&mut self) {
        if self.looked_at_room.is_some_and(|at| at.elapsed() < LOOK_AT_ROOM) {
            return;
        }
        self.looked_at_room = Some(Instant::now());
        let config = &self.shared.config;
        let used: u64 = self.sizes.values().sum();
        let room = self
            .shared
            .disk
            .space(&config.dir)
            .is_ok_and(|space| space.free_bytes as f64 > space.total_bytes as f64 * (1.0 - FULL));
        // One segment is always reserved, and is not yet use.
        let used = used.saturating_sub(config.segment_bytes) + self.segment.offset;
        self.shared.set_accepts(room && (used as f64) < config.max_bytes as f64 * FULL);
    }

    /// Answers what was queued behind the end.
    fn refuse(&self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Barrier(done) => done(Err(SpoolError::Closed)),
                Item::Destroy(_, reply) => drop(reply.send(Err(SpoolError::Closed))),
                Item::Records(_) | Item::Close => {}
            }
        }
    }
}
