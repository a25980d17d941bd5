//! Copies records out of segments that contain little else: one long call must not occupy the space of all the calls
//! beside it.
//!
//! In: closed segments and the records in them that are still needed. Out: these records in a dense segment, sealed
//! as before, and the old segments released. A record is copied with the same nonce, ciphertext and authenticated
//! header; only `previous` and the CRC depend on its place.
//!
//! The copy is durable before the calls' places refer to it, and the original is removed afterwards; a crash in
//! between leaves both, which recovery detects by incarnation and sequence. A copy of `x` bytes frees at least `3x`,
//! so that compaction writes at most half as much as calls do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::spool::error::SpoolError;
use crate::spool::frame::{self, Position, SEGMENT_HEAD_BYTES, SegmentHead};
use crate::spool::segment::{self, Segment, Step};
use crate::spool::writer::Writer;
use optag_core::id::CallId;
use optag_files::disk::write_all_at;

/// A segment is compacted if less than one part in this many is needed.
const SPARSE: u64 = 4;
/// Unneeded bytes tolerated beyond the amount of needed ones. Units: segments.
const SPARE_SEGMENTS: u64 = if cfg!(test) { 1 } else { 4 };
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 60 });

/// State of compaction.
#[derive(Default)]
pub(super) struct Moving {
    /// Segment that records are copied to.
    dense: Option<Segment>,
    /// End of the pause after a failure.
    not_before: Option<Instant>,
    /// Segments that cannot be read completely: these are kept.
    unreadable: BTreeSet<u64>,
}

impl Moving {
    /// The segment that records are copied to.
    pub(super) fn dense(&self) -> Option<u64> {
        self.dense.as_ref().map(|dense| dense.number)
    }
}

/// A record being copied.
struct Copy {
    call: CallId,
    ordinal: u32,
    bytes: Vec<u8>,
    previous: Option<Position>,
}

impl Writer {
    /// Compacts one segment if worthwhile; returns whether it did, in which case there may be more.
    pub(super) fn move_some(&mut self) -> bool {
        if self.moving.not_before.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let Some(number) = self.sparsest() else { return false };
        match self.empty(number) {
            Ok(moved) => moved,
            Err(error) => {
                tracing::warn!(%error, number, "cannot move records out of a sparse spool segment, will retry");
                self.shared.count_failure();
                // Neither the segment nor its contents are trusted after a failed sync.
                self.moving.dense = None;
                self.moving.not_before = Some(Instant::now() + PAUSE);
                self.has_leftovers = true;
                false
            }
        }
    }

