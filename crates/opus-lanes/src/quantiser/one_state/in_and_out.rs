//! The states of a batch: how they come from and go to those of the encoders.

use super::{Fixed, OUTPUTS_BEFORE, Rows, State};
use crate::quantiser::memory::Memory;
use crate::quantiser::state::{OFFSETS, give_frame, take_shaping};
use crate::quantiser::{Batch, SHAPING};
use crate::simd::Simd;

/// Takes the encoders' states in.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn begin<S: Simd, const SUB: usize>(
    m: &Memory<S>,
    rows: Rows,
    batch: &Batch<'_>,
) -> (State<S>, Fixed<S>) {
    let w = S::W;
    let past = 4 * SUB;
    let mut order = 0;
    // SAFETY: the caller's promise.
    unsafe {
        for u in 0..w {
            (0..6).for_each(|row| *m.stream_row(row).add(u) = 0);
        }
        for (u, &call) in batch.calls.iter().enumerate() {
            let call = &*call;
            let (nsq, indices) = (&*call.nsq, &*call.indices);
            order = order.max(call.shaping_order as usize);
            *m.stream_row(0).add(u) = OFFSETS[(indices.signal >> 1) as usize][indices.offset as usize].into();
            *m.stream_row(1).add(u) = call.lambda;
            *m.stream_row(2).add(u) = i32::from(indices.seed);
            *m.stream_row(3).add(u) = nsq.lf_ar;
            *m.stream_row(4).add(u) = nsq.shaping[past - 1];
            *m.stream_row(5).add(u) = call.shaping_order >> 1;
            for back in 1..=OUTPUTS_BEFORE {
                *rows.outputs.sub(back * w).add(u) = nsq.lpc[OUTPUTS_BEFORE - back];
            }
            *rows.differences.sub(w).add(u) = nsq.difference;
            for j in 0..SHAPING {
                *rows.differences.sub((j + 2) * w).add(u) = nsq.ar[j];
            }
            take_shaping::<S, SUB>(m, nsq, 0, u);
        }
        let lambda = m.streams(1);
        let fixed = Fixed {
            half_order: m.streams(5),
            lambda_full: lambda,
            lambda: S::and(lambda, S::splat(0xffff)),
            // Lambda is not negative.
            bias: S::sub(S::srl::<1>(lambda), S::splat(512)),
            offset: m.streams(0),
            order,
        };
        (State { seed: m.streams(2), lf_ar: m.streams(3), shape: m.streams(4) }, fixed)
    }
}

/// Gives the states to the encoders, but for streams that are unfit.
///
/// # Safety
/// As [`super::quantise`].
#[inline(always)]
pub(super) unsafe fn end<S: Simd, const SUB: usize>(
    m: &Memory<S>,
    rows: Rows,
    batch: &Batch<'_>,
    state: &State<S>,
) {
    let w = S::W;
    let frame = 4 * SUB;
    // SAFETY: the caller's promise.
    unsafe {
        S::store(m.stream_row(0), state.seed);
        S::store(m.stream_row(1), state.lf_ar);
        for (u, (&call, s)) in batch.calls.iter().zip(&batch.streams).enumerate() {
            if batch.unfit & 1 << u != 0 {
                continue;
            }
            let call = &*call;
            let nsq = &mut *call.nsq;
            for back in 1..=OUTPUTS_BEFORE {
                nsq.lpc[OUTPUTS_BEFORE - back] = *rows.outputs.add((frame - back) * w + u);
            }
            for i in 0..SUB {
                nsq.lpc[OUTPUTS_BEFORE + i] = *rows.outputs.add((3 * SUB + i) * w + u);
            }
            let order = call.shaping_order as usize;
            nsq.difference = *rows.differences.add((frame - 1) * w + u);
            for j in 0..order {
                nsq.ar[j] = *rows.differences.add((frame - 2 - j) * w + u);
            }
            nsq.seed = *m.stream_row(0).add(u);
            nsq.lf_ar = *m.stream_row(1).add(u);
            give_frame::<S, SUB>(m, call, s, u);
        }
    }
}
