//! A subframe before its samples: input, what is known of the past at the pitch lag, coefficients, and
//! the change of the gain.

use super::fixed::{divide, invert, saturate16, shift_round, smulwb, smulww};
use super::memory::{Memory, twice};
use super::state::State;
use super::{Batch, DELAY, FRAME, GIVEN_UP, ONE, Quantiser, RING, SHAPING, Stream, path_word};
use crate::simd::{Multiplier, Simd, multiplier};

unsafe extern "C" {
    fn opus_lanes_rewhiten(out: *mut i16, input: *const i16, a: *const i16, length: i32, order: i32);
}

/// Coefficients of a subframe.
pub(super) struct Taps<S: Simd> {
    pub(super) shaping: [[Multiplier<S>; 2]; SHAPING],
    /// Pairs of coefficients of short-term prediction, by the age of the pair of samples: first where
    /// the newest sample has its pair with the one before, then where it has it with the oldest. Each
    /// list stands twice, so that it can be read from any age on.
    pub(super) lpc: [[[S::V; 2]; 16]; 2],
    pub(super) ltp: [Multiplier<S>; 5],
    pub(super) tilt: [Multiplier<S>; 2],
    pub(super) lf_low: [Multiplier<S>; 2],
    pub(super) lf_high: [Multiplier<S>; 2],
}

/// Prepares subframe `k` of each stream. Where the filters of a stream change in mid-frame, `at_half` is called first.
/// Returns whether any has a pitch lag.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn prepare<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    batch: &mut Batch<'_>,
    k: usize,
    mut at_half: impl FnMut(&Quantiser, &mut Stream, usize),
) -> bool {
    let w = S::W;
    let past = 4 * SUB;
    let now = k * SUB;
    let mut any_lag = false;
    // SAFETY: the caller's promise.
    unsafe {
        for u in batch.calls.len()..w {
            (0..16).for_each(|row| *m.stream_row(row).add(u) = 0);
            *m.stream_row(4).add(u) = ((past + now + 1) * w + u) as i32;
            *m.stream_row(6).add(u) = ONE;
        }
        for (u, (&call, s)) in batch.calls.iter().zip(&mut batch.streams).enumerate() {
            let call = &*call;
            let lag = *call.lags.add(k) as usize;
            let mut whitened = None;
            if s.voiced {
                s.lag = lag;
                if k == 0 || (k == 2 && s.interpolated) {
                    if k == 2 {
                        at_half(call, s, u);
                    }
                    whitened = Some(whiten::<SUB, TAPS>(call, s, k));
                }
            }
            scale::<S, SUB>(m, call, s, u, k, whitened.as_ref());
            any_lag |= s.lag > 0;
            *m.stream_row(0).add(u) = *call.harmonic.add(k) >> 2;
            *m.stream_row(1).add(u) = *call.harmonic.add(k) >> 1;
            *m.stream_row(2).add(u) = -i32::from(s.lag > 0);
            *m.stream_row(3).add(u) = -i32::from(s.voiced);
            *m.stream_row(4).add(u) = ((past + now + 1 + s.delay - s.lag) * w + u) as i32;
            *m.stream_row(5).add(u) = (s.decided + s.delay) as i32;
            *m.stream_row(6).add(u) = s.rescaled[k];
            *m.stream_row(7).add(u) = *call.tilt.add(k);
            *m.stream_row(8).add(u) = *call.lf.add(k);
            *m.stream_row(9).add(u) = *call.lf.add(k) >> 16;
            for j in 0..5 {
                *m.stream_row(10 + j).add(u) = (*call.ltp.add(k * 5 + j)).into();
            }
            *m.stream_row(15).add(u) = *call.gains.add(k) >> 6;
        }
    }
    any_lag
}

