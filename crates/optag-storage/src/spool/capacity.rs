//! Opens a spool and manages its space: which segments are removed, whether new calls are accepted.
//!
//! In: a directory. Out: a writer and what recovery found; removed segments; whether there is room. Not here: parsing
//! of what was found (`recover`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::spool::compaction::Moving;
use crate::spool::error::SpoolError;
use crate::spool::frame::SegmentHead;
use crate::spool::key::MasterKey;
use crate::spool::keyring::Keyring;
use crate::spool::recover::{Recovered, Scan};
use crate::spool::refusal::Refusal;
use crate::spool::segment;
use crate::spool::settings::SpoolConfig;
use crate::spool::shared::Shared;
use crate::spool::writer::{Backlog, LOOK_EVERY, Writer};
use optag_core::clock::{Clock, OsClock};
use optag_files::disk::{Access, Disk};

/// Share of the cap at which new calls are refused.
pub const FULL: f64 = 0.85;

/// Share of the cap below which new calls are accepted again.
const ROOM_AGAIN: f64 = 0.83;

/// Part of the floor that must be free beyond the floor before calls are accepted again: other writers change the
/// free space all the time, and callers should not alternate between refused and accepted.
const BEYOND_FLOOR: u64 = 10;

/// Interval at which the refusal of new calls is logged again.
const TELL_EVERY: Duration = Duration::from_secs(600);

impl Writer {
    /// Locks the directory, scans it, and starts a new incarnation.
    ///
    /// Errors: another process uses it, wrong master key, or disk.
    pub(super) fn open(
        config: SpoolConfig,
        disk: Arc<dyn Disk>,
        master: MasterKey,
    ) -> Result<(Self, Recovered), SpoolError> {
        let spool = config.dir.clone();
        let segments = segment::dir(&spool);
        for dir in [&spool, &segments] {
            disk.create_dir(dir).map_err(|error| SpoolError::disk("make", dir, error))?;
        }
        let keyring = Keyring::open(&*disk, &spool)?;
        let lock_path = spool.join("lock");
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => SpoolError::InUse { path: spool.clone() },
            _ => SpoolError::disk("lock", &lock_path, error),
        })?;
        // The directories survive a crash only if their names do.
        disk.sync_dir(&spool).map_err(|error| SpoolError::disk("sync", &spool, error))?;
        let scan = scan(&*disk, &spool, &keyring, &master)?;
        let node_id = match scan.node_id {
            Some(id) => id,
            None => draw_node_id()?,
        };
        let incarnation = next_incarnation(scan.incarnation);
        let (sequence, next_segment) = (scan.sequence, scan.number + 1);
        let sizes = scan.segments.clone();
        let (recovered, places) = scan.finish();
        if recovered.newer > 0 {
            // Treated as damage, these records would be missing from recordings.
            return Err(SpoolError::Newer { records: recovered.newer });
        }
        let mut live = BTreeMap::new();
        for (segment, bytes) in places.values().flat_map(|place| &place.segments) {
            *live.entry(*segment).or_default() += bytes;
        }
        let shared = Arc::new(Shared::new(config, disk));
        *shared.places() = places;
        let mut writer = Self {
            shared,
            master,
            keyring,
            node_id,
            incarnation,
            sequence,
            next_segment,
            segment: None,
            sizes,
            live,
            moving: Moving::default(),
            backlog: Backlog::default(),
            has_leftovers: true,
            looked_at_room: None,
            told_refusal: None,
            pause: None,
            lock,
        };
        writer.forget_segments();
        writer.look_at_room();
        Ok((writer, recovered))
    }

    /// Removes segments without records of any call that has a key. Never during a commit: its own records are not
    /// yet in the calls' places.
    pub(super) fn forget_segments(&mut self) {
        if !std::mem::take(&mut self.has_leftovers) {
            return;
        }
        let current = self.segment.as_ref().map(|segment| segment.number);
        let dense = self.moving.dense();
        let needed = |number: &u64| {
            Some(*number) == current
                || Some(*number) == dense
                || self.live.get(number).is_some_and(|&live| live > 0)
        };
        let gone: Vec<u64> = self.sizes.keys().copied().filter(|number| !needed(number)).collect();
        for number in gone {
            let path = segment::path(&self.shared.config.dir, number);
            match self.shared.disk.remove(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, number, "cannot remove an unneeded spool segment");
                    self.has_leftovers = true;
                }
                _ => {
                    self.sizes.remove(&number);
                    self.live.remove(&number);
                }
            }
        }
        self.tell_size();
    }

    /// Publishes the size of all segments, reserved space included.
    pub(super) fn tell_size(&self) {
        self.shared.bytes.store(self.sizes.values().sum(), Ordering::Relaxed);
    }

    /// Checks at intervals whether there is room for new calls.
    pub(super) fn look_at_room(&mut self) {
        if self.looked_at_room.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked_at_room = Some(Instant::now());
        let config = &self.shared.config;
        let total: u64 = self.sizes.values().sum();
        // Space reserved by the current segment is not in use yet.
        let reserved =
            self.segment.as_ref().map_or(0, |segment| config.segment_bytes.saturating_sub(segment.offset));
        let used = total.saturating_sub(reserved);
        let of_cap = used as f64 / config.max_bytes.max(1) as f64;
        // If free space is unknown, the file system counts as full. Space already reserved belongs to the spool.
        let space = self.shared.disk.space(&config.dir).ok();
        let free = space.map_or(0, |space| space.free_bytes.saturating_add(reserved));
        let floor = config.min_free_bytes;
        let left = free.saturating_sub(floor);
        let of_disk = if left == 0 { 1.0 } else { FULL * used as f64 / (used + left) as f64 };
        self.shared.set_fill_ratio(of_cap.max(of_disk));
        self.shared.disk_free_bytes.store(free, Ordering::Relaxed);
        let packed: u64 = self.shared.places().values().map(|place| place.packed.bytes).sum();
        let was_full = self.shared.packed_is_full.load(Ordering::Relaxed);
        let is_full = is_filled(packed, config.packed_max_bytes, was_full);
        self.shared.packed_is_full.store(is_full, Ordering::Relaxed);
        let refusal = if self.pause.is_some() || space.is_none() {
            Some(Refusal::Unwritable)
        } else {
            refuses((used, config.max_bytes), (free, floor), self.shared.refusal())
        };
        self.tell(refusal);
    }

    /// Logs when new calls are refused and why, repeats it while it lasts, and logs when it ends.
    fn tell(&mut self, refusal: Option<Refusal>) {
        let before = self.shared.set_refusal(refusal);
        match refusal {
            None if before.is_some() => {
                self.told_refusal = None;
                tracing::info!("spool accepts new calls again");
            }
            Some(refusal) if self.told_refusal.is_none_or(|at| at.elapsed() >= TELL_EVERY) => {
                self.told_refusal = Some(Instant::now());
                tracing::error!(%refusal, "spool refuses new calls");
            }
            _ => {}
        }
    }
}

