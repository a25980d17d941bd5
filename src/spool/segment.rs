//! Segment files: their names, a new one, and the walk over the records of one.

use std::path::{Path, PathBuf};

use super::disk::{Access, Disk, DiskFile, read_full_at, write_all_at};
use super::error::SpoolError;
use super::frame::{self, RECORD_MARK, RecordHead, SEGMENT_HEAD_BYTES, SegmentHead};

/// Most bytes of a file that are believed to be a segment.
const LONGEST_BYTES: u64 = 8 << 30;

/// The directory of segments.
pub fn dir(spool: &Path) -> PathBuf {
    spool.join("segments")
}

/// A segment's file.
pub fn path(spool: &Path, number: u64) -> PathBuf {
    dir(spool).join(format!("seg-{number:016x}.log"))
}

/// The number in a file's name.
pub fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("seg-")?.strip_suffix(".log")?, 16).ok()
}

/// A segment that is being written.
pub struct Segment {
    /// Its file.
    pub file: Box<dyn DiskFile>,
    /// Its number.
    pub number: u64,
    /// Where the next record goes.
    pub offset: u64,
}

impl Segment {
    /// Makes a segment; its head and its name are durable once this returns.
    ///
    /// Errors: the disk's.
    pub fn create(
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

/// Reads a whole segment file.
///
/// Errors: the disk's.
pub fn load(disk: &dyn Disk, spool: &Path, number: u64) -> Result<Vec<u8>, SpoolError> {
    let path = path(spool, number);
    let read = || {
        let file = disk.open(&path, Access::Read)?;
        let mut bytes = vec![0; file.len()?.min(LONGEST_BYTES) as usize];
        let length = read_full_at(&*file, &mut bytes, 0)?;
        bytes.truncate(length);
        Ok(bytes)
    };
    read().map_err(|error| SpoolError::disk("read", &path, error))
}

/// What a walk finds.
pub enum Step<'a> {
    /// A record whose CRC holds, and where it starts.
    Record(RecordHead, &'a [u8], u32),
    /// Bytes that are no record, skipped up to the next one.
    Damaged,
}

/// Walks over the records of a segment. Where one is damaged, the next that is whole is looked
/// for; zeros to the end are the clean end.
pub fn walk<'a>(bytes: &'a [u8], mut visit: impl FnMut(Step<'a>)) {
    let mut at = SEGMENT_HEAD_BYTES;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if let Some(head) = frame::check(rest) {
            visit(Step::Record(head, &rest[..head.record_bytes()], at as u32));
            at += head.record_bytes();
            continue;
        }
        if rest.iter().all(|&byte| byte == 0) {
            return;
        }
        visit(Step::Damaged);
        let next = (1..rest.len())
            .find(|&n| rest[n..].starts_with(&RECORD_MARK) && frame::check(&rest[n..]).is_some());
        let Some(skipped) = next else { return };
        at += skipped;
    }
}
