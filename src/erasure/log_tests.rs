//! The deletion log on disks that fail, crash and fill up, and with many entries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::erasure::deletion_log::entry::{Chain, Done, Entry, line};
use crate::erasure::deletion_log::table::Table;
use crate::erasure::deletion_log::{Cause, DeletionLog, Head, LogError, Order, Relation};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_testing::disk::{CrashingDisk, Fault, Op};

fn path() -> PathBuf {
    PathBuf::from("/data/deletions.log")
}

fn open(disk: &CrashingDisk) -> Result<DeletionLog, LogError> {
    DeletionLog::open_on(Arc::new(disk.clone()), &path())
}

fn id(n: u32) -> CallId {
    // Not sorted, as the random part of call ids is not.
    let mut bytes = [0x70; 16];
    bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[4..8].copy_from_slice(&n.to_be_bytes());
    CallId::from_bytes(bytes)
}

fn order(n: u32) -> Order {
    let request = n.is_multiple_of(3).then(|| format!("request {n}"));
    Order { id: id(n), at: WallTime::from_unix_micros(i64::from(n)), cause: Cause::Request, request }
}

fn done(log: &DeletionLog, n: u32) -> Result<(), LogError> {
    log.done(id(n), WallTime::from_unix_micros(i64::from(n) + 1), vec![format!("recordings/{n}.opus")])
}

/// Recording `n` is erased as ordered, and complete unless `n` is a multiple of ten.
fn check(log: &DeletionLog, recordings: u32) {
    for n in 0..recordings {
        assert!(log.is_erased(id(n)), "{n}");
        let (ordered, end) = log.history(id(n)).unwrap().unwrap();
        assert_eq!((&ordered, end.is_some()), (&order(n), n % 10 != 0), "{n}");
        assert!(end.is_none_or(|end| end.gone == [format!("recordings/{n}.opus")]));
    }
    let unknown = id(recordings + 1);
    assert!(!log.is_erased(unknown) && log.history(unknown).unwrap().is_none());
    let mut open: Vec<_> = log.open_orders().iter().map(|order| order.at.as_unix_micros()).collect();
    open.sort();
    assert_eq!(open, (0..i64::from(recordings)).step_by(10).collect::<Vec<_>>());
    assert_eq!(log.all().len(), recordings as usize);
    log.verify().unwrap();
}

fn fill(log: &DeletionLog, recordings: std::ops::Range<u32>) -> Vec<Head> {
    let mut heads = Vec::new();
    for n in recordings {
        log.order(order(n)).unwrap();
        heads.push(log.head());
        if n % 10 != 0 {
            done(log, n).unwrap();
            heads.push(log.head());
        }
    }
    heads
}

#[test]
fn a_start_finds_by_the_table_what_the_log_says_and_makes_a_lost_one_anew() {
    let disk = CrashingDisk::new(1);
    let log = open(&disk).unwrap();
    let mut heads = fill(&log, 0..50);
    assert!(log.compact().unwrap() && !log.compact().unwrap(), "once is enough");
    heads.extend(fill(&log, 50..57));
    check(&log, 57);
    let table = Table::path_of(&path());
    for (what, spoil) in [
        ("kept", &(|| ()) as &dyn Fn()),
        ("lost", &|| disk.lose(&table)),
        ("damaged", &|| disk.flip(&table, 200)),
        ("damaged in its places", &|| disk.flip(&table, 88 + 20)),
        ("left half made", &|| disk.copy(&table, Path::new("/data/deletions.log.table.new"))),
    ] {
        spoil();
        let again = open(&disk).unwrap();
        check(&again, 57);
        for head in &heads {
            assert_eq!(again.relation(head).unwrap(), Relation::InStep, "{what}: {head:?}");
            let forked = Head { hash: "00".repeat(32), ..head.clone() };
            assert_eq!(again.relation(&forked).unwrap(), Relation::Forked, "{what}");
        }
        let all = again.lines(0, u64::MAX).unwrap();
        assert_eq!(all.len() as u64, again.head().entries);
        for first in [0, 3, 4, 5, 50, all.len() - 1] {
            let some = again.lines(first as u64, 7).unwrap();
            assert_eq!(some, all[first..all.len().min(first + 7)], "{what}: {first}");
        }
    }
}

#[test]
fn a_table_of_another_log_is_not_believed() {
    let (one, other) = (CrashingDisk::new(1), CrashingDisk::new(2));
    fill(&open(&one).unwrap(), 0..50);
    fill(&open(&other).unwrap(), 100..160);
    let (log, table) = (path(), Table::path_of(&path()));
    drop((open(&one).unwrap(), open(&other).unwrap()));
    // The other log's table beside this log, as after restoring half a backup.
    let place = Path::new("/data/place");
    assert!(one.names().contains(&table) && other.names().contains(&table));
    let log_bytes = one.bytes(&log);
    let file = optag_files::disk::Disk::create(&other, place, 0).unwrap();
    optag_files::disk::write_all_at(&*file, &log_bytes, 0).unwrap();
    file.sync().unwrap();
    other.copy(place, &log);
    check(&open(&other).unwrap(), 50);
}

