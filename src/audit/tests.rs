use std::io::Write;

use super::*;
use optag_core::clock::WallTime;
use optag_core::signing::{Signed, Signer};
use optag_testing::faults::holds_under;

fn at(day: i64) -> WallTime {
    WallTime::from_unix_micros(1_700_000_000_000_000).plus_days(day)
}

fn signer() -> Signer {
    Signer::from_seed(&[7; 32]).unwrap()
}

/// A log with one entry per day.
fn log_of(entries: i64) -> (tempfile::TempDir, AuditLog) {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::new(path_in(dir.path()));
    for day in 0..entries {
        log.append(&serde_json::json!({"at": at(day), "did": day})).unwrap();
    }
    (dir, log)
}

fn text(log: &AuditLog) -> String {
    std::fs::read_to_string(&log.path).unwrap()
}

fn text_of(signed: &Signed) -> String {
    serde_json::to_string(signed).unwrap()
}

#[test]
fn what_was_appended_verifies_and_every_tampering_shows() {
    let (_dir, log) = log_of(5);
    assert_eq!(log.verify().unwrap(), 5);
    let text = text(&log);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let changed = text.replacen("\"did\":2", "\"did\":7", 1);
    let removed = [&lines[..2], &lines[3..]].concat().concat();
    let moved = [lines[1], lines[0], lines[2]].concat();
    let beheaded = lines[1..].concat();
    let inserted = [&lines[..2], &lines[1..]].concat().concat();
    for bad in [changed, removed, moved, beheaded, inserted] {
        std::fs::write(&log.path, bad).unwrap();
        assert!(matches!(log.verify(), Err(AuditFault::Tampered { .. })));
    }
}

#[test]
fn a_tail_that_was_cut_off_shows_against_a_checkpoint_from_outside() {
    let (_dir, log) = log_of(5);
    let anchored = log.checkpoint(&signer(), at(5)).unwrap().unwrap();
    let again = log.checkpoint(&signer(), at(6)).unwrap().unwrap();
    assert_eq!(text_of(&again), text_of(&anchored), "nothing new to sign");
    let whole = text(&log);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    // The tail is removed together with the local checkpoint: only the anchor shows it.
    std::fs::write(&log.path, lines[..3].concat()).unwrap();
    assert!(matches!(log.verify(), Err(AuditFault::CutOff { last: 3, signed: 5 })));
    std::fs::remove_file(log.checkpoints_path()).unwrap();
    assert_eq!(log.verify().unwrap(), 3);
    let anchors = [anchored];
    assert!(matches!(log.verify_against(&anchors, None), Err(AuditFault::CutOff { last: 3, signed: 5 })));
    // Other entries in place of the removed ones have other hashes.
    for _ in 0..4 {
        log.append(&serde_json::json!({"at": at(6), "did": "something else"})).unwrap();
    }
    assert!(matches!(log.verify_against(&anchors, None), Err(AuditFault::Tampered { sequence: 5 })));
    // A completely rewritten log has no entry with that hash either; nor does an empty one.
    std::fs::remove_file(&log.path).unwrap();
    assert!(matches!(log.verify_against(&anchors, None), Err(AuditFault::CutOff { last: 0, signed: 5 })));
}

#[test]
fn a_checkpoint_of_another_key_is_not_believed() {
    let (_dir, log) = log_of(2);
    log.checkpoint(&Signer::from_seed(&[9; 32]).unwrap(), at(2)).unwrap();
    assert!(log.verify_against(&[], None).is_ok());
    let fault = log.verify_against(&[], Some(&signer().public_key()));
    assert!(matches!(fault, Err(AuditFault::Checkpoint(_))), "{fault:?}");
}

#[test]
fn what_is_left_after_pruning_verifies_from_the_signed_cut() {
    let (_dir, log) = log_of(10);
    log.checkpoint(&signer(), at(10)).unwrap();
    assert_eq!(log.prune(at(4), &signer(), at(10)).unwrap(), 4);
    assert_eq!(log.prune(at(4), &signer(), at(10)).unwrap(), 0);
    assert_eq!(log.verify_against(&[], None).unwrap(), Verdict { first: 5, last: 10, compared: 1 });
    log.append(&serde_json::json!({"at": at(11)})).unwrap();
    assert_eq!(log.verify().unwrap(), 7);
    // Removing more than was signed away is detected, and so is an unsigned removal.
    let whole = text(&log);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    std::fs::write(&log.path, lines[1..].concat()).unwrap();
    assert!(matches!(log.verify(), Err(AuditFault::Tampered { sequence: 6 })));
    std::fs::write(&log.path, &whole).unwrap();
    std::fs::remove_file(log.checkpoints_path()).unwrap();
    assert!(matches!(log.verify(), Err(AuditFault::Tampered { sequence: 5 })));
}

#[test]
fn the_last_entry_is_never_pruned() {
    let (_dir, log) = log_of(3);
    assert_eq!(log.prune(at(1_000), &signer(), at(1_000)).unwrap(), 2);
    assert_eq!(log.prune(at(1_000), &signer(), at(1_000)).unwrap(), 0);
    log.append(&serde_json::json!({"at": at(1_001)})).unwrap();
    assert_eq!(log.verify_against(&[], None).unwrap(), Verdict { first: 3, last: 4, compared: 0 });
}

