//! The spool on real file systems, and its cost there.

use std::path::Path;
use std::process::Command;

use super::*;
use optag_files::disk::{Disk, OsDisk};

fn open_at(dir: &Path, segment_bytes: u64) -> Result<(Spool, Recovered), SpoolError> {
    let config = SpoolConfig { dir: dir.join("spool"), segment_bytes, ..config() };
    Spool::open(config, Arc::new(OsDisk), MasterKey::from_bytes(&[5; 32]).unwrap(), Box::new(|_| {}))
}

fn wait(spool: &Spool) -> bool {
    let (done, told) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    told.recv_timeout(Duration::from_secs(20)).unwrap_or(false)
}

/// Repeats a call that may fail, so that the test also passes under a tool that makes system calls fail (see
/// `docs/design/spool.md`).
fn insist<T>(mut what: impl FnMut() -> Result<T, SpoolError>) -> T {
    (0..4).find_map(|_| what().ok()).unwrap_or_else(|| what().map_err(|error| error.to_string()).unwrap())
}

#[test]
fn a_call_survives_a_restart_in_a_real_directory_and_its_release_empties_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = insist(|| open_at(dir.path(), 4_096));
    assert!(matches!(open_at(dir.path(), 4_096), Err(SpoolError::InUse { .. })));
    let wrote: Vec<Body> = [opened(1), granted()].into_iter().chain((0..80).map(media)).collect();
    for body in &wrote {
        spool.append(vec![SpoolRecord { call: id(1), body: body.clone() }]).unwrap();
    }
    assert!(wait(&spool));
    spool.close();
    let (spool, recovered) = insist(|| open_at(dir.path(), 4_096));
    assert_eq!((recovered.calls.len(), recovered.damaged, recovered.calls[0].frames), (1, 0, 160));
    assert_eq!(read(&spool, 1), wrote);
    insist(|| spool.destroy_key(id(1)));
    spool.close();
    let left = |name: &str| std::fs::read_dir(dir.path().join("spool").join(name)).unwrap().count();
    assert_eq!((left("keys"), left("segments")), (0, 0));
}

/// A small file system, where the machine permits mounting one.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                eprintln!("skipped: no mount: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: no mount: {error}");
                None
            }
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_real_file_system_that_is_full_loses_nothing_and_goes_on_when_a_call_is_released() {
    let Some(tmpfs) = Tmpfs::mount("256k") else { return };
    let (spool, _) = open_at(tmpfs.0.path(), 32 * 1_024).unwrap();
    let mut wrote: BTreeMap<u8, Vec<Body>> = BTreeMap::new();
    let mut block = 0;
    // Call after call, until the disk is full.
    'full: for n in 1.. {
        for body in std::iter::once(opened(n)).chain((block..block + 200).map(media)) {
            spool.append(vec![SpoolRecord { call: id(n), body: body.clone() }]).unwrap();
            wrote.entry(n).or_default().push(body);
            if spool.stats().failures > 2 {
                break 'full;
            }
        }
        block += 200;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!spool.accepts_new_calls());
    let last = *wrote.keys().last().unwrap();
    assert!(last > 2, "{last} calls fill the disk");
    for n in 1..last - 1 {
        spool.destroy_key(id(n)).unwrap();
    }
    assert!(wait(&spool), "the disk has room again");
    assert_eq!(read(&spool, last), wrote[&last]);
    spool.close();
    let (spool, recovered) = open_at(tmpfs.0.path(), 32 * 1_024).unwrap();
    assert_eq!(recovered.damaged, 0);
    for n in last - 1..=last {
        assert_eq!(read(&spool, n), wrote[&n]);
    }
    spool.close();
}

#[test]
fn data_of_others_refuses_new_calls_by_the_room_it_leaves_and_not_by_its_share() {
    let Some(tmpfs) = Tmpfs::mount("8m") else { return };
    let dir = tmpfs.0.path();
    let config = SpoolConfig {
        dir: dir.join("spool"),
        segment_bytes: 32 * 1_024,
        min_free_bytes: 512 << 10,
        packed_max_bytes: 1 << 30,
        ..config()
    };
    let master = MasterKey::from_bytes(&[5; 32]).unwrap();
    let (spool, _) = Spool::open(config, Arc::new(OsDisk), master, Box::new(|_| {})).unwrap();
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        for _ in 0..300 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what}: {:?}", spool.refuses());
    };
    // Other data uses 87 %.
    let others = dir.join("others");
    std::fs::write(&others, vec![1; 7 << 20]).unwrap();
    spool.append(vec![SpoolRecord { call: id(1), body: opened(1) }]).unwrap();
    assert!(wait(&spool));
    until("its room is known", &|| spool.stats().disk_free_bytes < 1 << 20);
    assert!(spool.accepts_new_calls() && spool.stats().fill_ratio < 0.5);
    std::fs::write(dir.join("more"), vec![1; 700 << 10]).unwrap();
    until("the floor", &|| matches!(spool.refuses(), Some(Refusal::Disk { .. })));
    assert!(spool.refuses().unwrap().to_string().contains("spool.min_free_gib"));
    // Calls in progress continue.
    spool.append(vec![SpoolRecord { call: id(1), body: media(1) }]).unwrap();
    assert!(wait(&spool));
    std::fs::remove_file(dir.join("more")).unwrap();
    until("room again", &|| spool.accepts_new_calls());
    spool.close();
}

