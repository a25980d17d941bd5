//! The audio codings that a stream may arrive in: their names, rates and payload types. What
//! turns payloads into samples is [`decoder`].

pub mod coded;
pub mod decoder;
pub mod g711;
#[cfg(feature = "g729")]
pub mod g729;
pub mod length;
pub mod opus_packet;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a stream's audio is coded on the wire. One channel, but for Opus, which tells itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Encoding {
    /// G.711 µ-law. Static payload type 0.
    Pcmu,
    /// G.711 A-law. Static payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s. Static payload type 9; its RTP clock says 8 kHz by an old mistake
    /// (RFC 3551 §4.5.2).
    G722,
    /// Linear 16-bit samples, big-endian (RFC 3551 §4.5.11), of one of [`L16_RATES_HZ`].
    L16 {
        /// Samples a second.
        rate_hz: u32,
    },
    /// G.729, with annexes A and B. Static payload type 18. Taken only where the feature `g729` is
    /// built in.
    G729,
    /// Opus (RFC 7587): `opus/48000/2` whatever is inside.
    Opus,
}

/// Whether G.729 can be decoded. Where it cannot, nothing gives [`Encoding::G729`], so that such a
/// stream is refused in signalling.
pub const G729_IS_BUILT: bool = cfg!(feature = "g729");

/// Rates of linear audio that are taken. Units: Hz.
pub const L16_RATES_HZ: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

/// A name that is no coding taken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no coding that is taken here: pcmu, pcma, g722, l16/8000, l16/16000, l16/24000, l16/48000 or opus"
)]
pub struct UnknownEncoding(String);

impl Encoding {
    /// The payload type that means this coding without being negotiated.
    ///
    /// Source: RFC 3551 §6, table 4.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Encoding::Pcmu => Some(0),
            Encoding::Pcma => Some(8),
            Encoding::G722 => Some(9),
            Encoding::G729 => Some(18),
            Encoding::L16 { .. } | Encoding::Opus => None,
        }
    }

    /// RTP clock rate. Units: Hz.
    pub const fn clock_hz(self) -> u32 {
        match self {
            Encoding::Pcmu | Encoding::Pcma | Encoding::G722 | Encoding::G729 => 8_000,
            Encoding::L16 { rate_hz } => rate_hz,
            Encoding::Opus => 48_000,
        }
    }

    /// Rate of the samples that decoding gives. Opus is decoded at 16 kHz where it has to be
    /// decoded at all: that is all of speech. Units: Hz.
    pub const fn audio_hz(self) -> u32 {
        match self {
            Encoding::Pcmu | Encoding::Pcma | Encoding::G729 => 8_000,
            Encoding::G722 | Encoding::Opus => 16_000,
            Encoding::L16 { rate_hz } => rate_hz,
        }
    }

    /// Whether a payload ends by saying that the sender will be silent: a silence descriptor of
    /// G.729 annex B. Source: RFC 3551 §4.5.6.
    pub const fn ends_in_silence(self, payload: &[u8]) -> bool {
        matches!(self, Encoding::G729) && payload.len() % 10 == 2
    }

    /// The coding of an `a=rtpmap` entry; `None` where it is not taken here.
    ///
    /// Source: RFC 4566 §6 (rtpmap), RFC 3551 §6, RFC 7587 §7.
    pub fn from_rtpmap(name: &str, clock_hz: u32, channels: u8) -> Option<Self> {
        match (name.to_ascii_uppercase().as_str(), clock_hz, channels) {
            ("PCMU", 8_000, 1) => Some(Encoding::Pcmu),
            ("PCMA", 8_000, 1) => Some(Encoding::Pcma),
            // Some senders write the rate of the audio.
            ("G722", 8_000 | 16_000, 1) => Some(Encoding::G722),
            // Annex A is another encoder of the same bits, annex B is told in fmtp.
            ("G729" | "G729A", 8_000, 1) if G729_IS_BUILT => Some(Encoding::G729),
            ("L16", rate_hz, 1) if L16_RATES_HZ.contains(&rate_hz) => Some(Encoding::L16 { rate_hz }),
            ("OPUS", 48_000, 1 | 2) => Some(Encoding::Opus),
            _ => None,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encoding::Pcmu => f.write_str("pcmu"),
            Encoding::Pcma => f.write_str("pcma"),
            Encoding::G722 => f.write_str("g722"),
            Encoding::G729 => f.write_str("g729"),
            Encoding::L16 { rate_hz } => write!(f, "l16/{rate_hz}"),
            Encoding::Opus => f.write_str("opus"),
        }
    }
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        let unknown = || UnknownEncoding(name.chars().take(32).collect());
        match name.to_ascii_lowercase().as_str() {
            "pcmu" => Ok(Encoding::Pcmu),
            "pcma" => Ok(Encoding::Pcma),
            "g722" => Ok(Encoding::G722),
            "g729" if G729_IS_BUILT => Ok(Encoding::G729),
            "opus" => Ok(Encoding::Opus),
            other => {
                let rate = other.strip_prefix("l16/").and_then(|rate| rate.parse().ok());
                let rate_hz = rate.filter(|rate| L16_RATES_HZ.contains(rate)).ok_or_else(unknown)?;
                Ok(Encoding::L16 { rate_hz })
            }
        }
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

/// A payload type and its coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadFormat {
    /// 0 to 127.
    pub payload_type: u8,
    /// How its payload is coded.
    pub encoding: Encoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_what_they_were() {
        let all = [Encoding::Pcmu, Encoding::Pcma, Encoding::G722, Encoding::Opus];
        let linear = L16_RATES_HZ.map(|rate_hz| Encoding::L16 { rate_hz });
        for encoding in all.into_iter().chain(linear) {
            assert_eq!(encoding.to_string().parse(), Ok(encoding));
        }
        assert!("l16/44100".parse::<Encoding>().is_err());
        assert!("g728".parse::<Encoding>().is_err());
        assert_eq!("g729".parse().ok(), G729_IS_BUILT.then_some(Encoding::G729));
    }

    #[test]
    fn rtpmaps_of_real_equipment_are_understood() {
        assert_eq!(Encoding::from_rtpmap("OPUS", 48_000, 2), Some(Encoding::Opus));
        assert_eq!(Encoding::from_rtpmap("g722", 8_000, 1), Some(Encoding::G722));
        assert_eq!(Encoding::from_rtpmap("L16", 16_000, 1), Some(Encoding::L16 { rate_hz: 16_000 }));
        assert_eq!(Encoding::from_rtpmap("L16", 44_100, 1), None);
        assert_eq!(Encoding::from_rtpmap("PCMU", 8_000, 2), None);
        assert_eq!(Encoding::from_rtpmap("G729", 8_000, 1), G729_IS_BUILT.then_some(Encoding::G729));
    }
}
