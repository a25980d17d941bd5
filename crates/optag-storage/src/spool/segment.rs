//! Segment files: names, creation, and iteration over records.
//!
//! In: numbers and bytes. Out: files, and records with a valid CRC. Not here: which segments are needed (`capacity`),
//! what records mean (`recover`).

use std::io;
use std::path::{Path, PathBuf};

use super::error::SpoolError;
use super::frame::{self, RECORD_MARK, RecordHead, SEGMENT_HEAD_BYTES, SegmentHead};
use optag_files::disk::{Access, Disk, DiskFile, read_full_at, write_all_at};

/// Maximum length of a file that is accepted as a segment.
const LONGEST_BYTES: u64 = 8 << 30;

/// Bytes read at once, and skipped together if unreadable.
const READ_BYTES: usize = 64 * 1024;

/// Directory of the segments.
pub(super) fn dir(spool: &Path) -> PathBuf {
    spool.join("segments")
}

/// Path of a segment's file.
pub(super) fn path(spool: &Path, number: u64) -> PathBuf {
    dir(spool).join(format!("seg-{number:016x}.log"))
}

/// Segment number in a file name; none if [`path`] does not produce that name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("seg-")?.strip_suffix(".log")?;
    u64::from_str_radix(digits, 16).ok().filter(|number| format!("{number:016x}") == digits)
}

/// A segment that is being written.
pub(super) struct Segment {
    /// File.
    pub file: Box<dyn DiskFile>,
    /// Number.
    pub number: u64,
    /// Offset of the next record: everything before is durable.
    pub offset: u64,
}

impl Segment {
    /// Creates a segment; header and name are durable on return.
    ///
    /// Errors: disk; a file may be left.
    pub(super) fn create(
        disk: &dyn Disk,
        spool: &Path,
        head: SegmentHead,
        reserve_bytes: u64,
    ) -> Result<Self, SpoolError> {
        let path = path(spool, head.number);
        let make = || {
            let file = disk.create(&path, reserve_bytes)?;
            write_all_at(&*file, &head.to_bytes(), 0)?;
            file.sync()?;
            disk.sync_dir(&dir(spool))?;
            Ok(file)
        };
        let file = make().map_err(|error| SpoolError::disk("create", &path, error))?;
        Ok(Self { file, number: head.number, offset: SEGMENT_HEAD_BYTES as u64 })
    }
}

/// A segment file in memory.
pub(super) struct Loaded {
    /// Contents; unreadable bytes are zero.
    pub bytes: Vec<u8>,
    /// Number of unreadable bytes.
    pub unreadable_bytes: u64,
}

/// Reads a whole segment file. A bad sector affects only its surroundings.
///
/// Errors: the file cannot be opened, or a read failed for another reason than the medium.
pub(super) fn load(disk: &dyn Disk, spool: &Path, number: u64) -> Result<Loaded, SpoolError> {
    let path = path(spool, number);
    let read = || {
        let file = disk.open(&path, Access::Read)?;
        let mut bytes = vec![0; file.len()?.min(LONGEST_BYTES) as usize];
        let mut unreadable_bytes = 0;
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + READ_BYTES).min(bytes.len());
            match read_full_at(&*file, &mut bytes[at..end], at as u64) {
                Ok(read) if read < end - at => bytes.truncate(at + read),
                Ok(_) => {}
                Err(error) if is_medium(&error) => {
                    bytes[at..end].fill(0);
                    unreadable_bytes += (end - at) as u64;
                }
                Err(error) => return Err(error),
            }
            at = end;
        }
        Ok(Loaded { bytes, unreadable_bytes })
    };
    read().map_err(|error| SpoolError::disk("read", &path, error))
}

