use super::super::decoder::{Decoder, LONGEST_SAMPLES};
use super::*;
use crate::timebase::per_sample;

const MS: i64 = 48;

#[test]
fn every_row_is_found_by_its_encoding_its_name_and_its_rtpmap() {
    for codec in TABLE {
        assert!(std::ptr::eq(codec.encoding.codec(), *codec), "{codec:?}");
        let built = codec.is_built().then_some(codec.encoding);
        assert_eq!(codec.name.parse().ok(), built, "{codec:?}");
        assert_eq!(codec.name.to_uppercase().parse().ok(), built, "{codec:?}");
        let rtpmap = codec.rtpmap();
        let mut parts = rtpmap.split('/');
        let (name, clock) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
        let channels = parts.next().map_or(1, |channels| channels.parse().unwrap());
        let fmtp = codec.fmtp.unwrap_or_default();
        assert_eq!(Encoding::from_sdp(name, clock, channels, fmtp), built, "{codec:?}");
    }
    for unknown in ["l16/44100", "g728", "", "pcm"] {
        let error = unknown.parse::<Encoding>().unwrap_err().to_string();
        assert!(names().iter().all(|name| error.contains(name)), "{error}");
    }
}

#[test]
fn names_and_static_payload_types_stand_in_the_table_once() {
    for (n, codec) in TABLE.iter().enumerate() {
        for other in &TABLE[n + 1..] {
            assert_ne!(codec.name, other.name);
            assert_ne!(codec.encoding, other.encoding);
            if let Some(payload_type) = codec.static_payload_type {
                assert_ne!(Some(payload_type), other.static_payload_type, "{codec:?} and {other:?}");
            }
        }
    }
}

/// Every rate divides the axis and is supported by Opus; every named feature exists.
#[test]
fn rates_are_those_of_the_time_axis() {
    for codec in TABLE {
        for rate_hz in [codec.audio_hz, codec.tones_hz] {
            assert!([8_000, 16_000, 24_000, 48_000].contains(&rate_hz), "{codec:?}");
        }
        assert!(codec.is_built() || codec.feature.is_some(), "{codec:?} can never be decoded");
    }
}

/// Source: RFC 3551 §6, table 4.
#[test]
fn static_payload_types_are_those_of_the_profile() {
    let known: Vec<_> =
        (0..128).filter_map(|n| by_static_payload_type(n).map(|codec| (n, codec.rtpmap()))).collect();
    let wanted = [
        (0, "PCMU/8000"),
        (2, "G726-32/8000"),
        (3, "GSM/8000"),
        (8, "PCMA/8000"),
        (9, "G722/8000"),
        (18, "G729/8000"),
    ];
    assert_eq!(known, wanted.map(|(n, map)| (n, map.to_owned())));
}

#[test]
fn rtpmaps_of_real_equipment_are_understood() {
    let from = |name, clock, channels| Encoding::from_sdp(name, clock, channels, "");
    assert_eq!(from("OPUS", 48_000, 2), Some(Encoding::Opus));
    assert_eq!(from("opus", 48_000, 1), Some(Encoding::Opus));
    assert_eq!(from("opus", 8_000, 2), None);
    assert_eq!(from("g722", 8_000, 1), Some(Encoding::G722));
    assert_eq!(from("g722", 16_000, 1), Some(Encoding::G722));
    assert_eq!(from("L16", 16_000, 1), Some(Encoding::L16 { rate_hz: 16_000 }));
    assert_eq!(from("L16", 44_100, 1), None);
    assert_eq!(from("PCMU", 8_000, 2), None);
    let g726 = |rate, packing| Some(Encoding::G726 { rate, packing });
    assert_eq!(from("G721", 8_000, 1), g726(Rate::Kbps32, Packing::Rtp));
    assert_eq!(from("g726-16", 8_000, 1), g726(Rate::Kbps16, Packing::Rtp));
    assert_eq!(from("AAL2-G726-40", 8_000, 1), g726(Rate::Kbps40, Packing::Aal2));
    assert_eq!(from("G726-32", 16_000, 1), None);
    assert_eq!(from("GSM", 8_000, 1), Some(Encoding::Gsm));
    assert_eq!(from("GSM-EFR", 8_000, 1), None);
    let g729 = Encoding::G729.codec().is_built().then_some(Encoding::G729);
    assert_eq!([from("G729", 8_000, 1), from("g729a", 8_000, 1)], [g729; 2]);
}

#[test]
fn every_codec_tells_the_length_of_its_payload() {
    let length = |encoding: Encoding, bytes: usize| encoding.length_axis(&vec![0; bytes]);
    let opus = |toc: u8, rest: &[u8]| Encoding::Opus.length_axis(&[&[toc], rest].concat());
    assert_eq!(length(Encoding::Pcmu, 240), 30 * MS);
    assert_eq!(length(Encoding::G722, 160), 20 * MS);
    assert_eq!(length(Encoding::L16 { rate_hz: 16_000 }, 641), 20 * MS);
    for (rate, bytes) in [(Rate::Kbps16, 40), (Rate::Kbps24, 60), (Rate::Kbps32, 80), (Rate::Kbps40, 100)] {
        assert_eq!(length(Encoding::G726 { rate, packing: Packing::Aal2 }, bytes), 20 * MS);
    }
    assert_eq!([33, 198, 32, 65].map(|bytes| length(Encoding::Gsm, bytes)), [20 * MS, 120 * MS, 0, 0]);
    assert_eq!(length(Encoding::G729, 22), 30 * MS);
    assert_eq!([opus(0x48, &[]), opus(0x49, &[1, 2]), opus(0x5a, &[1, 2, 3])], [20 * MS, 40 * MS, 120 * MS]);
    assert_eq!([opus(0x4b, &[3]), opus(0x4b, &[]), opus(0xe3, &[0x84])], [60 * MS, 0, 10 * MS]);
    assert_eq!(length(Encoding::Opus, 0), 0);
}

#[test]
fn opus_tells_the_same_length_as_when_it_is_taken_apart() {
    for toc in 0..=255 {
        for rest in [&[1, 2][..], &[1, 2, 3], &[2, 9, 9, 9, 9]] {
            let payload = [&[toc], rest].concat();
            if let Some(packet) = packet::OpusPacket::parse(&payload) {
                assert_eq!(Encoding::Opus.length_axis(&payload), packet.length_axis(), "{payload:?}");
            }
        }
    }
}

/// The decoded duration of a payload is the one calculated from it, whatever its bytes.
#[test]
fn decoders_give_what_lengths_promise() {
    let mut out = [0; LONGEST_SAMPLES];
    let mut seed = 7u32;
    for codec in built() {
        let mut decoder = Decoder::new(codec.encoding);
        for length in (1..400).chain([33, 66, 165, 198, 20, 60, 480, 1_200]) {
            let payload: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
                .collect();
            let promised = codec.encoding.length_axis(&payload);
            let given = decoder.decode(&payload, &mut out) as i64 * per_sample(codec.audio_hz);
            assert!(given == promised || given == 0, "{codec:?} {length}: {given} of {promised}");
        }
    }
}
