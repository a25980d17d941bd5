//! Erasures on a disk that fails and loses power, and any bytes in place of the log or its table, for fuzzing and its
//! corpus. In: bytes. Out: a panic where the log forgets an erasure that it acknowledged without saying so.
//!
//! Layout of the bytes: a seed of the disk, what is done to the files at the end, how many steps come first, the
//! steps, and bytes for what is done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::erasure::deletion_log::table::Table;
use crate::erasure::deletion_log::{Cause, DeletionLog, Head, LogError, Order, Relation};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_files::disk::{Access, Disk, write_all_at};
use optag_testing::disk::{CrashingDisk, Fault, Op};

/// Orders that the steps give are of so many recordings.
const RECORDINGS: u8 = 32;

fn path() -> PathBuf {
    PathBuf::from("/data/deletions.log")
}

fn id(n: u8) -> CallId {
    let mut bytes = [0x70; 16];
    bytes[0] = n.wrapping_mul(37);
    bytes[1] = n;
    CallId::from_bytes(bytes)
}

fn order(n: u8) -> Order {
    let request = n.is_multiple_of(3).then(|| format!("request {n}"));
    Order { id: id(n), at: WallTime::from_unix_micros(i64::from(n)), cause: Cause::Request, request }
}

fn open(disk: &CrashingDisk) -> Result<DeletionLog, LogError> {
    DeletionLog::open_on(Arc::new(disk.clone()), &path())
}

/// Goes through the steps, does what is to be done, and looks what the log says then.
pub fn exercise(bytes: &[u8]) {
    let [seed, deed, steps, rest @ ..] = bytes else { return };
    let (steps, bytes) = rest.split_at(rest.len().min(usize::from(*steps)));
    let mut bench = Bench::new(u64::from(*seed));
    for step in steps {
        bench.step(step >> 5, step % RECORDINGS, bytes);
    }
    bench.restart(CrashingDisk::crash);
    let Bench { disk, log, head, erased, .. } = bench;
    drop(log);
    let whole = spoil(&disk, *deed, bytes);
    let log = match open(&disk) {
        Ok(log) => log,
        Err(error) => return assert!(!whole, "an unharmed log is refused: {error}"),
    };
    examine(&log, &head, &erased, whole);
    go_on(log, &disk);
}

/// A log on a disk, and what it acknowledged.
struct Bench {
    disk: CrashingDisk,
    log: DeletionLog,
    head: Head,
    erased: BTreeSet<u8>,
    /// Whether something failed since the last restart.
    failed: bool,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let disk = CrashingDisk::new(seed);
        let log = open(&disk).unwrap();
        Self { disk, log, head: Head::default(), erased: BTreeSet::new(), failed: false }
    }

    fn step(&mut self, step: u8, n: u8, bytes: &[u8]) {
        let order = order(n);
        let result = match step {
            0 => self.log.order(order),
            1 => self.log.done(order.id, order.at, vec![format!("recordings/{n}.opus")]),
            2 => self.log.reopen(order),
            3 => return drop(self.log.compact()),
            4 => {
                let only = [None, Some(Op::Write), Some(Op::Sync), Some(Op::Create), Some(Op::Read)]
                    [usize::from(n % 5)];
                let times = 1 + u64::from(n / 16);
                return self.disk.plan(Fault { only, first: 1 + u64::from(n % 3), times, errno: libc::EIO });
            }
            5 => return self.restart(CrashingDisk::crash),
            // Where the machine goes on, what failed once is not written by a later sync.
            6 if !self.failed => return self.restart(CrashingDisk::kill),
            6 => return,
            _ => return self.take_over(bytes),
        };
        match result {
            // A completion erases nothing by itself.
            Ok(()) => {
                let erases = step != 1;
                self.erased.extend(erases.then_some(n));
                self.head = self.log.head();
            }
            Err(_) => {
                assert_eq!(self.log.head(), self.head, "what failed counts");
                self.failed = true;
            }
        }
        assert!(self.erased.iter().all(|n| self.log.is_erased(id(*n))));
    }

    /// Another process opens what this one left behind.
    fn restart(&mut self, left: fn(&CrashingDisk) -> CrashingDisk) {
        self.disk = left(&self.disk);
        self.disk.heal();
        self.failed = false;
        self.log = open(&self.disk).unwrap();
        examine(&self.log, &self.head, &self.erased, true);
        // What was written and not acknowledged may have come through.
        self.head = self.log.head();
    }

    /// Takes over a copy of a log: any bytes, as a store might give them back.
    fn take_over(&mut self, bytes: &[u8]) {
        let lines: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
        self.failed |= matches!(self.log.take_over(&lines), Err(LogError::Io(_)));
        assert!(self.log.head().entries >= self.head.entries, "the log became shorter");
        assert_eq!(self.log.relation(&self.head).ok().filter(|found| *found != Relation::InStep), None);
        self.head = self.log.head();
    }
}

