//! The one list of codecs: SDP, API, load tool, key detection, imports and documentation all read it.
//!
//! To add a codec: a variant of [`Encoding`], its row here, and a file with its decoder. The compiler finds
//! every other place that has to handle it. Sources: RFC 3551 §4.5 and §6 (names, clocks, static payload
//! types), and those named in the rows.

use std::fmt;

use super::amr::{self, Band, Payload};
use super::decoder::Decode;
use super::g726::{G726Decoder, Packing, Rate};
use super::{g711, g722, gsm, l16, opus};
use crate::opus::encoder::PRE_SKIP_48K;
use crate::opus::packet;
use crate::timebase::AXIS_HZ;

/// The encoding of a stream's audio. One channel, except for Opus, which is self-describing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Encoding {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Linear 16-bit samples, big-endian, at 8, 16, 24 or 48 kHz.
    L16 {
        /// Sampling rate.
        rate_hz: u32,
    },
    /// G.726.
    G726 {
        /// Bits per code word.
        rate: Rate,
        /// Packing of code words into bytes.
        packing: Packing,
    },
    /// GSM 06.10 full rate.
    Gsm,
    /// G.729 with annexes A and B.
    G729,
    /// AMR, in the bandwidth-efficient form or the octet-aligned one.
    Amr {
        /// Whether all fields of a payload are octet-aligned.
        octet_aligned: bool,
    },
    /// AMR-WB, in the bandwidth-efficient form or the octet-aligned one.
    AmrWb {
        /// Whether all fields of a payload are octet-aligned.
        octet_aligned: bool,
    },
    /// Opus in any mode.
    Opus,
}

/// Properties of a codec.
pub struct Codec {
    /// The encoding that this row describes.
    pub encoding: Encoding,
    /// Its name in the API, in stored call data, and on the command line.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Specification of its payload format.
    pub source: &'static str,
    /// Its names in `a=rtpmap`, ours first; case does not matter.
    pub sdp_names: &'static [&'static str],
    /// Accepted RTP clock rates, the correct one first. Units: Hz.
    pub clocks_hz: &'static [u32],
    /// Accepted channel counts in `a=rtpmap`, the correct one first.
    pub channels: &'static [u8],
    /// Parameters of `a=fmtp` that distinguish it from other rows of the same name.
    pub fmtp: Option<&'static str>,
    /// Whether `a=fmtp` parameters select this row; empty if there are none.
    pub takes_fmtp: fn(&str) -> bool,
    /// Its static payload type.
    pub static_payload_type: Option<u8>,
    /// Sampling rate of the recording. Units: Hz.
    pub audio_hz: u32,
    /// Sampling rate when decoded only for tone detection. Units: Hz.
    pub tones_hz: u32,
    /// Codec delay: how much later than spoken the decoder's output is, from the encoder's look-ahead and
    /// filters. Units: of the axis.
    pub lag: i64,
    /// How the duration of a payload is determined.
    pub length: Length,
    /// Whether a payload announces at its end that the sender will be silent.
    pub ends_in_silence: fn(&[u8]) -> bool,
    /// The cargo feature that it needs; `None` if it is in every build.
    pub feature: Option<&'static str>,
    /// Creates a decoder with output at this rate; `None` if the feature is not built in.
    pub decoder: Option<fn(u32) -> Box<dyn Decode>>,
}

/// How the duration of a payload follows from its bytes.
#[derive(Clone, Copy)]
pub enum Length {
    /// Bits per sample at the codec's `audio_hz`; an incomplete sample is not counted.
    Bits(u32),
    /// Determined from the payload itself. Units: of the axis.
    Told(fn(&[u8]) -> i64),
}

/// Defaults shared by most telephony codecs.
const TELEPHONE: Codec = Codec {
    encoding: Encoding::Pcmu,
    name: "",
    title: "",
    source: "",
    sdp_names: &[],
    clocks_hz: &[8_000],
    channels: &[1],
    fmtp: None,
    takes_fmtp: |_| true,
    static_payload_type: None,
    audio_hz: 8_000,
    tones_hz: 8_000,
    lag: 0,
    length: Length::Bits(8),
    ends_in_silence: |_| false,
    feature: None,
    decoder: None,
};

