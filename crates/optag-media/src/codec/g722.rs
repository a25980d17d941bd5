//! G.722 at 64 kbit/s, by the crate `audio-codec`. In: one byte per two samples. Out: 16 kHz samples.
//!
//! Source: ITU-T G.722; RFC 3551 §4.5.2.

use super::decoder::Decode;

/// The decoder of one stream.
#[derive(Default)]
pub struct G722Decoder(audio_codec::g722::G722Decoder);

impl Decode for G722Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let fits = &payload[..payload.len().min(out.len() / 2)];
        self.0.decode_frame_into(fits, out).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g722_gives_two_samples_a_byte_and_a_tone_survives() {
        let tone: Vec<i16> = (0..3_200).map(|n| ((n as f32 * 0.6).sin() * 8_000.0) as i16).collect();
        let mut encoder = audio_codec::g722::G722Encoder::new();
        let mut coded = vec![0; 1_600];
        let bytes = audio_codec::Encoder::encode_into(&mut encoder, &tone, &mut coded).unwrap();
        let mut decoder = G722Decoder::default();
        let mut out = vec![0; 2 * bytes];
        let written: usize = coded[..bytes]
            .chunks(160)
            .scan(0, |at, chunk| {
                let written = decoder.decode(chunk, &mut out[*at..]);
                *at += written;
                Some(written)
            })
            .sum();
        assert_eq!(written, 3_200);
        // The codec's filters delay by 22 samples.
        let error: f64 = (400..3_000).map(|n| f64::from(out[n + 22] - tone[n]).powi(2)).sum();
        let power: f64 = tone[400..3_000].iter().map(|&s| f64::from(s).powi(2)).sum();
        assert!(error < power / 100.0, "{error} of {power}");
    }
}
