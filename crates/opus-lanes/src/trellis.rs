//! The trellis of the quantiser of line spectral frequencies (`silk_NLSF_del_dec_quant`), for up to
//! eight survivors of its first stage at once. Order 10.

use crate::simd::{Avx2, Simd};

type V = <Avx2 as Simd>::V;

const ORDER: usize = 10;
/// Numbers of a survivor in what libopus hands over.
const STRIDE: usize = 16;
/// Survivors at most.
pub(crate) const SURVIVORS: usize = 8;
/// Paths that are kept.
const STATES: usize = 4;
/// Largest index (define.h).
const LARGEST: i32 = 10;
/// Indices from this on cost a constant more each.
const TABLE: i32 = 4;
/// Bits of an index in a path.
const BITS: i32 = 6;
/// Added to an index in a path, so that it is not negative.
const BIAS: i32 = 16;

/// What there is of all survivors, [`STRIDE`] numbers each.
pub(crate) struct Input<'a> {
    pub(crate) residuals: &'a [i16],
    pub(crate) weights: &'a [i16],
    pub(crate) predictors: &'a [u8],
    pub(crate) rate_rows: &'a [i16],
    /// Rates of nine indices a row.
    pub(crate) rates: &'a [u8; 72],
    pub(crate) step: i32,
    pub(crate) inverse_step: i32,
    pub(crate) mu: i32,
}

#[repr(align(32))]
struct Rows([[i32; 8]; 8]);

/// Lower 16 bits with their sign.
#[inline(always)]
unsafe fn short(x: V) -> V {
    // SAFETY: the caller's processor has AVX2.
    unsafe { Avx2::sra::<16>(Avx2::sll::<16>(x)) }
}

/// Products of the lower halves of `a` and of `b`, whose upper halves are 0.
#[inline(always)]
unsafe fn times(a: V, b: V) -> V {
    // SAFETY: the caller's processor has AVX2.
    unsafe { Avx2::madd(Avx2::and(a, Avx2::splat(0xffff)), b) }
}

/// Absolute values.
#[inline(always)]
unsafe fn absolute(a: V) -> V {
    // SAFETY: the caller's processor has AVX2.
    unsafe { Avx2::with_sign(a, a) }
}