/// A row of G.726. Rates and packings are negotiated by name alone.
macro_rules! g726 {
    ($rate:ident, $packing:ident, $name:literal, $sdp_names:expr) => {
        Codec {
            encoding: Encoding::G726 { rate: Rate::$rate, packing: Packing::$packing },
            name: $name,
            title: "G.726",
            source: "RFC 3551 §4.5.4",
            sdp_names: $sdp_names,
            length: Length::Bits(Rate::$rate.bits()),
            decoder: Some(|_| Box::new(G726Decoder::new(Rate::$rate, Packing::$packing))),
            ..TELEPHONE
        }
    };
}

/// An AMR decoder, if built in.
#[cfg(feature = "amr")]
macro_rules! amr_decoder {
    ($band:expr, $octet_aligned:expr) => {
        Some(|_| Box::new(amr::opencore::AmrDecoder::new($band, $octet_aligned)))
    };
}
#[cfg(not(feature = "amr"))]
macro_rules! amr_decoder {
    ($band:expr, $octet_aligned:expr) => {
        None
    };
}

/// Names each row and its encodings; the compiler requires a row for every encoding.
macro_rules! table {
    ($($pattern:pat => $row:ident = $codec:expr;)*) => {
        $(static $row: Codec = $codec;)*

        /// Every codec, in the order of presentation.
        pub static TABLE: &[&Codec] = &[$(&$row),*];

        impl Encoding {
            /// Its row of the table.
            pub const fn codec(self) -> &'static Codec {
                match self {
                    $($pattern => &$row,)*
                }
            }
        }
    };
}

