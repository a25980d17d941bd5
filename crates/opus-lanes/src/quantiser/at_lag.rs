//! Long-term prediction and shaping: what is read at a pitch lag, one number a stream.

use super::memory::Memory;
use super::sample::Facts;
use crate::simd::{Multiplier, Simd, add_saturating, smulwb, smulwb_positive};

/// Where each stream reads, and what it read last.
pub(super) struct AtLag<S: Simd> {
    place: S::V,
    shaped: [S::V; 2],
    predicted: [S::V; 4],
    has_lag: S::M,
    is_voiced: S::M,
    /// Weights of the neighbours and of the middle, each in the upper and in the lower half.
    sides: [S::V; 2],
    middle: [S::V; 2],
}

impl<S: Simd> AtLag<S> {
    #[inline(always)]
    pub(super) unsafe fn new(m: &Memory<S>, facts: Facts) -> Self {
        let w = S::W;
        // SAFETY: the caller's promise.
        unsafe {
            let zero = S::splat(0);
            let (sides, middle) = (m.streams(0), m.streams(1));
            let place = m.streams(4);
            let mut predicted = [zero; 4];
            if facts.voiced {
                predicted = [
                    S::gather(m.prediction, place),
                    S::gather(m.prediction.sub(w), place),
                    S::gather(m.prediction.sub(2 * w), place),
                    S::gather(m.prediction.sub(3 * w), place),
                ];
            }
            Self {
                place,
                shaped: [S::gather(m.shaping.sub(w), place), S::gather(m.shaping.sub(2 * w), place)],
                predicted,
                has_lag: S::greater(zero, m.streams(2)),
                is_voiced: S::greater(zero, m.streams(3)),
                sides: [S::sll::<16>(sides), sides],
                middle: [S::sll::<16>(middle), middle],
            }
        }
    }

    /// Which streams have a pitch lag.
    #[inline(always)]
    pub(super) fn has_lag(&self) -> S::M {
        self.has_lag
    }

    /// The sums of long-term prediction and of long-term shaping; 0 where a stream has none.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // Vectors are not moved through iterators.
    pub(super) unsafe fn next(
        &mut self,
        m: &Memory<S>,
        taps: &[Multiplier<S>; 5],
        facts: Facts,
    ) -> (S::V, S::V) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut predicted = S::splat(0);
            if facts.voiced {
                let ahead = S::gather(m.prediction.add(S::W), self.place);
                let mut sum = S::add(S::splat(2), smulwb::<S>(ahead, &taps[0]));
                for j in 0..4 {
                    sum = S::add(sum, smulwb::<S>(self.predicted[j], &taps[j + 1]));
                }
                self.predicted = [ahead, self.predicted[0], self.predicted[1], self.predicted[2]];
                predicted = S::keep(self.is_voiced, sum);
            }
            let mut shaped = S::splat(0);
            if facts.lag {
                let newest = S::gather(m.shaping, self.place);
                let sides = add_saturating::<S>(newest, self.shaped[1]);
                let sum = S::add(
                    smulwb_positive::<S>(sides, self.sides[0], self.sides[1]),
                    smulwb_positive::<S>(self.shaped[0], self.middle[0], self.middle[1]),
                );
                self.shaped = [newest, self.shaped[0]];
                shaped = S::keep(self.has_lag, sum);
            }
            self.place = S::add(self.place, S::splat(S::W as i32));
            (predicted, shaped)
        }
    }
}