/// Finds the best path of each survivor: its indices and what it costs.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
#[allow(clippy::needless_range_loop)]
pub(crate) unsafe fn search(survivors: usize, input: &Input<'_>, indices: &mut [i8], costs: &mut [i32]) {
    assert!((1..=SURVIVORS).contains(&survivors));
    let mut rates = [0i32; 72 + 8];
    for (wide, &rate) in rates.iter_mut().zip(input.rates) {
        *wide = rate.into();
    }
    // SAFETY: the processor has AVX2: the caller's promise. Rows of rates begin at 0 to 63, and an index
    // is held within its row.
    unsafe {
        let zero = Avx2::splat(0);
        let lower = Avx2::splat(0xffff);
        let mut cost = [zero; 2 * STATES];
        let mut out = [zero; 2 * STATES];
        let mut path = [[zero; STATES]; 2];
        let mut states = 1;
        let step = Avx2::splat(input.step & 0xffff);
        let mu = Avx2::splat(input.mu & 0xffff);
        let mut rows = Rows([[0; 8]; 8]);
        for i in (0..ORDER).rev() {
            for lane in 0..8 {
                let at = if lane < survivors { lane } else { 0 } * STRIDE + i;
                rows.0[0][lane] = input.residuals[at].into();
                rows.0[1][lane] = input.weights[at].into();
                rows.0[2][lane] = input.predictors[at].into();
                rows.0[3][lane] = input.rate_rows[at].into();
            }
            let (target, weight) = (Avx2::load(rows.0[0].as_ptr()), Avx2::load(rows.0[1].as_ptr()));
            let (predictor, row) = (Avx2::load(rows.0[2].as_ptr()), Avx2::load(rows.0[3].as_ptr()));
            let mut index = [zero; STATES];
            for j in 0..states {
                let predicted = Avx2::sra::<8>(times(out[j], predictor));
                let residual = short(Avx2::sub(target, predicted));
                let level = Avx2::sra::<16>(times(residual, Avx2::splat(input.inverse_step)));
                let level = Avx2::min(Avx2::max(level, Avx2::splat(-LARGEST)), Avx2::splat(LARGEST - 1));
                index[j] = level;
                let before = cost[j];
                for (n, level) in [level, Avx2::add(level, Avx2::splat(1))].into_iter().enumerate() {
                    let adjust = Avx2::with_sign(Avx2::splat(102), level);
                    let value = Avx2::sub(Avx2::sll::<10>(level), adjust);
                    let value = Avx2::sra::<16>(times(value, step));
                    let value = short(Avx2::add(value, predicted));
                    let size = absolute(level);
                    let held = Avx2::min(Avx2::max(level, Avx2::splat(-TABLE)), Avx2::splat(TABLE));
                    let known =
                        Avx2::gather(rates.as_ptr(), Avx2::add(row, Avx2::add(held, Avx2::splat(TABLE))));
                    let large = Avx2::add(Avx2::splat(108), Avx2::mul_low(size, Avx2::splat(43)));
                    let rate = Avx2::select(Avx2::greater(size, Avx2::splat(TABLE - 1)), large, known);
                    let error = short(Avx2::sub(target, value));
                    let error = Avx2::madd(error, Avx2::and(error, lower));
                    let distortion = Avx2::add(before, Avx2::mul_low(error, weight));
                    cost[j + n * states] = Avx2::add(distortion, Avx2::madd(mu, rate));
                    out[j + n * states] = value;
                }
            }
            let half = usize::from(i >= 5);
            let shift = (i % 5) as i32 * BITS;
            let place = |x: V| std::arch::x86_64::_mm256_sllv_epi32(x, Avx2::splat(shift));
            if states < STATES {
                for j in 0..states {
                    path[0][j + states] = path[0][j];
                    path[1][j + states] = path[1][j];
                    let biased = Avx2::add(index[j], Avx2::splat(BIAS));
                    path[half][j] = Avx2::add(path[half][j], place(biased));
                    let above = place(Avx2::add(biased, Avx2::splat(1)));
                    path[half][j + states] = Avx2::add(path[half][j + states], above);
                }
                states *= 2;
            } else {
                for j in 0..STATES {
                    let biased = Avx2::add(index[j], Avx2::splat(BIAS));
                    path[half][j] = Avx2::add(path[half][j], place(biased));
                }
                let upper = keep_best(&mut cost, &mut out, &mut path);
                for j in 0..STATES {
                    path[half][j] = Avx2::add(path[half][j], place(Avx2::srl::<31>(upper[j])));
                }
            }
        }
        let mut by_cost = Rows([[0; 8]; 8]);
        let mut paths = [Rows([[0; 8]; 8]), Rows([[0; 8]; 8])];
        for j in 0..2 * STATES {
            Avx2::store(by_cost.0[j].as_mut_ptr(), cost[j]);
        }
        for half in 0..2 {
            for j in 0..STATES {
                Avx2::store(paths[half].0[j].as_mut_ptr(), path[half][j]);
            }
        }
        for lane in 0..survivors {
            let mut best = 0;
            costs[lane] = i32::MAX;
            for j in 0..2 * STATES {
                if costs[lane] > by_cost.0[j][lane] {
                    costs[lane] = by_cost.0[j][lane];
                    best = j;
                }
            }
            let indices = &mut indices[lane * STRIDE..][..ORDER];
            for (i, index) in indices.iter_mut().enumerate() {
                let word = paths[usize::from(i >= 5)].0[best % STATES][lane];
                *index = (((word >> (i as i32 % 5 * BITS)) & ((1 << BITS) - 1)) - BIAS) as i8;
            }
            indices[0] += (best / STATES) as i8;
        }
    }
}

