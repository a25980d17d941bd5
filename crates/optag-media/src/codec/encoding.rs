//! Properties of an [`Encoding`], all from its row of the [`table`].

use std::fmt;
use std::str::FromStr;

use super::table::{self, Encoding, Length};
use crate::timebase::per_sample;

/// A name of no codec in this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported codec `{0}`; supported: {list}", list = table::names().join(", "))]
pub struct UnknownEncoding(String);

impl Encoding {
    /// Its static payload type.
    pub const fn static_payload_type(self) -> Option<u8> {
        self.codec().static_payload_type
    }

    /// RTP clock rate. Units: Hz.
    pub const fn clock_hz(self) -> u32 {
        self.codec().clocks_hz[0]
    }

    /// Sampling rate of the decoded audio. Units: Hz.
    pub const fn audio_hz(self) -> u32 {
        self.codec().audio_hz
    }

    /// Decoder delay: how much later than spoken its output is. Units: of the axis.
    pub const fn lag(self) -> i64 {
        self.codec().lag
    }

    /// Whether a payload announces at its end that the sender will be silent.
    pub fn ends_in_silence(self, payload: &[u8]) -> bool {
        (self.codec().ends_in_silence)(payload)
    }

    /// Duration of a payload's audio, 0 if unknown. Units: of the axis.
    pub fn length_axis(self, payload: &[u8]) -> i64 {
        let codec = self.codec();
        match codec.length {
            Length::Bits(bits) => (payload.len() * 8 / bits as usize) as i64 * per_sample(codec.audio_hz),
            Length::Told(length) => length(payload),
        }
    }

    /// The encoding of an `a=rtpmap` entry with its `a=fmtp` parameters; `None` if this build cannot decode
    /// it.
    ///
    /// Source: RFC 8866 §6.6 (rtpmap), §6.15 (fmtp).
    pub fn from_sdp(name: &str, clock_hz: u32, channels: u8, fmtp: &str) -> Option<Self> {
        table::built()
            .find(|codec| codec.is_named(name, clock_hz, channels) && (codec.takes_fmtp)(fmtp))
            .map(|codec| codec.encoding)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.codec().name)
    }
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        table::built()
            .find(|codec| codec.name.eq_ignore_ascii_case(name))
            .map(|codec| codec.encoding)
            .ok_or_else(|| UnknownEncoding(name.chars().take(32).collect()))
    }
}

impl TryFrom<String> for Encoding {
    type Error = UnknownEncoding;

    fn try_from(name: String) -> Result<Self, UnknownEncoding> {
        name.parse()
    }
}

impl From<Encoding> for String {
    fn from(encoding: Encoding) -> String {
        encoding.to_string()
    }
}