#[test]
fn a_torn_line_is_cut_off_by_the_next_entry() {
    let (_dir, log) = log_of(2);
    let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
    file.write_all(b"{\"sequence\":3,\"prev").unwrap();
    assert_eq!(log.verify().unwrap(), 2);
    log.append(&"after the crash").unwrap();
    assert_eq!(log.verify().unwrap(), 3);
}

#[test]
fn invariant_05_an_entry_whose_sync_fails_is_refused() {
    let faults: [&[&str]; 2] = [&["fdatasync:error=EIO"], &["fsync:error=EIO"]];
    holds_under(optag_testing::test_name!(), &faults, |_| {
        let dir = tempfile::tempdir().unwrap();
        let refused = AuditLog::new(path_in(dir.path())).append(&serde_json::json!({"did": 1}));
        assert!(matches!(refused, Err(AuditFault::Io(_))), "{refused:?}");
    });
}

/// Numbers of the existing entries.
fn entries(log: &AuditLog) -> Vec<u64> {
    let did =
        |line: Line| serde_json::from_str::<serde_json::Value>(line.entry.get()).unwrap()["did"].clone();
    log.lines().unwrap().map(|line| did(line.unwrap()).as_u64().unwrap()).collect()
}

#[test]
fn invariant_05_what_could_not_be_made_durable_is_cut_off_and_nothing_goes_on_behind_it() {
    let faults: [&[&str]; 2] = [
        &["fdatasync:error=EIO:when=2"],
        // It cannot be truncated either, at first.
        &["fdatasync:error=EIO:when=2", "ftruncate:error=EIO:when=3"],
    ];
    holds_under(optag_testing::test_name!(), &faults, |fault| {
        let (_dir, log) = log_of(1);
        let add = |did: u64| log.append(&serde_json::json!({"at": at(1), "did": did}));
        let before = text(&log);
        assert!(add(1).is_err(), "the caller must know");
        if !fault.contains("ftruncate") {
            assert_eq!(text(&log), before, "nothing is left of it");
        }
        assert_eq!(log.head().unwrap().map(|(sequence, _)| sequence), Some(1), "it is not signed");
        add(2).unwrap();
        add(3).unwrap();
        assert_eq!((log.verify().unwrap(), entries(&log)), (3, vec![0, 2, 3]));
    });
}

#[test]
fn invariant_05_the_name_of_a_trail_is_durable_before_its_first_entry_counts() {
    holds_under(optag_testing::test_name!(), &[&["fsync:error=EIO:when=1"]], |_| {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::new(path_in(dir.path()));
        assert!(log.append(&serde_json::json!({"at": at(0), "did": 0})).is_err());
        assert_eq!(entries(&log), Vec::<u64>::new());
        log.append(&serde_json::json!({"at": at(0), "did": 1})).unwrap();
        assert_eq!(entries(&log), [1]);
    });
}

#[test]
fn invariant_05_lines_of_an_earlier_process_are_written_again_before_the_next_counts() {
    let (dir, log) = log_of(3);
    let before = text(&log);
    // An earlier process ended after a failed sync; only a write makes those bytes durable.
    let next = AuditLog::new(path_in(dir.path()));
    let file = File::open(&log.path).unwrap();
    let changed = || file.metadata().unwrap().modified().unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    next.settle(&mut next.locked().unwrap()).unwrap();
    assert_ne!(changed(), std::time::UNIX_EPOCH, "they were written");
    assert_eq!(text(&log), before);
    next.append(&serde_json::json!({"at": at(3), "did": 3})).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    next.settle(&mut next.locked().unwrap()).unwrap();
    assert_eq!(changed(), std::time::UNIX_EPOCH, "once is enough");
    assert_eq!(next.verify().unwrap(), 4);
}

#[test]
fn invariant_05_a_checkpoint_that_is_not_durable_is_an_error_and_not_kept() {
    // The log's own sync and its directory entry come first.
    holds_under(
        optag_testing::test_name!(),
        &[&["fdatasync:error=EIO:when=2"], &["fsync:error=EIO:when=2"]],
        |fault| {
            let (_dir, log) = log_of(1);
            assert!(log.checkpoint(&signer(), at(1)).is_err());
            if fault.starts_with("fdatasync") {
                assert!(log.checkpoints().unwrap().is_empty());
            }
            log.append(&serde_json::json!({"at": at(1), "did": 1})).unwrap();
            assert!(log.checkpoint(&signer(), at(1)).unwrap().is_some());
            assert_eq!(log.verify().unwrap(), 2);
        },
    );
}

#[test]
fn invariant_05_a_pruned_trail_takes_the_place_of_the_whole_one_only_when_it_is_durable() {
    // Synced with fsync: the directory entry of the log, of the checkpoints, the temporary file, its
    // directory entry.
    let faults: [&[&str]; 3] =
        [&["fsync:error=EIO:when=3"], &["fsync:error=EIO:when=4"], &["rename:error=EIO:when=1"]];
    holds_under(optag_testing::test_name!(), &faults, |fault| {
        let (_dir, log) = log_of(4);
        let whole = text(&log);
        assert!(log.prune(at(2), &signer(), at(5)).is_err());
        if !fault.ends_with("when=4") {
            assert_eq!(text(&log), whole);
        }
        log.append(&serde_json::json!({"at": at(6), "did": 6})).unwrap();
        log.verify().unwrap();
        assert_eq!(entries(&log).last(), Some(&6));
        log.prune(at(2), &signer(), at(7)).unwrap();
        assert_eq!((log.verify().unwrap(), entries(&log)), (3, vec![2, 3, 6]));
    });
}
