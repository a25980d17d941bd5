//! Rate limits per key, such as a client's address. In: attempts, with their time. Out: whether one may go on.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Maximum number of keys; beyond it those with the fewest attempts are forgotten first.
const KEYS: usize = 4_096;

/// A token bucket per key.
#[derive(Debug)]
pub struct Throttle<K = IpAddr> {
    burst: f64,
    refill_per_s: f64,
    buckets: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Eq + Hash + Clone> Throttle<K> {
    /// `burst` attempts at once, then `refill_per_s` per second.
    pub fn new(burst: f64, refill_per_s: f64) -> Self {
        Self { burst, refill_per_s, buckets: Mutex::new(HashMap::new()) }
    }

    /// Whether an attempt under this key may go on now.
    pub fn allows(&self, key: K, now: Instant) -> bool {
        let level = |(level, at): (f64, Instant)| {
            (level + now.saturating_duration_since(at).as_secs_f64() * self.refill_per_s).min(self.burst)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| level(*bucket) < self.burst);
            if buckets.len() >= KEYS {
                let fullest = buckets.iter().max_by(|a, b| level(*a.1).total_cmp(&level(*b.1)));
                let fullest = fullest.map(|(key, _)| key.clone());
                fullest.map(|key| buckets.remove(&key));
            }
        }
        let left = buckets.get(&key).map_or(self.burst, |bucket| level(*bucket));
        let allowed = left >= 1.0;
        buckets.insert(key, (if allowed { left - 1.0 } else { left }, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_address_that_asks_too_often_keeps_no_other_out() {
        let (throttle, now) = (Throttle::new(3.0, 1.0), Instant::now());
        let of = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
        let answered = (0..100).filter(|_| throttle.allows(of(1), now)).count();
        assert_eq!(answered, 3);
        assert!(throttle.allows(of(2), now));
        assert!(throttle.allows(of(1), now + Duration::from_secs(1)));
        assert!(!throttle.allows(of(1), now + Duration::from_secs(1)));
    }

    #[test]
    fn memory_is_bounded_and_who_asked_too_often_is_not_forgotten_for_others() {
        let (throttle, now) = (Throttle::new(3.0, 1.0), Instant::now());
        let of = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
        (0..10).for_each(|_| {
            throttle.allows(of(1), now);
        });
        assert!((2..20_000).all(|n| throttle.allows(of(n), now)));
        assert!(throttle.buckets.lock().unwrap().len() <= KEYS);
        assert!(!throttle.allows(of(1), now));
    }
}
