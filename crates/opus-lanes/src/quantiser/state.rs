//! The state of a batch: what goes from sample to sample in vectors, and how it comes from and goes to
//! the states of the encoders.

use super::fixed::{saturate16, shift_round, smulww};
use super::memory::{Memory, twice};
use super::{Batch, DELAY, NsqState, Quantiser, RING, SHAPING, Stream, TOO_HIGH, path_word};
use crate::simd::Simd;

unsafe extern "C" {
    #[link_name = "opus_lanes_silk_Quantization_Offsets_Q10"]
    pub(super) static OFFSETS: [[i16; 2]; 2];
}

/// What changes with each sample, one number a lane.
pub(super) struct State<S: Simd> {
    pub(super) seed: [S::V; 2],
    pub(super) first_seed: [S::V; 2],
    pub(super) lf_ar: [S::V; 2],
    pub(super) difference: [S::V; 2],
    /// The newest output for long-term shaping.
    pub(super) shape: [S::V; 2],
    /// Rate and distortion so far.
    pub(super) cost: [S::V; 2],
    /// Slots of the last 64 samples, the newest in the lowest bit.
    pub(super) path_low: [S::V; 2],
    pub(super) path_high: [S::V; 2],
    /// Where each lane's shaping filter lies since the last sample.
    pub(super) pending: [S::V; 2],
    /// Highest sample so far, for the split into halves.
    pub(super) highest: [S::V; 2],
    /// Whether both states of a stream ever had the same seed.
    pub(super) same_seeds: [S::M; 2],
    /// The pair of samples with the newest one, and whether that has its pair with the oldest.
    pub(super) newest: usize,
    pub(super) odd: usize,
}

/// What is the same throughout a frame.
pub(super) struct Fixed<S: Simd> {
    pub(super) delay: [S::V; 2],
    pub(super) warp: [S::V; 2],
    pub(super) warp_high: [S::V; 2],
    pub(super) half_order: [S::V; 2],
    pub(super) lambda_full: [S::V; 2],
    /// Lower halves of that.
    pub(super) lambda: [S::V; 2],
    /// By how much a level is biased where Lambda is large.
    pub(super) bias: [S::V; 2],
    pub(super) offset: [S::V; 2],
    pub(super) delay_by_stream: S::V,
    pub(super) lane_by_stream: S::V,
}

/// Takes the encoders' states in.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn begin<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    batch: &mut Batch<'_>,
) -> (State<S>, Fixed<S>) {
    let w = S::W;
    let l = 2 * w;
    let past = 4 * SUB;
    let pairs = TAPS / 2;
    // SAFETY: the caller's promise.
    unsafe {
        for lane in 0..l {
            (0..8).for_each(|row| *m.lane_row(row).add(lane) = 0);
            *m.lane_row(4).add(lane) = DELAY as i32;
        }
        for u in 0..w {
            (0..2).for_each(|row| *m.stream_row(row).add(u) = 0);
            *m.stream_row(2).add(u) = DELAY as i32;
            *m.stream_row(3).add(u) = batch.streams[u].lane as i32;
        }
        for u in 0..batch.calls.len() {
            let call = &*batch.calls[u];
            let nsq = &*call.nsq;
            let indices = &*call.indices;
            let s = &batch.streams[u];
            *m.stream_row(0).add(u) = OFFSETS[(indices.signal >> 1) as usize][indices.offset as usize].into();
            *m.stream_row(1).add(u) = call.lambda;
            *m.stream_row(2).add(u) = s.delay as i32;
            for state in 0..2 {
                let lane = s.lane + state;
                *m.lane_row(0).add(lane) = (state as i32 + i32::from(indices.seed)) & 3;
                *m.lane_row(1).add(lane) = nsq.lf_ar;
                *m.lane_row(2).add(lane) = nsq.difference;
                *m.lane_row(3).add(lane) = nsq.shaping[past - 1];
                *m.lane_row(4).add(lane) = s.delay as i32;
                *m.lane_row(5).add(lane) = call.warping;
                *m.lane_row(6).add(lane) = call.shaping_order >> 1;
                *m.lane_row(7).add(lane) = call.lambda;
                for j in 0..SHAPING {
                    *m.ar.add(j * l + lane) = nsq.ar[j];
                }
                for j in 0..pairs {
                    let (newer, older) = (nsq.lpc[15 - 2 * j], nsq.lpc[14 - 2 * j]);
                    if newer >= TOO_HIGH || older >= TOO_HIGH {
                        batch.unfit |= 1 << u;
                    }
                    let high = |x: i32| x.wrapping_add(0x8000);
                    *m.upper.add(j * l + lane) =
                        ((high(newer) as u32 >> 16) | (high(older) as u32 & 0xffff_0000)) as i32;
                    *m.lower.add(j * l + lane) = (newer & 0xffff) | (older << 16);
                }
            }
            take_shaping::<S, SUB>(m, nsq, s.delay, u);
        }
        let zero = S::splat(0);
        let seed = m.lanes(0);
        let warp = m.lanes(5);
        let lambda = m.lanes(7);
        let half = S::splat(512);
        let state = State {
            seed,
            first_seed: seed,
            lf_ar: m.lanes(1),
            difference: m.lanes(2),
            shape: m.lanes(3),
            cost: [zero; 2],
            path_low: [zero; 2],
            path_high: [zero; 2],
            pending: [S::places(); 2],
            highest: [zero; 2],
            same_seeds: [S::m_none(); 2],
            newest: 0,
            odd: 0,
        };
        let fixed = Fixed {
            delay: m.lanes(4),
            warp,
            warp_high: [S::sll::<16>(warp[0]), S::sll::<16>(warp[1])],
            half_order: m.lanes(6),
            lambda_full: lambda,
            lambda: [S::and(lambda[0], S::splat(0xffff)), S::and(lambda[1], S::splat(0xffff))],
            // Lambda is not negative.
            bias: [S::sub(S::srl::<1>(lambda[0]), half), S::sub(S::srl::<1>(lambda[1]), half)],
            offset: twice::<S>(m.streams(0)),
            delay_by_stream: m.streams(2),
            lane_by_stream: m.streams(3),
        };
        (state, fixed)
    }
}

