//! The samples of a subframe: prediction and noise shaping, the choice of levels, and which state goes on.

use super::at_lag::AtLag;
use super::memory::{Memory, twice};
use super::state::{Fixed, State};
use super::subframe::Taps;
use super::{GIVEN_UP, RING, SHAPING};
use crate::simd::{Simd, add_saturating, negate_where, smulwb, smulwb_positive, sub_saturating};

/// What holds for any stream of the batch: where none, work is left out.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) voiced: bool,
    pub(super) lag: bool,
    pub(super) generous: bool,
}

/// The two levels next to a residual, the better one first.
struct Levels<S: Simd> {
    sign: S::V,
    best: S::V,
    next: S::V,
    best_cost: S::V,
    next_cost: S::V,
}

/// Quantises the samples of subframe `k`.
///
/// # Safety
/// As [`super::quantise`], after all that prepares the subframe.
#[inline(always)]
pub(super) unsafe fn samples<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    state: &mut State<S>,
    fixed: &Fixed<S>,
    taps: &Taps<S>,
    facts: Facts,
    k: usize,
) {
    let w = S::W;
    let l = 2 * w;
    let past = 4 * SUB;
    // SAFETY: the caller's promise.
    unsafe {
        let mut at_lag = AtLag::<S>::new(m, facts);
        let decided = m.streams(5);
        for i in 0..SUB {
            let t = k * SUB + i;
            let (predicted, shaped) = at_lag.next(m, &taps.ltp, facts);
            let long_term = S::sll::<1>(predicted);
            // A stream without a lag has neither.
            let feedback = twice::<S>(S::sub(long_term, S::sll::<2>(shaped)));
            let long_term = twice::<S>(long_term);
            let input = twice::<S>(S::load(m.scaled.add(i * w)));
            let short_term = short_term::<S, TAPS>(m, state, taps);
            let filtered = shape_noise::<S>(m, state, fixed, taps);
            let (winner_slot, excited) = decide::<S>(
                m,
                state,
                fixed,
                taps,
                facts,
                t,
                [long_term, feedback, input, short_term, filtered],
            );

            // The winner's output of the delay ago.
            let slot = S::evens(winner_slot[0], winner_slot[1]);
            let row = S::and(S::sub(S::splat(t as i32), fixed.delay_by_stream), S::splat(RING as i32 - 1));
            let place = S::add(S::add(S::mul_low(row, S::splat(l as i32)), fixed.lane_by_stream), slot);
            let open = S::greater(decided, S::splat(t as i32));
            let at = m.shaping.add((past + t) * w);
            S::store(at, S::select(open, S::load(at), S::gather(m.ring_shaping, place)));
            if facts.voiced {
                let at = m.prediction.add((past + t) * w);
                S::store(at, S::select(open, S::load(at), S::gather(m.ring_prediction, place)));
            }
            let at = m.slots.add(t * w);
            S::store(at, S::select(open, S::load(at), slot));

            advance::<S, TAPS>(m, state, facts, t, excited);
        }
    }
}

/// Draws the dither, and predicts by the last samples of each state.
#[allow(clippy::needless_range_loop)] // Vectors are not moved through iterators.
#[inline(always)]
unsafe fn short_term<S: Simd, const TAPS: usize>(
    m: &Memory<S>,
    state: &mut State<S>,
    taps: &Taps<S>,
) -> [S::V; 2] {
    let w = S::W;
    let l = 2 * w;
    let pairs = TAPS / 2;
    // SAFETY: the caller's promise; each list of coefficients stands twice.
    unsafe {
        let zero = S::splat(0);
        let lpc = taps.lpc[state.odd].as_ptr().add(pairs - state.newest);
        let mut short_term = [zero; 2];
        for h in 0..2 {
            state.seed[h] = S::add(S::mul_low(state.seed[h], S::splat(196_314_165)), S::splat(907_633_515));
            let mut high = S::splat(TAPS as i32 / 2);
            let mut low = zero;
            for j in 0..pairs {
                let tap = (*lpc.add(j))[h];
                high = S::add(high, S::madd(S::load(m.upper.add(j * l + h * w)), tap));
                let part = S::mul_high_signed(S::load(m.lower.add(j * l + h * w)), tap);
                low = S::add(low, S::madd(part, S::splat(0x0001_0001)));
            }
            short_term[h] = S::sll::<4>(S::add(high, low));
        }
        short_term
    }
}

