//! Position of each recording in the deletion log, so that neither a start nor a receipt reads the whole log. In: the
//! log's entries up to a position, once. Out: positions of a recording's last order and its completion.
//!
//! A file beside the log (`<log>.table`), rebuilt as a whole once many entries were added: sorted ids with two
//! positions each, then the open orders, then marks. A mark is the hash over the log before an entry, one every 4,096
//! entries: with it any recorded head is verified by reading one stretch. Only the log is authoritative: a table that
//! is lost, damaged or of another log is rebuilt from it.
//!
//! Ids are kept in memory, 16 bytes each (64 MB for 4,000,000 erasures), so that checking whether a recording is
//! erased cannot fail; positions are read only for receipts.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use crate::erasure::deletion_log::entry::Chain;
use crate::erasure::deletion_log::file::parent;
use optag_core::id::CallId;
use optag_files::disk::{Access, Disk, DiskFile, read_full_at, write_all_at};

/// Magic bytes of the file.
const MAGIC: &[u8; 8] = b"optagDT1";
/// Length of the header. Units: bytes.
const HEADER: usize = 88;
/// Length of a recording's record: its id and two positions. Units: bytes.
const RECORD: usize = 32;
/// Length of a mark: entries, hash, position. Units: bytes.
const MARK: usize = 48;
/// Encodes a missing completion.
const NONE: u64 = u64::MAX;
/// Read and write size. Units: bytes.
const CHUNK: usize = 1 << 20;

/// Positions of a recording's entries in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Its last order.
    pub ordered: u64,
    /// Completion of that order.
    pub done: Option<u64>,
}

/// The hash over the log before an entry, and the entry's position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Entries and hash before the mark.
    pub chain: Chain,
    /// Position of the next entry.
    pub at: u64,
}

/// The table, covering the log up to a position.
pub struct Table {
    ids: Vec<[u8; 16]>,
    file: Option<Box<dyn DiskFile>>,
    /// The log up to the end of the table.
    pub covered: Mark,
    /// Orders open at that position.
    pub open: Vec<CallId>,
    /// Marks up to that position, in order.
    pub marks: Vec<Mark>,
}

impl Default for Table {
    /// An empty table.
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            file: None,
            covered: Mark::default(),
            open: Vec::new(),
            marks: vec![Mark::default()],
        }
    }
}

/// Input for a new table, beside the old one.
pub struct Next {
    /// Recordings with entries since the old table.
    pub recent: HashMap<CallId, Places>,
    /// The log up to the end of the new table.
    pub covered: Mark,
    /// Orders open at that position.
    pub open: Vec<CallId>,
    /// All marks up to that position.
    pub marks: Vec<Mark>,
}

impl Table {
    /// Path of a log's table.
    pub fn path_of(log: &Path) -> PathBuf {
        let mut name = log.as_os_str().to_owned();
        name.push(".table");
        name.into()
    }

    /// Reads the table at `path`; none if it is missing or damaged.
    ///
    /// Errors: disk.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Option<Self>> {
        let file = match disk.open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut read = Reader { file: &*file, at: 0, end: file.len()?, crc: 0 };
        Ok(read.table()?.map(|table| Self { file: Some(file), ..table }))
    }

    /// Whether the table has a recording.
    pub fn contains(&self, id: CallId) -> bool {
        self.ids.binary_search(&id.to_bytes()).is_ok()
    }

    /// All recordings in the table.
    pub fn ids(&self) -> impl Iterator<Item = CallId> {
        self.ids.iter().map(|id| CallId::from_bytes(*id))
    }

    /// Positions of a recording's entries.
    ///
    /// Errors: disk.
    pub fn places(&self, id: CallId) -> io::Result<Option<Places>> {
        let (Ok(n), Some(file)) = (self.ids.binary_search(&id.to_bytes()), &self.file) else {
            return Ok(None);
        };
        let mut record = [0; RECORD];
        if read_full_at(&**file, &mut record, (HEADER + n * RECORD) as u64)? < RECORD {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((record[..16] == id.to_bytes()).then(|| places(&record)))
    }

    /// Writes a table of this one and the entries since, and reads it back. A crash leaves the old or the new table.
    ///
    /// Errors: disk; the old table is intact.
    pub fn next(&self, disk: &dyn Disk, path: &Path, next: Next) -> io::Result<Self> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        match disk.remove(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&draft, 0)?;
        let recent: BTreeMap<[u8; 16], Places> =
            next.recent.iter().map(|(id, places)| (id.to_bytes(), *places)).collect();
        let count = self.ids.len() + recent.keys().filter(|id| self.ids.binary_search(id).is_err()).count();
        let mut write = Writer { file: &*file, at: 0, crc: 0, chunk: Vec::with_capacity(CHUNK + MARK) };
        write.header(&next, count)?;
        self.merge(recent, &mut write)?;
        for id in &next.open {
            write.put(&id.to_bytes())?;
        }
        for mark in &next.marks {
            write.put(&mark_bytes(mark))?;
        }
        write.finish()?;
        file.sync()?;
        disk.rename(&draft, path)?;
        disk.sync_dir(parent(path))?;
        Self::open(disk, path)?.ok_or_else(|| io::Error::other("cannot read back the deletion log's table"))
    }

    /// Merges both in order; where both have a recording, the newer entry counts.
    fn merge(&self, recent: BTreeMap<[u8; 16], Places>, write: &mut Writer<'_>) -> io::Result<()> {
        let mut recent = recent.into_iter().peekable();
        let mut old = OldRecords { table: self, chunk: Vec::new(), next: 0 };
        while let Some(record) = old.peek()? {
            while let Some((id, places)) = recent.next_if(|(id, _)| id[..] < record[..16]) {
                write.put(&record_bytes(&id, places))?;
            }
            match recent.next_if(|(id, _)| id[..] == record[..16]) {
                Some((id, places)) => write.put(&record_bytes(&id, places))?,
                None => write.put(&record)?,
            }
            old.next += 1;
        }
        recent.try_for_each(|(id, places)| write.put(&record_bytes(&id, places)))
    }
}

