//! From payloads to samples. In: one payload at a time, in order. Out: samples at the coding's
//! own rate. A decoder is made for a stream's coding when its first packet comes; G.711 and
//! linear audio need no state, the others keep theirs in a box.

use opus::Channels;

use super::{Encoding, g711};

/// Most samples that one payload may give: 120 ms at 48 kHz.
pub const LONGEST_SAMPLES: usize = 5_760;

/// Rate at which Opus is decoded where only tones are listened for. Units: Hz.
const TONES_HZ: u32 = 8_000;

/// Turns payloads of one coding into samples. Allocates only when it is made.
pub enum Decoder {
    /// G.711 and linear audio.
    Stateless(Encoding),
    /// G.722.
    G722(Box<audio_codec::g722::G722Decoder>),
    /// G.729.
    #[cfg(feature = "g729")]
    G729(super::g729::G729Decoder),
    /// Opus.
    Opus(Box<opus::Decoder>),
}

impl Decoder {
    /// A decoder that has heard nothing.
    ///
    /// Panics: there is no memory for it.
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Pcmu | Encoding::Pcma | Encoding::L16 { .. } => Decoder::Stateless(encoding),
            Encoding::G722 => Decoder::G722(Box::default()),
            #[cfg(feature = "g729")]
            Encoding::G729 => Decoder::G729(super::g729::G729Decoder::default()),
            // Nothing gives this coding then; what came as such all the same would give nothing.
            #[cfg(not(feature = "g729"))]
            Encoding::G729 => Decoder::Stateless(encoding),
            Encoding::Opus => {
                let decoder = opus::Decoder::new(encoding.audio_hz(), Channels::Mono);
                Decoder::Opus(Box::new(decoder.expect("libopus decodes 16 kHz mono")))
            }
        }
    }

    /// A decoder for hearing tones: telephone band is enough for that.
    ///
    /// Panics: there is no memory for it.
    pub fn for_tones(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Opus => {
                let decoder = opus::Decoder::new(TONES_HZ, Channels::Mono);
                Decoder::Opus(Box::new(decoder.expect("libopus decodes 8 kHz mono")))
            }
            other => Self::new(other),
        }
    }

    /// Rate of the samples that it gives. Units: Hz.
    pub fn audio_hz(&mut self) -> u32 {
        match self {
            Decoder::Stateless(encoding) => encoding.audio_hz(),
            Decoder::G722(_) => Encoding::G722.audio_hz(),
            #[cfg(feature = "g729")]
            Decoder::G729(_) => Encoding::G729.audio_hz(),
            Decoder::Opus(decoder) => decoder.get_sample_rate().unwrap_or(TONES_HZ),
        }
    }

    /// Which coding it decodes.
    pub fn encoding(&self) -> Encoding {
        match self {
            Decoder::Stateless(encoding) => *encoding,
            Decoder::G722(_) => Encoding::G722,
            #[cfg(feature = "g729")]
            Decoder::G729(_) => Encoding::G729,
            Decoder::Opus(_) => Encoding::Opus,
        }
    }

    /// Decodes `payload` into the front of `out`; how many samples were written. Bytes that are
    /// no such audio give none, and whatever fits is all that is written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Decoder::Stateless(Encoding::Pcmu) => {
                g711::decode_ulaw(payload, out);
                payload.len().min(out.len())
            }
            Decoder::Stateless(Encoding::Pcma) => {
                g711::decode_alaw(payload, out);
                payload.len().min(out.len())
            }
            Decoder::Stateless(Encoding::L16 { .. }) => linear(payload, out),
            Decoder::Stateless(_) => 0,
            Decoder::G722(decoder) => {
                let fits = &payload[..payload.len().min(out.len() / 2)];
                decoder.decode_frame_into(fits, out).unwrap_or(0)
            }
            #[cfg(feature = "g729")]
            Decoder::G729(decoder) => decoder.decode(payload, out),
            Decoder::Opus(decoder) => decoder.decode(payload, out, false).unwrap_or(0),
        }
    }

    /// Decodes what a lost packet held, from the copy that the next packet carries of it
    /// (in-band FEC); how many samples were written, 0 where the coding has none. Call it
    /// before the next packet itself.
    ///
    /// Source: RFC 6716 §2.1.7.
    pub fn decode_lost(&mut self, next: &[u8], out: &mut [i16]) -> usize {
        match self {
            Decoder::Opus(decoder) => decoder.decode(next, out, true).unwrap_or(0),
            _ => 0,
        }
    }
}

/// Big-endian samples; an odd byte at the end is left out.
fn linear(payload: &[u8], out: &mut [i16]) -> usize {
    let samples = payload.as_chunks::<2>().0;
    for (sample, &bytes) in out.iter_mut().zip(samples) {
        *sample = i16::from_be_bytes(bytes);
    }
    samples.len().min(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_audio_is_big_endian_and_bounded() {
        let mut decoder = Decoder::new(Encoding::L16 { rate_hz: 16_000 });
        let mut out = [0; 2];
        assert_eq!(decoder.decode(&[0x01, 0x02, 0xff, 0xfe, 9, 9, 9], &mut out), 2);
        assert_eq!(out, [0x0102, -2]);
    }

    #[test]
    fn g722_gives_two_samples_a_byte_and_a_tone_survives() {
        let tone: Vec<i16> = (0..3_200).map(|n| ((n as f32 * 0.6).sin() * 8_000.0) as i16).collect();
        let mut encoder = audio_codec::g722::G722Encoder::new();
        let mut coded = vec![0; 1_600];
        let bytes = audio_codec::Encoder::encode_into(&mut encoder, &tone, &mut coded).unwrap();
        let mut decoder = Decoder::new(Encoding::G722);
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

    #[test]
    fn bytes_that_are_no_opus_give_nothing() {
        let mut decoder = Decoder::new(Encoding::Opus);
        let mut out = [0; LONGEST_SAMPLES];
        assert_eq!(decoder.decode(&[0xff; 3], &mut out), 0);
    }
}
