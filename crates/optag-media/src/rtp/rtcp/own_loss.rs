//! What a peer reports of the packets that we send. In: an RTCP datagram, our SSRC. Out: how many were lost.
//!
//! Source: RFC 3550 §6.4.1 (reception report blocks).

use super::packets;

/// Packet types that carry report blocks, with the bytes before the first block.
const SENDER_REPORT: (u8, usize) = (200, 28);
const RECEIVER_REPORT: (u8, usize) = (201, 8);
/// Size of a block. Units: bytes.
const BLOCK_BYTES: usize = 24;

/// The reception of our packets as the peer counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLoss {
    /// Packets lost since the first that it received; never below zero, whatever duplicates it counts.
    pub lost: u32,
    /// The highest sequence number that it received.
    pub sequence: u16,
}

/// The last block about `ssrc` in a datagram; `None` if there is none, or the datagram is not RTCP.
pub fn own_loss(datagram: &[u8], ssrc: u32) -> Option<OwnLoss> {
    drop(packets(datagram).ok()?);
    let (mut rest, mut found) = (datagram, None);
    while let Some(header) = rest.first_chunk::<4>() {
        let length = (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1) * 4;
        let (packet, after) = rest.split_at_checked(length)?;
        rest = after;
        let kinds = [SENDER_REPORT, RECEIVER_REPORT];
        let Some((_, head)) = kinds.into_iter().find(|(kind, _)| *kind == header[1]) else { continue };
        let blocks = packet.get(head..).unwrap_or_default().chunks_exact(BLOCK_BYTES);
        for block in blocks.take(usize::from(header[0] & 0x1f)) {
            let word =
                |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            if word(0) == ssrc {
                // 24 bits, signed.
                let lost = (word(4) << 8) as i32 >> 8;
                found = Some(OwnLoss { lost: lost.max(0) as u32, sequence: word(8) as u16 });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ssrc: u32, lost: u32, sequence: u32) -> Vec<u8> {
        let mut packet = vec![0x81, 201, 0, 7];
        for word in [9, ssrc, lost & 0x00ff_ffff, sequence, 0, 0, 0] {
            packet.extend(u32::to_be_bytes(word));
        }
        packet
    }

    #[test]
    fn a_block_about_our_ssrc_tells_what_was_lost_and_others_do_not() {
        let both = [report(7, 1, 3), report(5, 12, 0x0002_0040)].concat();
        assert_eq!(own_loss(&both, 5), Some(OwnLoss { lost: 12, sequence: 0x40 }));
        assert_eq!(own_loss(&both, 6), None);
        assert_eq!(own_loss(&report(5, 0x00ff_ffff, 1), 5).map(|found| found.lost), Some(0), "duplicates");
        for length in 0..both.len() {
            let _ = own_loss(&both[..length], 5);
        }
        assert_eq!(own_loss(&both[..both.len() - 4], 5), None, "a block that is cut off");
    }
}
