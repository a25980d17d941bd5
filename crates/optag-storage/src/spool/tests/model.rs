//! Random runs of a spool: appends, barriers, releases, faults and power cuts, each followed by a restart whose result
//! is compared with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use optag_testing::disk::{Fault, Op};

const CALLS: u8 = 5;
const OPS: [Option<Op>; 8] = [
    None,
    Some(Op::Create),
    Some(Op::Open),
    Some(Op::Write),
    Some(Op::Sync),
    Some(Op::SyncDir),
    Some(Op::Rename),
    Some(Op::Remove),
];

/// Draws without repeating itself; the seed is in every failure's text.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What a caller knows of a call.
#[derive(Default)]
struct Known {
    appended: Vec<Body>,
    /// Number of them acknowledged by a barrier.
    acknowledged: usize,
    /// Its destruction was ordered; it was acknowledged.
    doomed: bool,
    gone: bool,
}

/// Every sealed record that ever reached a disk, by nonce.
type Nonces = HashMap<(CallId, u32, u64), Vec<u8>>;

fn acknowledged(spool: &Spool, disk: &CrashingDisk) -> bool {
    let (done, told) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    loop {
        match told.recv_timeout(Duration::from_millis(2)) {
            Ok(durable) => return durable,
            Err(_) if disk.is_dead() => return told.recv_timeout(Duration::from_millis(20)).unwrap_or(false),
            Err(_) => {}
        }
    }
}

/// State that a later process needs to resume a call.
fn state(n: u32) -> Body {
    Body::CallState(format!("{{\"at\":{n}}}").into())
}

/// Runs until the power cut.
fn live(spool: &Spool, disk: &CrashingDisk, dice: &mut Dice, known: &mut BTreeMap<u8, Known>, round: u8) {
    for step in 0..60 {
        if disk.is_dead() {
            return;
        }
        // Calls of earlier rounds continue too.
        let n = round.saturating_sub(dice.below(2) as u8) * CALLS + dice.below(u64::from(CALLS)) as u8;
        match dice.below(12) {
            0 => {
                disk.plan(Fault {
                    only: OPS[dice.below(OPS.len() as u64) as usize],
                    first: 1 + dice.below(6),
                    times: 1 + dice.below(3),
                    errno: [libc::EIO, libc::ENOSPC, libc::EMFILE][dice.below(3) as usize],
                });
            }
            1 if known.contains_key(&n) => {
                let call = known.get_mut(&n).unwrap();
                call.doomed = true;
                call.gone |= spool.destroy_key(id(n)).is_ok();
            }
            2..=4 => {
                let lengths: Vec<_> = known.iter().map(|(&n, call)| (n, call.appended.len())).collect();
                if acknowledged(spool, disk) {
                    for (n, length) in lengths {
                        known.get_mut(&n).unwrap().acknowledged = length;
                    }
                }
            }
            _ => {
                let call = known.entry(n).or_default();
                // A call that has ended gets only late audio.
                let from = if call.doomed { 2 } else { call.appended.len() };
                let bodies: Vec<Body> = (0..1 + dice.below(8) as usize)
                    .map(|i| match from + i {
                        0 => opened(n),
                        1 => granted(),
                        length if length % 5 == 4 => state(length as u32 + 100 * step),
                        length => media(length as u32 + 100 * step),
                    })
                    .collect();
                if !call.doomed {
                    call.appended.extend(bodies.iter().cloned());
                }
                let records = bodies.into_iter().map(|body| SpoolRecord { call: id(n), body });
                spool.append(records.collect()).unwrap();
            }
        }
    }
}