/// A hundred calls of two streams at 16 kbit/s, ten seconds, one batch per tick.
#[test]
fn what_is_written_is_little_more_than_the_audio() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open_at(dir.path(), 64 << 20).unwrap();
    spool.append((0..100).map(|n| SpoolRecord { call: id(n), body: opened(n) }).collect()).unwrap();
    let mut audio_bytes = 0;
    for tick in 0..100 {
        let block = MediaBlock {
            first_frame: tick * 5,
            form: Default::default(),
            streams: 2,
            lengths: vec![40; 10],
            peaks: vec![9; 10],
            bytes: vec![5; 400],
        };
        audio_bytes += 100 * block.bytes.len() as u64;
        let batch = (0..100).map(|n| SpoolRecord { call: id(n), body: Body::Media(block.clone()) }).collect();
        spool.append(batch).unwrap();
        assert!(wait(&spool));
    }
    let stats = spool.stats();
    let ratio = stats.written_bytes as f64 / audio_bytes as f64;
    let mean_us = stats.sync_ns / stats.syncs / 1_000;
    println!("{ratio:.3} bytes written a byte of audio; {} syncs, {mean_us} µs each", stats.syncs);
    assert!(ratio < 1.4, "{ratio}");
    assert!(stats.syncs <= 103, "one sync a tick, and not {}", stats.syncs);
    assert_eq!(stats.audio_ms, 100 * 10_000);
    // The directories' names are durable as well.
    OsDisk.sync_dir(dir.path()).unwrap();
    spool.close();
}

/// Duration of a start after a long store outage: `OPTAG_SPOOL_GIB` of spool, by default 10. Needs that much space in
/// `TMPDIR`.
#[test]
#[ignore = "a figure; writes 10 GiB"]
fn figure_of_recovery() {
    let gib: u64 = std::env::var("OPTAG_SPOOL_GIB").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let dir = tempfile::tempdir().unwrap();
    let config = |dir: &Path| SpoolConfig {
        dir: dir.join("spool"),
        segment_bytes: 64 << 20,
        max_bytes: 64 << 30,
        queue_bytes: 64 << 20,
        min_free_bytes: 0,
        packed_max_bytes: 1 << 30,
    };
    let master = || MasterKey::from_bytes(&[5; 32]).unwrap();
    let (spool, _) = Spool::open(config(dir.path()), Arc::new(OsDisk), master(), Box::new(|_| {})).unwrap();
    spool.append((0..200).map(|n| SpoolRecord { call: id(n), body: opened(n) }).collect()).unwrap();
    let mut tick = 0;
    while spool.stats().written_bytes < gib << 30 {
        let block = MediaBlock {
            first_frame: tick * 5,
            form: Default::default(),
            streams: 2,
            lengths: vec![40; 10],
            peaks: vec![9; 10],
            bytes: vec![tick as u8; 400],
        };
        let batch = (0..200).map(|n| SpoolRecord { call: id(n), body: Body::Media(block.clone()) }).collect();
        match spool.append(batch) {
            Ok(()) => tick += 1,
            Err(_) => assert!(wait(&spool)),
        }
    }
    assert!(wait(&spool));
    let bytes = spool.stats().bytes;
    spool.close();
    let started = std::time::Instant::now();
    let opened = Spool::open(config(dir.path()), Arc::new(OsDisk), master(), Box::new(|_| {}));
    let took = started.elapsed();
    let (spool, recovered) = opened.unwrap();
    assert_eq!((recovered.calls.len(), recovered.damaged), (200, 0));
    assert!(recovered.calls.iter().all(|call| u64::from(call.frames) == u64::from(tick) * 5));
    println!(
        "{:.2} GB of spool, {} records: {:.2} s until it is open, {:.0} MB/s",
        bytes as f64 / 1e9,
        u64::from(tick) * 200 + 200,
        took.as_secs_f64(),
        bytes as f64 / 1e6 / took.as_secs_f64()
    );
    spool.close();
}
