//! The bytes of the deletion log: appended, synced and read back before they count. In: lines. Out: ranges
//! of bytes by their place in the whole log.
//!
//! The log is one file that only grows. After a write or a sync that failed nothing on that descriptor
//! counts: what was acknowledged ends where it ended before, and the log goes on in a new file beside it,
//! `<name>.part-<place>`, named after the place of its first byte. What lies in an earlier file beyond that
//! place was never acknowledged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use optag_files::disk::{Access, Disk, DiskFile, read_full_at, write_all_at};

/// The end of the log that is written again when it is opened. Units: bytes.
const UNSURE: u64 = 64 << 10;
/// Bytes that are read at a time, at first and at the most.
const CHUNK_LEAST: usize = 4 << 10;
const CHUNK_MOST: usize = 1 << 20;
/// Digits of a place in a file's name.
const DIGITS: usize = 16;

/// The log's files as one.
pub struct LogFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    parts: Vec<Part>,
    end: u64,
    failed: bool,
}

struct Part {
    start: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl LogFile {
    /// Opens or makes the log; its last bytes up to the last whole line are durable afterwards.
    ///
    /// Errors: the disk's; a part is missing.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> io::Result<Self> {
        let dir = parent(path);
        let mut parts = Vec::new();
        for (start, path) in parts_of(disk.as_ref(), path)? {
            let file = match disk.open(&path, Access::Append) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let file = disk.create(&path, 0)?;
                    disk.sync_dir(dir)?;
                    file
                }
                opened => opened?,
            };
            parts.push(Part { start, path, file });
        }
        let mut log = Self { disk, path: path.to_owned(), parts, end: 0, failed: false };
        let mut before = 0;
        for part in &log.parts {
            if part.start > before {
                return Err(io::Error::other(format!(
                    "the part of the log before {} is truncated",
                    part.path.display()
                )));
            }
            before = part.start + part.file.len()?;
        }
        log.end = before;
        log.settle()?;
        Ok(log)
    }

    /// Where the log ends. Units: bytes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Reads what lies at a place, as much as there is.
    ///
    /// Errors: the disk's.
    pub fn read_at(&self, into: &mut [u8], place: u64) -> io::Result<usize> {
        let wanted = into.len().min(self.end.saturating_sub(place) as usize);
        let mut filled = 0;
        while filled < wanted {
            let at = place + filled as u64;
            let n = self.parts.iter().rposition(|part| part.start <= at).unwrap_or(0);
            let until = self.parts.get(n + 1).map_or(self.end, |next| next.start);
            let most = wanted.min(filled + (until - at) as usize);
            let read = read_full_at(&*self.parts[n].file, &mut into[filled..most], at - self.parts[n].start)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
        }
        Ok(filled)
    }

    /// The lines from a place on, each with its own place and without its end.
    pub fn lines(&self, from: u64) -> Lines<'_> {
        Lines { log: self, at: from, bytes: Vec::new(), next: 0, chunk: CHUNK_LEAST }
    }

    /// Appends a line, durable and read back when this returns.
    ///
    /// Errors: the disk's, or the file is not as this process left it. The line does not count then, and
    /// the next one goes to a new file.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.failed {
            self.go_on_elsewhere()?;
        }
        // Until it is certain that it worked, it did not.
        self.failed = true;
        let part = self.last()?;
        let at = self.end - part.start;
        if part.file.len()? != at {
            return Err(io::Error::other(format!("{} was modified by another process", part.path.display())));
        }
        write_all_at(&*part.file, line, at)?;
        part.file.sync()?;
        let mut again = vec![0; line.len()];
        let read = read_full_at(&*part.file, &mut again, at)?;
        if read != line.len() || again != line || part.file.len()? != at + line.len() as u64 {
            return Err(io::Error::other(format!("{} does not hold what was written", part.path.display())));
        }
        self.end += line.len() as u64;
        self.failed = false;
        Ok(())
    }

    /// The last part.
    fn last(&self) -> io::Result<&Part> {
        self.parts.last().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A new file for what follows the last acknowledged byte.
    fn go_on_elsewhere(&mut self) -> io::Result<()> {
        if self.parts.len() > 1 && self.last()?.start == self.end {
            // Nothing in it counts.
            self.disk.remove(&self.last()?.path)?;
            self.parts.pop();
        }
        let path = part_path(&self.path, self.end);
        let file = match self.disk.create(&path, 0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&path)?;
                self.disk.create(&path, 0)?
            }
            made => made?,
        };
        drop(file);
        self.disk.sync_dir(parent(&path))?;
        let file = self.disk.open(&path, Access::Append)?;
        self.parts.push(Part { start: self.end, path, file });
        self.failed = false;
        Ok(())
    }

    /// Cuts a torn line off, which was never acknowledged, and writes the last lines again: an earlier
    /// process may have ended after a sync that failed, and then they are in memory and not on the disk.
    /// Where that cannot be done, a full disk say, the next entry goes to a new file.
    fn settle(&mut self) -> io::Result<()> {
        let start = self.last()?.start;
        let mut unsure = UNSURE;
        let (from, tail, whole) = loop {
            let from = start.max(self.end.saturating_sub(unsure));
            let mut tail = vec![0; (self.end - from) as usize];
            self.read_at(&mut tail, from)?;
            match whole(&tail) {
                Some(whole) => break (from, tail, whole),
                None if from == start => break (from, tail, 0),
                None => unsure *= 4,
            }
        };
        let rewritten = (|| {
            let file = self.disk.open(&self.last()?.path, Access::Write)?;
            if whole < tail.len() {
                file.set_len(from + whole as u64 - start)?;
            }
            write_all_at(&*file, &tail[..whole], from - start)?;
            file.sync()
        })();
        self.end = from + whole as u64;
        if let Err(error) = rewritten {
            tracing::warn!(%error, "cannot rewrite the tail of the deletion log");
            self.failed = true;
        }
        Ok(())
    }
}

