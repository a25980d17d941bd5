//! The search of the codebook of long-term prediction (`silk_VQ_WMat_EC`): eight entries at once.

use std::arch::x86_64::*;
use std::sync::OnceLock;

use crate::simd::{Avx2, Simd};

const TAPS: usize = 5;
const BOOKS: usize = 3;
/// Entries of the largest codebook.
const ENTRIES: usize = 32;

unsafe extern "C" {
    #[link_name = "opus_lanes_silk_LTP_vq_ptrs_Q7"]
    static BOOK: [Pointer<i8>; BOOKS];
    #[link_name = "opus_lanes_silk_LTP_vq_gain_ptrs_Q7"]
    static GAINS: [Pointer<u8>; BOOKS];
    #[link_name = "opus_lanes_silk_LTP_gain_BITS_Q5_ptrs"]
    static LENGTHS: [Pointer<u8>; BOOKS];
    #[link_name = "opus_lanes_silk_LTP_vq_sizes"]
    static SIZES: [i8; BOOKS];
}

#[repr(transparent)]
struct Pointer<T>(*const T);

// SAFETY: it points to a constant table of libopus.
unsafe impl<T> Sync for Pointer<T> {}

/// A codebook by columns.
#[repr(align(32))]
struct Book {
    entries: usize,
    taps: [[i32; ENTRIES]; TAPS],
    gains: [i32; ENTRIES],
    lengths: [i32; ENTRIES],
}

fn books() -> &'static [Book; BOOKS] {
    static TABLES: OnceLock<[Book; BOOKS]> = OnceLock::new();
    TABLES.get_or_init(|| {
        std::array::from_fn(|n| {
            // SAFETY: constant tables of libopus; each has as many entries as `SIZES` says.
            unsafe {
                let entries = SIZES[n] as usize;
                let known = |at: usize| at < entries;
                let tap = |at: usize, tap: usize| (*BOOK[n].0.add(at * TAPS + tap)).into();
                let taps =
                    std::array::from_fn(|t| std::array::from_fn(|at| if known(at) { tap(at, t) } else { 0 }));
                let gains =
                    std::array::from_fn(|at| if known(at) { (*GAINS[n].0.add(at)).into() } else { 0 });
                let lengths =
                    std::array::from_fn(
                        |at| if known(at) { i32::from(*LENGTHS[n].0.add(at)) << 2 } else { 0 },
                    );
                Book { entries, taps, gains, lengths }
            }
        })
    })
}

/// What is sought.
pub(crate) struct Input<'a> {
    pub(crate) matrix: &'a [i32; TAPS * TAPS],
    pub(crate) vector: &'a [i32; TAPS],
    pub(crate) subframe: i32,
    pub(crate) max_gain: i32,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) index: i8,
    pub(crate) residual: i32,
    pub(crate) distortion: i32,
    /// `None` where no entry serves.
    pub(crate) gain: Option<i32>,
}