/// The warped filter that shapes noise, without its tilt.
#[inline(always)]
unsafe fn shape_noise<S: Simd>(
    m: &Memory<S>,
    state: &State<S>,
    fixed: &Fixed<S>,
    taps: &Taps<S>,
) -> [S::V; 2] {
    let w = S::W;
    let l = 2 * w;
    // SAFETY: the caller's promise.
    unsafe {
        let zero = S::splat(0);
        let mut sum = [zero; 2];
        let mut even = [zero; 2];
        let mut odd_section = [zero; 2];
        let mut kept = [zero; 2];
        for h in 0..2 {
            let first = S::permute(S::load(m.ar.add(h * w)), state.pending[h]);
            kept[h] = S::permute(S::load(m.ar.add(l + h * w)), state.pending[h]);
            even[h] =
                S::add(state.difference[h], smulwb_positive::<S>(first, fixed.warp_high[h], fixed.warp[h]));
            let step = S::sub(kept[h], even[h]);
            odd_section[h] = S::add(first, smulwb_positive::<S>(step, fixed.warp_high[h], fixed.warp[h]));
            S::store(m.ar.add(h * w), even[h]);
            sum[h] = S::add(fixed.half_order[h], smulwb::<S>(even[h], &taps.shaping[0][h]));
        }
        let mut j = 2;
        while j < SHAPING {
            for h in 0..2 {
                let next = S::permute(S::load(m.ar.add(j * l + h * w)), state.pending[h]);
                let step = S::sub(next, odd_section[h]);
                even[h] = S::add(kept[h], smulwb_positive::<S>(step, fixed.warp_high[h], fixed.warp[h]));
                S::store(m.ar.add((j - 1) * l + h * w), odd_section[h]);
                sum[h] = S::add(sum[h], smulwb::<S>(odd_section[h], &taps.shaping[j - 1][h]));
                kept[h] = S::permute(S::load(m.ar.add((j + 1) * l + h * w)), state.pending[h]);
                let step = S::sub(kept[h], even[h]);
                odd_section[h] = S::add(next, smulwb_positive::<S>(step, fixed.warp_high[h], fixed.warp[h]));
                S::store(m.ar.add(j * l + h * w), even[h]);
                sum[h] = S::add(sum[h], smulwb::<S>(even[h], &taps.shaping[j][h]));
            }
            j += 2;
        }
        for h in 0..2 {
            S::store(m.ar.add((SHAPING - 1) * l + h * w), odd_section[h]);
            sum[h] = S::add(sum[h], smulwb::<S>(odd_section[h], &taps.shaping[SHAPING - 1][h]));
        }
        sum
    }
}

