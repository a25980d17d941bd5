//! The spool against a disk that crashes, tears and fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::record::{Body, SpoolRecord};
use super::*;
use optag_core::call::{CallFacts, ConsentHow, ConsentRecord, ConsentState, Evidence};
use optag_core::clock::WallTime;
use optag_media::fact::{Ended, EndedBy, MediaBlock};
use optag_testing::disk::CrashingDisk;

mod faults;
mod model;
mod moving;
mod packed;
mod real;
mod secrets;

fn config() -> SpoolConfig {
    SpoolConfig {
        dir: PathBuf::from("/spool"),
        segment_bytes: 4_096,
        max_bytes: 1 << 30,
        queue_bytes: 1 << 20,
        min_free_bytes: 64 << 10,
        packed_max_bytes: 1 << 30,
    }
}

fn open(disk: &CrashingDisk) -> Result<(Spool, Recovered), SpoolError> {
    let master = MasterKey::from_bytes(&[5; 32]).unwrap();
    Spool::open(config(), Arc::new(disk.clone()), master, Box::new(|_| {}))
}

fn id(n: u8) -> CallId {
    CallId::from_bytes([n; 16])
}

fn opened(n: u8) -> Body {
    Body::Opened(CallFacts {
        id: id(n),
        department: "demo".into(),
        started_at: WallTime::default(),
        retention_days: 90,
        caller_number: "12345678".to_owned().into(),
        called_number: "70101010".to_owned().into(),
        caller_name: None,
        external_id: None,
        streams: vec![],
        context: Default::default(),
    })
}

fn granted() -> Body {
    Body::Consent(ConsentRecord {
        state: ConsentState::Granted,
        how: ConsentHow::Key,
        at: WallTime::default(),
        prompt_version: None,
        evidence: Evidence::Clock,
        terms: None,
    })
}

fn media(n: u32) -> Body {
    let bytes = (0..60).map(|i| (n as u8).wrapping_mul(31).wrapping_add(i)).collect();
    Body::Media(MediaBlock {
        first_frame: n * 2,
        form: Default::default(),
        streams: 1,
        lengths: vec![30; 2],
        peaks: vec![9; 2],
        bytes,
    })
}

fn closed() -> Body {
    Body::Closed(Ended {
        at: WallTime::default(),
        by: EndedBy::Feed,
        outcome: optag_core::call::Outcome::Recorded,
        frames: 40,
        streams: vec![],
    })
}

/// Appends a record and waits for it; returns whether it was acknowledged in time.
fn durably(spool: &Spool, n: u8, body: Body) -> bool {
    if spool.append(vec![SpoolRecord { call: id(n), body }]).is_err() {
        return false;
    }
    let (done, told) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    told.recv_timeout(Duration::from_millis(300)).unwrap_or(false)
}

fn read(spool: &Spool, n: u8) -> Vec<Body> {
    spool.read(id(n)).map(|reader| reader.filter_map(Result::ok).collect()).unwrap_or_default()
}

#[test]
fn records_come_back_in_order_across_segments_and_restarts() {
    let disk = CrashingDisk::new(1);
    let (spool, _) = open(&disk).unwrap();
    let mut wrote: BTreeMap<u8, Vec<Body>> = BTreeMap::new();
    for n in 0..4 {
        wrote.insert(n, vec![opened(n), granted()]);
        assert!(durably(&spool, n, opened(n)) && durably(&spool, n, granted()));
    }
    for block in 0..60 {
        let n = (block % 4) as u8;
        assert!(durably(&spool, n, media(block)));
        wrote.get_mut(&n).unwrap().push(media(block));
    }
    for (&n, bodies) in &wrote {
        assert_eq!(&read(&spool, n), bodies);
    }
    spool.close();
    let (spool, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.calls.len(), recovered.damaged, recovered.missing_segments), (4, 0, 0));
    for (&n, bodies) in &wrote {
        assert_eq!(&read(&spool, n), bodies);
        assert!(durably(&spool, n, closed()));
        assert_eq!(read(&spool, n).last(), Some(&closed()), "a recovered call goes on in its chain");
    }
}

