//! The noise-shaping quantiser with delayed decision and two states (`silk_NSQ_del_dec_c`), for up to
//! 8 or 16 streams at once.
//!
//! A vector holds (stream, state) lanes: two vectors are one batch. The two states of a stream are
//! neighbours, so that one state takes over the other's past by a permutation within pairs. What each
//! state has put out is not moved then: it stays in the lane that made it (its *slot*), and a word of
//! 64 bits a state, its path, tells in which slot it was at each of the last samples. Short memories
//! (shaping filter, short-term prediction) are permuted: the former with the next sample, the latter
//! at once.
//!
//! Rows that are read at a pitch lag are kept by the time at which they are written, which is the
//! decision delay after the time that they stand for: all streams then write the same row and read at
//! rows of their own.
//!
//! Samples of short-term prediction are split into rounded upper and signed lower halves, two samples
//! a number, so that one multiplication covers two taps. A stream in which that or the comparison of
//! seeds would not be exact (extremes only) is done again by libopus' own function.

mod at_lag;
mod fixed;
mod memory;
mod one_state;
mod sample;
mod state;
mod subframe;
#[cfg(test)]
mod tests;

use std::mem::offset_of;

use memory::Memory;
pub(crate) use memory::Scratch;
pub(crate) use one_state::{quantise_one_avx2, quantise_one_avx512};

use crate::simd::{Avx2, Avx512, Simd};

/// States of a stream (structs.h): `silk_nsq_state`.
#[repr(C)]
#[derive(Clone)]
pub(crate) struct NsqState {
    pub(crate) out: [i16; 640],
    pub(crate) shaping: [i32; 640],
    pub(crate) lpc: [i32; 96],
    pub(crate) ar: [i32; 24],
    pub(crate) lf_ar: i32,
    pub(crate) difference: i32,
    pub(crate) last_lag: i32,
    pub(crate) ltp_at: i32,
    pub(crate) shaping_at: i32,
    pub(crate) seed: i32,
    pub(crate) last_gain: i32,
    pub(crate) rewhitened: i32,
}

const _: () = {
    assert!(offset_of!(NsqState, shaping) == 1_280 && offset_of!(NsqState, lpc) == 3_840);
    assert!(offset_of!(NsqState, ar) == 4_224 && offset_of!(NsqState, lf_ar) == 4_320);
    assert!(offset_of!(NsqState, last_gain) == 4_344 && size_of::<NsqState>() == 4_352);
};

/// What of `SideInfoIndices` (structs.h) is read or written.
#[repr(C, align(2))]
#[derive(Clone)]
pub(crate) struct Indices {
    pub(crate) before: [i8; 29],
    pub(crate) signal: i8,
    pub(crate) offset: i8,
    pub(crate) interpolation: i8,
    pub(crate) between: [i8; 2],
    pub(crate) seed: i8,
}

const _: () = assert!(offset_of!(Indices, seed) == 34 && size_of::<Indices>() == 36);

/// One call of the quantiser: `quantiser` in c/hooks.c.
#[repr(C)]
pub(crate) struct Quantiser {
    pub(crate) encoder: *const u8,
    pub(crate) nsq: *mut NsqState,
    pub(crate) indices: *mut Indices,
    pub(crate) input: *const i16,
    pub(crate) pulses: *mut i8,
    pub(crate) lpc: *const i16,
    pub(crate) ltp: *const i16,
    pub(crate) ar: *const i16,
    pub(crate) harmonic: *const i32,
    pub(crate) tilt: *const i32,
    pub(crate) lf: *const i32,
    pub(crate) gains: *const i32,
    pub(crate) lags: *const i32,
    pub(crate) lambda: i32,
    pub(crate) ltp_scale: i32,
    pub(crate) shaping_order: i32,
    pub(crate) warping: i32,
    pub(crate) subframe: i32,
    pub(crate) lpc_order: i32,
}

/// Most streams of a batch.
const STREAMS: usize = 16;
const LANES: usize = 2 * STREAMS;
/// Samples of the longest frame.
const FRAME: usize = 320;
/// Samples that a decision is delayed by at most (define.h).
const DELAY: usize = 40;
/// Rows of what is read at a lag: a frame of the past, one of the present, the delay and slack.
const ROWS: usize = 2 * FRAME + DELAY + 8;
/// Rows of a ring: a power of two, at least the delay.
const RING: usize = 64;
/// Taps of the shaping filter that are computed; more than this takes libopus' own function.
const SHAPING: usize = 16;
/// Added to what a state costs that is to be given up.
const GIVEN_UP: i32 = i32::MAX >> 4;
/// The least number whose upper half, rounded, is none of 16 bits.
const TOO_HIGH: i32 = 0x7fff_8000;
/// `TYPE_VOICED` (define.h).
const VOICED: i8 = 2;
/// A Lambda above this biases levels by more than a pulse (NSQ_del_dec.c).
const GENEROUS: i32 = 2_048;
/// 16.16 for 1.
const ONE: i32 = 65_536;

/// What is known of a stream throughout a frame.
#[derive(Clone, Copy)]
struct Stream {
    delay: usize,
    lag: usize,
    voiced: bool,
    interpolated: bool,
    /// First sample whose decisions are not all made.
    decided: usize,
    /// The lane of its first state.
    lane: usize,
    /// By how much the state was scaled in each subframe.
    rescaled: [i32; 4],
}

