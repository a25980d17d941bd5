//! Opus, by libopus. In: payloads. Out: samples of one channel at the requested rate.

use opus::Channels;

use super::decoder::Decode;

/// The decoder of one stream.
pub struct OpusDecoder(opus::Decoder);

impl OpusDecoder {
    /// A decoder for output at 8, 12, 16, 24 or 48 kHz.
    ///
    /// Panics: out of memory.
    pub fn new(rate_hz: u32) -> Self {
        Self(opus::Decoder::new(rate_hz, Channels::Mono).expect("libopus decodes mono at its rates"))
    }
}

impl Decode for OpusDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        self.0.decode(payload, out, false).unwrap_or(0)
    }

    /// Source: RFC 6716 §2.1.7.
    fn decode_lost(&mut self, next: &[u8], out: &mut [i16]) -> usize {
        self.0.decode(next, out, true).unwrap_or(0)
    }

    /// The state belongs to the library; this overwrites the audio in it.
    fn wipe(&mut self) {
        let _ = self.0.reset_state();
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoder::LONGEST_SAMPLES;
    use super::*;

    #[test]
    fn bytes_that_are_no_opus_give_nothing() {
        let mut decoder = OpusDecoder::new(16_000);
        let mut out = [0; LONGEST_SAMPLES];
        assert_eq!(decoder.decode(&[0xff; 3], &mut out), 0);
    }
}