/// Does something to the files; whether nothing that was acknowledged can be missing from them.
fn spoil(disk: &CrashingDisk, deed: u8, bytes: &[u8]) -> bool {
    let table = Table::path_of(&path());
    let [a, b, bytes @ ..] = bytes else { return true };
    let names: Vec<PathBuf> = disk.names().into_iter().filter(|name| *name != table).collect();
    let log = &names[usize::from(deed >> 3) % names.len()];
    let length = disk.bytes(log).len();
    let at = usize::from(u16::from_be_bytes([*a, *b])) % length.max(1);
    match deed & 7 {
        0 => return true,
        1 => put(disk, log, Some(at), 0, &[]),
        2 if at < length => disk.flip(log, at),
        2 => return true,
        3 => put(disk, log, None, at, bytes),
        4 => put(disk, log, None, length, bytes),
        5 => put(disk, log, Some(0), 0, bytes),
        6 => {
            put(disk, &table, Some(0), 0, bytes);
            return true;
        }
        _ => {
            disk.lose(&table);
            return true;
        }
    }
    false
}

fn put(disk: &CrashingDisk, path: &Path, cut: Option<usize>, at: usize, bytes: &[u8]) {
    let file = disk.open(path, Access::Write).or_else(|_| disk.create(path, 0)).unwrap();
    if let Some(length) = cut {
        file.set_len(length as u64).unwrap();
    }
    write_all_at(&*file, bytes, at as u64).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

/// The log has all that was acknowledged, or says that it has not.
fn examine(log: &DeletionLog, head: &Head, erased: &BTreeSet<u8>, whole: bool) {
    let relation = log.relation(head);
    let in_step = matches!(relation, Ok(Relation::InStep));
    assert!(in_step || !whole, "an unharmed log is out of step: {relation:?}");
    if log.head().entries < head.entries {
        assert!(matches!(relation, Ok(Relation::Behind)), "a shorter log passes for a whole one");
    }
    let verified = log.verify().is_ok();
    assert!(verified || !whole, "an unharmed log is damaged");
    assert!(log.all().into_iter().all(|id| log.is_erased(id)));
    assert!(log.open_orders().into_iter().all(|order| log.is_erased(order.id)));
    if in_step {
        for n in erased {
            assert!(log.is_erased(id(*n)), "the erasure of {n} is forgotten");
            let known = log.history(id(*n));
            assert!(!verified || matches!(known, Ok(Some(_))), "no history of {n}: {known:?}");
        }
    }
    let most = log.head().entries;
    assert!(log.lines(0, most).is_ok_and(|lines| lines.len() as u64 <= most) || !verified);
}

/// A log that was opened goes on: what it takes now survives as well.
fn go_on(log: DeletionLog, disk: &CrashingDisk) {
    let verified = log.verify().is_ok();
    let known = log.all();
    let new = order(RECORDINGS);
    log.order(new.clone()).unwrap();
    let head = log.head();
    drop(log);
    match open(&disk.crash()) {
        Ok(log) => {
            assert!(matches!(log.relation(&head), Ok(Relation::InStep)));
            assert!(log.is_erased(new.id) && known.into_iter().all(|id| log.is_erased(id)));
        }
        Err(error) => assert!(!verified, "a log that was whole is refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_07_no_fault_of_the_disk_and_no_change_of_the_log_hides_an_erasure() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/deletion_log");
        let files: Vec<Vec<u8>> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(files.len() >= 8, "the corpus of deletion_log is missing");
        for bytes in files {
            exercise(&bytes);
            for at in (0..bytes.len()).step_by(2) {
                exercise(&bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] ^= 0x81;
                exercise(&changed);
            }
            // Every deed, on many disks.
            for deed in (0..=255).step_by(3) {
                let mut other = bytes.clone();
                (other[0], other[1]) = (deed, deed);
                exercise(&other);
            }
        }
    }
}
