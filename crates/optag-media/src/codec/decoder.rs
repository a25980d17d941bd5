//! Decoding of payloads. In: one payload at a time, in order. Out: samples at the codec's own rate. The
//! decoder of a stream's codec is created with its first packet.

use super::Encoding;

/// Maximum number of samples from one payload: 120 ms at 48 kHz.
pub const LONGEST_SAMPLES: usize = 5_760;

/// A decoder of one codec. Allocates only when created.
pub trait Decode: Send {
    /// Decodes `payload` to the start of `out`; returns the number of samples written. Invalid payloads give
    /// none; output that does not fit is dropped.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize;

    /// Decodes a lost packet from the copy in the next packet (in-band FEC); returns the number of samples
    /// written, 0 if the codec has no FEC. Call it before decoding the next packet itself.
    fn decode_lost(&mut self, _next: &[u8], _out: &mut [i16]) -> usize {
        0
    }

    /// Overwrites the audio in its state.
    fn wipe(&mut self) {}
}

/// Decodes payloads of one codec into samples.
pub struct Decoder {
    encoding: Encoding,
    rate_hz: u32,
    decode: Box<dyn Decode>,
}

/// Placeholder for a codec that is not built in: its encoding cannot be negotiated then, and payloads of it
/// give no samples.
struct Nothing;

impl Decode for Nothing {
    fn decode(&mut self, _payload: &[u8], _out: &mut [i16]) -> usize {
        0
    }
}

impl Decoder {
    /// A decoder in its initial state.
    ///
    /// Panics: out of memory.
    pub fn new(encoding: Encoding) -> Self {
        Self::at_rate(encoding, encoding.codec().audio_hz)
    }

    /// A decoder for tone detection, for which the telephone band is sufficient.
    ///
    /// Panics: out of memory.
    pub fn for_tones(encoding: Encoding) -> Self {
        Self::at_rate(encoding, encoding.codec().tones_hz)
    }

    fn at_rate(encoding: Encoding, rate_hz: u32) -> Self {
        let decode = encoding.codec().decoder.map_or_else(|| Box::new(Nothing) as _, |make| make(rate_hz));
        Self { encoding, rate_hz, decode }
    }

    /// Sampling rate of its output. Units: Hz.
    pub fn audio_hz(&self) -> u32 {
        self.rate_hz
    }

    /// The encoding that it decodes.
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