/// After a crash: all that was acknowledged, nothing invented, nothing twice, nothing destroyed.
fn verify(spool: &Spool, recovered: &Recovered, known: &mut BTreeMap<u8, Known>, seed: u64) {
    let found: BTreeSet<CallId> = recovered.calls.iter().map(|call| call.id).collect();
    // A failed overwrite may have changed some bytes.
    let half_destroyed = known.values().filter(|call| call.doomed && !call.gone).count();
    assert!(recovered.damaged_keys <= half_destroyed as u64, "seed {seed}");
    for (&n, call) in known.iter_mut() {
        let bodies = read(spool, n);
        if call.gone {
            assert!(bodies.is_empty() && !found.contains(&id(n)), "seed {seed} call {n}: it was destroyed");
            continue;
        }
        if call.doomed {
            // Ordered but not acknowledged: both results are correct. It is ordered again.
            call.gone = spool.destroy_key(id(n)).is_ok();
            assert!(call.gone, "seed {seed} call {n}");
            continue;
        }
        let must = &call.appended[..call.acknowledged];
        assert!(bodies.starts_with(must), "seed {seed} call {n}: {} of {}", bodies.len(), must.len());
        let mut written = call.appended[call.acknowledged..].iter();
        for body in &bodies[must.len()..] {
            assert!(written.any(|other| other == body), "seed {seed} call {n}: invented or out of order");
        }
        if let Some(recovered) = recovered.calls.iter().find(|call| call.id == id(n)) {
            let media = bodies.iter().filter_map(|body| match body {
                Body::Media(block) => Some(block.first_frame + block.frames()),
                _ => None,
            });
            assert_eq!(recovered.frames, media.max().unwrap_or(0), "seed {seed} call {n}");
            let mut states = bodies.iter().filter_map(|body| match body {
                Body::CallState(text) => Some(text),
                _ => None,
            });
            assert_eq!(recovered.call_state.as_ref(), states.next_back(), "seed {seed} call {n}");
        }
        call.acknowledged = bodies.len();
        call.appended = bodies;
        // A call whose admission never became durable does not exist.
        call.doomed = call.appended.first() != Some(&opened(n)) || recovered_damage(spool, n);
        if call.doomed {
            call.gone = spool.destroy_key(id(n)).is_ok();
        }
    }
}

/// A crash may leave a later record of a commit without an earlier one; neither was acknowledged.
fn recovered_damage(spool: &Spool, n: u8) -> bool {
    spool.read(id(n)).is_ok_and(|mut reader| reader.any(|body| body.is_err()))
}

fn collect_nonces(disk: &CrashingDisk, nonces: &mut Nonces, seed: u64) {
    for bytes in disk.ever_written() {
        segment::walk(&bytes, |step| {
            let segment::Step::Record(head, record, _) = step else { return };
            let sealed = record[frame::RECORD_HEAD_BYTES..].to_vec();
            let key = (head.call, head.incarnation, head.sequence);
            let before = nonces.entry(key).or_insert_with(|| sealed.clone());
            assert_eq!(*before, sealed, "seed {seed}: one nonce has sealed two texts");
        });
    }
}

#[test]
fn random_lives_lose_nothing_acknowledged_invent_nothing_and_repeat_no_nonce() {
    let lives = std::env::var("OPTAG_SPOOL_LIVES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let (mut retries, mut moved) = (0, 0);
    // When records are moved depends on thread timing: runs are repeated until some were moved.
    for seed in 0..20 * lives {
        if seed >= lives && retries > 0 && moved > 0 {
            break;
        }
        let mut dice = Dice(seed);
        let mut disk = CrashingDisk::new(seed);
        let mut known = BTreeMap::new();
        let mut nonces = Nonces::new();
        for round in 0..4 {
            // A second recovery finds the same as the first.
            let (spool, recovered) = open(&disk).unwrap();
            spool.close();
            let (spool, again) = open(&disk).unwrap();
            assert_eq!(recovered.calls, again.calls, "seed {seed}");
            verify(&spool, &again, &mut known, seed);
            disk.die(1 + dice.below(120));
            live(&spool, &disk, &mut dice, &mut known, round);
            retries += spool.stats().failures;
            moved += spool.stats().moved_bytes;
            // The process stops with the machine.
            let after = disk.crash();
            disk.die(1);
            spool.close_within(Duration::ZERO);
            collect_nonces(&disk, &mut nonces, seed);
            disk = after;
        }
        disk.heal();
        let (spool, recovered) = open(&disk).unwrap();
        verify(&spool, &recovered, &mut known, seed);
        spool.close();
    }
    assert!(retries > 0, "no fault was ever met");
    assert!(moved > 0, "no record was ever moved");
}

/// Each operation of a run fails in turn, once and three times in a row: the spool recovers by itself, and everything is
/// there after a crash.
#[test]
fn any_operation_may_fail_and_everything_becomes_durable_all_the_same() {
    for only in OPS {
        for first in 1..40 {
            for times in [1, 3] {
                let disk = CrashingDisk::new(first);
                let (spool, _) = open(&disk).unwrap();
                disk.plan(Fault { only, first, times, errno: libc::EIO });
                let mut wrote = Vec::new();
                for body in [opened(1), granted()].into_iter().chain((0..30).map(media)) {
                    spool.append(vec![SpoolRecord { call: id(1), body: body.clone() }]).unwrap();
                    assert!(acknowledged(&spool, &disk), "{only:?} {first} {times}");
                    wrote.push(body);
                }
                disk.heal();
                let (again, _) = open(&disk.crash()).unwrap();
                assert_eq!(read(&again, 1), wrote, "{only:?} {first} {times}");
                again.close();
                spool.close();
            }
        }
    }
}