/// Stops the disk at each operation of a short run in turn: acknowledged records are there after the crash, in order,
/// and nothing that was never written.
#[test]
fn invariant_03_what_was_acknowledged_survives_a_crash_at_every_step() {
    for step in 1..160 {
        for seed in 0..3u64 {
            let disk = CrashingDisk::new(step * 7 + seed);
            let Ok((spool, _)) = open(&disk) else { panic!("the disk works") };
            disk.die(step);
            let mut acknowledged = Vec::new();
            let story = [opened(1), granted()].into_iter().chain((0..30).map(media));
            for body in story {
                if !durably_or_dead(&spool, &disk, body.clone()) {
                    break;
                }
                acknowledged.push(body);
            }
            let after = disk.crash();
            let (spool, recovered) = open(&after).unwrap();
            let found = read(&spool, 1);
            assert!(
                found.starts_with(&acknowledged),
                "step {step}, seed {seed}: {} of {}",
                found.len(),
                acknowledged.len()
            );
            assert!(found.len() <= acknowledged.len() + 1, "step {step}: something was invented");
            assert!(recovered.calls.len() <= 1);
        }
    }
}

/// Kills the process at each operation of a short run in turn, lets the next process resume the call, then cuts the
/// power: everything that process relied on is there.
#[test]
fn invariant_03_what_a_killed_process_did_not_sync_is_durable_before_the_next_one_builds_on_it() {
    killed_at_each_step(|disk, step| disk.die(step));
}

/// The same where the operation before the kill failed: a sync that fails leaves bytes that every later process reads and
/// that no later sync writes.
#[test]
fn invariant_05_what_a_failed_sync_of_a_killed_process_left_is_durable_before_the_next_one_builds_on_it() {
    killed_at_each_step(|disk, step| {
        disk.fail(step, libc::EIO);
        disk.die(step + 1);
    });
}

fn killed_at_each_step(ends: impl Fn(&CrashingDisk, u64)) {
    let mut taken_up = 0;
    for (step, seed) in (1..80).flat_map(|step| (0..4).map(move |seed| (step, seed))) {
        let disk = CrashingDisk::new(step * 11 + seed);
        let (spool, _) = open(&disk).unwrap();
        ends(&disk, step);
        let story = [opened(1), granted()].into_iter().chain((0..6).map(media));
        for body in story {
            if !durably_or_dead(&spool, &disk, body) {
                break;
            }
        }
        let disk = disk.kill();
        let (spool, recovered) = open(&disk).unwrap();
        let mut found = read(&spool, 1);
        let Some(call) = recovered.calls.first().filter(|call| call.facts.is_some()) else { continue };
        taken_up += 1;
        assert!(durably(&spool, 1, media(40)));
        found.push(media(40));
        let (again, after) = open(&disk.crash()).unwrap();
        assert_eq!(read(&again, 1), found, "step {step}, seed {seed}");
        assert_eq!(after.calls[0].consent, call.consent, "step {step}, seed {seed}");
    }
    assert!(taken_up > 100, "{taken_up} lives");
}

/// Like [`durably`], but returns as soon as the disk has stopped.
fn durably_or_dead(spool: &Spool, disk: &CrashingDisk, body: Body) -> bool {
    if spool.append(vec![SpoolRecord { call: id(1), body }]).is_err() {
        return false;
    }
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

#[test]
fn invariant_05_after_a_failed_sync_everything_is_written_again_elsewhere() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EMFILE] {
        for step in 1..14 {
            let disk = CrashingDisk::new(step);
            let (spool, _) = open(&disk).unwrap();
            assert!(durably(&spool, 1, opened(1)) && durably(&spool, 1, granted()));
            disk.fail(step, errno);
            let mut acknowledged = vec![opened(1), granted()];
            for block in 0..8 {
                // A single failure is survived: the record becomes durable.
                assert!(durably(&spool, 1, media(block)), "errno {errno} step {step}");
                acknowledged.push(media(block));
            }
            let (again, recovered) = open(&disk.crash()).unwrap();
            assert_eq!(read(&again, 1), acknowledged, "errno {errno} step {step}");
            assert!(recovered.calls[0].frames == 16);
        }
    }
}

