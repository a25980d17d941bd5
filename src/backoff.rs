//! How long to wait before trying again: doubling, capped, jittered, without end.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// Waits of one retry loop.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next wait, given a random number: between half of the full wait and the whole,
    /// so that many loops that failed together do not return together.
    pub fn next(&mut self, random: u32) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        full / 2 + (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// It worked: the next failure starts from the shortest wait.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(u32::MAX), FIRST);
        assert_eq!(backoff.next(0), FIRST);
        for _ in 0..20 {
            let wait = backoff.next(u32::MAX / 2);
            assert!(wait <= LONGEST);
        }
        assert!(backoff.next(0) >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next(u32::MAX) <= FIRST);
    }
}
