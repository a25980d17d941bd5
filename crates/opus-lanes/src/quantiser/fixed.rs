//! Fixed-point arithmetic as libopus has it (silk/macros.h, silk/Inlines.h), for one number at a time.

/// `(a * b) >> 16` where `b` counts by its lower 16 bits, with sign.
#[inline(always)]
pub(crate) fn smulwb(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b as i16)) >> 16) as i32
}

/// `(a * b) >> 16`.
#[inline(always)]
pub(crate) fn smulww(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 16) as i32
}

/// `a + ((b * c) >> 16)`.
#[inline(always)]
pub(crate) fn smlaww(a: i32, b: i32, c: i32) -> i32 {
    a.wrapping_add(smulww(b, c))
}

/// `a / 2^n`, rounded. `n` is not 0.
#[inline(always)]
pub(crate) fn shift_round(a: i32, n: u32) -> i32 {
    if n == 1 { (a >> 1) + (a & 1) } else { ((a >> (n - 1)).wrapping_add(1)) >> 1 }
}

/// Held at the ends of 16 bits.
#[inline(always)]
pub(crate) fn saturate16(a: i32) -> i16 {
    a.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

fn shift_left_saturating(a: i32, n: u32) -> i32 {
    a.clamp(i32::MIN >> n, i32::MAX >> n) << n
}

/// About `(a << q) / b`; `b` is not 0.
pub(crate) fn divide(a: i32, b: i32, q: i32) -> i32 {
    let headroom = |x: i32| x.wrapping_abs().leading_zeros() as i32 - 1;
    let (a_room, b_room) = (headroom(a), headroom(b));
    let mut a_norm = a.wrapping_shl(a_room as u32);
    let b_norm = b.wrapping_shl(b_room as u32);
    let inverse = (i32::MAX >> 2) / (b_norm >> 16);
    let mut result = smulwb(a_norm, inverse);
    let product = ((i64::from(b_norm) * i64::from(result)) >> 32) as i32;
    a_norm = a_norm.wrapping_sub(product.wrapping_shl(3));
    result = result.wrapping_add(smulwb(a_norm, inverse));
    rescale(result, 29 + a_room - b_room - q)
}

/// About `(1 << q) / b`; `b` is greater than 0.
pub(crate) fn invert(b: i32, q: i32) -> i32 {
    let room = b.wrapping_abs().leading_zeros() as i32 - 1;
    let norm = b.wrapping_shl(room as u32);
    let inverse = (i32::MAX >> 2) / (norm >> 16);
    let result = inverse.wrapping_shl(16);
    let error = (1i32 << 29).wrapping_sub(smulwb(norm, inverse)).wrapping_shl(3);
    rescale(smlaww(result, error, inverse), 61 - room - q)
}

fn rescale(result: i32, shift: i32) -> i32 {
    match shift {
        ..0 => shift_left_saturating(result, -shift as u32),
        0..32 => result >> shift,
        _ => 0,
    }
}
