//! State of digest authentication: used nonce counts and failed attempts per address.
//!
//! In: nonces, counts, addresses, the time. Out: whether a count is new, and whether an address may
//! try again. Both tables are bounded. Not here: hashes (`digest`).
//!
//! Source: RFC 7616 §3.4 (nonce count), §5.5 and §5.7 (replays, guessing).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use optag_core::clock::MonoTime;
use optag_core::owner::owner;

/// Nonces kept at once.
pub const NONCES: usize = 4_096;
/// Addresses kept at once.
pub const ADDRESSES: usize = 1_024;
/// Failures without a delay.
const FREE: u32 = 5;
/// Longest delay after a failure.
const LONGEST: Duration = Duration::from_secs(64);

/// Used nonce counts.
#[derive(Debug, Default)]
pub struct Counts {
    used: HashMap<u128, Window>,
    /// Nonces issued before this time have been evicted.
    forgotten: Option<MonoTime>,
}

/// The highest count, and a bitmap of the 64 up to it, since requests may be reordered.
#[derive(Debug)]
struct Window {
    made: MonoTime,
    highest: u32,
    seen: u64,
}

impl Counts {
    /// Uses `count` of the nonce `name`, issued at `made`; false if it was used before.
    pub fn take(&mut self, name: u128, made: MonoTime, count: u32) -> bool {
        if !self.used.contains_key(&name) {
            if count == 0 || self.forgotten.is_some_and(|up_to| made <= up_to) {
                return false;
            }
            self.make_room();
        }
        let window = self.used.entry(name).or_insert(Window { made, highest: 0, seen: 0 });
        if count > window.highest {
            let step = count - window.highest;
            window.seen = window.seen.checked_shl(step).unwrap_or(0) | 1;
            window.highest = count;
            return true;
        }
        let bit = 1_u64.checked_shl(window.highest - count).unwrap_or(0);
        let fresh = count > 0 && bit != 0 && window.seen & bit == 0;
        window.seen |= bit;
        fresh
    }

    fn make_room(&mut self) {
        if self.used.len() < NONCES {
            return;
        }
        // Evicts the older half.
        let mut made: Vec<MonoTime> = self.used.values().map(|window| window.made).collect();
        let (_, middle, _) = made.select_nth_unstable(NONCES / 2);
        let up_to = *middle;
        self.used.retain(|_, window| window.made > up_to);
        self.forgotten = self.forgotten.max(Some(up_to));
    }
}

/// Failed attempts by address.
#[derive(Debug, Default)]
pub struct Guesses(HashMap<IpAddr, Failures>);

#[derive(Debug)]
struct Failures {
    count: u32,
    until: MonoTime,
}

impl Guesses {
    /// Whether `address` must wait before its next attempt.
    pub fn must_wait(&self, now: MonoTime, address: IpAddr) -> bool {
        self.0.get(&owner(address)).is_some_and(|failures| failures.until > now)
    }

    /// Records a failed attempt of `address`.
    pub fn failed(&mut self, now: MonoTime, address: IpAddr) {
        let address = owner(address);
        if self.0.len() >= ADDRESSES
            && !self.0.contains_key(&address)
            && let Some(first) = self.0.iter().min_by_key(|(_, failures)| failures.until).map(|(a, _)| *a)
        {
            self.0.remove(&first);
        }
        let failures = self.0.entry(address).or_insert(Failures { count: 0, until: now });
        failures.count = failures.count.saturating_add(1);
        if failures.count > FREE {
            let pause = Duration::from_secs(1 << (failures.count - FREE - 1).min(10));
            failures.until = now + pause.min(LONGEST);
        }
    }

    /// Records a successful attempt of `address`.
    pub fn succeeded(&mut self, address: IpAddr) {
        self.0.remove(&owner(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> MonoTime {
        MonoTime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_count_is_used_once_in_whatever_order_counts_come() {
        let mut counts = Counts::default();
        for (count, fresh) in
            [(1, true), (1, false), (3, true), (2, true), (2, false), (0, false), (200, true), (100, false)]
        {
            assert_eq!(counts.take(7, at(1), count), fresh, "{count}");
        }
        assert!(counts.take(8, at(1), 1), "another nonce counts by itself");
        assert!(counts.take(7, at(1), u32::MAX) && !counts.take(7, at(1), u32::MAX));
    }

    #[test]
    fn what_was_forgotten_is_used_up() {
        let mut counts = Counts::default();
        for n in 0..3 * NONCES as u64 {
            assert!(counts.take(n.into(), at(n), 1));
        }
        assert!(counts.used.len() <= NONCES);
        assert!(!counts.take(1, at(1), 1) && !counts.take(1, at(1), 2));
    }

    #[test]
    fn guessing_is_slowed_for_its_address_alone_and_the_table_stays_small() {
        let mut guesses = Guesses::default();
        let address = |n: u32| IpAddr::V4((0x0a00_0000 + n).into());
        let tries = (0..3_600).filter(|second| {
            let free = !guesses.must_wait(at(*second), address(1));
            if free {
                guesses.failed(at(*second), address(1));
            }
            free
        });
        assert!(tries.count() < 80, "an hour of guessing");
        assert!(!guesses.must_wait(at(10), address(2)));
        guesses.succeeded(address(1));
        assert!(!guesses.must_wait(at(10), address(1)));
        for n in 0..5_000 {
            guesses.failed(at(1), address(n));
        }
        assert_eq!(guesses.0.len(), ADDRESSES);
    }
}
