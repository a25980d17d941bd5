//! Packets of steady background, sent again in place of similar frames. In: encoded packets. Out: one of
//! them, in an order without an audible rhythm.
//!
//! Only linear-prediction packets without voice flag are used: they contain neither pitch nor transform
//! state, so each decodes to the same noise at any position, in every decoder. Some frames are still encoded,
//! so that the replayed packets follow the noise.

use crate::opus::packet::{Mode, mode};

/// Packets remembered.
const REMEMBERED: usize = 8;
/// Maximum size of a remembered packet. Units: bytes.
const PACKET_BYTES: usize = 96;
/// Number of replayed frames after which one is encoded: 160 ms.
const REFRESH_FRAMES: u32 = 8;

/// The packets of one encoder.
#[derive(Clone, Debug)]
pub(crate) struct NoiseReuse {
    packets: [[u8; PACKET_BYTES]; REMEMBERED],
    lengths: [u8; REMEMBERED],
    count: usize,
    oldest: usize,
    last: usize,
    replayed: u32,
    seed: u32,
}

impl Default for NoiseReuse {
    fn default() -> Self {
        Self {
            packets: [[0; PACKET_BYTES]; REMEMBERED],
            lengths: [0; REMEMBERED],
            count: 0,
            oldest: 0,
            last: 0,
            replayed: 0,
            seed: 1,
        }
    }
}

impl NoiseReuse {
    /// A packet for a background frame; `None` if the frame is to be encoded.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        if self.count < REMEMBERED || self.replayed >= REFRESH_FRAMES {
            self.replayed = 0;
            return None;
        }
        self.replayed += 1;
        // Source of the constants: Numerical Recipes, a full-period generator.
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let other = 1 + (self.seed >> 16) as usize % (REMEMBERED - 1);
        self.last = (self.last + other) % REMEMBERED;
        Some(&self.packets[self.last][..usize::from(self.lengths[self.last])])
    }

    /// A frame similar to the background was encoded as `packet`, which replaces the oldest. A packet with
    /// more than noise in it shows that the others cannot be trusted either.
    pub(crate) fn remember(&mut self, packet: &[u8]) {
        let fits = self.count == 0 || self.packets[self.oldest][0] == packet[0];
        if !is_noise(packet) || !fits {
            return self.forget();
        }
        let place = (self.oldest + self.count) % REMEMBERED;
        self.packets[place][..packet.len()].copy_from_slice(packet);
        self.lengths[place] = packet.len() as u8;
        if self.count < REMEMBERED {
            self.count += 1;
        } else {
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }

    /// The background has ended.
    pub(crate) fn forget(&mut self) {
        self.count = 0;
        self.replayed = 0;
    }
}

impl Drop for NoiseReuse {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.packets);
    }
}

/// Whether a packet can be used at any position: 20 ms of linear prediction, voice flag unset. The flag is
/// the first bit after the TOC. Source: RFC 6716 §3.1 table 2, §4.2.3.
fn is_noise(packet: &[u8]) -> bool {
    match *packet {
        [toc, first, ..] if packet.len() <= PACKET_BYTES => {
            mode(toc) == Mode::Silk && toc >> 3 & 3 == 1 && toc & 3 == 0 && first & 0x80 == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms narrowband, mono, one frame.
    const TOC: u8 = 1 << 3;

    fn filled() -> NoiseReuse {
        let mut replay = NoiseReuse::default();
        (0..REMEMBERED as u8).for_each(|n| replay.remember(&[TOC, n, n]));
        replay
    }

    #[test]
    fn nothing_is_replayed_until_there_is_a_choice() {
        let mut replay = NoiseReuse::default();
        for n in 0..REMEMBERED as u8 {
            assert_eq!(replay.next(), None);
            replay.remember(&[TOC, n, n]);
        }
        assert!(replay.next().is_some());
    }

    #[test]
    fn no_packet_comes_twice_in_a_row_and_a_frame_is_coded_now_and_then() {
        let mut replay = filled();
        let (mut last, mut seen, mut coded) = (0, [0; REMEMBERED], 0);
        for _ in 0..100 * (REFRESH_FRAMES + 1) {
            match replay.next().map(|packet| packet[1]) {
                Some(packet) => {
                    assert_ne!(packet, last);
                    seen[usize::from(packet)] += 1;
                    last = packet;
                }
                None => {
                    coded += 1;
                    last = 255;
                }
            }
        }
        assert_eq!(coded, 100);
        assert!(seen.iter().all(|&times| times > 50), "{seen:?}");
    }

    #[test]
    fn a_packet_with_voice_or_of_another_kind_ends_it() {
        for other in [&[TOC, 0x80, 1][..], &[9 << 3, 1, 1], &[31 << 3, 1, 1], &[TOC], &[TOC; 97]] {
            let mut replay = filled();
            replay.remember(other);
            assert_eq!(replay.next(), None, "{other:?}");
        }
    }
}
