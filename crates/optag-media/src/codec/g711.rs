//! G.711. In: one byte per sample. Out: 16-bit linear samples.
//!
//! Source: ITU-T G.711, tables 1a and 2a; RFC 3551 §4.5.14.

use super::decoder::Decode;

/// Samples of all 256 µ-law codes.
static ULAW: [i16; 256] = table(true);
/// Samples of all 256 A-law codes.
static ALAW: [i16; 256] = table(false);

/// Decodes µ-law; `out` must be at least as long as `payload`.
pub fn decode_ulaw(payload: &[u8], out: &mut [i16]) {
    decode(&ULAW, payload, out);
}

/// Decodes A-law; `out` must be at least as long as `payload`.
pub fn decode_alaw(payload: &[u8], out: &mut [i16]) {
    decode(&ALAW, payload, out);
}

/// Decodes µ-law.
pub struct Ulaw;

/// Decodes A-law.
pub struct Alaw;

impl Decode for Ulaw {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        decode(&ULAW, payload, out)
    }
}

impl Decode for Alaw {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        decode(&ALAW, payload, out)
    }
}

fn decode(table: &[i16; 256], payload: &[u8], out: &mut [i16]) -> usize {
    for (sample, &code) in out.iter_mut().zip(payload) {
        *sample = table[usize::from(code)];
    }
    payload.len().min(out.len())
}

const fn table(ulaw: bool) -> [i16; 256] {
    let mut samples = [0; 256];
    let mut code = 0;
    while code < 256 {
        samples[code] = if ulaw { ulaw_sample(code as u8) } else { alaw_sample(code as u8) };
        code += 1;
    }
    samples
}

/// The bits are inverted; segment and step give the magnitude, biased by 33 (132 in 16 bits).
const fn ulaw_sample(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 7;
    let magnitude = ((((bits & 15) as i16) << 3) + 132) << segment;
    if bits & 0x80 != 0 { 132 - magnitude } else { magnitude - 132 }
}

/// Every other bit is inverted; the lowest segment is linear.
const fn alaw_sample(code: u8) -> i16 {
    let bits = code ^ 0x55;
    let segment = (bits >> 4) & 7;
    let step = ((bits & 15) as i16) << 4;
    let magnitude = if segment == 0 { step + 8 } else { (step + 264) << (segment - 1) };
    if bits & 0x80 != 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulaw(code: u8) -> i16 {
        let mut out = [0];
        decode_ulaw(&[code], &mut out);
        out[0]
    }

    fn alaw(code: u8) -> i16 {
        let mut out = [0];
        decode_alaw(&[code], &mut out);
        out[0]
    }

    /// Values of the recommendation's tables, scaled to 16 bits.
    #[test]
    fn known_codes_have_the_values_of_the_recommendation() {
        assert_eq!([0xff, 0x7f, 0x80, 0x00, 0xf0, 0x8f].map(ulaw), [0, 0, 32_124, -32_124, 120, 16_764]);
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a, 0x80].map(alaw), [8, -8, 32_256, -32_256, 5_504]);
    }

    #[test]
    fn both_laws_rise_with_their_codes_and_mirror_at_zero() {
        for code in 0..127u8 {
            assert!(ulaw(code) < ulaw(code + 1) && ulaw(0x80 | code) > ulaw(0x80 | (code + 1)));
            assert_eq!(ulaw(code), -ulaw(code | 0x80));
            assert_eq!(alaw(code), -alaw(code | 0x80));
        }
    }
}
