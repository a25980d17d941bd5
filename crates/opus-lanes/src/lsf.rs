//! Line spectral frequencies of a prediction filter (`silk_A2NLSF`): eight points of the grid, on which
//! the roots are sought, at once. Order 10.

use std::sync::OnceLock;

use crate::simd::{Avx2, Simd};

unsafe extern "C" {
    #[link_name = "opus_lanes_silk_LSFCosTab_FIX_Q12"]
    static COSINES: [i16; GRID + 1];
}

const GRID: usize = 128;
const ORDER: usize = 10;
const HALF: usize = ORDER / 2;

/// Polynomials in the cosine, lowest power first.
type Polynomial = [i32; HALF + 1];

/// Finds the frequencies; `false` where the filter needs to be widened first, and libopus' own
/// function is to be called. Either way `a` is as before.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn find(nlsf: &mut [i16; ORDER], a: &[i32; ORDER]) -> bool {
    let polynomials = polynomials(a);
    let mut values = Values { values: [[0; GRID + 8]; 2], known: [0; 2] };
    let mut which = 0;
    let mut root = 0;
    let mut k = 1;
    let mut threshold = 0;
    // SAFETY: the processor has AVX2: the caller's promise.
    let mut value = |which: usize, k: usize| unsafe { values.at(&polynomials, which, k) };
    let mut low = value(0, 0);
    if low < 0 {
        nlsf[0] = 0;
        which = 1;
        low = value(1, 0);
        root = 1;
    }
    loop {
        let high = value(which, k);
        if !((low <= 0 && high >= threshold) || (low >= 0 && high <= -threshold)) {
            k += 1;
            low = high;
            threshold = 0;
            if k > GRID {
                return false;
            }
            continue;
        }
        threshold = i32::from(high == 0);
        // SAFETY: the processor has AVX2: the caller's promise.
        let fraction = unsafe { between(&polynomials[which], k, low, high) };
        nlsf[root] = ((k as i32) * 256 + fraction).min(i16::MAX.into()) as i16;
        root += 1;
        if root >= ORDER {
            return true;
        }
        which = root & 1;
        low = (1 - (root as i32 & 2)) << 12;
    }
}

/// The place of a root between two points of the grid, -256 to 0, by three halvings and a line.
#[target_feature(enable = "avx2")]
unsafe fn between(p: &Polynomial, k: usize, mut low: i32, mut high: i32) -> i32 {
    // SAFETY: a plain table of libopus.
    let (left, right) = unsafe { (i32::from(COSINES[k - 1]), i32::from(COSINES[k])) };
    let middle = |a: i32, b: i32| ((a + b) >> 1) + ((a + b) & 1);
    let centre = middle(left, right);
    let (first, last) = (middle(left, centre), middle(centre, right));
    // All points at which three halvings may look, as a heap: the halves of place n are 2n + 1 and 2n + 2.
    let points = [
        centre,
        first,
        last,
        middle(left, first),
        middle(first, centre),
        middle(centre, last),
        middle(last, right),
        0,
    ]
    .map(|x| x << 4);
    let mut values = Aligned([0; 8]);
    // SAFETY: the processor has AVX2; both arrays hold a vector.
    unsafe {
        let x = Aligned(points);
        let y = evaluate(p, Avx2::load(x.0.as_ptr()));
        Avx2::store(values.0.as_mut_ptr(), y);
    }
    let mut place = 0;
    let mut fraction = -256;
    for m in 0..3 {
        let value = values.0[place];
        if (low <= 0 && value >= 0) || (low >= 0 && value <= 0) {
            high = value;
            place = 2 * place + 1;
        } else {
            low = value;
            fraction += 128 >> m;
            place = 2 * place + 2;
        }
    }
    let difference = low.wrapping_sub(high);
    if low.wrapping_abs() < 65_536 {
        let numerator = low.wrapping_shl(5).wrapping_add(difference >> 1);
        if difference != 0 {
            fraction += numerator.wrapping_div(difference);
        }
    } else {
        fraction += low.wrapping_div(difference >> 5);
    }
    fraction
}

#[repr(align(32))]
struct Aligned([i32; 8]);

/// Values of both polynomials on the grid, as far as they are known.
#[repr(align(32))]
struct Values {
    values: [[i32; GRID + 8]; 2],
    known: [usize; 2],
}