/// Gives the winners' states to the encoders, but for streams that are unfit.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn end<S: Simd, const SUB: usize, const TAPS: usize>(
    m: &Memory<S>,
    batch: &mut Batch<'_>,
    state: &State<S>,
) {
    let w = S::W;
    let l = 2 * w;
    let frame = 4 * SUB;
    let past = frame;
    // SAFETY: the caller's promise.
    unsafe {
        m.put_lanes(0, state.cost);
        m.put_lanes(1, state.path_low);
        m.put_lanes(2, state.path_high);
        m.put_lanes(3, state.first_seed);
        m.put_lanes(4, state.pending);
        m.put_lanes(5, state.lf_ar);
        m.put_lanes(6, state.difference);
        m.put_lanes(7, state.highest);
        m.put_lanes(8, [S::m_vector(state.same_seeds[0]), S::m_vector(state.same_seeds[1])]);
        for u in 0..batch.calls.len() {
            let call = &*batch.calls[u];
            let s = &batch.streams[u];
            let high = m.lane_row(7).add(s.lane);
            if *high >= TOO_HIGH || *high.add(1) >= TOO_HIGH || *m.lane_row(8).add(s.lane) != 0 {
                batch.unfit |= 1 << u;
            }
            if batch.unfit & 1 << u != 0 {
                continue;
            }
            let nsq = &mut *call.nsq;
            let costs = m.lane_row(0).add(s.lane);
            let lane = s.lane + usize::from(*costs.add(1) < *costs);
            let path = path_word(m.lane_row(1), m.lane_row(2), lane);
            (*call.indices).seed = *m.lane_row(3).add(lane) as i8;
            for back in 0..s.delay {
                let t = frame - 1 - back;
                let slot = (path >> back) as usize & 1;
                *m.slots.add((t + s.delay) * w + u) = slot as i32;
                *m.shaping.add((past + t + s.delay) * w + u) =
                    *m.ring_shaping.add((t % RING) * l + s.lane + slot);
            }
            for t in s.decided..frame {
                let slot = *m.slots.add((t + s.delay) * w + u) as usize;
                let place = t * l + s.lane + slot;
                *call.pulses.add(t) = shift_round(*m.levels.add(place), 10) as i8;
                let gain = *call.gains.add(t / SUB) >> 6;
                nsq.out[frame + t] = saturate16(shift_round(smulww(*m.outputs.add(place), gain), 8));
            }
            for back in 0..16 {
                let slot = (path >> back) as usize & 1;
                nsq.lpc[15 - back] = *m.outputs.add((frame - 1 - back) * l + s.lane + slot);
            }
            let order = call.shaping_order as usize;
            let place = (lane & !3) + (*m.lane_row(4).add(lane) & 3) as usize;
            for j in 0..order {
                nsq.ar[j] = *m.ar.add(j * l + place);
            }
            nsq.lf_ar = *m.lane_row(5).add(lane);
            nsq.difference = *m.lane_row(6).add(lane);
            give_frame::<S, SUB>(m, call, s, u);
        }
    }
}

/// Gives a stream's encoder what any number of states leaves of a frame.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn give_frame<S: Simd, const SUB: usize>(
    m: &Memory<S>,
    call: &Quantiser,
    s: &Stream,
    u: usize,
) {
    let frame = 4 * SUB;
    let past = frame;
    // SAFETY: the caller's promise.
    unsafe {
        let nsq = &mut *call.nsq;
        // What lies above the order is scaled nevertheless.
        for above in &mut nsq.ar[call.shaping_order as usize..] {
            *above = s.rescaled.iter().fold(*above, |above, &by| smulww(by, above));
        }
        nsq.last_lag = *call.lags.add(3);
        nsq.last_gain = *call.gains.add(3);
        nsq.rewhitened = 0;
        nsq.shaping_at = (past + frame) as i32;
        nsq.ltp_at = (past + frame - s.decided) as i32;
        nsq.out.copy_within(frame..2 * frame, 0);
        for t in 0..frame {
            let value = *m.shaping.add((past + t + s.delay) * S::W + u);
            nsq.shaping[t] = value;
            nsq.shaping[frame + t] = value;
        }
    }
}

/// Takes in what is read of long-term shaping before the frame.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn take_shaping<S: Simd, const SUB: usize>(
    m: &Memory<S>,
    nsq: &NsqState,
    delay: usize,
    u: usize,
) {
    let past = 4 * SUB;
    let longest_lag = 18 * SUB / 5;
    // SAFETY: the caller's promise.
    unsafe {
        let row = m.shaping.add((past + delay) * S::W + u);
        for back in 1..=longest_lag + 3 {
            *row.sub(back * S::W) = nsq.shaping[past - back];
        }
    }
}
