//! Network impairment of a stream, from a seed: burst loss, reordering, duplicates, jitter, clock drift of
//! the sender. In: packets in order. Out: their fates. Pure.

use std::time::Duration;

/// How far a reordered packet is delayed: to the position of the next but one.
const REORDER_PACKETS: u32 = 2;
/// Delay of a duplicate. Units: ms.
const DUPLICATE_MS: u64 = 5;

/// Impairment parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// Fraction of packets lost, 0 to under 1.
    pub loss: f64,
    /// Mean length of a loss burst, at least 1.
    pub burst: f64,
    /// Fraction of packets overtaken by others.
    pub reorder: f64,
    /// Fraction of packets duplicated.
    pub duplicate: f64,
    /// Maximum random delay of a packet.
    pub jitter: Duration,
    /// Clock drift of the sender: positive if slow, negative if fast. Units: ppm.
    pub drift_ppm: f64,
}

impl Default for Impairment {
    /// No impairment.
    fn default() -> Self {
        Self { loss: 0.0, burst: 1.0, reorder: 0.0, duplicate: 0.0, jitter: Duration::ZERO, drift_ppm: 0.0 }
    }
}

impl Impairment {
    /// Whether packets are sent unchanged.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The fate of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Lost.
    Lost,
    /// Delivered with a delay, and again with another one if duplicated.
    Arrives {
        /// Its delay.
        late: Duration,
        /// The delay of the duplicate, from the packet's time.
        again: Option<Duration>,
    },
}

/// The impaired network path of one stream.
#[derive(Clone, Debug)]
pub struct Line {
    impairment: Impairment,
    packet: Duration,
    state: u64,
    in_burst: bool,
}

impl Line {
    /// A path for packets of this duration. The same seed gives the same fates.
    pub fn new(impairment: Impairment, packet: Duration, seed: u64) -> Self {
        Self { impairment, packet, state: seed ^ 0x9e37_79b9_7f4a_7c15, in_burst: false }
    }

    /// The fate of the next packet.
    pub fn next_fate(&mut self) -> Fate {
        let Impairment { loss, burst, reorder, duplicate, jitter, .. } = self.impairment;
        // Gilbert's two-state model: bursts end with probability 1/burst, and begin so that the loss fraction
        // is met. A larger fraction than bursts of that length permit makes them longer.
        let kept = (1.0 - loss).max(1e-9);
        let ends = (1.0 / burst.max(1.0)).min(kept / loss.max(1e-9));
        let begins = loss * ends / kept;
        let dice = self.dice();
        self.in_burst = if self.in_burst { dice >= ends } else { dice < begins };
        if self.in_burst {
            return Fate::Lost;
        }
        let mut late = jitter.mul_f64(self.dice());
        if self.dice() < reorder {
            late += self.packet * REORDER_PACKETS;
        }
        let copied = self.dice() < duplicate;
        Fate::Arrives { late, again: copied.then(|| late + Duration::from_millis(DUPLICATE_MS)) }
    }

    /// Uniformly distributed between 0 and 1 (SplitMix64).
    fn dice(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    fn fates(impairment: Impairment, seed: u64) -> Vec<Fate> {
        let mut line = Line::new(impairment, PACKET, seed);
        (0..100_000).map(|_| line.next_fate()).collect()
    }

    #[test]
    fn losses_come_in_their_share_and_in_bursts_of_their_length() {
        let all = fates(Impairment { loss: 0.9, ..Impairment::default() }, 7);
        let lost = all.iter().filter(|&&fate| fate == Fate::Lost).count();
        assert!((89_000..91_000).contains(&lost), "{lost} of 100,000, though bursts are one packet long");
        for (loss, burst) in [(0.01, 1.0), (0.05, 3.0), (0.20, 6.0)] {
            let fates = fates(Impairment { loss, burst, ..Impairment::default() }, 7);
            let lost = fates.iter().filter(|&&fate| fate == Fate::Lost).count() as f64;
            let bursts = fates.windows(2).filter(|w| w[0] != Fate::Lost && w[1] == Fate::Lost).count() as f64;
            assert!((lost / 1e5 / loss - 1.0).abs() < 0.15, "{loss}: {lost}");
            assert!((lost / bursts / burst - 1.0).abs() < 0.15, "{burst}: {}", lost / bursts);
        }
    }

    #[test]
    fn a_perfect_line_changes_nothing_and_the_same_seed_does_the_same() {
        let fine = Fate::Arrives { late: Duration::ZERO, again: None };
        assert!(fates(Impairment::default(), 1).iter().all(|&fate| fate == fine));
        let bad =
            Impairment { loss: 0.1, reorder: 0.1, duplicate: 0.1, jitter: PACKET, ..Impairment::default() };
        assert_eq!(fates(bad, 3), fates(bad, 3));
        assert_ne!(fates(bad, 3), fates(bad, 4));
    }

    #[test]
    fn packets_are_overtaken_and_doubled_in_their_share() {
        let fates = fates(Impairment { reorder: 0.05, duplicate: 0.02, ..Impairment::default() }, 9);
        let count = |pick: fn(&Fate) -> bool| fates.iter().filter(|fate| pick(fate)).count();
        let overtaken = count(|fate| matches!(fate, Fate::Arrives { late, .. } if *late >= PACKET));
        let doubled = count(|fate| matches!(fate, Fate::Arrives { again: Some(_), .. }));
        assert!(
            (4_500..5_500).contains(&overtaken) && (1_700..2_300).contains(&doubled),
            "{overtaken} {doubled}"
        );
    }
}