/// Records of a table file in order, one chunk at a time.
struct OldRecords<'a> {
    table: &'a Table,
    chunk: Vec<u8>,
    next: usize,
}

impl OldRecords<'_> {
    fn peek(&mut self) -> io::Result<Option<[u8; RECORD]>> {
        let Some(file) = self.table.file.as_ref().filter(|_| self.next < self.table.ids.len()) else {
            return Ok(None);
        };
        let within = self.next % (CHUNK / RECORD);
        if within == 0 {
            let left = (self.table.ids.len() - self.next) * RECORD;
            self.chunk.resize(left.min(CHUNK), 0);
            let at = (HEADER + self.next * RECORD) as u64;
            if read_full_at(&**file, &mut self.chunk, at)? < self.chunk.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let record = self.chunk.get(within * RECORD..(within + 1) * RECORD);
        Ok(record.and_then(|record| record.try_into().ok()))
    }
}

struct Writer<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    crc: u32,
    chunk: Vec<u8>,
}

impl Writer<'_> {
    fn header(&mut self, next: &Next, count: usize) -> io::Result<()> {
        self.put(MAGIC)?;
        for number in [count, next.open.len(), next.marks.len()] {
            self.put(&(number as u64).to_be_bytes())?;
        }
        self.put(&mark_bytes(&next.covered))?;
        self.put(&[0; HEADER - 8 - 3 * 8 - MARK])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, &self.chunk);
        write_all_at(self.file, &self.chunk, self.at)?;
        self.at += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        write_all_at(self.file, &self.crc.to_be_bytes(), self.at)
    }
}

struct Reader<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    end: u64,
    crc: u32,
}

impl Reader<'_> {
    /// The table; none if it is damaged.
    fn table(&mut self) -> io::Result<Option<Table>> {
        let Some(header) = self.some(HEADER)? else { return Ok(None) };
        let number = |at: usize| u64_at(&header, at) as usize;
        let (count, open, marks) = (number(8), number(16), number(24));
        let parts = [Some(HEADER), count.checked_mul(RECORD), open.checked_mul(16), marks.checked_mul(MARK)];
        let length = parts.into_iter().try_fold(4usize, |sum, part| sum.checked_add(part?));
        if header[..8] != MAGIC[..] || length.is_none_or(|length| length as u64 != self.end) {
            return Ok(None);
        }
        let mut table = Table {
            ids: Vec::with_capacity(count),
            file: None,
            covered: mark(&header[32..32 + MARK]),
            open: Vec::with_capacity(open),
            marks: Vec::with_capacity(marks),
        };
        let id = |bytes: &[u8]| <[u8; 16]>::try_from(&bytes[..16]).unwrap_or_default();
        self.each(count, RECORD, |record| table.ids.push(id(record)))?;
        self.each(open, 16, |bytes| table.open.push(CallId::from_bytes(id(bytes))))?;
        self.each(marks, MARK, |bytes| table.marks.push(mark(bytes)))?;
        let crc = self.crc;
        let is_whole = self.some(4)?.is_some_and(|last| last == crc.to_be_bytes());
        let in_order = table.ids.is_sorted();
        Ok((is_whole && in_order && !table.marks.is_empty()).then_some(table))
    }

    fn each(&mut self, count: usize, bytes: usize, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let now = left.min(CHUNK / bytes);
            let chunk = self.some(now * bytes)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            chunk.chunks_exact(bytes).for_each(&mut take);
            left -= now;
        }
        Ok(())
    }

    fn some(&mut self, bytes: usize) -> io::Result<Option<Vec<u8>>> {
        let mut into = vec![0; bytes];
        if read_full_at(self.file, &mut into, self.at)? < bytes {
            return Ok(None);
        }
        self.at += bytes as u64;
        self.crc = crc32c::crc32c_append(self.crc, &into);
        Ok(Some(into))
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    u64::from_be_bytes(bytes.unwrap_or_default())
}

fn places(record: &[u8]) -> Places {
    let done = u64_at(record, 24);
    Places { ordered: u64_at(record, 16), done: (done != NONE).then_some(done) }
}

fn record_bytes(id: &[u8; 16], places: Places) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..16].copy_from_slice(id);
    bytes[16..24].copy_from_slice(&places.ordered.to_be_bytes());
    bytes[24..].copy_from_slice(&places.done.unwrap_or(NONE).to_be_bytes());
    bytes
}

fn mark(bytes: &[u8]) -> Mark {
    let hash = bytes.get(8..40).and_then(|hash| hash.try_into().ok()).unwrap_or_default();
    Mark { chain: Chain { entries: u64_at(bytes, 0), hash }, at: u64_at(bytes, 40) }
}

fn mark_bytes(mark: &Mark) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    bytes[..8].copy_from_slice(&mark.chain.entries.to_be_bytes());
    bytes[8..40].copy_from_slice(&mark.chain.hash);
    bytes[40..].copy_from_slice(&mark.at.to_be_bytes());
    bytes
}
