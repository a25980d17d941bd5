//! Payloads of simulated streams: each voice is encoded once, before the calls begin, so that sending costs
//! only a copy. In: 8 kHz speech. Out: the payloads of its packets, to be looped.
//!
//! Source: RFC 7587 §4 (Opus), ITU-T G.711; names, types and clocks are those of `table`.

use anyhow::{Context, ensure};
use audio_codec::Encoder as _;
use audio_codec::g722::G722Encoder;

use super::Encoding;
#[cfg(feature = "amr")]
use super::amr;
use super::g726::{self, Packing, Rate};
use super::gsm_encoder;

/// Sampling rate of the speech to encode. Units: Hz.
const RATE_HZ: u32 = 8_000;

/// Sampling rate of the wideband codecs. Units: Hz.
const WIDE_HZ: u32 = 16_000;
/// Bit rate of Opus as sent. Units: bit/s.
const OPUS_BPS: i32 = 24_000;
/// Size of the longest Opus packet. Source: RFC 6716 §3.4.
const OPUS_BYTES: usize = 1_275 * 3 + 7;

/// Codec of a simulated stream: those of the table that have an encoder here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Linear 16-bit samples at 16 kHz.
    L16,
    /// G.726.
    G726(Rate, Packing),
    /// GSM 06.10 full rate.
    Gsm,
    /// Opus at 16 kHz and 24 kbit/s.
    Opus,
    /// AMR at 12.2 kbit/s.
    #[cfg(feature = "amr")]
    Amr {
        /// Whether in the octet-aligned form.
        octet_aligned: bool,
    },
    /// AMR-WB at 12.65 kbit/s.
    #[cfg(feature = "amr-wb-encoder")]
    AmrWb {
        /// Whether in the octet-aligned form.
        octet_aligned: bool,
    },
}

impl Codec {
    /// The codec for an encoding; `None` if there is no encoder for it here.
    pub const fn of(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Pcmu => Some(Codec::Pcmu),
            Encoding::Pcma => Some(Codec::Pcma),
            Encoding::G722 => Some(Codec::G722),
            Encoding::L16 { rate_hz: WIDE_HZ } => Some(Codec::L16),
            Encoding::G726 { rate, packing } => Some(Codec::G726(rate, packing)),
            Encoding::Gsm => Some(Codec::Gsm),
            Encoding::Opus => Some(Codec::Opus),
            #[cfg(feature = "amr")]
            Encoding::Amr { octet_aligned } => Some(Codec::Amr { octet_aligned }),
            #[cfg(not(feature = "amr"))]
            Encoding::Amr { .. } => None,
            #[cfg(feature = "amr-wb-encoder")]
            Encoding::AmrWb { octet_aligned } => Some(Codec::AmrWb { octet_aligned }),
            #[cfg(not(feature = "amr-wb-encoder"))]
            Encoding::AmrWb { .. } => None,
            Encoding::L16 { .. } | Encoding::G729 => None,
        }
    }

    /// Its encoding.
    pub const fn encoding(self) -> Encoding {
        match self {
            Codec::Pcmu => Encoding::Pcmu,
            Codec::Pcma => Encoding::Pcma,
            Codec::G722 => Encoding::G722,
            Codec::L16 => Encoding::L16 { rate_hz: WIDE_HZ },
            Codec::G726(rate, packing) => Encoding::G726 { rate, packing },
            Codec::Gsm => Encoding::Gsm,
            Codec::Opus => Encoding::Opus,
            #[cfg(feature = "amr")]
            Codec::Amr { octet_aligned } => Encoding::Amr { octet_aligned },
            #[cfg(feature = "amr-wb-encoder")]
            Codec::AmrWb { octet_aligned } => Encoding::AmrWb { octet_aligned },
        }
    }

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        self.encoding().codec().name
    }

    /// The payload type that it is sent with.
    pub const fn payload_type(self) -> u8 {
        match (self.encoding().static_payload_type(), self) {
            (Some(payload_type), _) => payload_type,
            (None, Codec::Opus) => 111,
            (None, _) => 97,
        }
    }

    /// Rate of its RTP timestamps. Units: Hz.
    pub const fn clock_hz(self) -> u32 {
        self.encoding().clock_hz()
    }

    /// Its name, clock and channels in SDP.
    pub fn rtpmap(self) -> String {
        self.encoding().codec().rtpmap()
    }

    /// Its parameters in SDP, if it has any.
    pub fn fmtp(self) -> Option<&'static str> {
        self.encoding().codec().fmtp
    }

    /// Encodes 8 kHz samples at once. Panics: for Opus and AMR, which have frames.
    pub fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Codec::Pcmu => samples.iter().map(|&sample| ulaw(sample)).collect(),
            Codec::Pcma => samples.iter().map(|&sample| alaw(sample)).collect(),
            Codec::G722 => g722(&widened(samples)),
            Codec::L16 => widened(samples).iter().flat_map(|sample| sample.to_be_bytes()).collect(),
            Codec::G726(rate, packing) => g726::encode(rate, packing, samples),
            Codec::Gsm => gsm_encoder::encode(samples),
            Codec::Opus => panic!("Opus is coded in frames"),
            #[cfg(feature = "amr")]
            Codec::Amr { .. } => panic!("AMR is coded in frames"),
            #[cfg(feature = "amr-wb-encoder")]
            Codec::AmrWb { .. } => panic!("AMR-WB is coded in frames"),
        }
    }
}

