//! Copying records out of segments that hold little else: one long call must not keep the room of all the
//! calls beside it.
//!
//! In: closed segments and what of them is still needed. Out: the needed records in a dense segment, sealed as
//! they were, and the segments they came from given up. A record is copied with the same nonce, text and
//! authenticated head; only `previous` and the CRC are its place's own.
//!
//! The copy is durable before the calls' places name it, and the original goes after that; a crash between leaves
//! both, which recovery knows by incarnation and sequence. A copy of `x` bytes gives up at least `3x`, so that
//! all copying together writes no more than half of what calls write.

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

/// A segment is emptied where less than one part in so many is needed.
const SPARSE: u64 = 4;
/// Unneeded bytes that are left alone beside as many as are needed. Units: segments.
const SPARE_SEGMENTS: u64 = if cfg!(test) { 1 } else { 4 };
/// How long nothing is moved after a failure.
const PAUSE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 60 });

/// What moving records keeps in mind.
#[derive(Default)]
pub(super) struct Moving {
    /// Where records are copied to.
    dense: Option<Segment>,
    /// After a failure.
    not_before: Option<Instant>,
    /// Segments of which the disk cannot read all: they stay.
    unreadable: BTreeSet<u64>,
}

impl Moving {
    /// The segment that copies go to.
    pub(super) fn dense(&self) -> Option<u64> {
        self.dense.as_ref().map(|dense| dense.number)
    }
}

/// A record on its way.
struct Copy {
    call: CallId,
    ordinal: u32,
    bytes: Vec<u8>,
    previous: Option<Position>,
}

impl Writer {
    /// Empties one segment, if there is one that is worth it. Whether it did: then there may be more.
    pub(super) fn move_some(&mut self) -> bool {
        if self.moving.not_before.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let Some(number) = self.sparsest() else { return false };
        match self.empty(number) {
            Ok(moved) => moved,
            Err(error) => {
                tracing::warn!(%error, number, "records could not be moved out of a sparse segment; tried again later");
                self.shared.count_failure();
                // Neither it nor what a failed sync left in it is relied on.
                self.moving.dense = None;
                self.moving.not_before = Some(Instant::now() + PAUSE);
                self.has_leftovers = true;
                false
            }
        }
    }

    /// The closed segment with the smallest needed share, where unneeded bytes are more than they
    /// should be.
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
        // Who reads a call knows where its records are, and a doomed one is not touched any more.
        let places = self.shared.places();
        let held = places.values().filter(|place| place.doomed || place.is_read());
        let held: BTreeSet<u64> = held.flat_map(|place| place.segments.keys().copied()).collect();
        sparse.retain(|(_, number)| !held.contains(number));
        sparse.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, number)| number)
    }

    /// Copies what is needed out of a segment. False: a reader came meanwhile, or it cannot be read.
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
            // What is there is all there is; nothing of it is given up.
            self.moving.unreadable.insert(number);
            return Ok(false);
        }
        let copies: Vec<Copy> = found.into_values().collect();
        let placed = self.write_copies(copies)?;
        Ok(self.settle_copies(number, &placed))
    }

    /// Writes and syncs the copies. Returns where each is, in order of call and ordinal.
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
                // What precedes it is a copy as well, or was moved earlier, or is where it was.
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

    /// From here on the copies are the records. False where a reader knows the originals: then they
    /// stay, and the copies are nobody's.
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

    /// A segment for copies; it reserves no room.
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