    /// The closed segment with the smallest needed share, if there are more unneeded bytes than tolerated.
    fn sparsest(&self) -> Option<u64> {
        let (current, dense) = (self.segment.as_ref().map(|segment| segment.number), self.moving.dense());
        let (mut needed, mut unneeded, mut sparse) = (0, 0, Vec::new());
        for (&number, &size) in &self.sizes {
            let live = self.live.get(&number).copied().unwrap_or(0).min(size);
            if Some(number) == current || Some(number) == dense || live == 0 {
                continue;
            }
            needed += live;
            unneeded += size - live;
            if live * SPARSE <= size && !self.moving.unreadable.contains(&number) {
                sparse.push((live as f64 / size as f64, number));
            }
        }
        if unneeded <= needed + SPARE_SEGMENTS * self.shared.config.segment_bytes || sparse.is_empty() {
            return None;
        }
        // A reader has copied the positions of its call's records, and a call to be destroyed is left alone.
        let places = self.shared.places();
        let held = places.values().filter(|place| place.doomed || place.is_read());
        let held: BTreeSet<u64> = held.flat_map(|place| place.segments.keys().copied()).collect();
        sparse.retain(|(_, number)| !held.contains(number));
        sparse.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, number)| number)
    }

    /// Copies the needed records out of a segment. False: a reader opened meanwhile, or the segment cannot be read.
    fn empty(&mut self, number: u64) -> Result<bool, SpoolError> {
        let loaded = segment::load(&*self.shared.disk, &self.shared.config.dir, number)?;
        let calls: BTreeSet<CallId> = {
            let places = self.shared.places();
            let ours = places.iter().filter(|(_, place)| place.segments.contains_key(&number));
            ours.map(|(id, _)| *id).collect()
        };
        let mut found: BTreeMap<(CallId, u32), Copy> = BTreeMap::new();
        let mut damaged = loaded.unreadable_bytes > 0;
        segment::walk(&loaded.bytes, |step| match step {
            Step::Damaged => damaged = true,
            Step::Record(head, record, _) if calls.contains(&head.call) => {
                let (call, ordinal) = (head.call, head.ordinal);
                let copy = Copy { call, ordinal, bytes: record.to_vec(), previous: head.previous };
                found.insert((call, ordinal), copy);
            }
            Step::Record(..) => {}
        });
        if damaged {
            // The readable part is the only copy; the segment is kept.
            self.moving.unreadable.insert(number);
            return Ok(false);
        }
        let copies: Vec<Copy> = found.into_values().collect();
        let placed = self.write_copies(copies)?;
        Ok(self.settle_copies(number, &placed))
    }

    /// Writes and syncs the copies. Returns their positions, in order of call and ordinal.
    fn write_copies(&mut self, copies: Vec<Copy>) -> Result<Vec<(CallId, u32, Position, u64)>, SpoolError> {
        let bytes: u64 = copies.iter().map(|copy| copy.bytes.len() as u64).sum();
        let limit = self.shared.config.segment_bytes.min(u64::from(u32::MAX));
        if self.moving.dense.as_ref().is_some_and(|dense| dense.offset + bytes > limit) {
            self.moving.dense = None;
        }
        let mut dense = match self.moving.dense.take() {
            Some(dense) => dense,
            None => self.make_dense()?,
        };
        let shared = Arc::clone(&self.shared);
        let (mut buffer, mut placed) = (Vec::with_capacity(bytes as usize), Vec::with_capacity(copies.len()));
        {
            let places = shared.places();
            let mut before: Option<(CallId, u32, Position)> = None;
            for mut copy in copies {
                let offset = dense.offset + buffer.len() as u64;
                let at = Position { segment: dense.number, offset: offset as u32 };
                // The previous record was copied too, was moved earlier, or is where it was.
                let previous = match before {
                    Some((call, ordinal, at))
                        if call == copy.call && ordinal.checked_add(1) == Some(copy.ordinal) =>
                    {
                        Some(at)
                    }
                    _ => {
                        let moved = |ordinal| places.get(&copy.call)?.moved.get(&ordinal).copied();
                        copy.ordinal.checked_sub(1).and_then(moved).or(copy.previous)
                    }
                };
                frame::relink(&mut copy.bytes, previous);
                buffer.extend_from_slice(&copy.bytes);
                placed.push((copy.call, copy.ordinal, at, copy.bytes.len() as u64));
                before = Some((copy.call, copy.ordinal, at));
            }
        }
        let path = || segment::path(&shared.config.dir, dense.number);
        write_all_at(&*dense.file, &buffer, dense.offset)
            .map_err(|error| SpoolError::disk("write", &path(), error))?;
        dense.file.sync().map_err(|error| SpoolError::disk("sync", &path(), error))?;
        dense.offset += buffer.len() as u64;
        self.sizes.insert(dense.number, dense.offset);
        shared.written_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        shared.moved_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.moving.dense = Some(dense);
        Ok(placed)
    }

    /// Makes the copies the valid records. False if a reader has opened with the original positions: the originals
    /// stay, and the copies are unused.
    fn settle_copies(&mut self, number: u64, placed: &[(CallId, u32, Position, u64)]) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut places = shared.places();
        if placed.iter().any(|(call, ..)| places.get(call).is_none_or(|place| place.is_read())) {
            return false;
        }
        for (n, &(call, ordinal, at, bytes)) in placed.iter().enumerate() {
            let Some(place) = places.get_mut(&call) else { continue };
            let next = placed.get(n + 1).filter(|(next, ..)| *next == call);
            if next.is_some_and(|(_, next, ..)| ordinal.checked_add(1) == Some(*next)) {
                place.moved.remove(&ordinal);
            } else if next.is_none() && place.last.is_some_and(|last| last.segment == number) {
                place.moved.remove(&ordinal);
                place.last = Some(at);
            } else {
                place.moved.insert(ordinal, at);
            }
            place.reach(at.segment, bytes);
            *self.live.entry(at.segment).or_default() += bytes;
            place.segments.remove(&number);
        }
        self.live.remove(&number);
        self.has_leftovers = true;
        true
    }

    /// Creates a segment for copies; it reserves no space.
    fn make_dense(&mut self) -> Result<Segment, SpoolError> {
        let number = self.next_segment;
        self.next_segment += 1;
        self.sizes.insert(number, 0);
        self.has_leftovers = true;
        let head = SegmentHead { incarnation: self.incarnation, number, node_id: self.node_id };
        let dense = Segment::create(&*self.shared.disk, &self.shared.config.dir, head, 0)?;
        self.sizes.insert(number, SEGMENT_HEAD_BYTES as u64);
        Ok(dense)
    }
}