/// Where the last line ends that was written as a whole; none where it begins before `tail`. Of a line whose
/// write a power cut ended, any sector may be missing: it then has zeros, which no line has.
fn whole(tail: &[u8]) -> Option<usize> {
    let end = tail.iter().rposition(|&byte| byte == b'\n')?;
    let begin = tail[..end].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    match tail[begin..end].contains(&0) {
        false => Some(end + 1),
        true => Some(begin).filter(|&begin| begin > 0),
    }
}

/// Lines one after the other.
pub struct Lines<'a> {
    log: &'a LogFile,
    /// Place of the first of `bytes`.
    at: u64,
    bytes: Vec<u8>,
    next: usize,
    chunk: usize,
}

impl Lines<'_> {
    /// The next line that is not empty.
    ///
    /// Errors: the disk's.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let (start, end) = loop {
            let rest = self.bytes.get(self.next..).unwrap_or_default();
            match rest.iter().position(|&byte| byte == b'\n') {
                Some(0) => self.next += 1,
                Some(length) => break (self.next, self.next + length),
                None if self.more()? => {}
                None => return Ok(None),
            }
        };
        self.next = end + 1;
        Ok(Some((self.at + start as u64, &self.bytes[start..end])))
    }

    /// Reads on; whether there was more.
    fn more(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.next);
        self.at += self.next as u64;
        self.next = 0;
        let old = self.bytes.len();
        self.bytes.resize(old + self.chunk, 0);
        let read = self.log.read_at(&mut self.bytes[old..], self.at + old as u64)?;
        self.bytes.truncate(old + read);
        self.chunk = (2 * self.chunk).min(CHUNK_MOST);
        Ok(read > 0)
    }
}

/// The log's files with the places where they begin.
fn parts_of(disk: &dyn Disk, path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let dir = parent(path);
    let prefix = format!("{}.part-", path.file_name().unwrap_or_default().to_string_lossy());
    let mut parts = vec![(0, path.to_owned())];
    for name in disk.list(dir)? {
        let start = name.strip_prefix(&prefix).filter(|digits| digits.len() == DIGITS);
        parts.extend(start.and_then(|digits| digits.parse().ok()).map(|start: u64| (start, dir.join(&name))));
    }
    parts.sort();
    Ok(parts)
}

fn part_path(path: &Path, start: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".part-{start:0DIGITS$}"));
    name.into()
}

/// The directory that a file lies in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
