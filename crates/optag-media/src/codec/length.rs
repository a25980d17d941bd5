//! How much audio a payload holds, without decoding it.

use super::{Encoding, opus_packet};
use crate::axis::{AXIS_HZ, per_sample};

/// A frame of G.729 and its bytes; a silence descriptor is shorter and stands for one too.
/// Source: RFC 3551 §4.5.6.
const G729_FRAME: i64 = AXIS_HZ as i64 / 100;
const G729_BYTES: usize = 10;

/// Length of a payload's audio, 0 where it cannot be told. Units: of the axis.
pub fn length_axis(encoding: Encoding, payload: &[u8]) -> i64 {
    let bytes = payload.len() as i64;
    match encoding {
        // G.722 packs two samples at 16 kHz into a byte.
        Encoding::Pcmu | Encoding::Pcma | Encoding::G722 => bytes * per_sample(8_000),
        Encoding::L16 { rate_hz } => bytes / 2 * per_sample(rate_hz),
        Encoding::G729 => payload.len().div_ceil(G729_BYTES) as i64 * G729_FRAME,
        Encoding::Opus => opus_packet::length_axis(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 48;

    #[test]
    fn every_coding_tells_the_length_of_its_payload() {
        let opus = |toc: u8, rest: &[u8]| length_axis(Encoding::Opus, &[&[toc], rest].concat());
        assert_eq!(length_axis(Encoding::Pcmu, &[0; 240]), 30 * MS);
        assert_eq!(length_axis(Encoding::G722, &[0; 160]), 20 * MS);
        assert_eq!(length_axis(Encoding::L16 { rate_hz: 16_000 }, &[0; 641]), 20 * MS);
        assert_eq!(length_axis(Encoding::G729, &[0; 22]), 30 * MS);
        assert_eq!(
            [opus(0x48, &[]), opus(0x49, &[1, 2]), opus(0x5a, &[1, 2, 3])],
            [20 * MS, 40 * MS, 120 * MS]
        );
        assert_eq!([opus(0x4b, &[3]), opus(0x4b, &[]), opus(0xe3, &[0x84])], [60 * MS, 0, 10 * MS]);
        assert_eq!(length_axis(Encoding::Opus, &[]), 0);
    }

    #[test]
    fn opus_tells_the_same_length_as_when_it_is_taken_apart() {
        for toc in 0..=255 {
            for rest in [&[1, 2][..], &[1, 2, 3], &[2, 9, 9, 9, 9]] {
                let payload = [&[toc], rest].concat();
                if let Some(packet) = opus_packet::OpusPacket::parse(&payload) {
                    assert_eq!(length_axis(Encoding::Opus, &payload), packet.length_axis(), "{payload:?}");
                }
            }
        }
    }
}