#[test]
fn a_log_of_the_first_version_is_taken_as_it_is() {
    let disk = CrashingDisk::new(1);
    let mut text = String::new();
    let mut chain = Chain::default();
    for n in 0..300 {
        let at = WallTime::from_unix_micros(i64::from(n) + 1);
        let mut entries = vec![Entry::Ordered(order(n))];
        if n % 10 != 0 {
            let gone = vec![format!("recordings/{n}.opus")];
            entries.push(Entry::Done(Done { id: id(n), at, gone, accepted_missing: false }));
        }
        for entry in entries {
            let one = line(&entry).unwrap();
            chain.push(one.trim_end().as_bytes());
            text += &one;
        }
    }
    let file = optag_files::disk::Disk::create(&disk, &path(), 0).unwrap();
    optag_files::disk::write_all_at(&*file, text.as_bytes(), 0).unwrap();
    for _ in 0..2 {
        let log = open(&disk).unwrap();
        assert_eq!(log.head(), chain.head());
        check(&log, 300);
    }
    assert_eq!(disk.bytes(&path()), text.as_bytes(), "the log itself is left as it was");
}

#[test]
fn invariant_05_after_a_failed_write_or_sync_of_the_log_what_was_acknowledged_is_there_and_it_goes_on() {
    for op in [Op::Write, Op::Sync, Op::Create, Op::SyncDir, Op::Open, Op::Read, Op::Rename, Op::Other] {
        for first in 1..60 {
            let disk = CrashingDisk::new(first);
            let log = open(&disk).unwrap();
            disk.plan(Fault { only: Some(op), first, times: 3, errno: libc::EIO });
            let mut acknowledged = Vec::new();
            for n in 0..30 {
                if log.order(order(n)).is_ok() {
                    acknowledged.push(n);
                }
                let _ = log.compact();
            }
            disk.heal();
            log.order(order(30))
                .unwrap_or_else(|error| panic!("{op:?} {first}: it does not continue: {error}"));
            acknowledged.push(30);
            let head = log.head();
            assert_eq!(head.entries as usize, acknowledged.len(), "{op:?} {first}");
            drop(log);
            let after = disk.crash();
            let log = open(&after).unwrap_or_else(|error| panic!("{op:?} {first}: {error}"));
            assert_eq!(log.head(), head, "{op:?} {first}: what failed does not count");
            assert!(acknowledged.iter().all(|n| log.is_erased(id(*n))), "{op:?} {first}");
            log.verify().unwrap();
            log.order(order(31)).unwrap();
            check_open(&open(&after).unwrap(), acknowledged.len() + 1);
        }
    }
}

fn check_open(log: &DeletionLog, orders: usize) {
    assert_eq!(log.open_orders().len(), orders);
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    for at in 1..200 {
        let disk = CrashingDisk::new(at);
        let log = open(&disk).unwrap();
        disk.die(at);
        let mut acknowledged = Vec::new();
        for n in 0..20 {
            if log.order(order(n)).is_ok() {
                acknowledged.push(n);
            }
            if n % 5 == 0 && done(&log, n).is_err() {
                break;
            }
            let _ = log.compact();
        }
        drop(log);
        let log = open(&disk.crash()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(acknowledged.iter().all(|n| log.is_erased(id(*n))), "{at}");
        log.verify().unwrap();
    }
}

#[test]
fn a_full_disk_refuses_erasures_and_takes_them_again_when_there_is_room() {
    let disk = CrashingDisk::new(7);
    let log = open(&disk).unwrap();
    fill(&log, 0..5);
    let used = disk.bytes(&path()).len();
    disk.set_capacity(Some(used + 20));
    for n in 5..9 {
        assert!(log.order(order(n)).is_err());
        assert!(!log.is_erased(id(n)));
    }
    disk.set_capacity(None);
    fill(&log, 5..12);
    check(&log, 12);
    drop(log);
    check(&open(&disk.crash()).unwrap(), 12);
}

#[test]
fn what_another_process_writes_into_the_log_is_seen_and_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deletions.log");
    let (one, other) = (DeletionLog::open(&path).unwrap(), DeletionLog::open(&path).unwrap());
    one.order(order(1)).unwrap();
    assert!(other.order(order(2)).is_err(), "the file is not as the second left it");
    one.order(order(3)).unwrap();
    drop((one, other));
    let log = DeletionLog::open(&path).unwrap();
    assert!(log.is_erased(id(1)) && log.is_erased(id(3)) && !log.is_erased(id(2)));
    log.verify().unwrap();
}
