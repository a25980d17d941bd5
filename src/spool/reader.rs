//! One call's records, read back in order by following their chain.

use std::sync::Arc;

use super::disk::{Access, DiskFile, read_full_at};
use super::error::SpoolError;
use super::frame::{self, Position, RECORD_HEAD_BYTES, RecordHead};
use super::key::DataKey;
use super::record::Body;
use super::segment::{self, Step, walk};
use super::shared::Shared;
use crate::base::id::CallId;

/// Reads a call. Memory: 16 bytes a record, and one record.
pub struct CallReader {
    shared: Arc<Shared>,
    call: CallId,
    key: Arc<DataKey>,
    places: std::vec::IntoIter<(u32, Position)>,
    expected: u32,
    waiting: Option<(u32, Position)>,
    open: Option<(u64, Box<dyn DiskFile>)>,
    record: Vec<u8>,
    scratch: Vec<u8>,
}

impl CallReader {
    pub(super) fn open(shared: &Arc<Shared>, call: CallId) -> Result<Self, SpoolError> {
        let (key, last, segments) = {
            let places = shared.places();
            let place = places.get(&call).ok_or(SpoolError::NoCall { call })?;
            (Arc::clone(&place.key), place.last, place.segments.iter().copied().collect::<Vec<_>>())
        };
        let mut reader = Self {
            shared: Arc::clone(shared),
            call,
            key,
            places: Vec::new().into_iter(),
            expected: 0,
            waiting: None,
            open: None,
            record: Vec::new(),
            scratch: Vec::new(),
        };
        let places = match reader.follow(last) {
            Some(places) => places,
            None => reader.scan_segments(&segments)?,
        };
        reader.places = places.into_iter();
        Ok(reader)
    }

    /// The chain from the last record to the first; `None` where it is broken.
    fn follow(&mut self, last: Option<Position>) -> Option<Vec<(u32, Position)>> {
        let mut places = Vec::new();
        let mut next = last;
        while let Some(at) = next {
            let head = self.head(at)?;
            let in_order = places.last().is_none_or(|&(later, _)| head.ordinal + 1 == later);
            if head.call != self.call || !in_order {
                return None;
            }
            places.push((head.ordinal, at));
            next = head.previous;
        }
        places.reverse();
        places.first().is_none_or(|&(ordinal, _)| ordinal == 0).then_some(places)
    }

    /// Every record of the call that its segments still hold, each once.
    fn scan_segments(&self, segments: &[u64]) -> Result<Vec<(u32, Position)>, SpoolError> {
        let mut places = Vec::new();
        for &number in segments {
            let bytes = segment::load(&*self.shared.disk, &self.shared.config.dir, number)?;
            walk(&bytes, |step| {
                if let Step::Record(head, _, offset) = step
                    && head.call == self.call
                {
                    places.push((head.ordinal, Position { segment: number, offset }));
                }
            });
        }
        places.sort_by_key(|&(ordinal, _)| ordinal);
        places.dedup_by_key(|&mut (ordinal, _)| ordinal);
        Ok(places)
    }

    fn head(&mut self, at: Position) -> Option<RecordHead> {
        let mut bytes = [0; RECORD_HEAD_BYTES];
        let file = self.file(at.segment).ok()?;
        let read = read_full_at(file, &mut bytes, u64::from(at.offset)).ok()?;
        RecordHead::peek(&bytes[..read])
    }

    fn body(&mut self, at: Position) -> Option<Body> {
        let head = self.head(at)?;
        let mut record = std::mem::take(&mut self.record);
        record.resize(head.record_bytes(), 0);
        let read = read_full_at(self.file(at.segment).ok()?, &mut record, u64::from(at.offset)).ok()?;
        let checked = frame::check(&record[..read]).filter(|checked| checked.call == self.call);
        let body = checked.and_then(|head| frame::open(&head, &record, &self.key, &mut self.scratch));
        self.record = record;
        body
    }

    fn file(&mut self, number: u64) -> Result<&dyn DiskFile, SpoolError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            let path = segment::path(&self.shared.config.dir, number);
            let file = self.shared.disk.open(&path, Access::Read);
            self.open = Some((number, file.map_err(|error| SpoolError::disk("open", &path, error))?));
        }
        match &self.open {
            Some((_, file)) => Ok(&**file),
            None => Err(SpoolError::NoCall { call: self.call }),
        }
    }
}

impl Iterator for CallReader {
    type Item = Result<Body, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (ordinal, at) = self.waiting.take().or_else(|| self.places.next())?;
        if ordinal > self.expected {
            let records = ordinal - self.expected;
            self.expected = ordinal;
            self.waiting = Some((ordinal, at));
            return Some(Err(SpoolError::Damaged { call: self.call, records }));
        }
        self.expected = ordinal + 1;
        Some(self.body(at).ok_or(SpoolError::Damaged { call: self.call, records: 1 }))
    }
}
