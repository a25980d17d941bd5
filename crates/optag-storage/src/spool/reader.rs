//! Reads one call's records in order by following their chain.
//!
//! In: a call. Out: its bodies, and what is missing among them. Not here: records that are not durable yet.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::error::SpoolError;
use super::frame::{self, Position, RECORD_HEAD_BYTES, RecordHead};
use super::key::DataKey;
use super::payload::JOINED;
use super::record::Body;
use super::segment::{self, Step, is_medium, walk};
use super::shared::Shared;
use optag_core::id::CallId;
use optag_files::disk::{Access, DiskFile, read_full_at};

/// Bytes read initially: most records of two streams are not longer.
const FIRST_READ_BYTES: usize = 1_024;

/// Reads a call. Memory: 24 bytes per record, and one record.
///
/// Damage is a separate error ([`SpoolError::is_damage`]), followed by the remaining records; any other error ends
/// the reading, and a later attempt may succeed.
pub struct CallReader {
    shared: Arc<Shared>,
    call: CallId,
    key: Arc<DataKey>,
    _read_by: Arc<()>,
    places: std::vec::IntoIter<(u32, Position)>,
    joined: usize,
    expected: u32,
    waiting: Option<(u32, Position)>,
    ended: bool,
    open: Option<(u64, Box<dyn DiskFile>)>,
    record: Vec<u8>,
    scratch: Vec<u8>,
}

impl CallReader {
    pub(super) fn open(shared: &Arc<Shared>, call: CallId) -> Result<Self, SpoolError> {
        let (key, read_by, last, segments, moved) = {
            let places = shared.places();
            let place = places.get(&call).filter(|place| !place.doomed);
            let place = place.ok_or(SpoolError::NoCall { call })?;
            let segments: Vec<u64> = place.segments.keys().copied().collect();
            // From here on none of the call's records is moved.
            let read_by = Arc::clone(&place.read_by);
            (Arc::clone(&place.key), read_by, place.last, segments, place.moved.clone())
        };
        let mut reader = Self {
            shared: Arc::clone(shared),
            call,
            key,
            _read_by: read_by,
            places: Vec::new().into_iter(),
            joined: 0,
            expected: 0,
            waiting: None,
            ended: false,
            open: None,
            record: Vec::new(),
            scratch: Vec::new(),
        };
        let places = match reader.follow(last, &moved)? {
            Some(places) => places,
            None => reader.scan_segments(&segments)?,
        };
        reader.places = places.into_iter();
        Ok(reader)
    }

    /// Number of streams that joined during the call.
    pub fn joined_streams(&self) -> usize {
        self.joined
    }

    /// The chain from the last record to the first; `None` if broken.
    fn follow(
        &mut self,
        last: Option<Position>,
        moved: &BTreeMap<u32, Position>,
    ) -> Result<Option<Vec<(u32, Position)>>, SpoolError> {
        let mut places = Vec::new();
        let mut next = last;
        while let Some(at) = next {
            let Some(head) = self.head(at)? else { return Ok(None) };
            let in_order = places.last().is_none_or(|&(later, _)| head.ordinal.checked_add(1) == Some(later));
            if head.call != self.call || !in_order {
                return Ok(None);
            }
            self.joined += usize::from(head.kind == JOINED);
            places.push((head.ordinal, at));
            let before = head.ordinal.checked_sub(1).and_then(|ordinal| moved.get(&ordinal).copied());
            next = before.or(head.previous);
        }
        places.reverse();
        Ok(places.first().is_none_or(|&(ordinal, _)| ordinal == 0).then_some(places))
    }

