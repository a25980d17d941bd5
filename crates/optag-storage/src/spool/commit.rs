//! One group commit: key files, then records, then one sync per segment.
//!
//! In: the backlog. Out: nothing, or everything durable and the calls' places updated. Not here: handling of failures
//! (`writer`).
//!
//! A failed commit is repeated as a whole, on a segment that no earlier attempt used: no descriptor is used after a
//! failure, since a later sync of it may report success without having written anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::error::SpoolError;
use super::frame::{self, Position, SEGMENT_HEAD_BYTES, SegmentHead};
use super::key::KEY_FILE_BYTES;
use super::packed::Packed;
use super::segment::{self, Segment};
use super::writer::Writer;
use optag_core::id::CallId;
use optag_files::disk::write_all_at;

/// A record's place in this commit.
struct Placed {
    call: CallId,
    at: Position,
    bytes: u64,
    frames: u32,
    packed: Packed,
}

impl Writer {
    /// Makes the backlog durable.
    ///
    /// Errors: disk; nothing in the backlog counts then.
    pub(super) fn try_commit(&mut self) -> Result<(), SpoolError> {
        self.write_keys()?;
        let mut records = std::mem::take(&mut self.backlog.records);
        let placed = self.write_records(&mut records);
        self.backlog.records = records;
        let placed = placed?;
        self.backlog.keys.clear();
        let shared = Arc::clone(&self.shared);
        let mut places = shared.places();
        for Placed { call, at, bytes, frames, packed } in placed {
            if let Some(place) = places.get_mut(&call) {
                place.last = Some(at);
                place.frames = place.frames.max(frames);
                place.packed += packed;
                place.reach(at.segment, bytes);
                *self.live.entry(at.segment).or_default() += bytes;
            }
        }
        Ok(())
    }

    fn write_keys(&mut self) -> Result<(), SpoolError> {
        if self.backlog.keys.is_empty() {
            return Ok(());
        }
        let disk = Arc::clone(&self.shared.disk);
        for key in &self.backlog.keys {
            self.keyring.write(&*disk, key.call, &key.file)?;
        }
        self.keyring.sync(&*disk)?;
        let bytes = self.backlog.keys.len() * KEY_FILE_BYTES;
        self.shared.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_records(&mut self, records: &mut [super::writer::Pending]) -> Result<Vec<Placed>, SpoolError> {
        let mut last: HashMap<CallId, Option<Position>> = {
            let places = self.shared.places();
            records.iter().filter_map(|record| Some((record.call, places.get(&record.call)?.last))).collect()
        };
        let mut placed = Vec::with_capacity(records.len());
        let mut buffer = Vec::new();
        for record in records {
            let at = self.room_for(record.bytes.len(), &mut buffer)?;
            let previous = last.get(&record.call).copied().flatten();
            if !frame::place(&mut record.bytes, previous, record.sealed_crc) {
                // Readers detect the missing ordinal.
                tracing::error!(call = %record.call, "sealed record changed in memory before the write; record lost");
                self.shared.count_dropped();
                continue;
            }
            last.insert(record.call, Some(at));
            let bytes = record.bytes.len() as u64;
            let (frames, packed) = (record.frames, record.packed);
            placed.push(Placed { call: record.call, at, bytes, frames, packed });
            buffer.extend_from_slice(&record.bytes);
        }
        self.write(&buffer)?;
        Ok(placed)
    }

    /// Position of the next record. A segment without room for it is finished first.
    fn room_for(&mut self, record_bytes: usize, buffer: &mut Vec<u8>) -> Result<Position, SpoolError> {
        let limit = self.shared.config.segment_bytes.min(u64::from(u32::MAX));
        if let Some(segment) = &self.segment {
            let offset = segment.offset + buffer.len() as u64;
            if offset + record_bytes as u64 <= limit || offset == SEGMENT_HEAD_BYTES as u64 {
                return Ok(Position { segment: segment.number, offset: offset as u32 });
            }
            self.write(buffer)?;
            buffer.clear();
            self.leave_segment();
        }
        let number = self.start_segment()?;
        Ok(Position { segment: number, offset: SEGMENT_HEAD_BYTES as u32 })
    }

    /// Writes and syncs at the end of the segment.
    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let Some(segment) = self.segment.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        let path = || segment::path(&self.shared.config.dir, segment.number);
        write_all_at(&*segment.file, bytes, segment.offset)
            .map_err(|error| SpoolError::disk("write", &path(), error))?;
        let started = Instant::now();
        segment.file.sync().map_err(|error| SpoolError::disk("sync", &path(), error))?;
        let took = started.elapsed();
        segment.offset += bytes.len() as u64;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.sync_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        self.shared.sync_latency.add(took);
        self.shared.written_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Creates a new current segment.
    fn start_segment(&mut self) -> Result<u64, SpoolError> {
        let number = self.next_segment;
        self.next_segment += 1;
        // Recorded before creation, so that a half-created segment is removed later.
        self.sizes.insert(number, 0);
        self.has_leftovers = true;
        let head = SegmentHead { incarnation: self.incarnation, number, node_id: self.node_id };
        let reserve_bytes = self.shared.config.segment_bytes;
        let segment = Segment::create(&*self.shared.disk, &self.shared.config.dir, head, reserve_bytes)?;
        self.segment = Some(segment);
        self.sizes.insert(number, reserve_bytes);
        self.tell_size();
        self.shared.written_bytes.fetch_add(SEGMENT_HEAD_BYTES as u64, Ordering::Relaxed);
        Ok(number)
    }

    /// Closes the current segment and frees the space it reserved. Durable records in it stay.
    pub(super) fn leave_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            // If the truncation fails, the space is freed with the segment.
            let cut = segment.file.set_len(segment.offset).is_ok();
            let bytes = if cut { segment.offset } else { self.shared.config.segment_bytes };
            self.sizes.insert(segment.number, bytes);
        }
    }
}
