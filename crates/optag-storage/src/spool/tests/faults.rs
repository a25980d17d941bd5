//! One fault a test: what the crash table of `docs/design/spool.md` promises.

use super::*;
use optag_testing::disk::{Fault, Op};

fn segments(disk: &CrashingDisk) -> Vec<PathBuf> {
    disk.names().into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect()
}

/// Waits for a condition, at most half a minute.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

fn batch(n: u8, bodies: impl IntoIterator<Item = Body>) -> Vec<SpoolRecord> {
    bodies.into_iter().map(|body| SpoolRecord { call: id(n), body }).collect()
}

fn all_durable(spool: &Spool) -> bool {
    let (done, told) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    told.recv_timeout(Duration::from_secs(20)).unwrap_or(false)
}

#[test]
fn a_commit_that_fills_a_segment_loses_nothing_where_nobody_else_needs_that_segment() {
    let disk = CrashingDisk::new(1);
    let (spool, _) = open(&disk).unwrap();
    // Larger than three segments, in one commit, of a call without earlier records.
    let wrote: Vec<Body> = [opened(1), granted()].into_iter().chain((0..80).map(media)).collect();
    spool.append(batch(1, wrote.clone())).unwrap();
    assert!(all_durable(&spool));
    assert_eq!(read(&spool, 1), wrote);
    let (spool, recovered) = open(&disk.crash()).unwrap();
    assert_eq!(read(&spool, 1), wrote);
    assert_eq!(recovered.calls[0].frames, 160);
}

#[test]
fn invariant_05_no_descriptor_is_used_after_a_failed_sync_even_where_no_new_segment_can_be_made() {
    for seed in 0..8 {
        let disk = CrashingDisk::new(seed);
        let (spool, _) = open(&disk).unwrap();
        assert!(durably(&spool, 1, opened(1)));
        // The sync fails, and then for a while the creation of every file too.
        disk.plan(Fault { only: Some(Op::Sync), first: 1, times: 1, errno: libc::EIO });
        spool.append(batch(1, [media(0)])).unwrap();
        until("the sync failed", || spool.stats().failures > 0);
        disk.plan(Fault { only: Some(Op::Create), first: 1, times: 3, errno: libc::EMFILE });
        assert!(all_durable(&spool), "seed {seed}");
        let (spool, _) = open(&disk.crash()).unwrap();
        assert_eq!(read(&spool, 1), [opened(1), media(0)], "seed {seed}");
    }
}

#[test]
fn a_full_disk_is_waited_for_and_releasing_a_delivered_call_makes_room() {
    let disk = CrashingDisk::new(2);
    disk.set_capacity(Some(15 * 1024));
    let (spool, _) = open(&disk).unwrap();
    spool.append(batch(1, std::iter::once(opened(1)).chain((0..60).map(media)))).unwrap();
    assert!(all_durable(&spool));
    let second: Vec<Body> = std::iter::once(opened(2)).chain((0..40).map(media)).collect();
    spool.append(batch(2, second.clone())).unwrap();
    until("the disk is full", || spool.stats().failures > 2);
    assert!(!spool.accepts_new_calls(), "a disk that refuses takes no new calls");
    spool.destroy_key(id(1)).unwrap();
    assert!(all_durable(&spool), "the room of the released call is used");
    assert_eq!(read(&spool, 2), second);
    let (spool, _) = open(&disk.crash()).unwrap();
    assert_eq!(read(&spool, 2), second);
}