/// Whether new calls are refused, by bytes in use and cap, and by free space and floor. `before`: the last reason for
/// refusing, which ends slightly below the limit at which it began. Units: bytes.
fn refuses((used, cap): (u64, u64), (free, floor): (u64, u64), before: Option<Refusal>) -> Option<Refusal> {
    let beyond = match before {
        Some(Refusal::Disk { .. }) => floor / BEYOND_FLOOR,
        _ => 0,
    };
    let full = match before {
        Some(Refusal::Cap { .. }) => ROOM_AGAIN,
        _ => FULL,
    };
    if free <= floor.saturating_add(beyond) {
        return Some(Refusal::Disk { free, floor });
    }
    (used as f64 / cap.max(1) as f64 >= full).then_some(Refusal::Cap { used, cap })
}

/// Whether a share is used up; `before`: whether it was, which ends slightly below the limit at which it began.
fn is_filled(used: u64, most: u64, before: bool) -> bool {
    used >= if before { (most as f64 * ROOM_AGAIN / FULL) as u64 } else { most }
}

/// Bytes of the last process's newest segments that are written again: what it may have had in its queue when a sync
/// failed, and a segment's worth of what it had written before.
const UNSURE_BYTES: u64 = 64 << 20;

/// Reads keys and segments, and frees space that segments had reserved and not used. Everything found is durable on
/// return: a killed process may have written it without a sync, or its sync may have failed, and resumed calls are built
/// on it.
fn scan(
    disk: &dyn Disk,
    spool: &std::path::Path,
    keyring: &Keyring,
    master: &MasterKey,
) -> Result<Scan, SpoolError> {
    let (keys, damaged_keys) = keyring.read_all(disk, master)?;
    let mut scan = Scan::new(keys);
    scan.damaged_keys(damaged_keys);
    let dir = segment::dir(spool);
    let names = disk.list(&dir).map_err(|error| SpoolError::disk("list", &dir, error))?;
    let numbers: BTreeSet<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
    let mut incarnations = Vec::new();
    let mut unreadable = BTreeSet::new();
    for number in numbers {
        let loaded = segment::load(disk, spool, number)?;
        if loaded.unreadable_bytes > 0 {
            unreadable.insert(number);
        }
        scan.unreadable(number, loaded.unreadable_bytes);
        let used = scan.segment(number, &loaded.bytes);
        incarnations.push((number, SegmentHead::parse(&loaded.bytes).map(|head| head.incarnation)));
        if used < loaded.bytes.len() && loaded.unreadable_bytes == 0 {
            let path = segment::path(spool, number);
            let cut = disk.open(&path, Access::Write).and_then(|file| file.set_len(used as u64));
            if cut.is_ok() {
                scan.segments.insert(number, used as u64);
            }
        }
    }
    // Each start does the same, so only the last process can have left unsynced segments. Names of segments and keys
    // are durable before the first record. After a failed sync the kernel takes what it did not write for written:
    // another sync says so too. The last process cut such bytes off, unless it was killed before it could.
    let mut rewritten_bytes = 0;
    for (number, incarnation) in incarnations.into_iter().rev() {
        if incarnation.is_none_or(|incarnation| incarnation == scan.incarnation) {
            let is_unsure = rewritten_bytes < UNSURE_BYTES && !unreadable.contains(&number);
            rewritten_bytes += segment::settle(disk, spool, number, is_unsure)?;
        }
    }
    Ok(scan)
}

