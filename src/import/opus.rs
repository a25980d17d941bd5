//! Decodes Opus in Ogg and MP4. In: the identification header and packets. Out: samples at 48 kHz.
//!
//! Source: RFC 7845 §5.1 (header), §4.2 (pre-skip), §5.1.1 (channel mapping).

use opus::MSDecoder;

use super::decode_error::{DecodeError, check_channels};

/// Sample rate of Opus files. Units: Hz.
pub const RATE_HZ: u32 = 48_000;
/// Longest packet: 120 ms. Units: samples.
const MOST_SAMPLES: usize = 5_760;

/// Decodes the packets of one file.
pub struct OpusPackets {
    decoder: MSDecoder,
    /// Number of channels.
    pub channels: usize,
    /// Samples of each channel to skip at the beginning (pre-skip).
    skip: usize,
}

impl OpusPackets {
    /// Parses the identification header.
    ///
    /// Errors: damaged, or an unsupported number of channels.
    pub fn new(head: &[u8]) -> Result<Self, DecodeError> {
        let damaged = || DecodeError::Form("damaged Opus header".into());
        let fixed: &[u8; 19] =
            head.first_chunk().filter(|fixed| fixed.starts_with(b"OpusHead")).ok_or_else(damaged)?;
        let channels = usize::from(fixed[9]);
        check_channels(channels)?;
        let (streams, coupled, mapping) = match fixed[18] {
            0 if channels <= 2 => (1, fixed[9] - 1, &[0, 1][..channels]),
            1 | 255 => {
                let mapping = head.get(21..21 + channels).ok_or_else(damaged)?;
                (head[19], head[20], mapping)
            }
            _ => return Err(damaged()),
        };
        let mut decoder = MSDecoder::new(RATE_HZ, streams, coupled, mapping).map_err(|_| damaged())?;
        let gain = i16::from_le_bytes([fixed[16], fixed[17]]);
        decoder.set_gain(gain.into()).map_err(|_| damaged())?;
        Ok(Self { decoder, channels, skip: usize::from(u16::from_le_bytes([fixed[10], fixed[11]])) })
    }

    /// Decodes a packet into `out`, without the last `trim_end` samples; false if it is damaged.
    pub fn decode(&mut self, packet: &[u8], trim_end: u64, out: &mut Vec<i16>) -> bool {
        out.resize(MOST_SAMPLES * self.channels, 0);
        // An empty packet would be treated as lost, and concealed.
        let Some(samples) =
            (!packet.is_empty()).then(|| self.decoder.decode(packet, out, false)).and_then(Result::ok)
        else {
            out.clear();
            return false;
        };
        let kept = samples.saturating_sub(usize::try_from(trim_end).unwrap_or(usize::MAX));
        out.truncate(kept * self.channels);
        let skipped = self.skip.min(kept);
        self.skip -= skipped;
        out.drain(..skipped * self.channels);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(channels: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.extend_from_slice(&[channels, 56, 1, 0x80, 0xBB, 0, 0, 0, 0, family]);
        head.extend_from_slice(rest);
        head
    }

    #[test]
    fn headers_of_every_mapping_are_read_and_damaged_ones_refused() {
        for good in
            [head(1, 0, &[]), head(2, 0, &[]), head(2, 255, &[2, 0, 0, 1]), head(4, 1, &[2, 2, 0, 1, 2, 3])]
        {
            assert!(OpusPackets::new(&good).is_ok(), "{good:?}");
        }
        let mut bad = vec![Vec::new(), b"OpusHead".to_vec(), vec![0; 19], head(0, 0, &[]), head(3, 0, &[])];
        bad.extend([
            head(9, 255, &[9, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
            head(2, 255, &[]),
            head(2, 255, &[2, 0, 0]),
        ]);
        bad.extend([head(2, 255, &[0, 0, 0, 1]), head(2, 255, &[1, 2, 0, 1]), head(2, 255, &[1, 0, 0, 9])]);
        bad.push(head(2, 7, &[2, 0, 0, 1]));
        for bad in bad {
            assert!(OpusPackets::new(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_damaged_packet_gives_nothing_and_the_beginning_is_left_out() {
        let mut packets = OpusPackets::new(&head(2, 0, &[])).unwrap();
        let mut out = Vec::new();
        for damaged in [&[][..], &[0xFF; 3]] {
            assert!(!packets.decode(damaged, 0, &mut out), "{damaged:?}");
            assert!(out.is_empty());
        }
        // 20 ms of CELT silence; 312 samples are skipped before the first, 100 after the last.
        assert!(packets.decode(&[0xFC, 0xFF, 0xFE], 0, &mut out));
        assert_eq!(out.len(), (960 - 312) * 2);
        assert!(packets.decode(&[0xFC, 0xFF, 0xFE], 100, &mut out));
        assert_eq!(out.len(), (960 - 100) * 2);
    }
}
