//! Linear 16-bit samples. In: two bytes per sample, most significant first. Out: the samples.
//!
//! Source: RFC 3551 §4.5.11.

use super::decoder::Decode;

/// Decodes linear samples; an odd byte at the end is ignored.
pub struct Linear;

impl Decode for Linear {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let samples = payload.as_chunks::<2>().0;
        for (sample, &bytes) in out.iter_mut().zip(samples) {
            *sample = i16::from_be_bytes(bytes);
        }
        samples.len().min(out.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_audio_is_big_endian_and_bounded() {
        let mut out = [0; 2];
        assert_eq!(Linear.decode(&[0x01, 0x02, 0xff, 0xfe, 9, 9, 9], &mut out), 2);
        assert_eq!(out, [0x0102, -2]);
    }
}
