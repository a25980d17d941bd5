//! Packet indexes: sequence numbers with their roll-over counters, and which were received. Source: RFC 3711
//! §3.3.1, §3.3.2.

/// Size of the replay window.
const WINDOW: u64 = 128;

/// A sender's newest index, and which before it were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    newest: u64,
    /// Bit n: index `newest - n` was received.
    came: u128,
}

impl Window {
    /// A window that starts with the first index received.
    pub(super) fn starting(index: u64) -> Self {
        Self { newest: index, came: 1 }
    }

    /// A window of a sender whose earlier packets all went to another process.
    pub(super) fn resumed(newest: u64) -> Self {
        Self { newest, came: u128::MAX }
    }

    /// The newest index.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether this index is not a replay.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.newest.checked_sub(index) {
            None => true,
            Some(back) => back < WINDOW && self.came >> back & 1 == 0,
        }
    }

    /// Marks an index that was received and authenticated.
    pub(super) fn mark(&mut self, index: u64) {
        match index.checked_sub(self.newest) {
            Some(ahead) => {
                self.came = if ahead < WINDOW { self.came << ahead } else { 0 } | 1;
                self.newest = index;
            }
            None if self.newest - index < WINDOW => self.came |= 1 << (self.newest - index),
            None => {}
        }
    }

    /// The most likely index for a sequence number.
    pub(super) fn estimate(&self, sequence: u16) -> Option<u64> {
        let step = i64::from(sequence.wrapping_sub(self.newest as u16) as i16);
        self.newest.checked_add_signed(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_comes_once_within_the_window() {
        let mut window = Window::starting(1_000);
        for index in [1_001, 1_005, 1_003, 1_100] {
            assert!(window.is_new(index));
            window.mark(index);
            assert!(!window.is_new(index));
        }
        assert!(window.is_new(1_002) && !window.is_new(1_000));
        window.mark(1_002);
        assert!(!window.is_new(1_002));
        assert!(!window.is_new(1_100 - WINDOW), "too old to know");
        window.mark(5_000);
        assert!(!window.is_new(1_100) && window.is_new(4_999));
    }

    #[test]
    fn sequence_numbers_are_unrolled_to_the_nearest_index() {
        let window = Window::starting(3 * 65_536 + 65_530);
        assert_eq!(window.estimate(2), Some(4 * 65_536 + 2));
        assert_eq!(window.estimate(65_000), Some(3 * 65_536 + 65_000));
        assert_eq!(Window::starting(65_536).estimate(65_535), Some(65_535));
        assert_eq!(Window::starting(3).estimate(65_535), None, "before the beginning");
    }
}
