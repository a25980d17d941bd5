//! Autocorrelation on a warped frequency axis (`silk_warped_autocorrelation_FLP`), for up to 8 streams
//! (AVX2) or 16 (AVX-512) at once, one a lane.
//!
//! The result is that of libopus to the bit: the same operations in the same order a lane. Whether a
//! product and a sum are rounded once or twice is up to the compiler that built libopus; [`fused`] asks
//! it.

use std::arch::x86_64::*;
use std::sync::OnceLock;

/// One call: `warped` in c/hooks.c.
#[repr(C)]
pub(crate) struct Warped {
    pub(crate) correlations: *mut f32,
    pub(crate) input: *const f32,
    pub(crate) warping: f32,
    pub(crate) length: i32,
    /// Even.
    pub(crate) order: i32,
}

unsafe extern "C" {
    fn opus_lanes_probe_section(state: f64, next: f64, before: f64, warping: f32) -> f64;
    fn opus_lanes_probe_sum(sum: f64, a: f64, b: f64) -> f64;
}

/// Longest input: 480 samples at 16 kHz.
const LONGEST: usize = 480;
const STREAMS: usize = 16;
/// Highest order (define.h).
const ORDER: usize = 24;

/// Room for a batch. Holds samples of calls: wiped by [`Scratch::wipe`].
#[repr(C, align(64))]
pub(crate) struct Scratch {
    input: [f64; LONGEST * STREAMS],
    states: [f64; (ORDER + 2) * STREAMS],
    sums: [f64; (ORDER + 2) * STREAMS],
    warping: [f64; STREAMS],
}

impl Scratch {
    /// All zero.
    pub(crate) fn new() -> Box<Self> {
        // SAFETY: zeros are valid numbers.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// Overwrites everything.
    pub(crate) fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.input);
        zeroize::Zeroize::zeroize(&mut self.states);
        zeroize::Zeroize::zeroize(&mut self.sums);
    }
}

/// Whether libopus was built to round a product and a sum once; `None` where it does neither
/// throughout, and its own function has to be used.
pub(crate) fn fused() -> Option<bool> {
    static FUSED: OnceLock<Option<bool>> = OnceLock::new();
    *FUSED.get_or_init(|| {
        let mut found = None;
        let mut x = 0.123_456_789_f64;
        for _ in 0..64 {
            let mut next = || {
                x = (x * 9_821.0 + 0.211_327).fract();
                x - 0.5
            };
            let (s, n, b, w) = (next(), next(), next(), next() as f32);
            let v = f64::from(w);
            // SAFETY: plain arithmetic.
            let (section, sum) =
                unsafe { (opus_lanes_probe_section(s, n, b, w), opus_lanes_probe_sum(s, n, b)) };
            let once = ((-v).mul_add(b, v.mul_add(n, s)), n.mul_add(b, s));
            let twice = (s + v * n - v * b, s + n * b);
            let is = match () {
                () if once == twice => continue,
                () if (section, sum) == once => true,
                () if (section, sum) == twice => false,
                () => return None,
            };
            if found.is_some_and(|before| before != is) {
                return None;
            }
            found = Some(is);
        }
        found
    })
}

macro_rules! kernel {
    ($name:ident, $features:literal, $lanes:literal, $v:ty, $load:ident, $store:ident, $zero:ident,
     $fma:ident, $fnma:ident, $add:ident, $sub:ident, $mul:ident) => {
        /// Runs the calls, all of the same length. `FUSED`: see [`fused`].
        ///
        /// # Safety
        /// There are one to twice as many calls as a vector has numbers; what they point to is valid;
        /// the processor has the instructions.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $name<const FUSED: bool>(z: &mut Scratch, calls: &[*mut Warped]) {
            // SAFETY: the caller's promise; all rows lie inside the scratch, as length and order are
            // bounded.
            unsafe {
                let streams = calls.len().div_ceil($lanes) * $lanes;
                let length = (*calls[0]).length as usize;
                assert!(length <= LONGEST && streams <= 2 * $lanes);
                let mut order = 0;
                let states = z.states.as_mut_ptr();
                let sums = z.sums.as_mut_ptr();
                let input = z.input.as_mut_ptr();
                for u in 0..streams {
                    let Some(call) = calls.get(u).map(|&call| &*call) else {
                        z.warping[u] = 0.0;
                        (0..length).for_each(|t| *input.add(t * STREAMS + u) = 0.0);
                        continue;
                    };
                    assert_eq!(call.length as usize, length, "calls of one length");
                    order = order.max(call.order as usize);
                    z.warping[u] = call.warping.into();
                    for t in 0..length {
                        *input.add(t * STREAMS + u) = (*call.input.add(t)).into();
                    }
                }
                assert!(order <= ORDER && order % 2 == 0);
                z.states.fill(0.0);
                z.sums.fill(0.0);
                let section = |state: $v, w: $v, next: $v, before: $v| {
                    if FUSED {
                        $fnma(w, before, $fma(w, next, state))
                    } else {
                        $sub($add(state, $mul(w, next)), $mul(w, before))
                    }
                };
                let sum = |at: *mut f64, a: $v, b: $v| {
                    let before = $load(at);
                    $store(at, if FUSED { $fma(a, b, before) } else { $add(before, $mul(a, b)) });
                };
                for t in 0..length {
                    let mut first = 0;
                    while first < streams {
                        let w = $load(z.warping.as_ptr().add(first));
                        let input = $load(z.input.as_ptr().add(t * STREAMS + first));
                        let mut before = input;
                        let mut state = $load(states.add(first));
                        let mut i = 0;
                        while i < order {
                            let at = i * STREAMS + first;
                            let middle = $load(states.add(at + STREAMS));
                            let out = section(state, w, middle, before);
                            $store(states.add(at), before);
                            sum(sums.add(at), input, before);
                            state = $load(states.add(at + 2 * STREAMS));
                            before = section(middle, w, state, out);
                            $store(states.add(at + STREAMS), out);
                            sum(sums.add(at + STREAMS), input, out);
                            i += 2;
                        }
                        $store(states.add(order * STREAMS + first), before);
                        sum(sums.add(order * STREAMS + first), input, before);
                        first += $lanes;
                    }
                }
                for (u, &call) in calls.iter().enumerate() {
                    for i in 0..=(*call).order as usize {
                        *(*call).correlations.add(i) = *sums.add(i * STREAMS + u) as f32;
                    }
                }
            }
        }
    };
}

