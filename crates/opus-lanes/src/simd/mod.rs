//! Vectors of 32-bit numbers, 8 or 16 wide, behind one trait: a kernel is written once and compiled
//! for each instruction set.
//!
//! Arithmetic wraps. All functions are only to be called inside a function that has the target
//! features of the implementation, into which they are inlined.

mod avx2;
mod avx512;

pub(crate) use avx2::Avx2;
pub(crate) use avx512::Avx512;

/// An instruction set.
///
/// # Safety of its functions
/// The processor has the instructions; pointers are valid for a whole vector and aligned to it.
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Simd: Copy {
    /// Numbers in a vector.
    const W: usize;
    /// A vector.
    type V: Copy;
    /// One truth value a number.
    type M: Copy;

    unsafe fn load(from: *const i32) -> Self::V;
    unsafe fn store(to: *mut i32, v: Self::V);
    unsafe fn splat(x: i32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn and(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn or(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn xor(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// Shifts right, sign in.
    unsafe fn sra<const N: i32>(a: Self::V) -> Self::V;
    /// Shifts right, zeros in.
    unsafe fn srl<const N: i32>(a: Self::V) -> Self::V;
    unsafe fn sll<const N: i32>(a: Self::V) -> Self::V;
    /// Shifts right, zeros in, by a number of bits of its own each; 0 where that is not 0 to 31.
    unsafe fn srl_each(a: Self::V, bits: Self::V) -> Self::V;
    /// Sums of the products of 16-bit halves, signed.
    unsafe fn madd(a: Self::V, b: Self::V) -> Self::V;
    /// Upper halves of the products of 16-bit halves, unsigned.
    unsafe fn mul_high_unsigned(a: Self::V, b: Self::V) -> Self::V;
    /// Upper halves of the products of 16-bit halves, signed.
    unsafe fn mul_high_signed(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul_low(a: Self::V, b: Self::V) -> Self::V;
    /// `(a * b) >> 16` of 64-bit products: `silk_SMULWW`.
    unsafe fn smulww(a: Self::V, b: Self::V) -> Self::V;
    /// Upper 16-bit halves of `high`, lower ones of `low`.
    unsafe fn halves(low: Self::V, high: Self::V) -> Self::V;
    /// Each even number twice.
    unsafe fn evens_twice(a: Self::V) -> Self::V;
    /// Each odd number twice.
    unsafe fn odds_twice(a: Self::V) -> Self::V;
    /// Neighbours change places.
    unsafe fn swap_pairs(a: Self::V) -> Self::V;
    /// In each block of four, the first two numbers, each twice.
    unsafe fn twice_low(a: Self::V) -> Self::V;
    /// In each block of four, the last two numbers, each twice.
    unsafe fn twice_high(a: Self::V) -> Self::V;
    /// In each block of four, the even numbers of `a`, then those of `b`: undoes the two before.
    unsafe fn evens(a: Self::V, b: Self::V) -> Self::V;
    /// 0, 1, 2, 3, and again.
    unsafe fn places() -> Self::V;
    /// In each block of four, the numbers at these places.
    unsafe fn permute(a: Self::V, places: Self::V) -> Self::V;
    /// `from[index]` each. Every index lies inside what `from` is valid for.
    unsafe fn gather(from: *const i32, index: Self::V) -> Self::V;
    unsafe fn greater(a: Self::V, b: Self::V) -> Self::M;
    unsafe fn equal(a: Self::V, b: Self::V) -> Self::M;
    /// Whether the sign bit is set.
    unsafe fn negative(a: Self::V) -> Self::M;
    unsafe fn select(m: Self::M, yes: Self::V, no: Self::V) -> Self::V;
    /// `a` where true, 0 elsewhere.
    unsafe fn keep(m: Self::M, a: Self::V) -> Self::V;
    unsafe fn m_xor(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn m_and(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn m_or(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn m_none() -> Self::M;
    unsafe fn m_evens() -> Self::M;
    unsafe fn m_odds() -> Self::M;
    /// -1 where true, 0 elsewhere.
    unsafe fn m_vector(m: Self::M) -> Self::V;
    /// `a` with the sign of `b`; 0 where `b` is 0.
    unsafe fn with_sign(a: Self::V, b: Self::V) -> Self::V;
}

/// A multiplier of 16 bits with sign, in the forms that [`smulwb`] takes.
#[derive(Clone, Copy)]
pub(crate) struct Multiplier<S: Simd> {
    /// In the upper half.
    high: S::V,
    /// In the lower half, the upper one 0.
    low: S::V,
    /// 0xffff where it is negative.
    negative: S::V,
}

/// The lower halves of `m` as multipliers.
#[inline(always)]
pub(crate) unsafe fn multiplier<S: Simd>(m: S::V) -> Multiplier<S> {
    // SAFETY: see `Simd`.
    unsafe {
        let lower = S::splat(0xffff);
        let low = S::and(m, lower);
        let negative = S::and(S::sra::<31>(S::sll::<16>(m)), lower);
        Multiplier { high: S::sll::<16>(m), low, negative }
    }
}

/// `(a * m) >> 16` of 48-bit products: `silk_SMULWB`.
///
/// With `a = ah * 65536 + al`, `al` not negative: `ah * m + ((al * m) >> 16)`; the unsigned product
/// counts a negative `m` by `al` too high.
#[inline(always)]
pub(crate) unsafe fn smulwb<S: Simd>(a: S::V, m: &Multiplier<S>) -> S::V {
    // SAFETY: see `Simd`.
    unsafe {
        let product = S::add(S::madd(a, m.high), S::mul_high_unsigned(a, m.low));
        S::sub(product, S::and(a, m.negative))
    }
}

/// As [`smulwb`] for multipliers that are not negative.
#[inline(always)]
pub(crate) unsafe fn smulwb_positive<S: Simd>(a: S::V, high: S::V, low: S::V) -> S::V {
    // SAFETY: see `Simd`.
    unsafe { S::add(S::madd(a, high), S::mul_high_unsigned(a, low)) }
}

/// `a + b`, held at the ends of the range.
#[inline(always)]
pub(crate) unsafe fn add_saturating<S: Simd>(a: S::V, b: S::V) -> S::V {
    // SAFETY: see `Simd`.
    unsafe {
        let sum = S::add(a, b);
        let over = S::and(S::xor(a, sum), S::xor(b, sum));
        S::select(S::negative(over), S::xor(S::sra::<31>(a), S::splat(i32::MAX)), sum)
    }
}

/// `a - b`, held at the ends of the range.
#[inline(always)]
pub(crate) unsafe fn sub_saturating<S: Simd>(a: S::V, b: S::V) -> S::V {
    // SAFETY: see `Simd`.
    unsafe {
        let difference = S::sub(a, b);
        let over = S::and(S::xor(a, b), S::xor(a, difference));
        S::select(S::negative(over), S::xor(S::sra::<31>(a), S::splat(i32::MAX)), difference)
    }
}

/// `-a` where `m` is -1, `a` where it is 0.
#[inline(always)]
pub(crate) unsafe fn negate_where<S: Simd>(a: S::V, m: S::V) -> S::V {
    // SAFETY: see `Simd`.
    unsafe { S::sub(S::xor(a, m), m) }
}
