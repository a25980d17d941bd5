//! The noise-shaping quantiser without delayed decision (`silk_NSQ_c`), which complexities 0 and 1 use, for up
//! to 8 or 16 streams at once: one stream a lane.
//!
//! All that looks back reads rows of the batch's memory: outputs for short-term prediction, differences for the
//! shaping filter, and both long-term memories. No row is ever moved; a change of the gain scales those that
//! are still read.

mod in_and_out;

use super::at_lag::AtLag;
use super::memory::Memory;
use super::sample::{Facts, candidates};
use super::subframe::prepare;
use super::{Batch, ONE, Quantiser, SHAPING, Scratch};
use crate::simd::{Avx2, Avx512, Multiplier, Simd, multiplier, negate_where, smulwb};

/// Rows of outputs before the frame: what short-term prediction reads (`NSQ_LPC_BUF_LENGTH`, define.h).
const OUTPUTS_BEFORE: usize = 16;
/// Rows of differences before the frame: the newest, and the memory of the shaping filter.
const DIFFERENCES_BEFORE: usize = 1 + SHAPING;

/// What changes with each sample and is no row, one number a stream.
struct State<S: Simd> {
    seed: S::V,
    lf_ar: S::V,
    /// The newest output for long-term shaping.
    shape: S::V,
}

/// What is the same throughout a frame.
struct Fixed<S: Simd> {
    half_order: S::V,
    lambda_full: S::V,
    /// Lower halves of that.
    lambda: S::V,
    /// By how much a level is biased where Lambda is large.
    bias: S::V,
    offset: S::V,
    /// The highest order of the shaping filters.
    order: usize,
}

/// Coefficients of a subframe.
struct Taps<S: Simd> {
    shaping: [Multiplier<S>; SHAPING],
    lpc: [Multiplier<S>; 16],
    ltp: [Multiplier<S>; 5],
    tilt: Multiplier<S>,
    lf_low: Multiplier<S>,
    lf_high: Multiplier<S>,
    gain: S::V,
}

/// Where rows lie in the memory of a batch.
#[derive(Clone, Copy)]
struct Rows {
    outputs: *mut i32,
    differences: *mut i32,
    /// Of the subframe.
    pulses: *mut i32,
    /// Of the subframe.
    decoded: *mut i32,
}

impl Rows {
    /// The two parts of the rings are as long as a subframe of one number a stream.
    fn new<S: Simd>(m: &Memory<S>) -> Self {
        // SAFETY: there are `FRAME` rows of two numbers a stream in each of the first two, and one more of one
        // number a stream is at most `FRAME` and `DIFFERENCES_BEFORE`.
        unsafe {
            Self {
                outputs: m.outputs.add(OUTPUTS_BEFORE * S::W),
                differences: m.levels.add(DIFFERENCES_BEFORE * S::W),
                pulses: m.ring_shaping,
                decoded: m.ring_prediction,
            }
        }
    }
}

/// Quantises a frame of each call, of four subframes of `SUB` samples, with `TAPS` taps of short-term
/// prediction. Bits of the result: streams that are to be done by libopus' own function, whose state is as
/// before.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
unsafe fn quantise<S: Simd, const SUB: usize, const TAPS: usize>(
    z: &mut Scratch,
    calls: &[*mut Quantiser],
) -> u32 {
    assert!((1..=S::W).contains(&calls.len()));
    // SAFETY: the caller's promise. Rows and lanes stay below the sizes of the arrays, as lags are bounded.
    unsafe {
        let mut batch = Batch::new::<SUB>(calls, S::W);
        batch.streams.iter_mut().for_each(|stream| stream.delay = 0);
        let m = Memory::<S>::new(z);
        let rows = Rows::new(&m);
        let (mut state, fixed) = in_and_out::begin::<S, SUB>(&m, rows, &batch);
        for k in 0..4 {
            let has_lag = prepare::<S, SUB, TAPS>(&m, &mut batch, k, |_, stream, _| stream.decided = k * SUB);
            let taps = taps::<S, TAPS>(&m, &batch, k);
            rescale::<S, SUB, TAPS>(&m, rows, &batch, &mut state, k);
            let facts = Facts { voiced: batch.any_voiced, lag: has_lag, generous: batch.any_generous };
            samples::<S, SUB, TAPS>(&m, rows, &mut state, &fixed, &taps, facts, k);
            give_out::<S, SUB>(rows, &batch, k);
        }
        in_and_out::end::<S, SUB>(&m, rows, &batch, &state);
        batch.unfit
    }
}

