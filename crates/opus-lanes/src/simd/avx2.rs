//! AVX2: 8 numbers a vector, truth as vectors of all ones.

use std::arch::x86_64::*;

use super::Simd;

/// The instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

macro_rules! methods {
    ($($(#[$meta:meta])* fn $name:ident$(<const $n:ident: i32>)?($($arg:ident: $of:ty),*) -> $out:ty { $body:expr })*) => {
        $($(#[$meta])* #[inline(always)]
        #[allow(unused_unsafe)] // Two of them are plain operators.
        unsafe fn $name$(<const $n: i32>)?($($arg: $of),*) -> $out {
            // SAFETY: see `Simd`.
            unsafe { $body }
        })*
    };
}

impl Simd for Avx2 {
    const W: usize = 8;
    type V = __m256i;
    type M = __m256i;

    methods! {
        fn load(from: *const i32) -> __m256i { _mm256_load_si256(from.cast()) }
        fn store(to: *mut i32, v: __m256i) -> () { _mm256_store_si256(to.cast(), v) }
        fn splat(x: i32) -> __m256i { _mm256_set1_epi32(x) }
        fn add(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        fn sub(a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
        fn and(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn or(a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn xor(a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
        fn max(a: __m256i, b: __m256i) -> __m256i { _mm256_max_epi32(a, b) }
        fn min(a: __m256i, b: __m256i) -> __m256i { _mm256_min_epi32(a, b) }
        fn sra<const N: i32>(a: __m256i) -> __m256i { _mm256_srai_epi32::<N>(a) }
        fn srl<const N: i32>(a: __m256i) -> __m256i { _mm256_srli_epi32::<N>(a) }
        fn sll<const N: i32>(a: __m256i) -> __m256i { _mm256_slli_epi32::<N>(a) }
        fn srl_each(a: __m256i, bits: __m256i) -> __m256i { _mm256_srlv_epi32(a, bits) }
        fn madd(a: __m256i, b: __m256i) -> __m256i { _mm256_madd_epi16(a, b) }
        fn mul_high_unsigned(a: __m256i, b: __m256i) -> __m256i { _mm256_mulhi_epu16(a, b) }
        fn mul_high_signed(a: __m256i, b: __m256i) -> __m256i { _mm256_mulhi_epi16(a, b) }
        fn mul_low(a: __m256i, b: __m256i) -> __m256i { _mm256_mullo_epi32(a, b) }
        fn smulww(a: __m256i, b: __m256i) -> __m256i {{
            let evens = _mm256_srli_epi64::<16>(_mm256_mul_epi32(a, b));
            let odds = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
            _mm256_blend_epi32::<0xaa>(evens, _mm256_slli_epi64::<16>(odds))
        }}
        fn halves(low: __m256i, high: __m256i) -> __m256i { _mm256_blend_epi16::<0xaa>(low, high) }
        fn evens_twice(a: __m256i) -> __m256i { _mm256_shuffle_epi32::<0xa0>(a) }
        fn odds_twice(a: __m256i) -> __m256i { _mm256_shuffle_epi32::<0xf5>(a) }
        fn swap_pairs(a: __m256i) -> __m256i { _mm256_shuffle_epi32::<0xb1>(a) }
        fn twice_low(a: __m256i) -> __m256i { _mm256_unpacklo_epi32(a, a) }
        fn twice_high(a: __m256i) -> __m256i { _mm256_unpackhi_epi32(a, a) }
        fn evens(a: __m256i, b: __m256i) -> __m256i {
            _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)))
        }
        fn places() -> __m256i { _mm256_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3) }
        fn permute(a: __m256i, places: __m256i) -> __m256i {
            _mm256_castps_si256(_mm256_permutevar_ps(_mm256_castsi256_ps(a), places))
        }
        fn gather(from: *const i32, index: __m256i) -> __m256i { _mm256_i32gather_epi32::<4>(from, index) }
        fn greater(a: __m256i, b: __m256i) -> __m256i { _mm256_cmpgt_epi32(a, b) }
        fn equal(a: __m256i, b: __m256i) -> __m256i { _mm256_cmpeq_epi32(a, b) }
        fn negative(a: __m256i) -> __m256i { a }
        /// Only the sign bits of `m` count.
        fn select(m: __m256i, yes: __m256i, no: __m256i) -> __m256i {
            _mm256_castps_si256(_mm256_blendv_ps(
                _mm256_castsi256_ps(no), _mm256_castsi256_ps(yes), _mm256_castsi256_ps(m)))
        }
        fn keep(m: __m256i, a: __m256i) -> __m256i { _mm256_and_si256(m, a) }
        fn m_xor(a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
        fn m_and(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn m_or(a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn m_none() -> __m256i { _mm256_setzero_si256() }
        fn m_evens() -> __m256i { _mm256_set1_epi64x(0xffff_ffff) }
        fn m_odds() -> __m256i { _mm256_set1_epi64x(-0x1_0000_0000) }
        fn m_vector(m: __m256i) -> __m256i { m }
        fn with_sign(a: __m256i, b: __m256i) -> __m256i { _mm256_sign_epi32(a, b) }
    }
}