impl Values {
    #[target_feature(enable = "avx2")]
    unsafe fn at(&mut self, polynomials: &[Polynomial; 2], which: usize, k: usize) -> i32 {
        while self.known[which] <= k {
            let from = self.known[which];
            // SAFETY: the processor has AVX2: the caller's promise; both have eight numbers from
            // here, aligned, since `from` is a multiple of 8 and not above the grid's last point.
            unsafe {
                let x = Avx2::load(grid().0[from..from + 8].as_ptr());
                Avx2::store(
                    self.values[which][from..from + 8].as_mut_ptr(),
                    evaluate(&polynomials[which], x),
                );
            }
            self.known[which] = from + 8;
        }
        self.values[which][k]
    }
}

#[repr(align(32))]
struct Grid([i32; GRID + 8]);

/// The points of the grid, 16.16; zeros after the last.
fn grid() -> &'static Grid {
    static POINTS: OnceLock<Grid> = OnceLock::new();
    POINTS.get_or_init(|| {
        // SAFETY: a plain table of libopus.
        Grid(std::array::from_fn(|k| if k <= GRID { i32::from(unsafe { COSINES[k] }) << 4 } else { 0 }))
    })
}

#[inline(always)]
unsafe fn evaluate(p: &Polynomial, x: <Avx2 as Simd>::V) -> <Avx2 as Simd>::V {
    // SAFETY: the caller's processor has AVX2.
    unsafe {
        let mut y = Avx2::splat(p[HALF]);
        for &c in p[..HALF].iter().rev() {
            y = Avx2::add(Avx2::splat(c), Avx2::smulww(y, x));
        }
        y
    }
}

/// The symmetric and the antisymmetric part of the filter, without their fixed roots, as polynomials
/// in the cosine.
fn polynomials(a: &[i32; ORDER]) -> [Polynomial; 2] {
    let mut p: Polynomial = [0; HALF + 1];
    let mut q = p;
    p[HALF] = 65_536;
    q[HALF] = 65_536;
    for k in 0..HALF {
        let (below, above) = (a[HALF - k - 1], a[HALF + k]);
        p[k] = below.wrapping_neg().wrapping_sub(above);
        q[k] = below.wrapping_neg().wrapping_add(above);
    }
    for k in (1..=HALF).rev() {
        p[k - 1] = p[k - 1].wrapping_sub(p[k]);
        q[k - 1] = q[k - 1].wrapping_add(q[k]);
    }
    for c in [&mut p, &mut q] {
        for k in 2..=HALF {
            for n in (k + 1..=HALF).rev() {
                c[n - 2] = c[n - 2].wrapping_sub(c[n]);
            }
            c[k - 2] = c[k - 2].wrapping_sub(c[k].wrapping_shl(1));
        }
    }
    [p, q]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, has_avx2};

    unsafe extern "C" {
        #[link_name = "opus_lanes_silk_A2NLSF"]
        fn plain(nlsf: *mut i16, a: *mut i32, order: i32);
    }

    #[test]
    fn frequencies_are_those_of_libopus() {
        if !has_avx2() {
            return;
        }
        let mut random = Random::new(1);
        let mut left = 0;
        for n in 0..30_000 {
            // A filter from reflections is stable; the others need to be widened, or have roots on the grid.
            let mut a = [0.0f64; ORDER];
            for k in 0..ORDER {
                let reflection = random.unit() * if n % 10 == 0 { 1.2 } else { 0.95 };
                let before = a;
                for j in 0..k {
                    a[j] = before[j] - reflection * before[k - 1 - j];
                }
                a[k] = reflection;
            }
            let mut fixed = a.map(|tap| (tap * 65_536.0) as i32);
            if n % 50 == 0 {
                fixed = [0; ORDER];
            }
            let mut found = [0i16; ORDER];
            // SAFETY: the processor has AVX2.
            if !unsafe { find(&mut found, &fixed) } {
                left += 1;
                continue;
            }
            let mut expected = [0i16; ORDER];
            let mut again = fixed;
            // SAFETY: both hold as many numbers as the order says.
            unsafe { plain(expected.as_mut_ptr(), again.as_mut_ptr(), ORDER as i32) };
            assert_eq!(found, expected, "{fixed:?}");
            assert_eq!(again, fixed, "libopus did not widen it either");
        }
        assert!((1..6_000).contains(&left), "{left} are left to libopus");
    }
}