/// For up to 8 calls: see [`quantise`].
///
/// # Safety
/// As that.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn quantise_one_avx2<const SUB: usize, const TAPS: usize>(
    z: &mut Scratch,
    calls: &[*mut Quantiser],
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { quantise::<Avx2, SUB, TAPS>(z, calls) }
}

/// For up to 16 calls: see [`quantise`].
///
/// # Safety
/// As that.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
pub(crate) unsafe fn quantise_one_avx512<const SUB: usize, const TAPS: usize>(
    z: &mut Scratch,
    calls: &[*mut Quantiser],
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { quantise::<Avx512, SUB, TAPS>(z, calls) }
}

/// The coefficients of subframe `k`, after [`prepare`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Vectors are not moved through iterators.
unsafe fn taps<S: Simd, const TAPS: usize>(m: &Memory<S>, batch: &Batch<'_>, k: usize) -> Taps<S> {
    // SAFETY: the caller's promise.
    unsafe {
        let none = multiplier::<S>(S::splat(0));
        for j in 0..SHAPING.max(TAPS) {
            (0..S::W).for_each(|u| *m.lane_row(j).add(u) = 0);
        }
        let (mut shaping, mut lpc, mut ltp) = ([none; SHAPING], [none; 16], [none; 5]);
        for (u, &call) in batch.calls.iter().enumerate() {
            for j in 0..(*call).shaping_order as usize {
                *m.lane_row(j).add(u) = (*(*call).ar.add(k * 24 + j)).into();
            }
        }
        for j in 0..SHAPING {
            shaping[j] = multiplier::<S>(S::load(m.lane_row(j)));
        }
        for (u, (&call, s)) in batch.calls.iter().zip(&batch.streams).enumerate() {
            let half = (k >> 1) | usize::from(!s.interpolated);
            for j in 0..TAPS {
                *m.lane_row(j).add(u) = (*(*call).lpc.add(half * 16 + j)).into();
            }
        }
        for j in 0..TAPS {
            lpc[j] = multiplier::<S>(S::load(m.lane_row(j)));
        }
        for j in 0..5 {
            ltp[j] = multiplier::<S>(m.streams(10 + j));
        }
        let [tilt, lf_low, lf_high] = [7, 8, 9].map(|row| multiplier::<S>(m.streams(row)));
        Taps { shaping, lpc, ltp, tilt, lf_low, lf_high, gain: m.streams(15) }
    }
}

/// Scales what is still read by the change of the gain, after [`prepare`].
#[inline(always)]
unsafe fn rescale<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    rows: Rows,
    batch: &Batch<'_>,
    state: &mut State<S>,
    k: usize,
) {
    if batch.streams.iter().all(|s| s.rescaled[k] == ONE) {
        return;
    }
    let w = S::W;
    let (past, now) = (4 * SUB, k * SUB);
    // SAFETY: the caller's promise.
    unsafe {
        let by = m.streams(6);
        let scaled = |from: *mut i32, count: usize| {
            for row in 0..count {
                let at = from.add(row * w);
                S::store(at, S::smulww(S::load(at), by));
            }
        };
        let kept = 18 * SUB / 5 + 3;
        scaled(m.shaping.add((past + now - kept) * w), kept);
        scaled(rows.outputs.add(now * w).sub(OUTPUTS_BEFORE * w), OUTPUTS_BEFORE);
        scaled(rows.differences.add(now * w).sub(DIFFERENCES_BEFORE * w), DIFFERENCES_BEFORE);
        state.lf_ar = S::smulww(state.lf_ar, by);
        state.shape = S::smulww(state.shape, by);
    }
}