/// Chooses levels, lets a state take the other's place where that is better, and moves the states on.
/// Returns the winner's slot at the delay, and what goes into the ring of long-term prediction.
#[inline(always)]
unsafe fn decide<S: Simd>(
    m: &Memory<S>,
    state: &mut State<S>,
    fixed: &Fixed<S>,
    taps: &Taps<S>,
    facts: Facts,
    t: usize,
    [long_term, feedback, input, mut short_term, filtered]: [[S::V; 2]; 5],
) -> ([S::V; 2], [S::V; 2]) {
    let w = S::W;
    let l = 2 * w;
    // SAFETY: the caller's promise.
    unsafe {
        let zero = S::splat(0);
        let places = S::places();
        let mut excited_twice = [zero; 2];
        let mut winner_slot = [zero; 2];
        for h in 0..2 {
            let tilted = S::add(S::sll::<1>(filtered[h]), smulwb::<S>(state.lf_ar[h], &taps.tilt[h]));
            let mut noise = S::sll::<2>(tilted);
            let low = S::add(
                smulwb::<S>(state.shape[h], &taps.lf_low[h]),
                smulwb::<S>(state.lf_ar[h], &taps.lf_high[h]),
            );
            let mut low_noise = S::sll::<2>(low);

            let target = S::add(feedback[h], short_term[h]);
            let choice = levels::<S>(
                state,
                fixed,
                input[h],
                sub_saturating::<S>(target, add_saturating::<S>(noise, low_noise)),
                facts,
                h,
            );
            let Levels { sign, best, next, mut best_cost, mut next_cost } = choice;

            // Which state wins; the other is given up where it descends from another sample
            // at the delay.
            let evens = S::evens_twice(best_cost);
            let odds = S::odds_twice(best_cost);
            let second_state = S::greater(evens, odds);
            let slot = S::and(
                S::or(
                    S::srl_each(state.path_low[h], S::sub(fixed.delay[h], S::splat(1))),
                    S::srl_each(state.path_high[h], S::sub(fixed.delay[h], S::splat(33))),
                ),
                S::splat(1),
            );
            let differs = S::greater(S::xor(slot, S::swap_pairs(slot)), zero);
            let loses = S::m_xor(second_state, S::m_odds());
            let penalty = S::keep(S::m_and(loses, differs), S::splat(GIVEN_UP));
            best_cost = S::add(best_cost, penalty);
            next_cost = S::add(next_cost, penalty);
            winner_slot[h] = S::select(second_state, S::odds_twice(slot), S::evens_twice(slot));

            // The worse state becomes the better one with its second choice, where that is better.
            let other_best = S::swap_pairs(best_cost);
            let other_next = S::swap_pairs(next_cost);
            let worse = S::greater(S::odds_twice(best_cost), S::evens_twice(best_cost));
            let worse = S::m_xor(worse, S::m_evens());
            let beaten = S::greater(S::max(best_cost, other_best), S::min(next_cost, other_next));
            let replaced = S::m_and(worse, beaten);
            let to = S::xor(places, S::keep(replaced, S::splat(1)));
            state.pending[h] = to;
            state.cost[h] = S::select(replaced, other_next, best_cost);
            let chosen = S::select(replaced, S::swap_pairs(next), best);
            state.first_seed[h] = S::permute(state.first_seed[h], to);
            let moved_low = S::permute(state.path_low[h], to);
            let moved_high = S::permute(state.path_high[h], to);
            state.path_high[h] = S::or(S::add(moved_high, moved_high), S::srl::<31>(moved_low));
            state.path_low[h] = S::or(S::add(moved_low, moved_low), S::keep(S::m_odds(), S::splat(1)));
            short_term[h] = S::permute(short_term[h], to);
            noise = S::permute(noise, to);
            low_noise = S::permute(low_noise, to);
            state.seed[h] = S::permute(state.seed[h], to);
            let sign = S::permute(sign, to);

            // The state after this sample.
            let excitation = negate_where::<S>(S::sll::<4>(chosen), sign);
            let excited = S::add(excitation, long_term[h]);
            let out = S::add(excited, short_term[h]);
            state.difference[h] = S::sub(out, S::sll::<4>(input[h]));
            state.lf_ar[h] = S::sub(state.difference[h], noise);
            state.shape[h] = sub_saturating::<S>(state.lf_ar[h], low_noise);
            state.seed[h] = S::add(state.seed[h], S::sra::<1>(S::add(S::sra::<9>(chosen), S::splat(1))));
            state.same_seeds[h] =
                S::m_or(state.same_seeds[h], S::equal(state.seed[h], S::swap_pairs(state.seed[h])));
            state.highest[h] = S::max(state.highest[h], out);
            S::store(m.levels.add(t * l + h * w), chosen);
            S::store(m.outputs.add(t * l + h * w), out);
            excited_twice[h] = S::sll::<1>(excited);
        }
        (winner_slot, excited_twice)
    }
}

/// The two levels next to what is left of the input.
#[inline(always)]
unsafe fn levels<S: Simd>(
    state: &State<S>,
    fixed: &Fixed<S>,
    input: S::V,
    target: S::V,
    facts: Facts,
    h: usize,
) -> Levels<S> {
    // SAFETY: the caller's promise.
    unsafe {
        let target = S::sra::<1>(S::add(S::sra::<3>(target), S::splat(1)));
        let sign = S::sra::<31>(state.seed[h]);
        let residual = negate_where::<S>(S::sub(input, target), sign);
        let [first, second] = candidates::<S>(
            residual,
            fixed.offset[h],
            fixed.lambda[h],
            fixed.lambda_full[h],
            fixed.bias[h],
            facts,
        );
        let first_cost = S::sra::<10>(first.cost);
        let second_cost = S::sra::<10>(second.cost);
        let first_wins = S::greater(second_cost, first_cost);
        let best_cost = S::add(state.cost[h], S::min(first_cost, second_cost));
        let next_cost = S::add(state.cost[h], S::max(first_cost, second_cost));
        let best = S::select(first_wins, first.level, second.level);
        let next = S::select(first_wins, second.level, first.level);
        Levels { sign, best, next, best_cost, next_cost }
    }
}