#[test]
fn invariant_12_at_its_cap_the_spool_turns_audio_away_and_takes_what_ends_calls() {
    let disk = CrashingDisk::new(1);
    let master = MasterKey::from_bytes(&[5; 32]).unwrap();
    let max_bytes = 8 * 4_096;
    let capped = SpoolConfig { max_bytes, ..config() };
    let (spool, _) = Spool::open(capped, Arc::new(disk.clone()), master, Box::new(|_| {})).unwrap();
    for n in [1, 2] {
        assert!(durably(&spool, n, opened(n)) && durably(&spool, n, granted()));
    }
    let mut taken = 0;
    while durably(&spool, 1 + (taken % 2) as u8, media(taken)) {
        taken += 1;
        assert!(taken < 10_000, "there is no cap");
    }
    let refuses = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        !spool.accepts_new_calls()
    });
    assert!(refuses, "new calls would be turned away as well");
    assert!(spool.stats().bytes <= max_bytes + 4_096, "{}", spool.stats().bytes);
    // Audio of a batch is returned, the rest is accepted.
    let record = |body| SpoolRecord { call: id(1), body };
    let back = spool.append(vec![record(media(taken)), record(closed())]).unwrap_err();
    assert_eq!(back.into_iter().map(|record| record.body).collect::<Vec<_>>(), [media(taken)]);
    assert!(durably(&spool, 2, granted()));
    let read = read(&spool, 1);
    assert_eq!(read.last(), Some(&closed()));
    assert_eq!(read.len() as u32, 2 + taken.div_ceil(2) + 1, "all that was taken is there");
    // A delivered call frees space, once calls sharing its segments are gone as well.
    spool.destroy_key(id(1)).unwrap();
    spool.destroy_key(id(2)).unwrap();
    assert!(durably(&spool, 3, opened(3)) && durably(&spool, 3, media(0)));
}

#[test]
fn new_calls_are_accepted_again_after_a_passing_failure_with_nothing_left_to_write() {
    let disk = CrashingDisk::new(3);
    let (spool, _) = open(&disk).unwrap();
    assert!(durably(&spool, 1, opened(1)));
    disk.plan(Fault { only: Some(Op::Sync), first: 1, times: 2, errno: libc::EIO });
    spool.append(batch(1, [media(0)])).unwrap();
    assert!(all_durable(&spool));
    until("calls are accepted", || spool.accepts_new_calls());
    // Free space is also checked while nothing is written.
    disk.set_capacity(Some(4_500));
    until("the file system is full", || !spool.accepts_new_calls());
    disk.set_capacity(None);
    until("it has room again", || spool.accepts_new_calls());
}

#[test]
fn a_read_that_fails_for_want_of_descriptors_is_an_error_and_no_damage() {
    let disk = CrashingDisk::new(4);
    let (spool, _) = open(&disk).unwrap();
    spool.append(batch(1, std::iter::once(opened(1)).chain((0..80).map(media)))).unwrap();
    assert!(all_durable(&spool));
    let mut reader = spool.read(id(1)).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), opened(1));
    disk.plan(Fault { only: Some(Op::Open), first: 1, times: u64::MAX, errno: libc::EMFILE });
    let failed = reader.find_map(Result::err).expect("the next segment cannot be opened");
    assert!(matches!(failed, SpoolError::Disk { .. }), "{failed}");
}

#[test]
fn a_bad_sector_costs_what_lies_in_it_and_no_more() {
    let disk = CrashingDisk::new(12);
    let (spool, _) = open(&disk).unwrap();
    let wrote: Vec<Body> = std::iter::once(opened(1)).chain((0..80).map(media)).collect();
    spool.append(batch(1, wrote.clone())).unwrap();
    assert!(all_durable(&spool));
    let mut reader = spool.read(id(1)).unwrap();
    // A record is read together with the bytes behind it, and alone if that fails.
    disk.plan(Fault { only: Some(Op::Read), first: 1, times: 2, errno: libc::EIO });
    assert!(reader.next().unwrap().unwrap_err().is_damage());
    disk.plan(Fault { only: Some(Op::Read), first: 1, times: 1, errno: libc::EIO });
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), wrote[1..]);
    spool.close();
    // The key is read first, then the segments.
    disk.plan(Fault { only: Some(Op::Read), first: 4, times: 1, errno: libc::EIO });
    let (spool, recovered) = open(&disk).unwrap();
    assert!(recovered.unreadable_bytes > 0 && recovered.calls[0].missing_records > 0);
    assert_eq!(read(&spool, 1), wrote, "it can be read again, and nothing was cut off");
}