/// Quantises the samples of subframe `k`.
#[inline(always)]
unsafe fn samples<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    rows: Rows,
    state: &mut State<S>,
    fixed: &Fixed<S>,
    taps: &Taps<S>,
    facts: Facts,
    k: usize,
) {
    let w = S::W;
    let past = 4 * SUB;
    // SAFETY: the caller's promise.
    unsafe {
        let mut at_lag = AtLag::<S>::new(m, facts);
        let lagged = at_lag.has_lag();
        for i in 0..SUB {
            let t = k * SUB + i;
            state.seed = S::add(S::mul_low(state.seed, S::splat(196_314_165)), S::splat(907_633_515));
            let sign = S::sra::<31>(state.seed);
            let input = S::load(m.scaled.add(i * w));

            let output = rows.outputs.add(t * w);
            let mut short_term = S::splat(TAPS as i32 / 2);
            for j in 0..TAPS {
                short_term = S::add(short_term, smulwb::<S>(S::load(output.sub((j + 1) * w)), &taps.lpc[j]));
            }
            let difference = rows.differences.add(t * w);
            let mut filtered = fixed.half_order;
            for j in 0..fixed.order {
                let before = S::load(difference.sub((j + 1) * w));
                filtered = S::add(filtered, smulwb::<S>(before, &taps.shaping[j]));
            }
            let noise = S::add(S::sll::<1>(filtered), smulwb::<S>(state.lf_ar, &taps.tilt));
            let low_noise =
                S::add(smulwb::<S>(state.shape, &taps.lf_low), smulwb::<S>(state.lf_ar, &taps.lf_high));

            // The prediction less the shaped noise. Source: NSQ.c, silk_noise_shape_quantizer.
            let (long_term, shaped) = at_lag.next(m, &taps.ltp, facts);
            let plain = S::sub(S::sub(S::sll::<2>(short_term), noise), low_noise);
            let alone = half_up::<S>(S::sra::<1>(plain));
            let target = if facts.lag {
                let all = S::add(S::sub(long_term, S::sll::<1>(shaped)), S::sll::<1>(plain));
                S::select(lagged, half_up::<S>(S::sra::<2>(all)), alone)
            } else {
                alone
            };

            let residual = negate_where::<S>(S::sub(input, target), sign);
            let [first, second] =
                candidates::<S>(residual, fixed.offset, fixed.lambda, fixed.lambda_full, fixed.bias, facts);
            let chosen = S::select(S::greater(first.cost, second.cost), second.level, first.level);
            let pulse = half_up::<S>(S::sra::<9>(chosen));
            let excitation = negate_where::<S>(S::sll::<4>(chosen), sign);
            let excited = S::add(excitation, S::sll::<1>(long_term));
            let out = S::add(excited, S::sll::<4>(short_term));

            let decoded = half_up::<S>(S::sra::<7>(S::smulww(out, taps.gain)));
            S::store(rows.pulses.add(i * w), pulse);
            S::store(rows.decoded.add(i * w), decoded);
            S::store(output, out);
            let now = S::sub(out, S::sll::<4>(input));
            S::store(difference, now);
            state.lf_ar = S::sub(now, S::sll::<2>(noise));
            state.shape = S::sub(state.lf_ar, S::sll::<2>(low_noise));
            S::store(m.shaping.add((past + t) * w), state.shape);
            if facts.voiced {
                S::store(m.prediction.add((past + t) * w), S::sll::<1>(excited));
            }
            state.seed = S::add(state.seed, pulse);
        }
    }
}

/// `(a + 1) >> 1`: the end of a shift that rounds.
#[inline(always)]
unsafe fn half_up<S: Simd>(a: S::V) -> S::V {
    // SAFETY: see `Simd`.
    unsafe { S::sra::<1>(S::add(a, S::splat(1))) }
}

/// Writes pulses and decoded samples of subframe `k`; the filters of the second half may need the latter.
#[inline(always)]
unsafe fn give_out<S: Simd, const SUB: usize>(rows: Rows, batch: &Batch<'_>, k: usize) {
    let (past, now) = (4 * SUB, k * SUB);
    // SAFETY: the caller's promise.
    unsafe {
        for (u, &call) in batch.calls.iter().enumerate().filter(|(u, _)| batch.unfit & 1 << u == 0) {
            let nsq = &mut *(*call).nsq;
            for i in 0..SUB {
                *(*call).pulses.add(now + i) = *rows.pulses.add(i * S::W + u) as i8;
                let decoded = *rows.decoded.add(i * S::W + u);
                nsq.out[past + now + i] = decoded.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            }
        }
    }
}