kernel!(
    warped_avx2,
    "avx2,fma",
    4,
    __m256d,
    _mm256_load_pd,
    _mm256_store_pd,
    _mm256_setzero_pd,
    _mm256_fmadd_pd,
    _mm256_fnmadd_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd
);
kernel!(
    warped_avx512,
    "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma",
    8,
    __m512d,
    _mm512_load_pd,
    _mm512_store_pd,
    _mm512_setzero_pd,
    _mm512_fmadd_pd,
    _mm512_fnmadd_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, has_avx2};

    unsafe extern "C" {
        #[link_name = "opus_lanes_silk_warped_autocorrelation_FLP"]
        fn plain(correlations: *mut f32, input: *const f32, warping: f32, length: i32, order: i32);
    }

    fn run(wide: bool, fused: bool, z: &mut Scratch, calls: &[*mut Warped]) {
        // SAFETY: the tests ask what the processor has.
        unsafe {
            match (wide, fused) {
                (false, false) => warped_avx2::<false>(z, calls),
                (false, true) => warped_avx2::<true>(z, calls),
                (true, false) => warped_avx512::<false>(z, calls),
                (true, true) => warped_avx512::<true>(z, calls),
            }
        }
    }

    #[test]
    fn correlations_are_those_of_libopus_to_the_bit() {
        let Some(fused) = fused().filter(|_| has_avx2()) else { return };
        let wide = crate::Path::available().contains(&crate::Path::Avx512);
        for (wide, width) in [(false, 8), (true, 16)].into_iter().filter(|(needs, _)| wide || !needs) {
            let mut random = Random::new(width as u64);
            let mut z = Scratch::new();
            for _ in 0..300 {
                let length = [88, 120, 176, 240, 480][random.between(0, 4) as usize] as usize;
                let streams = random.between(1, width) as usize;
                let inputs: Vec<Vec<f32>> = (0..streams)
                    .map(|_| {
                        let scale = 10f64.powi(random.between(-2, 4));
                        (0..length).map(|_| (random.unit() * scale) as f32).collect()
                    })
                    .collect();
                let mut found = vec![[-1f32; ORDER + 1]; streams];
                let mut expected = found.clone();
                let mut calls: Vec<_> = inputs
                    .iter()
                    .zip(&mut found)
                    .map(|(input, found)| Warped {
                        correlations: found.as_mut_ptr(),
                        input: input.as_ptr(),
                        warping: (random.unit() * 0.4) as f32,
                        length: length as i32,
                        order: 2 * random.between(3, 12),
                    })
                    .collect();
                for (call, expected) in calls.iter().zip(&mut expected) {
                    // SAFETY: as many samples as are said, and room for the highest order.
                    unsafe {
                        plain(expected.as_mut_ptr(), call.input, call.warping, call.length, call.order)
                    };
                }
                let pointers: Vec<*mut Warped> = calls.iter_mut().map(|call| call as *mut _).collect();
                run(wide, fused, &mut z, &pointers);
                let bits = |rows: &[[f32; ORDER + 1]]| {
                    rows.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                assert_eq!(bits(&found), bits(&expected), "{streams} streams of {length}");
            }
        }
    }

    #[test]
    fn whether_the_compiler_fused_is_known() {
        assert!(fused().is_some(), "the kernel would never be used");
    }
}