/// A codec and its packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// Units: ms.
    pub ptime_ms: u32,
}

impl Format {
    /// Timestamp increment per packet.
    pub const fn ticks(self) -> u32 {
        self.codec.clock_hz() / 1_000 * self.ptime_ms
    }

    /// Speech per packet. Units: samples at 8 kHz.
    pub const fn samples(self) -> usize {
        (RATE_HZ / 1_000 * self.ptime_ms) as usize
    }
}

/// An encoded voice: the payloads of its packets, which are looped.
#[derive(Clone, Debug)]
pub struct Coded {
    /// Its format.
    pub format: Format,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Coded {
    /// Encodes a voice; a remainder shorter than a packet is dropped.
    ///
    /// Errors: the voice is shorter than a packet, or the codec does not support this packet time.
    pub fn new(voice: &[i16], format: Format) -> anyhow::Result<Self> {
        ensure!((10..=60).contains(&format.ptime_ms), "packets of 10 to 60 ms are made here");
        let packets = voice.len() / format.samples();
        ensure!(packets > 0, "the speech is shorter than a packet");
        let voice = &voice[..packets * format.samples()];
        if format.codec == Codec::Opus {
            return Self::opus(widened(voice), format);
        }
        let is_framed =
            matches!(format.codec.encoding(), Encoding::Gsm | Encoding::Amr { .. } | Encoding::AmrWb { .. });
        ensure!(
            !is_framed || format.ptime_ms.is_multiple_of(20),
            "GSM, AMR and AMR-WB have packets of 20, 40 or 60 ms"
        );
        #[cfg(feature = "amr")]
        if let Codec::Amr { octet_aligned } = format.codec {
            let frames = format.ptime_ms as usize / 20;
            return Ok(Self::framed(format, amr::opencore_encoder::payloads(voice, octet_aligned, frames)));
        }
        #[cfg(feature = "amr-wb-encoder")]
        if let Codec::AmrWb { octet_aligned } = format.codec {
            let frames = format.ptime_ms as usize / 20;
            return Ok(Self::framed(
                format,
                amr::vo_encoder::payloads(&widened(voice), octet_aligned, frames),
            ));
        }
        let bytes = format.codec.encode(voice);
        let size = bytes.len() / packets;
        Ok(Self { format, ends: (1..=packets).map(|n| n * size).collect(), bytes })
    }

    #[cfg(feature = "amr")]
    fn framed(format: Format, payloads: Vec<Vec<u8>>) -> Self {
        let mut coded = Self { format, bytes: Vec::new(), ends: Vec::new() };
        for payload in payloads {
            coded.bytes.extend(payload);
            coded.ends.push(coded.bytes.len());
        }
        coded
    }

    /// Encodes a voice sampled at 16 kHz, which G.722 and Opus keep; the other codecs get the telephone band of
    /// it. A remainder shorter than a packet is dropped.
    ///
    /// Errors: as of [`Coded::new`].
    pub fn of_wideband(voice: &[i16], format: Format) -> anyhow::Result<Self> {
        let packets = voice.len() / (2 * format.samples());
        match format.codec {
            Codec::Opus => Self::opus(voice.to_vec(), format),
            Codec::G722 => {
                ensure!(packets > 0, "the speech is shorter than a packet");
                let bytes = g722(&voice[..packets * 2 * format.samples()]);
                let size = bytes.len() / packets;
                Ok(Self { format, ends: (1..=packets).map(|n| n * size).collect(), bytes })
            }
            _ => Self::new(&halved(voice), format),
        }
    }

    fn opus(wide: Vec<i16>, format: Format) -> anyhow::Result<Self> {
        ensure!([10, 20, 40, 60].contains(&format.ptime_ms), "Opus has packets of 10, 20, 40 or 60 ms");
        let mut encoder = opus::Encoder::new(WIDE_HZ, opus::Channels::Mono, opus::Application::Voip)?;
        encoder.set_bitrate(opus::Bitrate::Bits(OPUS_BPS))?;
        let mut coded = Self { format, bytes: Vec::new(), ends: Vec::new() };
        let mut packet = vec![0; OPUS_BYTES];
        for frame in wide.chunks_exact(format.samples() * 2) {
            let length = encoder.encode(frame, &mut packet).context("libopus refused a frame")?;
            coded.bytes.extend_from_slice(&packet[..length]);
            coded.ends.push(coded.bytes.len());
        }
        Ok(coded)
    }

    /// Number of packets in the loop.
    pub fn packets(&self) -> usize {
        self.ends.len()
    }

    /// The payload of a packet; the count continues over the end of the loop.
    pub fn payload(&self, packet: u64) -> &[u8] {
        let n = (packet % self.ends.len() as u64) as usize;
        let from = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.bytes[from..self.ends[n]]
    }
}

/// The same at twice the rate, by a six-tap half-band filter.
fn widened(samples: &[i16]) -> Vec<i16> {
    const TAPS: [i32; 6] = [3, -25, 150, 150, -25, 3];
    let at =
        |n: usize, offset: usize| i32::from(samples[(n + offset).saturating_sub(2).min(samples.len() - 1)]);
    let between = |n| TAPS.iter().enumerate().map(|(k, tap)| tap * at(n, k)).sum::<i32>() / 256;
    (0..samples.len())
        .flat_map(|n| [samples[n], between(n).clamp(i16::MIN.into(), i16::MAX.into()) as i16])
        .collect()
}

/// The same at half the rate, by a windowed sinc that keeps the telephone band.
///
/// Source: half-band design, cut-off at 0.225 of the rate that comes in, Hamming window.
fn halved(samples: &[i16]) -> Vec<i16> {
    const HALF: isize = 31;
    const CUTOFF: f64 = 0.225;
    let tap = |n: isize| {
        let x = n as f64;
        let sinc = match n {
            0 => 2.0 * CUTOFF,
            _ => (2.0 * std::f64::consts::PI * CUTOFF * x).sin() / (std::f64::consts::PI * x),
        };
        sinc * (0.54 + 0.46 * (std::f64::consts::PI * x / (HALF + 1) as f64).cos())
    };
    let taps: Vec<f64> = (-HALF..=HALF).map(tap).collect();
    let sample =
        |at: isize| usize::try_from(at).ok().and_then(|at| samples.get(at)).map_or(0.0, |&s| f64::from(s));
    let filtered = |middle: usize| -> f64 {
        taps.iter().zip(-HALF..).map(|(tap, n)| tap * sample(middle as isize + n)).sum()
    };
    (0..samples.len()).step_by(2).map(|middle| filtered(middle).round() as i16).collect()
}

fn g722(samples: &[i16]) -> Vec<u8> {
    let mut encoder = G722Encoder::new();
    let mut coded = vec![0; encoder.max_encode_bytes(samples.len())];
    let length = encoder.encode_into(samples, &mut coded).unwrap_or(0);
    coded.truncate(length);
    coded
}

fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = (24 - magnitude.leading_zeros() as i32).max(0);
    !(sign | (segment << 4) as u8 | (magnitude >> (segment + 3)) as u8 & 0x0f)
}

fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = if sample >= 0 { i32::from(sample) } else { -i32::from(sample) - 1 };
    let code = match magnitude {
        0..256 => magnitude >> 4,
        _ => {
            let segment = 24 - magnitude.leading_zeros() as i32;
            segment << 4 | magnitude >> (segment + 3) & 0x0f
        }
    };
    (sign | code as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{g711, table};

    #[test]
    fn what_is_coded_by_g711_decodes_to_nearly_the_same() {
        for (codec, decode) in [
            (Codec::Pcmu, g711::decode_ulaw as fn(&[u8], &mut [i16])),
            (Codec::Pcma, g711::decode_alaw as fn(&[u8], &mut [i16])),
        ] {
            for sample in (i16::MIN..i16::MAX).step_by(37) {
                let mut out = [0];
                decode(&codec.encode(&[sample]), &mut out);
                let error = (i32::from(out[0]) - i32::from(sample)).abs();
                assert!(error <= 8 + i32::from(sample).abs() / 16, "{codec:?} {sample} {}", out[0]);
            }
        }
    }

    #[test]
    fn every_codec_that_is_sent_is_the_one_of_its_encoding() {
        for codec in table::TABLE {
            if let Some(sent) = Codec::of(codec.encoding) {
                assert_eq!((sent.encoding(), sent.name()), (codec.encoding, codec.name));
            }
        }
        assert_eq!([Codec::Pcma, Codec::L16, Codec::Opus].map(Codec::payload_type), [8, 97, 111]);
        assert_eq!([Codec::L16, Codec::Opus].map(Codec::rtpmap), ["L16/16000", "opus/48000/2"]);
    }

    fn tone() -> Vec<i16> {
        (0..9_600).map(|n| ((f64::from(n) * 0.3).sin() * 9_000.0) as i16).collect()
    }

    #[test]
    fn packets_have_their_time_in_every_coding() {
        for (codec, ptime_ms, ticks, bytes) in [
            (Codec::Pcma, 30, 240, Some(240)),
            (Codec::Pcmu, 10, 80, Some(80)),
            (Codec::G722, 20, 160, Some(160)),
            (Codec::L16, 60, 960, Some(1_920)),
            (Codec::G726(Rate::Kbps24, Packing::Rtp), 10, 80, Some(30)),
            (Codec::G726(Rate::Kbps40, Packing::Aal2), 30, 240, Some(150)),
            (Codec::Gsm, 40, 320, Some(66)),
            (Codec::Opus, 20, 960, None),
        ] {
            let coded = Coded::new(&tone(), Format { codec, ptime_ms }).unwrap();
            assert_eq!(coded.format.ticks(), ticks, "{codec:?}");
            assert_eq!(coded.packets(), 1_200 / ptime_ms as usize, "{codec:?}");
            let payload = coded.payload(coded.packets() as u64 + 3);
            assert_eq!(payload, coded.payload(3));
            assert!(bytes.is_none_or(|bytes| payload.len() == bytes), "{codec:?} {}", payload.len());
        }
        assert!(Coded::new(&tone(), Format { codec: Codec::Opus, ptime_ms: 30 }).is_err());
        assert!(Coded::new(&[], Format { codec: Codec::Pcma, ptime_ms: 20 }).is_err());
    }

    #[test]
    fn a_wideband_voice_keeps_its_band_where_the_codec_has_it() {
        let tone = |hz: f64| -> Vec<i16> {
            (0..16_000)
                .map(|n| ((f64::from(n) * hz / 16_000.0 * std::f64::consts::TAU).sin() * 9_000.0) as i16)
                .collect()
        };
        let level = |samples: &[i16]| {
            let power: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
            (power / samples.len() as f64).sqrt()
        };
        let (low, high) = (tone(1_000.0), tone(6_000.0));
        assert!((level(&halved(&low)[100..]) / level(&low) - 1.0).abs() < 0.01);
        assert!(
            level(&halved(&high)[100..7_900]) < level(&high) / 300.0,
            "{}",
            level(&halved(&high)[100..7_900])
        );
        for (codec, packets) in [(Codec::Pcmu, 50), (Codec::Pcma, 50), (Codec::G722, 50), (Codec::Opus, 50)] {
            let coded = Coded::of_wideband(&high, Format { codec, ptime_ms: 20 }).unwrap();
            assert_eq!(coded.packets(), packets, "{codec:?}");
            let mut decoder = crate::codec::decoder::Decoder::new(codec.encoding());
            let mut heard = vec![0; crate::codec::decoder::LONGEST_SAMPLES];
            let mut loudest: f64 = 0.0;
            for packet in 0..coded.packets() as u64 {
                let count = decoder.decode(coded.payload(packet), &mut heard);
                loudest = loudest.max(level(&heard[..count]));
            }
            let wide = matches!(codec, Codec::G722 | Codec::Opus);
            assert_eq!(loudest > 3_000.0, wide, "{codec:?} {loudest}");
        }
        assert!(Coded::of_wideband(&[0; 100], Format { codec: Codec::G722, ptime_ms: 20 }).is_err());
    }

    #[cfg(feature = "amr")]
    #[test]
    fn amr_that_is_sent_is_heard_in_both_forms() {
        use crate::codec::amr::opencore::tests::{alike, buzz};
        use crate::codec::decoder::Decoder;

        let said = buzz(8_000.0);
        for (octet_aligned, ptime_ms, bytes) in
            [(false, 20, 32), (true, 20, 33), (false, 60, 95), (true, 40, 65)]
        {
            let codec = Codec::Amr { octet_aligned };
            assert_eq!((codec.rtpmap().as_str(), codec.payload_type()), ("AMR/8000", 97));
            assert_eq!(codec.fmtp(), octet_aligned.then_some("octet-align=1"));
            let coded = Coded::new(&said, Format { codec, ptime_ms }).unwrap();
            assert_eq!(coded.packets(), 2_000 / ptime_ms as usize);
            let mut decoder = Decoder::new(codec.encoding());
            let mut heard = Vec::new();
            for packet in 0..coded.packets() as u64 {
                assert_eq!(coded.payload(packet).len(), bytes);
                let mut out = vec![0; coded.format.samples()];
                assert_eq!(decoder.decode(coded.payload(packet), &mut out), out.len());
                heard.extend(out);
            }
            let (match_, _) = alike(&heard[1_600..], &said[1_600..6_400], 160);
            assert!(match_ > 0.8, "{octet_aligned} {ptime_ms}: {match_}");
        }
        let codec = Codec::Amr { octet_aligned: true };
        assert!(Coded::new(&said, Format { codec, ptime_ms: 30 }).is_err());
    }

    #[cfg(feature = "amr-wb-encoder")]
    #[test]
    fn amr_wb_that_is_sent_is_heard_in_both_forms() {
        use crate::codec::amr::opencore::tests::{alike, buzz};
        use crate::codec::decoder::Decoder;

        let said = buzz(8_000.0);
        for (octet_aligned, ptime_ms, bytes) in
            [(false, 20, 33), (true, 20, 34), (false, 60, 98), (true, 40, 67)]
        {
            let codec = Codec::AmrWb { octet_aligned };
            assert_eq!((codec.rtpmap().as_str(), codec.payload_type()), ("AMR-WB/16000", 97));
            assert_eq!(codec.fmtp(), octet_aligned.then_some("octet-align=1"));
            let coded = Coded::new(&said, Format { codec, ptime_ms }).unwrap();
            let mut decoder = Decoder::new(codec.encoding());
            let mut heard = Vec::new();
            for packet in 0..coded.packets() as u64 {
                assert_eq!(coded.payload(packet).len(), bytes);
                let mut out = vec![0; coded.format.samples() * 2];
                assert_eq!(decoder.decode(coded.payload(packet), &mut out), out.len());
                heard.extend(out);
            }
            let (match_, _) = alike(&heard[3_200..], &widened(&said)[3_200..12_800], 320);
            assert!(match_ > 0.8, "{octet_aligned} {ptime_ms}: {match_}");
        }
    }

    #[test]
    fn widening_keeps_every_sample_and_stays_smooth_between() {
        let (narrow, wide) = (tone(), widened(&tone()));
        assert!(narrow.iter().zip(wide.chunks(2)).all(|(&sample, pair)| pair[0] == sample));
        let expected = |n: usize| (n as f64 * 0.15).sin() * 9_000.0;
        let error = |n: usize| (f64::from(wide[n]) - expected(n)).abs();
        assert!((100..19_000).all(|n| error(n) < 60.0), "{}", (100..19_000).map(error).fold(0.0, f64::max));
    }
}