/// The lane of a stream's first state.
fn lane_of(stream: usize, width: usize) -> usize {
    let (block, place) = (stream / 4, stream % 4);
    (place / 2) * width + block * 4 + (place % 2) * 2
}

/// The batch of a call of [`quantise`].
struct Batch<'a> {
    calls: &'a [*mut Quantiser],
    streams: [Stream; STREAMS],
    any_voiced: bool,
    /// Whether a Lambda is so large that levels are biased by more than a pulse.
    any_generous: bool,
    /// Bits of streams that are to be done by libopus' own function.
    unfit: u32,
}

impl<'a> Batch<'a> {
    /// # Safety
    /// What the calls point to is valid.
    unsafe fn new<const SUB: usize>(calls: &'a [*mut Quantiser], width: usize) -> Self {
        let idle = Stream {
            delay: DELAY,
            lag: 0,
            voiced: false,
            interpolated: false,
            decided: 0,
            lane: 0,
            rescaled: [ONE; 4],
        };
        let mut batch =
            Self { calls, streams: [idle; STREAMS], any_voiced: false, any_generous: false, unfit: 0 };
        for (u, stream) in batch.streams.iter_mut().take(width).enumerate() {
            stream.lane = lane_of(u, width);
        }
        let known = 2 * SUB as i32 / 5..=18 * SUB as i32 / 5;
        for (u, &call) in calls.iter().enumerate() {
            // SAFETY: the caller's promise; there are four lags.
            let (call, indices, last_lag, lags) = unsafe {
                let call = &*call;
                (call, &*call.indices, (*call.nsq).last_lag, std::slice::from_raw_parts(call.lags, 4))
            };
            batch.any_generous |= call.lambda > GENEROUS;
            let voiced = indices.signal == VOICED;
            let lags = if voiced { lags } else { std::slice::from_ref(&last_lag) };
            if lags.iter().any(|lag| !known.contains(lag) && (voiced || *lag != 0)) {
                // Never seen. Its lanes are idle.
                batch.unfit |= 1 << u;
                continue;
            }
            let stream = &mut batch.streams[u];
            stream.voiced = voiced;
            stream.interpolated = indices.interpolation != 4;
            stream.lag = last_lag as usize;
            batch.any_voiced |= voiced;
            for &lag in lags.iter().filter(|&&lag| lag > 0) {
                stream.delay = stream.delay.min(lag as usize - 3);
            }
        }
        batch
    }
}

/// Quantises a frame of each call, of four subframes of `SUB` samples, with `TAPS` taps of short-term
/// prediction. Bits of the result: streams that are to be done by libopus' own function, whose state
/// is as before.
///
/// # Safety
/// There are one to `S::W` calls; what they point to is valid, of distinct encoders; the processor
/// has the instructions.
#[inline(always)]
unsafe fn quantise<S: Simd, const SUB: usize, const TAPS: usize>(
    z: &mut Scratch,
    calls: &[*mut Quantiser],
) -> u32 {
    assert!((1..=S::W).contains(&calls.len()));
    // SAFETY: the caller's promise. Rows and lanes stay below the sizes of the arrays, as lags and
    // delays are bounded.
    unsafe {
        let mut batch = Batch::new::<SUB>(calls, S::W);
        let m = Memory::<S>::new(z);
        let (mut state, fixed) = state::begin::<S, SUB, TAPS>(&m, &mut batch);
        for k in 0..4 {
            let has_lag = subframe::prepare::<S, SUB, TAPS>(&m, &mut batch, k, |call, s, u| {
                subframe::decide_half::<S, SUB>(&m, call, s, &mut state, u);
            });
            let taps = subframe::taps::<S, TAPS>(&m, &batch, k);
            subframe::rescale::<S, SUB, TAPS>(&m, &batch, &mut state, k);
            let facts =
                sample::Facts { voiced: batch.any_voiced, lag: has_lag, generous: batch.any_generous };
            sample::samples::<S, SUB, TAPS>(&m, &mut state, &fixed, &taps, facts, k);
        }
        state::end::<S, SUB, TAPS>(&m, &mut batch, &state);
        batch.unfit
    }
}

/// [`quantise`] for up to 8 calls.
///
/// # Safety
/// As that.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn quantise_avx2<const SUB: usize, const TAPS: usize>(
    z: &mut Scratch,
    calls: &[*mut Quantiser],
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { quantise::<Avx2, SUB, TAPS>(z, calls) }
}

/// [`quantise`] for up to 16 calls.
///
/// # Safety
/// As that.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
pub(crate) unsafe fn quantise_avx512<const SUB: usize, const TAPS: usize>(
    z: &mut Scratch,
    calls: &[*mut Quantiser],
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { quantise::<Avx512, SUB, TAPS>(z, calls) }
}

/// The path of the state in a lane: bit n tells its slot n samples ago.
unsafe fn path_word(low: *const i32, high: *const i32, lane: usize) -> u64 {
    // SAFETY: the caller's rows have that lane.
    let (low, high) = unsafe { (*low.add(lane) as u32, *high.add(lane) as u32) };
    u64::from(high) << 32 | u64::from(low)
}
