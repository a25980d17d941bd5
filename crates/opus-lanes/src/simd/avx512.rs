//! AVX-512 (F, BW, DQ, VL): 16 numbers a vector, truth as masks.

use std::arch::x86_64::*;

use super::Simd;

/// The instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

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

impl Simd for Avx512 {
    const W: usize = 16;
    type V = __m512i;
    type M = __mmask16;

    methods! {
        fn load(from: *const i32) -> __m512i { _mm512_load_si512(from.cast()) }
        fn store(to: *mut i32, v: __m512i) -> () { _mm512_store_si512(to.cast(), v) }
        fn splat(x: i32) -> __m512i { _mm512_set1_epi32(x) }
        fn add(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn sub(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn and(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn xor(a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        fn max(a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi32(a, b) }
        fn min(a: __m512i, b: __m512i) -> __m512i { _mm512_min_epi32(a, b) }
        fn sra<const N: i32>(a: __m512i) -> __m512i { _mm512_srav_epi32(a, _mm512_set1_epi32(N)) }
        fn srl<const N: i32>(a: __m512i) -> __m512i { _mm512_srlv_epi32(a, _mm512_set1_epi32(N)) }
        fn sll<const N: i32>(a: __m512i) -> __m512i { _mm512_sllv_epi32(a, _mm512_set1_epi32(N)) }
        fn srl_each(a: __m512i, bits: __m512i) -> __m512i { _mm512_srlv_epi32(a, bits) }
        fn madd(a: __m512i, b: __m512i) -> __m512i { _mm512_madd_epi16(a, b) }
        fn mul_high_unsigned(a: __m512i, b: __m512i) -> __m512i { _mm512_mulhi_epu16(a, b) }
        fn mul_high_signed(a: __m512i, b: __m512i) -> __m512i { _mm512_mulhi_epi16(a, b) }
        fn mul_low(a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        fn smulww(a: __m512i, b: __m512i) -> __m512i {{
            let evens = _mm512_srli_epi64::<16>(_mm512_mul_epi32(a, b));
            let odds = _mm512_mul_epi32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            _mm512_mask_blend_epi32(0xaaaa, evens, _mm512_slli_epi64::<16>(odds))
        }}
        fn halves(low: __m512i, high: __m512i) -> __m512i { _mm512_mask_blend_epi16(0xaaaa_aaaa, low, high) }
        fn evens_twice(a: __m512i) -> __m512i { _mm512_shuffle_epi32::<0xa0>(a) }
        fn odds_twice(a: __m512i) -> __m512i { _mm512_shuffle_epi32::<0xf5>(a) }
        fn swap_pairs(a: __m512i) -> __m512i { _mm512_shuffle_epi32::<0xb1>(a) }
        fn twice_low(a: __m512i) -> __m512i { _mm512_unpacklo_epi32(a, a) }
        fn twice_high(a: __m512i) -> __m512i { _mm512_unpackhi_epi32(a, a) }
        fn evens(a: __m512i, b: __m512i) -> __m512i {
            _mm512_castps_si512(_mm512_shuffle_ps::<0x88>(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)))
        }
        fn places() -> __m512i { _mm512_set4_epi32(3, 2, 1, 0) }
        fn permute(a: __m512i, places: __m512i) -> __m512i {
            _mm512_castps_si512(_mm512_permutevar_ps(_mm512_castsi512_ps(a), places))
        }
        fn gather(from: *const i32, index: __m512i) -> __m512i { _mm512_i32gather_epi32::<4>(index, from) }
        fn greater(a: __m512i, b: __m512i) -> __mmask16 { _mm512_cmpgt_epi32_mask(a, b) }
        fn equal(a: __m512i, b: __m512i) -> __mmask16 { _mm512_cmpeq_epi32_mask(a, b) }
        fn negative(a: __m512i) -> __mmask16 { _mm512_movepi32_mask(a) }
        fn select(m: __mmask16, yes: __m512i, no: __m512i) -> __m512i { _mm512_mask_blend_epi32(m, no, yes) }
        fn keep(m: __mmask16, a: __m512i) -> __m512i { _mm512_maskz_mov_epi32(m, a) }
        fn m_xor(a: __mmask16, b: __mmask16) -> __mmask16 { a ^ b }
        fn m_and(a: __mmask16, b: __mmask16) -> __mmask16 { a & b }
        fn m_or(a: __mmask16, b: __mmask16) -> __mmask16 { a | b }
        fn m_none() -> __mmask16 { 0 }
        fn m_evens() -> __mmask16 { 0x5555 }
        fn m_odds() -> __mmask16 { 0xaaaa }
        fn m_vector(m: __mmask16) -> __m512i { _mm512_movm_epi32(m) }
        fn with_sign(a: __m512i, b: __m512i) -> __m512i {{
            let present = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(b, b), a);
            _mm512_mask_sub_epi32(present, _mm512_movepi32_mask(b), _mm512_setzero_si512(), a)
        }}
    }
}