/// Whether a read failed because of the medium, so that a retry is useless.
pub(super) fn is_medium(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Makes an existing segment durable. `rewrite`: its bytes are written again first, so that they are synced even where a
/// failed sync left them in memory alone, marked as written. Returns the number of bytes rewritten.
///
/// Errors: disk.
pub(super) fn settle(disk: &dyn Disk, spool: &Path, number: u64, rewrite: bool) -> Result<u64, SpoolError> {
    let path = path(spool, number);
    let settled = || {
        let mut at = 0;
        if !rewrite {
            disk.open(&path, Access::Read)?.sync()?;
            return Ok(at);
        }
        let file = disk.open(&path, Access::Write)?;
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let read = read_full_at(&*file, &mut chunk, at)?;
            write_all_at(&*file, &chunk[..read], at)?;
            at += read as u64;
            if read < chunk.len() {
                break;
            }
        }
        file.sync()?;
        Ok(at)
    };
    settled().map_err(|error| SpoolError::disk("sync", &path, error))
}

/// Item found while walking.
pub(super) enum Step<'a> {
    /// A record with a valid CRC, and its offset.
    Record(RecordHead, &'a [u8], u32),
    /// Bytes without a valid record, skipped up to the next one.
    Damaged,
}

/// Visits the records of a segment. After damage, the next valid record is searched; zeros up to the end are the
/// regular end. Linear in the number of bytes, whatever they are. Returns the number of bytes in use, from the start
/// to the last record or damage.
pub(super) fn walk<'a>(bytes: &'a [u8], mut visit: impl FnMut(Step<'a>)) -> usize {
    // A record may end in zeros, but never starts with them.
    let end = used_bytes(bytes);
    let mut at = SEGMENT_HEAD_BYTES;
    // Bytes that may be checked because of marks in garbage: a small multiple of the length.
    let mut search_bytes = bytes.len().saturating_mul(4);
    while at < end {
        let rest = &bytes[at..];
        if let Some(head) = frame::check(rest) {
            visit(Step::Record(head, &rest[..head.record_bytes()], at as u32));
            at += head.record_bytes();
            continue;
        }
        visit(Step::Damaged);
        match next_record(bytes, at + 1, &mut search_bytes) {
            Some(next) => at = next,
            None => return end,
        }
    }
    at.max(end).min(bytes.len())
}

/// Length up to the last non-zero byte.
pub(super) fn used_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// The first valid record from `from` on.
fn next_record(bytes: &[u8], from: usize, search_bytes: &mut usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        at += rest.iter().position(|&byte| byte == RECORD_MARK[0])?;
        if let Some(head) = RecordHead::peek(&bytes[at..]) {
            *search_bytes = search_bytes.checked_sub(head.record_bytes())?;
            if frame::check(&bytes[at..]).is_some() {
                return Some(at);
            }
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_give_are_segments() {
        let name = path(Path::new("/spool"), 0x2a);
        assert_eq!(number(name.file_name().unwrap().to_str().unwrap()), Some(0x2a));
        for other in ["seg-2a.log", "seg-000000000000002A.log", "seg-000000000000002a.log.bak", "lock", ""] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn a_walk_finds_every_whole_record_around_the_damage() {
        let found = |bytes: &[u8]| {
            let (mut records, mut damaged) = (0, 0);
            let used = walk(bytes, |step| match step {
                Step::Record(..) => records += 1,
                Step::Damaged => damaged += 1,
            });
            (records, damaged, bytes.len() - used)
        };
        macro_rules! corpus {
            ($name:literal) => {
                include_bytes!(concat!("../../../../tests/corpus/spool_recovery/", $name))
            };
        }
        assert_eq!(found(corpus!("records")), (4, 0, 300));
        assert_eq!(found(corpus!("flipped")), (3, 1, 0));
        assert_eq!(found(corpus!("hole")), (3, 1, 0));
        assert_eq!(found(corpus!("torn")), (3, 1, 0));
        assert_eq!(found(corpus!("mark-inside")), (4, 1, 0));
        assert_eq!(found(corpus!("zeros")).0, 0);
    }

    #[test]
    fn a_segment_of_nothing_but_marks_is_given_up_in_time() {
        let mut mark = RECORD_MARK.to_vec();
        mark.extend([0; 4]);
        mark.extend((4u32 << 20).to_le_bytes());
        let bytes = mark.repeat(1 << 18);
        let started = std::time::Instant::now();
        let mut damaged = 0;
        walk(&bytes, |step| damaged += usize::from(matches!(step, Step::Damaged)));
        assert_eq!(damaged, 1);
        assert!(started.elapsed().as_secs() < 10);
    }
}
