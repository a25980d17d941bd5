//! A long call beside short ones: its records are moved unchanged.

use super::*;

/// A long call beside short ones that end, until `calls` ended or the disk stops. Returns what was acknowledged of the
/// long one.
fn story(spool: &Spool, disk: &CrashingDisk, calls: u8) -> Vec<Body> {
    let mut acknowledged = Vec::new();
    let mut long = |body: Body| {
        let kept = durably_or_dead(spool, disk, body.clone());
        if kept {
            acknowledged.push(body);
        }
        kept
    };
    if !long(opened(1)) {
        return acknowledged;
    }
    for n in 2..2 + calls {
        if !long(media(n.into())) {
            break;
        }
        let records = std::iter::once(opened(n)).chain((0..40).map(media));
        if spool.append(batch(n, records)).is_err() || !all_durable_or_dead(spool, disk) {
            break;
        }
        if spool.destroy_key(id(n)).is_err() && disk.is_dead() {
            break;
        }
    }
    acknowledged
}

fn batch(n: u8, bodies: impl IntoIterator<Item = Body>) -> Vec<SpoolRecord> {
    bodies.into_iter().map(|body| SpoolRecord { call: id(n), body }).collect()
}

fn all_durable_or_dead(spool: &Spool, disk: &CrashingDisk) -> bool {
    let (done, told) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    loop {
        match told.recv_timeout(Duration::from_millis(2)) {
            Ok(durable) => return durable,
            Err(_) if disk.is_dead() => return false,
            Err(_) => {}
        }
    }
}

/// Waits for compaction to end; returns the bytes left.
fn settles(spool: &Spool, most: u64) -> u64 {
    for _ in 0..400 {
        if spool.stats().bytes <= most {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    spool.stats().bytes
}

#[test]
fn one_long_call_keeps_no_more_room_than_a_few_times_its_own() {
    let disk = CrashingDisk::new(1);
    let (spool, _) = open(&disk).unwrap();
    let wrote = story(&spool, &disk, 200);
    assert_eq!(wrote.len(), 201);
    let stats = spool.stats();
    assert!(stats.written_bytes > 1_000_000, "{stats:?}");
    let own = 201 * 200;
    let bytes = settles(&spool, 4 * own + 2 * 4_096);
    assert!(bytes <= 4 * own + 2 * 4_096, "{bytes} bytes are kept for {own}");
    assert!(stats.moved_bytes > 0 && stats.moved_bytes * 2 < stats.written_bytes, "{stats:?}");
    assert_eq!(read(&spool, 1), wrote);
    // The call continues and ends, and a restart finds the same.
    assert!(durably(&spool, 1, closed()));
    for again in [&disk.crash(), &disk] {
        let (spool, recovered) = open(again).unwrap();
        assert_eq!((recovered.calls.len(), recovered.damaged), (1, 0));
        assert_eq!((recovered.calls[0].missing_records, recovered.missing_segments), (0, 0));
        let expected: Vec<Body> = wrote.iter().cloned().chain([closed()]).collect();
        assert_eq!(read(&spool, 1), expected);
        // Without scanning its segments: each record refers to the previous one.
        let place_is_whole = spool.read(id(1)).unwrap().count() == expected.len();
        assert!(place_is_whole);
        spool.destroy_key(id(1)).unwrap();
        assert!(settles(&spool, 4_096) <= 4_096);
        spool.close();
    }
}

#[test]
fn invariant_03_a_crash_at_any_step_of_moving_records_loses_none() {
    let mut moved = 0;
    for step in (1..900).step_by(7) {
        let disk = CrashingDisk::new(step);
        let (spool, _) = open(&disk).unwrap();
        disk.die(step);
        let acknowledged = story(&spool, &disk, 40);
        moved += spool.stats().moved_bytes;
        let (spool, recovered) = open(&disk.crash()).unwrap();
        let found = read(&spool, 1);
        assert!(found.starts_with(&acknowledged), "step {step}: {} of {}", found.len(), acknowledged.len());
        assert!(found.len() <= acknowledged.len() + 1, "step {step}: something was invented");
        assert!(acknowledged.is_empty() || recovered.calls.iter().any(|call| call.id == id(1)));
        // The recovered call continues, is moved and recovered again.
        if !acknowledged.is_empty() {
            assert!(durably(&spool, 1, closed()));
            assert_eq!(read(&spool, 1).last(), Some(&closed()), "step {step}");
        }
    }
    assert!(moved > 0, "nothing was ever moved");
}

#[test]
fn a_reader_finds_every_record_though_they_would_be_moved_meanwhile() {
    let disk = CrashingDisk::new(5);
    let (spool, _) = open(&disk).unwrap();
    let wrote = story(&spool, &disk, 30);
    let mut reader = spool.read(id(1)).unwrap();
    let mut found = vec![reader.next().unwrap().unwrap()];
    for n in 100..160 {
        assert!(spool.append(batch(n, std::iter::once(opened(n)).chain((0..40).map(media)))).is_ok());
        assert!(all_durable_or_dead(&spool, &disk));
        spool.destroy_key(id(n)).unwrap();
    }
    found.extend(reader.by_ref().map(|body| body.unwrap()));
    assert_eq!(found, wrote);
    drop(reader);
    assert_eq!(read(&spool, 1), wrote);
}

#[test]
fn invariant_07_a_destroyed_call_whose_records_were_moved_stays_unreadable() {
    let disk = CrashingDisk::new(6);
    let (spool, _) = open(&disk).unwrap();
    story(&spool, &disk, 60);
    assert!(spool.stats().moved_bytes > 0);
    spool.destroy_key(id(1)).unwrap();
    assert!(read(&spool, 1).is_empty());
    let (spool, recovered) = open(&disk.crash()).unwrap();
    assert!(recovered.calls.is_empty() && read(&spool, 1).is_empty());
}

#[test]
fn a_disk_that_fails_while_records_are_moved_costs_none() {
    use optag_testing::disk::{Fault, Op};
    for only in [Op::Write, Op::Sync, Op::Create, Op::SyncDir, Op::Remove, Op::Open] {
        let disk = CrashingDisk::new(7);
        let (spool, _) = open(&disk).unwrap();
        let mut wrote = vec![opened(1)];
        assert!(durably(&spool, 1, opened(1)));
        for n in 2..60 {
            disk.plan(Fault { only: Some(only), first: u64::from(n) % 5 + 1, times: 2, errno: libc::EIO });
            assert!(durably(&spool, 1, media(n.into())), "{only:?} {n}");
            wrote.push(media(n.into()));
            assert!(spool.append(batch(n, std::iter::once(opened(n)).chain((0..40).map(media)))).is_ok());
            assert!(all_durable_or_dead(&spool, &disk), "{only:?} {n}");
            disk.heal();
            spool.destroy_key(id(n)).unwrap();
        }
        assert!(spool.stats().moved_bytes > 0, "{only:?}");
        assert_eq!(read(&spool, 1), wrote, "{only:?}");
        let (again, _) = open(&disk.crash()).unwrap();
        assert_eq!(read(&again, 1), wrote, "{only:?}");
        again.close();
        spool.close();
    }
}
