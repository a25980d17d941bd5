//! From payloads to samples. In: one payload at a time, in order. Out: samples at the codec's own
//! rate. A decoder is made for a stream's codec when its first packet comes.

use super::Encoding;

/// Most samples that one payload may give: 120 ms at 48 kHz.
pub const LONGEST_SAMPLES: usize = 5_760;

/// A decoder of one codec. Allocates only when it is made.
pub trait Decode: Send {
    /// Decodes `payload` into the front of `out`; how many samples were written. Bytes that are
    /// no such audio give none, and whatever fits is all that is written.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize;

    /// Decodes what a lost packet held, from the copy that the next packet carries of it
    /// (in-band FEC); how many samples were written, 0 where the codec has none. Call it
    /// before the next packet itself.
    fn decode_lost(&mut self, _next: &[u8], _out: &mut [i16]) -> usize {
        0
    }

    /// Overwrites what it remembers of the audio.
    fn wipe(&mut self) {}
}

/// Turns payloads of one codec into samples.
pub struct Decoder {
    encoding: Encoding,
    rate_hz: u32,
    decode: Box<dyn Decode>,
}

/// Stands for a codec that is not built in: nothing gives its encoding then, and what came as such all
/// the same would give nothing.
struct Nothing;

impl Decode for Nothing {
    fn decode(&mut self, _payload: &[u8], _out: &mut [i16]) -> usize {
        0
    }
}

impl Decoder {
    /// A decoder that has heard nothing.
    ///
    /// Panics: there is no memory for it.
    pub fn new(encoding: Encoding) -> Self {
        Self::at_rate(encoding, encoding.codec().audio_hz)
    }

    /// A decoder for hearing tones: telephone band is enough for that.
    ///
    /// Panics: there is no memory for it.
    pub fn for_tones(encoding: Encoding) -> Self {
        Self::at_rate(encoding, encoding.codec().tones_hz)
    }

    fn at_rate(encoding: Encoding, rate_hz: u32) -> Self {
        let decode = encoding.codec().decoder.map_or_else(|| Box::new(Nothing) as _, |make| make(rate_hz));
        Self { encoding, rate_hz, decode }
    }

    /// Rate of the samples that it gives. Units: Hz.
    pub fn audio_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Which codec it decodes.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// As [`Decode::decode`].
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        self.decode.decode(payload, out)
    }

    /// As [`Decode::decode_lost`].
    pub fn decode_lost(&mut self, next: &[u8], out: &mut [i16]) -> usize {
        self.decode.decode_lost(next, out)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.decode.wipe();
    }
}