/// Searches the codebook at this address; `None` where it is none of libopus'.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn search(book: *const i8, entries: usize, input: &Input<'_>) -> Option<Found> {
    // SAFETY: constant tables of libopus.
    let at = (0..BOOKS).find(|&n| unsafe { BOOK[n].0 } == book)?;
    let book = &books()[at];
    if book.entries != entries || !entries.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the processor has AVX2: the caller's promise; rows hold a multiple of 8 numbers, aligned.
    unsafe {
        let s = Avx2::splat;
        let m = |n: usize| s(input.matrix[n]);
        let v = |n: usize| s(input.vector[n].wrapping_shl(7).wrapping_neg());
        let (mut best, mut best_residual) = (s(i32::MAX), s(i32::MAX));
        let (mut best_at, mut best_gain) = (s(0), s(0));
        let mut places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        for first in (0..entries).step_by(8) {
            let c: [__m256i; TAPS] = std::array::from_fn(|t| Avx2::load(book.taps[t][first..].as_ptr()));
            let gains = Avx2::load(book.gains[first..].as_ptr());
            let lengths = Avx2::load(book.lengths[first..].as_ptr());
            let mut sum = s(32_801);
            for row in 0..TAPS {
                let mut part = v(row);
                for (column, tap) in c.iter().enumerate().skip(row + 1) {
                    part = Avx2::add(part, Avx2::mul_low(m(row * TAPS + column), *tap));
                }
                part = Avx2::add(Avx2::sll::<1>(part), Avx2::mul_low(m(row * (TAPS + 1)), c[row]));
                // The taps are of 8 bits: the product by a number of 32 is that by one of 16.
                sum = Avx2::add(sum, Avx2::smulww(part, c[row]));
            }
            let over = Avx2::max(Avx2::sub(gains, s(input.max_gain)), s(0));
            let total = Avx2::add(sum, Avx2::sll::<11>(over));
            // silk_lin2log: the highest bit's place by the exponent of a float, cleared of what would round up.
            let top = _mm256_andnot_si256(Avx2::srl::<1>(total), total);
            let exponent = Avx2::sub(Avx2::srl::<23>(_mm256_castps_si256(_mm256_cvtepi32_ps(top))), s(127));
            // Of 0 it is -1.
            let exponent = Avx2::max(exponent, s(-1));
            let zeros = Avx2::sub(s(31), exponent);
            let fraction = Avx2::and(Avx2::srl::<24>(_mm256_sllv_epi32(total, zeros)), s(127));
            let bend = Avx2::mul_low(fraction, Avx2::sub(s(128), fraction));
            let bend = Avx2::sra::<16>(Avx2::mul_low(bend, s(179)));
            let log = Avx2::add(Avx2::add(fraction, bend), _mm256_slli_epi32::<7>(exponent));
            let bits =
                Avx2::madd(Avx2::and(Avx2::sub(log, s(15 << 7)), s(0xffff)), s(input.subframe & 0xffff));
            let bits = Avx2::add(bits, lengths);
            let bad = Avx2::or(Avx2::greater(bits, best), Avx2::greater(s(0), sum));
            best = Avx2::select(bad, best, bits);
            best_residual = Avx2::select(bad, best_residual, total);
            best_at = Avx2::select(bad, best_at, places);
            best_gain = Avx2::select(bad, best_gain, gains);
            places = Avx2::add(places, s(8));
        }
        let mut rows = Lanes([[0; 8]; 4]);
        for (row, v) in rows.0.iter_mut().zip([best, best_residual, best_at, best_gain]) {
            Avx2::store(row.as_mut_ptr(), v);
        }
        let [costs, residuals, indices, gains] = rows.0;
        let mut found = Found { index: 0, residual: i32::MAX, distortion: i32::MAX, gain: None };
        let mut last = -1;
        for lane in 0..8 {
            // The last of equals wins.
            let better =
                costs[lane] < found.distortion || (costs[lane] == found.distortion && indices[lane] > last);
            if costs[lane] != i32::MAX && better {
                last = indices[lane];
                found = Found {
                    index: indices[lane] as i8,
                    residual: residuals[lane],
                    distortion: costs[lane],
                    gain: Some(gains[lane]),
                };
            }
        }
        Some(found)
    }
}

#[repr(align(32))]
struct Lanes([[i32; 8]; 4]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, has_avx2};

    unsafe extern "C" {
        #[link_name = "opus_lanes_silk_VQ_WMat_EC_c"]
        fn plain(
            index: *mut i8,
            residual: *mut i32,
            distortion: *mut i32,
            gain: *mut i32,
            matrix: *const i32,
            vector: *const i32,
            book: *const i8,
            gains: *const u8,
            lengths: *const u8,
            subframe: i32,
            max_gain: i32,
            entries: i32,
        );
    }

    #[test]
    fn entries_are_those_of_libopus() {
        if !has_avx2() {
            return;
        }
        let mut random = Random::new(1);
        for _ in 0..60_000 {
            // A correlation matrix is symmetric; small ones win by length alone, wild ones not at all.
            let scale = 1 << random.between(4, 17);
            let mut matrix = [0i32; TAPS * TAPS];
            for row in 0..TAPS {
                for column in row..TAPS {
                    let value = if row == column {
                        random.between(0, scale)
                    } else {
                        random.between(-scale / 2, scale)
                    };
                    matrix[row * TAPS + column] = value;
                    matrix[column * TAPS + row] = value;
                }
            }
            let vector = std::array::from_fn(|_| random.between(-scale, scale));
            let (subframe, max_gain) = ([40, 60, 80][random.between(0, 2) as usize], random.between(0, 300));
            let n = random.between(0, 2) as usize;
            let mut gain = -1;
            let mut expected = Found { index: -1, residual: 0, distortion: 0, gain: None };
            // SAFETY: tables of libopus and numbers of ours, as many as it reads.
            let found = unsafe {
                let entries = SIZES[n].into();
                plain(
                    &mut expected.index,
                    &mut expected.residual,
                    &mut expected.distortion,
                    &mut gain,
                    matrix.as_ptr(),
                    vector.as_ptr(),
                    BOOK[n].0,
                    GAINS[n].0,
                    LENGTHS[n].0,
                    subframe,
                    max_gain,
                    entries,
                );
                let input = Input { matrix: &matrix, vector: &vector, subframe, max_gain };
                search(BOOK[n].0, entries as usize, &input)
            };
            expected.gain = (gain != -1).then_some(gain);
            assert_eq!(found, Some(expected), "{matrix:?} {vector:?}");
        }
    }

    #[test]
    fn another_codebook_is_left_to_libopus() {
        if !has_avx2() {
            return;
        }
        let book = [0i8; 40];
        let input = Input { matrix: &[0; 25], vector: &[0; 5], subframe: 40, max_gain: 10 };
        // SAFETY: the processor has AVX2.
        assert_eq!(unsafe { search(book.as_ptr(), 8, &input) }, None);
    }
}