/// A level, and the rate and distortion that it costs.
pub(super) struct Candidate<S: Simd> {
    pub(super) level: S::V,
    pub(super) cost: S::V,
}

/// The two levels next to a residual, the lower one first. `lambda` is the lower half of `lambda_full`.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn candidates<S: Simd>(
    residual: S::V,
    offset: S::V,
    lambda: S::V,
    lambda_full: S::V,
    bias: S::V,
    facts: Facts,
) -> [Candidate<S>; 2] {
    // SAFETY: see `Simd`.
    unsafe {
        let residual = S::min(S::max(residual, S::splat(-(31 << 10))), S::splat(30 << 10));
        let biased = S::sub(residual, offset);
        let mut level = S::sra::<10>(biased);
        if facts.generous {
            let plain = S::greater(S::splat(2_049), lambda_full);
            let above = S::greater(biased, bias);
            let below = S::greater(S::sub(S::splat(0), bias), biased);
            let inner = S::sra::<31>(biased);
            let lower = S::select(below, S::sra::<10>(S::add(biased, bias)), inner);
            let other = S::select(above, S::sra::<10>(S::sub(biased, bias)), lower);
            level = S::select(plain, level, other);
        }
        let above = S::add(level, S::splat(1));
        let adjust = S::splat(80);
        let first = S::sub(S::add(S::sll::<10>(level), offset), S::with_sign(adjust, level));
        let second = S::sub(S::add(S::sll::<10>(above), offset), S::with_sign(adjust, above));
        let rate = |q: S::V, level: S::V| S::madd(negate_where::<S>(q, S::sra::<31>(level)), lambda);
        let error = |q: S::V| {
            let error = S::sub(residual, q);
            S::madd(error, S::and(error, S::splat(0xffff)))
        };
        let first_cost = S::add(rate(first, level), error(first));
        let second_cost = S::add(rate(second, above), error(second));
        [Candidate { level: first, cost: first_cost }, Candidate { level: second, cost: second_cost }]
    }
}

/// The new sample takes the place of the oldest; the others follow their states.
#[allow(clippy::needless_range_loop)] // Vectors are not moved through iterators.
#[inline(always)]
unsafe fn advance<S: Simd, const TAPS: usize>(
    m: &Memory<S>,
    state: &mut State<S>,
    facts: Facts,
    t: usize,
    excited: [S::V; 2],
) {
    let w = S::W;
    let l = 2 * w;
    let pairs = TAPS / 2;
    // SAFETY: the caller's promise.
    unsafe {
        let oldest = (state.newest + pairs - 1) % pairs;
        for h in 0..2 {
            let ring = (t % RING) * l + h * w;
            S::store(m.ring_shaping.add(ring), state.shape[h]);
            if facts.voiced {
                S::store(m.ring_prediction.add(ring), excited[h]);
            }
            let out = S::load(m.outputs.add(t * l + h * w));
            for j in 0..pairs {
                let (high, low) = (m.upper.add(j * l + h * w), m.lower.add(j * l + h * w));
                S::store(high, S::permute(S::load(high), state.pending[h]));
                S::store(low, S::permute(S::load(low), state.pending[h]));
            }
            let (high, low) = (m.upper.add(oldest * l + h * w), m.lower.add(oldest * l + h * w));
            let rounded = S::add(out, S::splat(0x8000));
            if state.odd == 0 {
                S::store(high, S::halves(S::load(high), rounded));
                S::store(low, S::halves(S::load(low), S::sll::<16>(out)));
            } else {
                S::store(high, S::halves(S::srl::<16>(rounded), S::load(high)));
                S::store(low, S::halves(out, S::load(low)));
            }
        }
        if state.odd == 1 {
            state.newest = oldest;
        }
        state.odd ^= 1;
    }
}