/// Makes all decisions of the first half of the frame, as the filters change then.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn decide_half<S: Simd, const SUB: usize>(
    m: &Memory<S>,
    call: &Quantiser,
    s: &mut Stream,
    state: &mut State<S>,
    u: usize,
) {
    let w = S::W;
    let l = 2 * w;
    let (past, frame, now) = (4 * SUB, 4 * SUB, 2 * SUB);
    // SAFETY: the caller's promise.
    unsafe {
        let nsq = &mut *call.nsq;
        m.put_lanes(0, state.cost);
        m.put_lanes(1, state.path_low);
        m.put_lanes(2, state.path_high);
        let costs = m.lane_row(0).add(s.lane);
        let winner = usize::from(*costs.add(1) < *costs);
        *costs.add(1 - winner) = (*costs.add(1 - winner)).wrapping_add(GIVEN_UP);
        state.cost = m.lanes(0);
        let path = path_word(m.lane_row(1), m.lane_row(2), s.lane + winner);
        for back in 0..s.delay {
            let t = now - 1 - back;
            let slot = (path >> back) as usize & 1;
            *m.slots.add((t + s.delay) * w + u) = slot as i32;
            *m.shaping.add((past + t + s.delay) * w + u) =
                *m.ring_shaping.add((t % RING) * l + s.lane + slot);
        }
        for t in 0..now {
            let slot = *m.slots.add((t + s.delay) * w + u) as usize;
            let place = t * l + s.lane + slot;
            *call.pulses.add(t) = shift_round(*m.levels.add(place), 10) as i8;
            let x = *m.outputs.add(place);
            let sample = if t < now - s.delay {
                shift_round(smulww(x, *call.gains.add(t / SUB) >> 6), 8)
            } else {
                shift_round(smulww(x, *call.gains.add(1)), 14)
            };
            nsq.out[frame + t] = saturate16(sample);
        }
        s.decided = now;
    }
}

/// The past output through the filter of the subframe: `silk_LPC_analysis_filter`.
#[inline(always)]
unsafe fn whiten<const SUB: usize, const TAPS: usize>(
    call: &Quantiser,
    s: &Stream,
    k: usize,
) -> [i16; FRAME] {
    let past = 4 * SUB;
    let mut whitened = [0i16; FRAME];
    let from = past - s.lag - TAPS - 2;
    let half = (k >> 1) | usize::from(!s.interpolated);
    // SAFETY: the caller's promise; a lag is bounded.
    unsafe {
        opus_lanes_rewhiten(
            whitened.as_mut_ptr().add(from),
            (*call.nsq).out.as_ptr().add(from + k * SUB),
            call.lpc.add(half * 16),
            (past - from) as i32,
            TAPS as i32,
        );
    }
    whitened
}

/// Divides what comes in, and what was before at the pitch lag, by the gain.
#[inline(always)]
unsafe fn scale<S: Simd, const SUB: usize>(
    m: &Memory<S>,
    call: &Quantiser,
    s: &mut Stream,
    u: usize,
    k: usize,
    whitened: Option<&[i16; FRAME]>,
) {
    let w = S::W;
    let past = 4 * SUB;
    let now = k * SUB;
    // SAFETY: the caller's promise.
    unsafe {
        let gain = *call.gains.add(k);
        let mut inverse = invert(gain.max(1), 47);
        let inverse26 = shift_round(inverse, 5);
        for t in 0..SUB {
            *m.scaled.add(t * w + u) = smulww((*call.input.add(now + t)).into(), inverse26);
        }
        if let Some(whitened) = whitened {
            if k == 0 {
                inverse = smulwb(inverse, call.ltp_scale).wrapping_shl(2);
            }
            for (t, &sample) in whitened.iter().enumerate().take(past).skip(past - s.lag - 2) {
                *m.prediction.add((now + t + s.delay) * w + u) = smulwb(inverse, sample.into());
            }
        }
        let before = if k == 0 { (*call.nsq).last_gain } else { *call.gains.add(k - 1) };
        if gain != before {
            let by = divide(before, gain, 16);
            s.rescaled[k] = by;
            if s.voiced && whitened.is_none() {
                for row in past + now - s.lag - 2 + s.delay..past + now {
                    let at = m.prediction.add(row * w + u);
                    *at = smulww(by, *at);
                }
            }
        }
    }
}