#[test]
fn another_master_key_opens_nothing_and_removes_nothing() {
    let disk = CrashingDisk::new(13);
    let (spool, _) = open(&disk).unwrap();
    assert!(durably(&spool, 1, opened(1)));
    spool.close();
    let before = disk.names();
    let other = MasterKey::from_bytes(&[6; 32]).unwrap();
    let refused = Spool::open(config(), Arc::new(disk.clone()), other, Box::new(|_| {}));
    assert!(matches!(refused, Err(SpoolError::WrongMasterKey { calls: 1 })));
    assert_eq!(disk.names(), before);
    assert_eq!(read(&open(&disk).unwrap().0, 1), [opened(1)]);
}

#[test]
fn closing_ends_though_the_disk_does_not_work_and_says_that_nothing_was_kept() {
    let disk = CrashingDisk::new(5);
    let (spool, _) = open(&disk).unwrap();
    disk.die(1);
    spool.append(batch(1, [opened(1)])).unwrap();
    let (done, told) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    spool.close();
    assert!(!told.recv().unwrap());
    assert!(spool.append(batch(1, [media(0)])).is_err());
}

#[test]
fn restarts_give_back_the_room_that_was_reserved() {
    let disk = CrashingDisk::new(6);
    for n in 0..20 {
        let (spool, _) = open(&disk).unwrap();
        assert!(durably(&spool, n, opened(n)));
        spool.close();
    }
    let used: usize = segments(&disk).iter().map(|path| disk.bytes(path).len()).sum();
    assert!(used < 20 * 1_024 + 4_096, "{used} bytes for 20 records");
}

#[test]
fn released_segments_are_not_missing_and_lost_ones_are() {
    let disk = CrashingDisk::new(7);
    let (spool, _) = open(&disk).unwrap();
    assert!(durably(&spool, 1, opened(1)));
    spool.append(batch(2, std::iter::once(opened(2)).chain((0..80).map(media)))).unwrap();
    assert!(all_durable(&spool));
    spool.append(batch(3, std::iter::once(opened(3)).chain((0..80).map(media)))).unwrap();
    assert!(all_durable(&spool));
    spool.destroy_key(id(2)).unwrap();
    spool.close();
    let (spool, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.missing_segments, recovered.damaged), (0, 0), "they were let go");
    let whole = read(&spool, 3).len();
    spool.close();

    let files = segments(&disk);
    disk.lose(&files[files.len() - 2]);
    let (spool, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.missing_segments, 1);
    let found: Vec<_> = spool.read(id(3)).unwrap().collect();
    let lost: u32 = found
        .iter()
        .map(|body| if let Err(SpoolError::Damaged { records, .. }) = body { *records } else { 0 })
        .sum();
    assert!(lost > 0 && found.iter().filter(|body| body.is_ok()).count() + lost as usize == whole);
}

#[test]
fn a_copy_of_a_segment_changes_nothing() {
    let disk = CrashingDisk::new(8);
    let (spool, _) = open(&disk).unwrap();
    let wrote: Vec<Body> = std::iter::once(opened(1)).chain((0..80).map(media)).collect();
    spool.append(batch(1, wrote.clone())).unwrap();
    assert!(all_durable(&spool));
    spool.close();
    let files = segments(&disk);
    disk.copy(&files[1], &PathBuf::from("/spool/segments/seg-00000000000000ff.log"));
    disk.copy(&files[1], &PathBuf::from("/spool/segments/seg-0000000000000002.log.bak"));
    let (spool, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.calls.len(), recovered.bad_segments), (1, 1));
    assert!(recovered.duplicates > 0);
    assert_eq!(read(&spool, 1), wrote);
    assert!(durably(&spool, 1, closed()));
    assert_eq!(read(&spool, 1).len(), wrote.len() + 1);
}