table! {
    Encoding::Pcmu => PCMU = Codec {
        encoding: Encoding::Pcmu,
        name: "pcmu",
        title: "G.711 µ-law",
        source: "RFC 3551 §4.5.14",
        sdp_names: &["PCMU"],
        static_payload_type: Some(0),
        decoder: Some(|_| Box::new(g711::Ulaw)),
        ..TELEPHONE
    };
    Encoding::Pcma => PCMA = Codec {
        encoding: Encoding::Pcma,
        name: "pcma",
        title: "G.711 A-law",
        source: "RFC 3551 §4.5.14",
        sdp_names: &["PCMA"],
        static_payload_type: Some(8),
        decoder: Some(|_| Box::new(g711::Alaw)),
        ..TELEPHONE
    };
    Encoding::G722 => G722 = Codec {
        encoding: Encoding::G722,
        name: "g722",
        title: "G.722 at 64 kbit/s",
        source: "RFC 3551 §4.5.2",
        sdp_names: &["G722"],
        // Its RTP clock is half its sampling rate because of a historical error; some senders announce the
        // sampling rate.
        clocks_hz: &[8_000, 16_000],
        static_payload_type: Some(9),
        audio_hz: 16_000,
        tones_hz: 16_000,
        // 22 samples at 16 kHz: see the test of its decoder.
        lag: 66,
        length: Length::Bits(4),
        decoder: Some(|_| Box::new(g722::G722Decoder::default())),
        ..TELEPHONE
    };
    Encoding::L16 { rate_hz: 8_000 } => L16_8000 = linear(8_000, &[8_000], "l16/8000");
    Encoding::L16 { rate_hz: 16_000 } => L16_16000 = linear(16_000, &[16_000], "l16/16000");
    Encoding::L16 { rate_hz: 24_000 } => L16_24000 = linear(24_000, &[24_000], "l16/24000");
    Encoding::L16 { .. } => L16_48000 = linear(48_000, &[48_000], "l16/48000");
    Encoding::G726 { rate: Rate::Kbps40, packing: Packing::Rtp } => G726_40 =
        g726!(Kbps40, Rtp, "g726-40", &["G726-40"]);
    Encoding::G726 { rate: Rate::Kbps32, packing: Packing::Rtp } => G726_32 = Codec {
        // Assigned to G.721, now G.726-32, by RFC 1890 and reserved by RFC 3551. Senders that use it mean
        // this codec.
        static_payload_type: Some(2),
        ..g726!(Kbps32, Rtp, "g726-32", &["G726-32", "G721"])
    };
    Encoding::G726 { rate: Rate::Kbps24, packing: Packing::Rtp } => G726_24 =
        g726!(Kbps24, Rtp, "g726-24", &["G726-24"]);
    Encoding::G726 { rate: Rate::Kbps16, packing: Packing::Rtp } => G726_16 =
        g726!(Kbps16, Rtp, "g726-16", &["G726-16"]);
    Encoding::G726 { rate: Rate::Kbps40, packing: Packing::Aal2 } => AAL2_G726_40 =
        g726!(Kbps40, Aal2, "aal2-g726-40", &["AAL2-G726-40"]);
    Encoding::G726 { rate: Rate::Kbps32, packing: Packing::Aal2 } => AAL2_G726_32 =
        g726!(Kbps32, Aal2, "aal2-g726-32", &["AAL2-G726-32"]);
    Encoding::G726 { rate: Rate::Kbps24, packing: Packing::Aal2 } => AAL2_G726_24 =
        g726!(Kbps24, Aal2, "aal2-g726-24", &["AAL2-G726-24"]);
    Encoding::G726 { rate: Rate::Kbps16, packing: Packing::Aal2 } => AAL2_G726_16 =
        g726!(Kbps16, Aal2, "aal2-g726-16", &["AAL2-G726-16"]);
    Encoding::Gsm => GSM = Codec {
        encoding: Encoding::Gsm,
        name: "gsm",
        title: "GSM 06.10 full rate",
        source: "RFC 3551 §4.5.8",
        sdp_names: &["GSM"],
        static_payload_type: Some(3),
        length: Length::Told(gsm::length_axis),
        decoder: Some(|_| Box::new(gsm::GsmDecoder::default())),
        ..TELEPHONE
    };
    Encoding::G729 => G729 = Codec {
        encoding: Encoding::G729,
        name: "g729",
        title: "G.729 with annexes A and B",
        source: "RFC 3551 §4.5.6",
        // Annex A is a different encoder for the same bit stream; annex B is signalled in fmtp.
        sdp_names: &["G729", "G729A"],
        static_payload_type: Some(18),
        // A look-ahead of 5 ms.
        lag: 240,
        // 10 ms frames of 10 bytes; a silence descriptor is shorter and stands for a frame too.
        length: Length::Told(|payload| payload.len().div_ceil(10) as i64 * (AXIS_HZ as i64 / 100)),
        ends_in_silence: |payload| payload.len() % 10 == 2,
        feature: Some("g729"),
        decoder: G729_DECODER,
        ..TELEPHONE
    };
    Encoding::Amr { octet_aligned: false } => AMR = Codec {
        fmtp: None,
        takes_fmtp: |fmtp| amr::takes(fmtp, false),
        length: Length::Told(|payload| amr_length(Band::Narrow, false, payload)),
        ends_in_silence: |payload| amr_ends_in_silence(Band::Narrow, false, payload),
        decoder: amr_decoder!(Band::Narrow, false),
        ..narrow_amr(false, "amr")
    };
    Encoding::Amr { octet_aligned: true } => AMR_ALIGNED = Codec {
        fmtp: Some("octet-align=1"),
        takes_fmtp: |fmtp| amr::takes(fmtp, true),
        length: Length::Told(|payload| amr_length(Band::Narrow, true, payload)),
        ends_in_silence: |payload| amr_ends_in_silence(Band::Narrow, true, payload),
        decoder: amr_decoder!(Band::Narrow, true),
        ..narrow_amr(true, "amr/octet-align")
    };
    Encoding::AmrWb { octet_aligned: false } => AMR_WB = Codec {
        fmtp: None,
        takes_fmtp: |fmtp| amr::takes(fmtp, false),
        length: Length::Told(|payload| amr_length(Band::Wide, false, payload)),
        ends_in_silence: |payload| amr_ends_in_silence(Band::Wide, false, payload),
        decoder: amr_decoder!(Band::Wide, false),
        ..wide_amr(false, "amr-wb")
    };
    Encoding::AmrWb { octet_aligned: true } => AMR_WB_ALIGNED = Codec {
        fmtp: Some("octet-align=1"),
        takes_fmtp: |fmtp| amr::takes(fmtp, true),
        length: Length::Told(|payload| amr_length(Band::Wide, true, payload)),
        ends_in_silence: |payload| amr_ends_in_silence(Band::Wide, true, payload),
        decoder: amr_decoder!(Band::Wide, true),
        ..wide_amr(true, "amr-wb/octet-align")
    };
    Encoding::Opus => OPUS = Codec {
        encoding: Encoding::Opus,
        name: "opus",
        title: "Opus",
        source: "RFC 7587",
        sdp_names: &["opus"],
        clocks_hz: &[48_000],
        channels: &[2, 1],
        // If it has to be decoded at all, 16 kHz is enough for speech.
        audio_hz: 16_000,
        lag: PRE_SKIP_48K as i64,
        length: Length::Told(packet::length_axis),
        decoder: Some(|rate_hz| Box::new(opus::OpusDecoder::new(rate_hz))),
        ..TELEPHONE
    };
}