/// Of eight candidates keeps the four cheapest in the first half, those of the second half in place of
/// dearer ones. Returns, as signs, which come from the second half.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn keep_best(
    cost: &mut [V; 2 * STATES],
    out: &mut [V; 2 * STATES],
    path: &mut [[V; STATES]; 2],
) -> [V; STATES] {
    // SAFETY: the caller's processor has AVX2.
    unsafe {
        let zero = Avx2::splat(0);
        let ones = Avx2::splat(-1);
        let mut upper = [zero; STATES];
        let mut cheap = [zero; STATES];
        let mut dear = [zero; STATES];
        for j in 0..STATES {
            let (a, b) = (cost[j], cost[j + STATES]);
            let swap = Avx2::greater(a, b);
            upper[j] = swap;
            cheap[j] = Avx2::min(a, b);
            dear[j] = Avx2::max(a, b);
            (cost[j], cost[j + STATES]) = (cheap[j], dear[j]);
            let (a, b) = (out[j], out[j + STATES]);
            out[j] = Avx2::select(swap, b, a);
            out[j + STATES] = Avx2::select(swap, a, b);
        }
        loop {
            let (mut least, mut least_at) = (dear[0], zero);
            let (mut most, mut most_at) = (Avx2::max(cheap[0], zero), zero);
            for j in 1..STATES {
                let less = Avx2::greater(least, dear[j]);
                least = Avx2::select(less, dear[j], least);
                least_at = Avx2::select(less, Avx2::splat(j as i32), least_at);
                let more = Avx2::greater(cheap[j], most);
                most = Avx2::select(more, cheap[j], most);
                most_at = Avx2::select(more, Avx2::splat(j as i32), most_at);
            }
            let active = Avx2::greater(most, least);
            if std::arch::x86_64::_mm256_testz_si256(active, active) != 0 {
                return upper;
            }
            let mut from = (cost[STATES], out[STATES], upper[0], path[0][0], path[1][0]);
            for j in 1..STATES {
                let here = Avx2::equal(least_at, Avx2::splat(j as i32));
                from.0 = Avx2::select(here, cost[j + STATES], from.0);
                from.1 = Avx2::select(here, out[j + STATES], from.1);
                from.2 = Avx2::select(here, upper[j], from.2);
                from.3 = Avx2::select(here, path[0][j], from.3);
                from.4 = Avx2::select(here, path[1][j], from.4);
            }
            for j in 0..STATES {
                let to = Avx2::and(active, Avx2::equal(most_at, Avx2::splat(j as i32)));
                let used = Avx2::and(active, Avx2::equal(least_at, Avx2::splat(j as i32)));
                cost[j] = Avx2::select(to, from.0, cost[j]);
                out[j] = Avx2::select(to, from.1, out[j]);
                upper[j] = Avx2::select(to, Avx2::xor(from.2, ones), upper[j]);
                path[0][j] = Avx2::select(to, from.3, path[0][j]);
                path[1][j] = Avx2::select(to, from.4, path[1][j]);
                cheap[j] = Avx2::select(to, zero, cheap[j]);
                dear[j] = Avx2::select(used, Avx2::splat(i32::MAX), dear[j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, has_avx2};

    unsafe extern "C" {
        #[link_name = "opus_lanes_silk_NLSF_del_dec_quant"]
        fn plain(
            indices: *mut i8,
            residuals: *const i16,
            weights: *const i16,
            predictors: *const u8,
            rate_rows: *const i16,
            rates: *const u8,
            step: i32,
            inverse_step: i16,
            mu: i32,
            order: i16,
        ) -> i32;
    }

    #[test]
    fn paths_and_costs_are_those_of_libopus() {
        if !has_avx2() {
            return;
        }
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let survivors = random.between(1, SURVIVORS as i32) as usize;
            let spread = 1 << random.between(4, 13);
            let mut shorts = |low, high| {
                (0..survivors * STRIDE).map(|_| random.between(low, high) as i16).collect::<Vec<_>>()
            };
            let residuals = shorts(-spread, spread);
            let weights = shorts(1, 3_000);
            let rate_rows: Vec<_> = shorts(0, 7).iter().map(|row| row * 9).collect();
            let predictors: Vec<u8> = shorts(0, 255).iter().map(|&x| x as u8).collect();
            let rates: [u8; 72] = std::array::from_fn(|_| random.between(1, 255) as u8);
            let (step, inverse_step) = if random.between(0, 1) == 0 { (11_796, 356) } else { (9_830, 427) };
            let mu = random.between(0, 8_000);
            let input = Input {
                residuals: &residuals,
                weights: &weights,
                predictors: &predictors,
                rate_rows: &rate_rows,
                rates: &rates,
                step,
                inverse_step,
                mu,
            };
            let (mut indices, mut costs) = (vec![0i8; survivors * STRIDE], vec![0; survivors]);
            // SAFETY: the processor has AVX2.
            unsafe { search(survivors, &input, &mut indices, &mut costs) };
            for (s, &found) in costs.iter().enumerate() {
                let at = s * STRIDE;
                let mut expected = [0i8; STRIDE];
                // SAFETY: there are as many numbers as the order says.
                let cost = unsafe {
                    plain(
                        expected.as_mut_ptr(),
                        residuals[at..].as_ptr(),
                        weights[at..].as_ptr(),
                        predictors[at..].as_ptr(),
                        rate_rows[at..].as_ptr(),
                        rates.as_ptr(),
                        step,
                        inverse_step as i16,
                        mu,
                        ORDER as i16,
                    )
                };
                assert_eq!((found, &indices[at..at + ORDER]), (cost, &expected[..ORDER]));
            }
        }
    }
}