/// The coefficients of subframe `k`.
///
/// # Safety
/// As [`super::quantise`], after [`prepare`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Vectors are not moved through iterators.
pub(super) unsafe fn taps<S: Simd, const TAPS: usize>(m: &Memory<S>, batch: &Batch<'_>, k: usize) -> Taps<S> {
    let l = 2 * S::W;
    let pairs = TAPS / 2;
    // SAFETY: the caller's promise.
    unsafe {
        let none = multiplier::<S>(S::splat(0));
        for j in 0..SHAPING {
            (0..l).for_each(|lane| *m.lane_row(j).add(lane) = 0);
        }
        for (&call, s) in batch.calls.iter().zip(&batch.streams) {
            for j in 0..(*call).shaping_order as usize {
                let coefficient = (*(*call).ar.add(k * 24 + j)).into();
                *m.lane_row(j).add(s.lane) = coefficient;
                *m.lane_row(j).add(s.lane + 1) = coefficient;
            }
        }
        let mut shaping = [[none; 2]; SHAPING];
        for j in 0..SHAPING {
            let row = m.lanes(j);
            shaping[j] = [multiplier::<S>(row[0]), multiplier::<S>(row[1])];
        }
        let mut lpc = [[[S::splat(0); 2]; 16]; 2];
        for uneven in 0..2 {
            for age in 0..pairs {
                (0..l).for_each(|lane| *m.lane_row(age).add(lane) = 0);
            }
            for (&call, s) in batch.calls.iter().zip(&batch.streams) {
                let half = (k >> 1) | usize::from(!s.interpolated);
                let taps = std::slice::from_raw_parts((*call).lpc.add(half * 16), TAPS);
                for age in 0..pairs {
                    let (first, second) = (taps[2 * age + uneven], taps[(2 * age + uneven + 1) % TAPS]);
                    let both = i32::from(first) & 0xffff | i32::from(second) << 16;
                    *m.lane_row(age).add(s.lane) = both;
                    *m.lane_row(age).add(s.lane + 1) = both;
                }
            }
            for age in 0..pairs {
                let row = m.lanes(age);
                lpc[uneven][age] = row;
                lpc[uneven][age + pairs] = row;
            }
        }
        let mut ltp = [none; 5];
        for j in 0..5 {
            ltp[j] = multiplier::<S>(m.streams(10 + j));
        }
        let (tilt, low, high) = (m.streams_twice(7), m.streams_twice(8), m.streams_twice(9));
        Taps {
            shaping,
            lpc,
            ltp,
            tilt: [multiplier::<S>(tilt[0]), multiplier::<S>(tilt[1])],
            lf_low: [multiplier::<S>(low[0]), multiplier::<S>(low[1])],
            lf_high: [multiplier::<S>(high[0]), multiplier::<S>(high[1])],
        }
    }
}

/// Scales the state by the change of the gain.
///
/// # Safety
/// As [`super::quantise`], after [`prepare`].
#[allow(clippy::needless_range_loop)] // Vectors are not moved through iterators.
#[inline(always)]
pub(super) unsafe fn rescale<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    batch: &Batch<'_>,
    state: &mut State<S>,
    k: usize,
) {
    if batch.streams.iter().all(|s| s.rescaled[k] == ONE) {
        return;
    }
    let w = S::W;
    let l = 2 * w;
    let (past, now) = (4 * SUB, k * SUB);
    // SAFETY: the caller's promise.
    unsafe {
        let by = m.streams(6);
        let by2 = twice::<S>(by);
        for row in past + now - (16 * SUB / 5 + 5)..past + now + DELAY {
            let at = m.shaping.add(row * w);
            S::store(at, S::smulww(S::load(at), by));
        }
        for h in 0..2 {
            state.lf_ar[h] = S::smulww(state.lf_ar[h], by2[h]);
            state.difference[h] = S::smulww(state.difference[h], by2[h]);
            state.shape[h] = S::smulww(state.shape[h], by2[h]);
            for j in 0..SHAPING {
                let at = m.ar.add(j * l + h * w);
                S::store(at, S::smulww(S::load(at), by2[h]));
            }
            for j in 0..TAPS / 2 {
                let (high, low) = (m.upper.add(j * l + h * w), m.lower.add(j * l + h * w));
                let (a, b) = (S::load(high), S::load(low));
                let first = S::add(S::sll::<16>(a), S::sra::<16>(S::sll::<16>(b)));
                let second = S::add(S::and(a, S::splat(-0x1_0000)), S::sra::<16>(b));
                let first = S::smulww(first, by2[h]);
                let second = S::smulww(second, by2[h]);
                state.highest[h] = S::max(state.highest[h], S::max(first, second));
                let round = S::splat(0x8000);
                S::store(high, S::halves(S::srl::<16>(S::add(first, round)), S::add(second, round)));
                S::store(low, S::halves(first, S::sll::<16>(second)));
            }
            for t in now.saturating_sub(DELAY)..now {
                for ring in [m.ring_shaping, m.ring_prediction] {
                    let at = ring.add((t % RING) * l + h * w);
                    S::store(at, S::smulww(S::load(at), by2[h]));
                }
            }
        }
    }
}