#[test]
fn invariant_07_a_destroyed_call_stays_unreadable_after_any_crash() {
    for seed in 0..40 {
        let disk = CrashingDisk::new(seed);
        let (spool, _) = open(&disk).unwrap();
        for n in 1..3 {
            assert!(durably(&spool, n, opened(n)) && durably(&spool, n, media(0)));
        }
        spool.destroy_key(id(1)).unwrap();
        assert!(read(&spool, 1).is_empty());
        // Queued audio is dropped.
        assert!(durably(&spool, 1, media(1)));
        assert_eq!(spool.stats().dropped_records, 1);
        let (spool, recovered) = open(&disk.crash()).unwrap();
        assert_eq!(recovered.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [id(2)]);
        assert!(read(&spool, 1).is_empty() && read(&spool, 2).len() == 2);
    }
}

#[test]
fn a_flipped_bit_costs_its_record_and_no_other() {
    let disk = CrashingDisk::new(9);
    let (spool, _) = open(&disk).unwrap();
    let mut wrote = vec![opened(1), granted()];
    assert!(durably(&spool, 1, opened(1)) && durably(&spool, 1, granted()));
    for block in 0..10 {
        assert!(durably(&spool, 1, media(block)));
        wrote.push(media(block));
    }
    spool.close();
    let segment =
        disk.names().into_iter().find(|path| path.extension().is_some_and(|ext| ext == "log")).unwrap();
    let length = disk.bytes(&segment).iter().rposition(|&byte| byte != 0).unwrap();
    for byte in (64..length).step_by(13) {
        disk.flip(&segment, byte);
        let (spool, _) = open(&disk).unwrap();
        let found = read(&spool, 1);
        assert!(found.len() >= wrote.len() - 2, "byte {byte}: {} of {}", found.len(), wrote.len());
        assert!(found.iter().all(|body| wrote.contains(body)));
        spool.close();
        disk.flip(&segment, byte);
    }
}

#[test]
fn no_byte_of_what_is_stored_is_in_the_clear_and_no_nonce_repeats() {
    let disk = CrashingDisk::new(3);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let (spool, _) = open(&disk).unwrap();
        assert!(durably(&spool, 1, opened(1)));
        for block in 0..5 {
            assert!(durably(&spool, 1, media(block)));
        }
        spool.close();
    }
    for path in disk.names() {
        let bytes = disk.bytes(&path);
        assert!(!bytes.windows(8).any(|window| window == b"12345678"), "{}", path.display());
        segment::walk(&bytes, |step| {
            if let segment::Step::Record(head, _, _) = step {
                assert!(seen.insert((head.call, head.incarnation, head.sequence)));
            }
        });
    }
    assert_eq!(seen.len(), 18);
}

#[test]
fn segments_go_when_their_last_call_does_and_a_full_queue_refuses() {
    let disk = CrashingDisk::new(4);
    let (spool, _) = open(&disk).unwrap();
    assert!(durably(&spool, 1, opened(1)));
    for block in 0..60 {
        assert!(durably(&spool, 1, media(block)));
    }
    let before = spool.stats().bytes;
    assert!(before >= 2 * 4_096);
    spool.destroy_key(id(1)).unwrap();
    assert_eq!(spool.stats().bytes, 4_096, "the current segment stays");
    let large = SpoolRecord { call: id(1), body: media(0) };
    let batch = vec![large; 3_000];
    let refused = loop {
        if let Err(back) = spool.append(batch.clone()) {
            break back;
        }
    };
    assert_eq!(refused.len(), batch.len(), "a refused batch is returned whole");
}