/// A number that no earlier start can have used. The wall clock ensures that even if every segment of the last start
/// is lost.
fn next_incarnation(highest_found: u32) -> u32 {
    let seconds = OsClock.wall().as_unix_micros() / 1_000_000;
    highest_found.saturating_add(1).max(u32::try_from(seconds).unwrap_or_default())
}

fn draw_node_id() -> Result<[u8; 16], SpoolError> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| SpoolError::Crypto)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_about_a_limit_is_refused_once_and_taken_once() {
        const FLOOR: u64 = 1_000;
        const CAP: u64 = 100_000;
        let changes = |states: &[(u64, u64)]| {
            let mut before = None;
            let mut changes = 0;
            for &(used, free) in states {
                let now = refuses((used, CAP), (free, FLOOR), before);
                changes += usize::from(now.is_some() != before.is_some());
                before = now;
            }
            (changes, before.is_some())
        };
        let about_the_floor = [(0, 1_001), (0, 1_000), (0, 1_001), (0, 999), (0, 1_100)];
        assert_eq!(changes(&about_the_floor), (1, true));
        assert_eq!(changes(&[(0, 1_000), (0, 1_101)]), (2, false));
        let about_the_cap =
            [(84_999, 9_000), (85_000, 9_000), (84_999, 9_000), (85_001, 9_000), (83_000, 9_000)];
        assert_eq!(changes(&about_the_cap), (1, true));
        assert_eq!(changes(&[(85_000, 9_000), (82_999, 9_000)]), (2, false));
        // The two limits have separate margins.
        assert_eq!(changes(&[(85_000, 1_050), (82_000, 1_050)]), (2, false));
    }

    #[test]
    fn a_share_that_is_filled_is_left_a_little_before_it_takes_more() {
        assert!(!is_filled(99, 100, false) && is_filled(100, 100, false));
        assert!(is_filled(98, 100, true) && !is_filled(96, 100, true));
        assert!(is_filled(0, 0, false) && is_filled(0, 0, true), "no share");
    }

    #[test]
    fn an_incarnation_is_never_used_again() {
        let first = next_incarnation(0);
        assert!(first > 1_700_000_000);
        assert_eq!(next_incarnation(first + 1_000), first + 1_001, "the clock was set back");
    }
}
