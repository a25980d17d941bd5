//! Bytes of the deletion log: appended, synced and read back before they count. In: lines. Out: byte ranges by
//! position in the whole log.
//!
//! The log is one append-only file. After a failed write or sync, nothing further on that descriptor counts: the
//! acknowledged log ends where it ended before, and continues in a new file beside it, `<name>.part-<position>`,
//! named by the position of its first byte. Bytes of an earlier file beyond that position were never acknowledged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use optag_files::disk::{Access, Disk, DiskFile, read_full_at, write_all_at};

/// Length of the tail that is rewritten on opening. Units: bytes.
const UNSURE: u64 = 64 << 10;
/// Read size, initially and at most. Units: bytes.
const CHUNK_LEAST: usize = 4 << 10;
const CHUNK_MOST: usize = 1 << 20;
/// Digits of a position in a file name.
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
    /// Opens or creates the log; its tail up to the last whole line is durable afterwards.
    ///
    /// Errors: disk; a part is missing.
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

    /// End of the log. Units: bytes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Reads bytes at a position, as many as exist.
    ///
    /// Errors: disk.
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

    /// Lines from a position, each with its own position and without its line feed.
    pub fn lines(&self, from: u64) -> Lines<'_> {
        Lines { log: self, at: from, bytes: Vec::new(), next: 0, chunk: CHUNK_LEAST }
    }

    /// Appends a line; durable and read back on return.
    ///
    /// Errors: disk, or the file was changed by another process. The line does not count then, and the next one goes
    /// to a new file.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.failed {
            self.go_on_elsewhere()?;
        }
        // Assumed failed until the write is verified.
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

    /// Starts a new file after the last acknowledged byte.
    fn go_on_elsewhere(&mut self) -> io::Result<()> {
        if self.parts.len() > 1 && self.last()?.start == self.end {
            // Nothing in this file counts.
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

    /// Cuts off a torn line, which was never acknowledged, and rewrites the last lines: an earlier process may have
    /// ended after a failed sync, which leaves them in memory and not on the disk. If that fails, for example on a
    /// full disk, the next entry goes to a new file.
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

/// End of the last complete line; none if it begins before `tail`. A line whose write was interrupted by a power cut
/// may lack any sector, which then reads as zeros; no valid line contains zeros.
fn whole(tail: &[u8]) -> Option<usize> {
    let end = tail.iter().rposition(|&byte| byte == b'\n')?;
    let begin = tail[..end].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    match tail[begin..end].contains(&0) {
        false => Some(end + 1),
        true => Some(begin).filter(|&begin| begin > 0),
    }
}

/// Iterates over lines.
pub struct Lines<'a> {
    log: &'a LogFile,
    /// Position of the first of `bytes`.
    at: u64,
    bytes: Vec<u8>,
    next: usize,
    chunk: usize,
}

impl Lines<'_> {
    /// The next non-empty line.
    ///
    /// Errors: disk.
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

    /// Reads more; returns whether there was more.
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

/// The log's files with their positions.
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

/// The directory of a file.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