#[test]
fn a_key_that_could_not_be_destroyed_keeps_its_records_until_it_is() {
    let disk = CrashingDisk::new(9);
    let (spool, _) = open(&disk).unwrap();
    let wrote: Vec<Body> = std::iter::once(opened(1)).chain((0..80).map(media)).collect();
    spool.append(batch(1, wrote.clone())).unwrap();
    assert!(all_durable(&spool));
    disk.plan(Fault { only: Some(Op::Open), first: 1, times: 1, errno: libc::EIO });
    assert!(spool.destroy_key(id(1)).is_err());
    assert!(read(&spool, 1).is_empty(), "nobody reads it any more");
    assert!(spool.calls().contains(&id(1)), "it is still to be destroyed");
    // If half of it were removed, a restart would deliver the other half.
    let (again, _) = open(&disk.crash()).unwrap();
    assert_eq!(read(&again, 1), wrote);
    spool.destroy_key(id(1)).unwrap();
    assert!(spool.calls().is_empty());
}

#[test]
fn a_reader_stops_when_its_call_is_destroyed() {
    let disk = CrashingDisk::new(10);
    let (spool, _) = open(&disk).unwrap();
    spool.append(batch(1, std::iter::once(opened(1)).chain((0..9).map(media)))).unwrap();
    assert!(all_durable(&spool));
    let mut reader = spool.read(id(1)).unwrap();
    assert!(reader.next().unwrap().is_ok());
    spool.destroy_key(id(1)).unwrap();
    assert!(matches!(reader.next(), Some(Err(SpoolError::NoCall { .. }))));
    assert!(reader.next().is_none());
}

#[test]
fn a_record_that_a_failed_commit_left_behind_hides_no_record_of_its_repetition() {
    // During the scan: the first copy of the first record is torn, the second is intact.
    let master = MasterKey::from_bytes(&[5; 32]).unwrap();
    let (key, file) = key::DataKey::draw(&master, id(1)).unwrap();
    let mut records = Vec::new();
    for (ordinal, body) in [opened(1), media(0)].iter().enumerate() {
        let plain = payload::encode(body).unwrap();
        let head = frame::RecordHead {
            sealed_bytes: 0,
            incarnation: 1,
            sequence: ordinal as u64 + 1,
            call: id(1),
            kind: payload::kind(body),
            encoding: payload::ENCODING,
            ordinal: ordinal as u32,
            previous: None,
        };
        let mut record = Vec::new();
        let crc = frame::seal(&head, &plain, &key, &mut record).unwrap();
        records.push((record, crc));
    }
    let segment = |number: u64, torn: bool| {
        let node_id = [0; 16];
        let mut bytes = frame::SegmentHead { incarnation: 1, number, node_id }.to_bytes().to_vec();
        let mut previous = None;
        for (record, crc) in &records {
            let at = frame::Position { segment: number, offset: bytes.len() as u32 };
            let mut record = record.clone();
            assert!(frame::place(&mut record, previous.replace(at), *crc));
            bytes.extend(record);
        }
        if torn {
            bytes[64..130].fill(0);
        }
        bytes
    };
    let disk = CrashingDisk::new(11);
    let write = |path: &str, bytes: &[u8]| {
        let file = disk.create(&PathBuf::from(path), 0).unwrap();
        optag_files::disk::write_all_at(&*file, bytes, 0).unwrap();
    };
    write(&format!("/spool/keys/{}.key", id(1)), &file);
    write("/spool/segments/seg-0000000000000001.log", &segment(1, true));
    write("/spool/segments/seg-0000000000000002.log", &segment(2, false));
    let (spool, _) = open(&disk).unwrap();
    assert_eq!(read(&spool, 1), [opened(1), media(0)]);
    assert!(durably(&spool, 1, media(1)));
    assert_eq!(read(&spool, 1), [opened(1), media(0), media(1)]);
}
