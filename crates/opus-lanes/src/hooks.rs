//! What `c/hooks.c` calls: a caught function of libopus asks here whether its work is taken.
//!
//! Without a current worker nothing is taken, and libopus runs as it is.

use std::ffi::c_void;

use crate::quantiser::Quantiser;
use crate::warped::{self, Warped};
use crate::worker::{Kernel, Wait, current};
use crate::{lsf, ltp, trellis};

/// Lets the current task wait until the call was run together with others of its kind. Returns 0
/// where libopus' own function is to be called.
#[unsafe(no_mangle)]
extern "C" fn opus_lanes_wait(kind: i32, call: *mut c_void) -> i32 {
    let Some(worker) = current() else { return 0 };
    // SAFETY: c/hooks.c hands over a call of this kind.
    let kernel = unsafe {
        match kind {
            0 => Kernel::Quantiser((*call.cast::<Quantiser>()).subframe),
            2 => Kernel::OneState((*call.cast::<Quantiser>()).subframe),
            1 if warped::fused().is_some() => Kernel::Warped((*call.cast::<Warped>()).length),
            _ => return 0,
        }
    };
    worker.wait(Wait { kernel, call }).into()
}

/// `silk_A2NLSF` for order 10; 0 where libopus' own function is to be called.
///
/// # Safety
/// Both hold 10 numbers.
#[unsafe(no_mangle)]
unsafe extern "C" fn opus_lanes_a2nlsf(nlsf: *mut [i16; 10], a: *const [i32; 10]) -> i32 {
    // SAFETY: the caller's promise; a worker is only made where the processor has AVX2.
    unsafe { (current().is_some() && lsf::find(&mut *nlsf, &*a)).into() }
}

/// Whether [`opus_lanes_trellis`] may be called.
#[unsafe(no_mangle)]
extern "C" fn opus_lanes_trellis_ready() -> i32 {
    current().is_some().into()
}

/// `silk_NLSF_del_dec_quant` for several survivors.
///
/// # Safety
/// There are 1 to 8 survivors with 16 numbers each, a cost each, and 72 rates; [`opus_lanes_trellis_ready`]
/// said so.
#[unsafe(no_mangle)]
unsafe extern "C" fn opus_lanes_trellis(
    survivors: i32,
    indices: *mut i8,
    costs: *mut i32,
    residuals: *const i16,
    weights: *const i16,
    predictors: *const u8,
    rate_rows: *const i16,
    rates: *const [u8; 72],
    step: i32,
    inverse_step: i32,
    mu: i32,
) {
    let count = survivors as usize;
    // SAFETY: the caller's promise; a worker is only made where the processor has AVX2.
    unsafe {
        let input = trellis::Input {
            residuals: std::slice::from_raw_parts(residuals, count * 16),
            weights: std::slice::from_raw_parts(weights, count * 16),
            predictors: std::slice::from_raw_parts(predictors, count * 16),
            rate_rows: std::slice::from_raw_parts(rate_rows, count * 16),
            rates: &*rates,
            step,
            inverse_step,
            mu,
        };
        let indices = std::slice::from_raw_parts_mut(indices, count * 16);
        trellis::search(count, &input, indices, std::slice::from_raw_parts_mut(costs, count));
    }
}

/// `silk_VQ_WMat_EC`; 0 where libopus' own function is to be called.
///
/// # Safety
/// As libopus calls that.
#[unsafe(no_mangle)]
unsafe extern "C" fn opus_lanes_ltp_search(
    index: *mut i8,
    residual: *mut i32,
    distortion: *mut i32,
    gain: *mut i32,
    matrix: *const [i32; 25],
    vector: *const [i32; 5],
    codebook: *const i8,
    _gains: *const u8,
    _lengths: *const u8,
    subframe: i32,
    max_gain: i32,
    entries: i32,
) -> i32 {
    if current().is_none() {
        return 0;
    }
    // SAFETY: the caller's promise; a worker is only made where the processor has AVX2.
    unsafe {
        let input = ltp::Input { matrix: &*matrix, vector: &*vector, subframe, max_gain };
        let Some(found) = ltp::search(codebook, entries as usize, &input) else { return 0 };
        *index = found.index;
        *residual = found.residual;
        *distortion = found.distortion;
        if let Some(value) = found.gain {
            *gain = value;
        }
    }
    1
}
