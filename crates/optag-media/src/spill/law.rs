//! The values of G.711 in order of size: the rank of a sample, 0 to 255, rises with it. What came as
//! G.711 and was not changed is told by its values alone, and eight bits say all of it.
//!
//! Source: ITU-T G.711, tables 1a and 2a.

/// The two codes of G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    /// A-law.
    A,
    /// µ-law.
    Mu,
}

/// Rank of the least value that is not negative.
pub(super) const MIDDLE: i32 = 128;

/// Values of the A-law by rank.
static A: [i16; 256] = values(Law::A);
/// Values of the µ-law by rank; 0 has two.
static MU: [i16; 256] = values(Law::Mu);

impl Law {
    /// The rank of the value nearest to a sample.
    pub(super) fn rank(self, sample: i16) -> u8 {
        let magnitude = sample.unsigned_abs();
        let above = match self {
            Law::A => {
                let magnitude = u32::from(magnitude).min(32_767);
                let segment = (24 - (magnitude | 0xff).leading_zeros()).max(1);
                16 * (segment - 1) + (magnitude >> (segment + 3))
            }
            Law::Mu => {
                let biased = (u32::from(magnitude) + 132).min(32_767);
                let segment = 24 - biased.leading_zeros();
                16 * segment + (biased >> (segment + 3)) - 16
            }
        } as i32;
        (if sample < 0 { MIDDLE - 1 - above } else { MIDDLE + above }) as u8
    }

    /// The value of a rank.
    pub(super) fn value(self, rank: u8) -> i16 {
        self.values()[usize::from(rank)]
    }

    /// All values, by rank.
    pub(super) fn values(self) -> &'static [i16; 256] {
        match self {
            Law::A => &A,
            Law::Mu => &MU,
        }
    }

    /// The law of which every sample is a value.
    pub(super) fn of(samples: &[i16]) -> Option<Self> {
        let holds = |law: Self| samples.iter().all(|&sample| law.value(law.rank(sample)) == sample);
        [Law::A, Law::Mu].into_iter().find(|&law| holds(law))
    }
}

const fn values(law: Law) -> [i16; 256] {
    let mut values = [0; 256];
    let mut above = 0;
    while above < 128 {
        let (segment, step) = (above >> 4, (above & 15) as i32);
        let magnitude = match law {
            Law::A if segment == 0 => 16 * step + 8,
            Law::A => (16 * step + 264) << (segment - 1),
            Law::Mu => ((8 * step + 132) << segment) - 132,
        };
        values[128 + above] = magnitude as i16;
        values[127 - above] = -magnitude as i16;
        above += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::g711::{decode_alaw, decode_ulaw};

    #[test]
    fn every_code_has_a_rank_and_ranks_rise_with_values() {
        let codes: Vec<u8> = (0..=255).collect();
        let (mut alaw, mut ulaw) = ([0; 256], [0; 256]);
        decode_alaw(&codes, &mut alaw);
        decode_ulaw(&codes, &mut ulaw);
        for (law, decoded) in [(Law::A, alaw), (Law::Mu, ulaw)] {
            assert!(law.values().is_sorted());
            for sample in decoded {
                assert_eq!(law.value(law.rank(sample)), sample, "{law:?}");
            }
            let mut sorted = decoded;
            sorted.sort_unstable();
            assert_eq!(sorted, *law.values());
        }
        assert_eq!(Law::of(&alaw), Some(Law::A));
        assert_eq!(Law::of(&ulaw), Some(Law::Mu));
        assert_eq!(Law::of(&[8, 4]), None);
    }

    #[test]
    fn the_rank_of_any_sample_is_that_of_a_value_beside_it() {
        for law in [Law::A, Law::Mu] {
            let mut last = 0;
            for sample in i16::MIN..=i16::MAX {
                let rank = law.rank(sample);
                assert!(rank >= last, "{law:?}, {sample}");
                last = rank;
                let off = |rank: u8| (i32::from(law.value(rank)) - i32::from(sample)).abs();
                let better = off(rank.saturating_add(1)).min(off(rank.saturating_sub(1)));
                // Where steps double, the recommendation's limit between two values is not their middle.
                assert!(off(rank) <= 2 * better + 1, "{law:?}, {sample}: {rank}");
            }
        }
    }
}
