//! The RTP header. In: a datagram. Out: a view of it, without copying.

/// Payload types 72 to 76 are RTCP packet types without the marker bit.
/// Source: RFC 5761 §4.
const RTCP_RANGE: std::ops::RangeInclusive<u8> = 64..=95;

/// An RTP packet inside a datagram.
///
/// Source: RFC 3550 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Marker bit: start of a talk spurt or of an event.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number, wraps.
    pub sequence: u16,
    /// Media clock of the first sample. Units: RTP ticks.
    pub timestamp: u32,
    /// The sender.
    pub ssrc: u32,
    /// The payload without CSRC list, extension and padding.
    pub payload: &'a [u8],
}

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its header requires.
    #[error("{bytes} bytes are too few for the RTP header")]
    Short {
        /// Length of the datagram.
        bytes: usize,
    },
    /// Not version 2.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The padding length is zero or exceeds the packet.
    #[error("the padding of {padding} bytes does not fit")]
    Padding {
        /// The value of the last byte.
        padding: usize,
    },
    /// An RTCP packet on the RTP port.
    #[error("RTCP on the RTP port")]
    Rtcp,
}

/// Whether a datagram is RTCP rather than RTP, if both share a port. Source: RFC 5761 §4.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| kind & 0x80 != 0 && RTCP_RANGE.contains(&(kind & 0x7f)))
}

impl<'a> RtpPacket<'a> {
    /// Length of everything before the payload: header, CSRC list and extension. `None` if the datagram is
    /// not an RTP packet. Units: bytes.
    pub fn header_bytes(datagram: &[u8]) -> Option<usize> {
        let first = *datagram.get(..12)?.first()?;
        if first >> 6 != 2 {
            return None;
        }
        let mut length = 12 + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let words = datagram.get(length + 2..length + 4)?;
            length += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
        }
        (length <= datagram.len()).then_some(length)
    }

    /// Parses the header.
    ///
    /// Errors: the datagram is not an RTP packet; nothing in it can be trusted.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let short = RtpError::Short { bytes: datagram.len() };
        let (header, rest) = datagram.split_first_chunk::<12>().ok_or(short)?;
        let version = header[0] >> 6;
        if version != 2 {
            return Err(RtpError::Version(version));
        }
        let payload_type = header[1] & 0x7f;
        if header[1] & 0x80 != 0 && RTCP_RANGE.contains(&payload_type) {
            return Err(RtpError::Rtcp);
        }
        let csrc_bytes = usize::from(header[0] & 0x0f) * 4;
        let mut rest = rest.get(csrc_bytes..).ok_or(short)?;
        if header[0] & 0x10 != 0 {
            let (extension, after) = rest.split_first_chunk::<4>().ok_or(short)?;
            let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
            rest = after.get(words * 4..).ok_or(short)?;
        }
        if header[0] & 0x20 != 0 {
            let padding = usize::from(rest.last().copied().unwrap_or(0));
            let kept = rest.len().checked_sub(padding).filter(|_| padding > 0);
            rest = &rest[..kept.ok_or(RtpError::Padding { padding })?];
        }
        Ok(Self {
            marker: header[1] & 0x80 != 0,
            payload_type,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload: rest,
        })
    }
}

/// Feeds arbitrary bytes to the parser; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    if let Ok(packet) = RtpPacket::parse(bytes) {
        assert!(packet.payload.len() + 12 <= bytes.len() && packet.payload_type < 128);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, second: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, second, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn a_plain_packet_is_read_in_place() {
        let bytes = packet(0x80, 0x80 | 8, b"audio");
        let read = RtpPacket::parse(&bytes).unwrap();
        assert_eq!((read.marker, read.payload_type, read.sequence), (true, 8, 0x1234));
        assert_eq!((read.timestamp, read.ssrc, read.payload), (160, 0xdead_beef, &b"audio"[..]));
    }

    #[test]
    fn csrc_extension_and_padding_are_no_payload() {
        let mut tail = vec![9; 8];
        tail.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        tail.extend(b"audio\0\0\x03");
        let bytes = packet(0x80 | 0x20 | 0x10 | 2, 0, &tail);
        assert_eq!(RtpPacket::parse(&bytes).unwrap().payload, b"audio");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(RtpPacket::parse(b"\x80"), Err(RtpError::Short { bytes: 1 }));
        assert_eq!(RtpPacket::parse(&packet(0x40, 0, b"")), Err(RtpError::Version(1)));
        assert!(RtpPacket::parse(&packet(0x8f, 0, b"few")).is_err());
        assert!(RtpPacket::parse(&packet(0x90, 0, &[0, 0, 0xff, 0xff])).is_err());
        assert_eq!(RtpPacket::parse(&packet(0xa0, 0, &[0])), Err(RtpError::Padding { padding: 0 }));
        assert_eq!(RtpPacket::parse(&packet(0xa0, 0, &[9])), Err(RtpError::Padding { padding: 9 }));
        assert_eq!(RtpPacket::parse(&packet(0x80, 200, b"")), Err(RtpError::Rtcp));
    }
}