    /// Every record of the call found in its segments, each once.
    fn scan_segments(&mut self, segments: &[u64]) -> Result<Vec<(u32, Position)>, SpoolError> {
        let (mut places, mut joined) = (Vec::new(), Vec::new());
        for &number in segments {
            let bytes = match segment::load(&*self.shared.disk, &self.shared.config.dir, number) {
                Ok(loaded) => loaded.bytes,
                Err(SpoolError::Disk { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            walk(&bytes, |step| {
                if let Step::Record(head, _, offset) = step
                    && head.call == self.call
                {
                    places.push((head.ordinal, Position { segment: number, offset }));
                    if head.kind == JOINED {
                        joined.push(head.ordinal);
                    }
                }
            });
        }
        places.sort_by_key(|&(ordinal, _)| ordinal);
        places.dedup_by_key(|&mut (ordinal, _)| ordinal);
        joined.sort_unstable();
        joined.dedup();
        self.joined = joined.len();
        Ok(places)
    }

    fn head(&mut self, at: Position) -> Result<Option<RecordHead>, SpoolError> {
        let mut bytes = [0; RECORD_HEAD_BYTES];
        let read = self.read_at(at, &mut bytes)?;
        Ok(RecordHead::peek(&bytes[..read]))
    }

    /// The body of the record at a position; `None` if damaged.
    fn body(&mut self, at: Position) -> Result<Option<Body>, SpoolError> {
        let mut record = std::mem::take(&mut self.record);
        let read = self.read_record(at, &mut record);
        let body = read.map(|()| {
            let head = frame::check(&record).filter(|checked| checked.call == self.call)?;
            frame::open(&head, &record, &self.key, &mut self.scratch)
        });
        self.record = record;
        body
    }

    /// Reads a record into `record`: all of it, if it is intact.
    fn read_record(&mut self, at: Position, record: &mut Vec<u8>) -> Result<(), SpoolError> {
        record.resize(FIRST_READ_BYTES, 0);
        let mut read = self.read_at(at, record)?;
        if read == 0 {
            // The unreadable sector may lie behind the record.
            read = self.read_at(at, &mut record[..RECORD_HEAD_BYTES])?;
        }
        let bytes = RecordHead::peek(&record[..read]).map_or(0, |head| head.record_bytes());
        record.resize(bytes, 0);
        if bytes > read {
            let rest = Position { offset: at.offset.saturating_add(read as u32), ..at };
            read += self.read_at(rest, &mut record[read..])?;
            record.truncate(read);
        }
        Ok(())
    }

    /// Reads from a segment; nothing if the segment is gone or unreadable.
    ///
    /// Errors: those that may pass, such as too many open files.
    fn read_at(&mut self, at: Position, into: &mut [u8]) -> Result<usize, SpoolError> {
        let path = || segment::path(&self.shared.config.dir, at.segment);
        if self.open.as_ref().is_none_or(|(open, _)| *open != at.segment) {
            match self.shared.disk.open(&path(), Access::Read) {
                Ok(file) => self.open = Some((at.segment, file)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(SpoolError::disk("open", &path(), error)),
            }
        }
        let Some((_, file)) = &self.open else { return Ok(0) };
        match read_full_at(&**file, into, u64::from(at.offset)) {
            Err(error) if is_medium(&error) => Ok(0),
            read => read.map_err(|error| SpoolError::disk("read", &path(), error)),
        }
    }

    fn is_destroyed(&self) -> bool {
        self.shared.places().get(&self.call).is_none_or(|place| place.doomed)
    }
}

impl Iterator for CallReader {
    type Item = Result<Body, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let (ordinal, at) = self.waiting.take().or_else(|| self.places.next())?;
        if ordinal > self.expected {
            let records = ordinal - self.expected;
            self.expected = ordinal;
            self.waiting = Some((ordinal, at));
            return Some(Err(SpoolError::Damaged { call: self.call, records }));
        }
        self.expected = ordinal.saturating_add(1);
        let body = self.body(at);
        let body = if self.is_destroyed() { Err(SpoolError::NoCall { call: self.call }) } else { body };
        match body {
            Ok(Some(body)) => Some(Ok(body)),
            Ok(None) => Some(Err(SpoolError::Damaged { call: self.call, records: 1 })),
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}