const fn linear(rate_hz: u32, clocks_hz: &'static [u32], name: &'static str) -> Codec {
    Codec {
        encoding: Encoding::L16 { rate_hz },
        name,
        title: "linear samples of 16 bits",
        source: "RFC 3551 §4.5.11",
        sdp_names: &["L16"],
        clocks_hz,
        audio_hz: rate_hz,
        tones_hz: rate_hz,
        length: Length::Bits(16),
        decoder: Some(|_| Box::new(l16::Linear)),
        ..TELEPHONE
    }
}

const fn narrow_amr(octet_aligned: bool, name: &'static str) -> Codec {
    Codec {
        encoding: Encoding::Amr { octet_aligned },
        name,
        title: "AMR",
        source: "RFC 4867",
        sdp_names: &["AMR"],
        // A look-ahead of 5 ms.
        lag: 240,
        feature: Some("amr"),
        ..TELEPHONE
    }
}

const fn wide_amr(octet_aligned: bool, name: &'static str) -> Codec {
    Codec {
        encoding: Encoding::AmrWb { octet_aligned },
        name,
        title: "AMR-WB",
        sdp_names: &["AMR-WB"],
        clocks_hz: &[16_000],
        audio_hz: 16_000,
        tones_hz: 16_000,
        // A look-ahead of 5 ms, and a filter between 16 kHz and the 12.8 kHz of the codec.
        lag: 285,
        ..narrow_amr(octet_aligned, name)
    }
}

fn amr_length(band: Band, octet_aligned: bool, payload: &[u8]) -> i64 {
    Payload::parse(band, octet_aligned, payload).map_or(0, |payload| payload.length_axis())
}

fn amr_ends_in_silence(band: Band, octet_aligned: bool, payload: &[u8]) -> bool {
    Payload::parse(band, octet_aligned, payload).is_some_and(|payload| payload.ends_in_silence())
}

#[cfg(feature = "g729")]
const G729_DECODER: Option<fn(u32) -> Box<dyn Decode>> =
    Some(|_| Box::new(super::g729::G729Decoder::default()));
#[cfg(not(feature = "g729"))]
const G729_DECODER: Option<fn(u32) -> Box<dyn Decode>> = None;

impl Codec {
    /// Whether it can be decoded. The encoding of one that cannot is never negotiated, so such a stream is
    /// refused in signalling.
    pub const fn is_built(&self) -> bool {
        self.decoder.is_some()
    }

    /// The value of `a=rtpmap`, for example `PCMU/8000`.
    pub fn rtpmap(&self) -> String {
        let (name, clock_hz) = (self.sdp_names[0], self.clocks_hz[0]);
        match self.channels[0] {
            1 => format!("{name}/{clock_hz}"),
            channels => format!("{name}/{clock_hz}/{channels}"),
        }
    }

    pub(super) fn is_named(&self, name: &str, clock_hz: u32, channels: u8) -> bool {
        self.sdp_names.iter().any(|known| known.eq_ignore_ascii_case(name))
            && self.clocks_hz.contains(&clock_hz)
            && self.channels.contains(&channels)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The codecs that this build decodes.
pub fn built() -> impl Iterator<Item = &'static Codec> {
    TABLE.iter().copied().filter(|codec| codec.is_built())
}

/// The codec of a static payload type.
pub fn by_static_payload_type(payload_type: u8) -> Option<&'static Codec> {
    TABLE.iter().copied().find(|codec| codec.static_payload_type == Some(payload_type))
}

/// The names of the codecs that this build decodes.
pub fn names() -> Vec<&'static str> {
    built().map(|codec| codec.name).collect()
}

#[cfg(test)]
mod tests;
