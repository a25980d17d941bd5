//! The packets of an RTCP datagram. In: a datagram. Out: the parts that matter to a receiver. Source
//! descriptions are not parsed: they contain names.

/// Packet types. Source: RFC 3550 §12.1.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const APPLICATION: u8 = 204;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpPacket {
    /// A sender report.
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// Its wall clock, as a 64-bit NTP timestamp.
        ntp: u64,
        /// Its media clock at that time. Units: RTP ticks.
        timestamp: u32,
        /// Packets sent.
        packets: u32,
    },
    /// A receiver report.
    ReceiverReport {
        /// The reporter.
        ssrc: u32,
    },
    /// A source description (names).
    Description,
    /// A BYE.
    Bye {
        /// The first SSRC; none if the list is empty.
        ssrc: Option<u32>,
    },
    /// An application-defined packet.
    Application,
    /// Another type.
    Other(u8),
}

/// Why a datagram is not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Lengths, version or padding contradict each other.
    #[error("the packets do not fill the datagram")]
    Framing,
    /// A report is shorter than its type requires.
    #[error("a packet of type {0} is too short")]
    Short(u8),
}

/// The packets of a datagram: compound, or a single one of reduced size. Everything is validated before
/// anything is returned.
///
/// Errors: it is not RTCP; nothing in it can be trusted. Source: RFC 3550 A.2, RFC 5506 §3.4.2.
pub fn packets(datagram: &[u8]) -> Result<impl Iterator<Item = RtcpPacket>, RtcpError> {
    let mut check = Walk(datagram);
    let mut count = 0;
    while !check.0.is_empty() {
        check.next_checked()?;
        count += 1;
    }
    if count == 0 {
        return Err(RtcpError::Framing);
    }
    Ok(Walk(datagram))
}

struct Walk<'a>(&'a [u8]);

impl Walk<'_> {
    fn next_checked(&mut self) -> Result<RtcpPacket, RtcpError> {
        let header = *self.0.first_chunk::<4>().ok_or(RtcpError::Framing)?;
        let length = (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1) * 4;
        let (packet, rest) = self.0.split_at_checked(length).ok_or(RtcpError::Framing)?;
        // Only the last packet may be padded.
        let padded = header[0] & 0x20 != 0;
        if header[0] >> 6 != 2 || header[1] < 192 || header[1] > 223 || (padded && !rest.is_empty()) {
            return Err(RtcpError::Framing);
        }
        let mut body = &packet[4..];
        if padded {
            let padding = usize::from(body.last().copied().unwrap_or(0));
            let kept = body.len().checked_sub(padding).filter(|_| padding > 0 && padding % 4 == 0);
            body = &body[..kept.ok_or(RtcpError::Framing)?];
        }
        self.0 = rest;
        read(header[1], header[0] & 0x1f, body).ok_or(RtcpError::Short(header[1]))
    }
}

impl Iterator for Walk<'_> {
    type Item = RtcpPacket;

    fn next(&mut self) -> Option<RtcpPacket> {
        if self.0.is_empty() { None } else { self.next_checked().ok() }
    }
}

fn read(kind: u8, count: u8, body: &[u8]) -> Option<RtcpPacket> {
    let word = |at: usize| Some(u32::from_be_bytes(*body.get(at * 4..)?.first_chunk()?));
    let blocks = usize::from(count) * 24;
    match kind {
        SENDER_REPORT => (body.len() >= 24 + blocks).then_some(())?,
        RECEIVER_REPORT => (body.len() >= 4 + blocks).then_some(())?,
        BYE => (body.len() >= usize::from(count) * 4).then_some(())?,
        APPLICATION => (body.len() >= 8).then_some(())?,
        _ => {}
    }
    Some(match kind {
        SENDER_REPORT => RtcpPacket::SenderReport {
            ssrc: word(0)?,
            ntp: u64::from(word(1)?) << 32 | u64::from(word(2)?),
            timestamp: word(3)?,
            packets: word(4)?,
        },
        RECEIVER_REPORT => RtcpPacket::ReceiverReport { ssrc: word(0)? },
        DESCRIPTION => RtcpPacket::Description,
        BYE => RtcpPacket::Bye { ssrc: if count > 0 { word(0) } else { None } },
        APPLICATION => RtcpPacket::Application,
        other => RtcpPacket::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: u8, count: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80 | count, kind];
        packet.extend((body.len() as u16 / 4).to_be_bytes());
        packet.extend(body);
        packet
    }

    fn sender_report() -> Vec<u8> {
        let words: [u32; 6] = [7, 0x1122_3344, 0x5566_7788, 160, 3, 480];
        report(SENDER_REPORT, 0, &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn a_compound_of_every_kind_is_read() {
        let mut datagram = sender_report();
        datagram.extend(report(DESCRIPTION, 1, &[0, 0, 0, 7, 1, 2, b'm', b'e', 0, 0, 0, 0]));
        datagram.extend(report(APPLICATION, 0, &[0, 0, 0, 7, b'a', b'b', b'c', b'd']));
        datagram.extend(report(205, 1, &[0; 8]));
        datagram.extend(report(BYE, 1, &[0, 0, 0, 7]));
        let read: Vec<_> = packets(&datagram).unwrap().collect();
        let sender =
            RtcpPacket::SenderReport { ssrc: 7, ntp: 0x1122_3344_5566_7788, timestamp: 160, packets: 3 };
        let expected = [
            sender,
            RtcpPacket::Description,
            RtcpPacket::Application,
            RtcpPacket::Other(205),
            RtcpPacket::Bye { ssrc: Some(7) },
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_single_packet_of_reduced_size_is_read() {
        assert_eq!(
            packets(&report(BYE, 0, &[])).unwrap().collect::<Vec<_>>(),
            [RtcpPacket::Bye { ssrc: None }]
        );
        let mut padded = report(RECEIVER_REPORT, 0, &[0, 0, 0, 9, 0, 0, 0, 4]);
        padded[0] |= 0x20;
        let read: Vec<_> = packets(&padded).unwrap().collect();
        assert_eq!(read, [RtcpPacket::ReceiverReport { ssrc: 9 }]);
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let whole = sender_report();
        assert!(packets(&[]).is_err());
        for length in 1..whole.len() {
            assert!(packets(&whole[..length]).is_err(), "{length}");
        }
        let two = [whole.clone(), report(RECEIVER_REPORT, 3, &[0; 8])].concat();
        assert!(packets(&two).is_err(), "a good packet does not vouch for a bad one");
        let mut padded_first = [whole.clone(), whole.clone()].concat();
        padded_first[0] |= 0x20;
        assert!(packets(&padded_first).is_err());
        let mut version = whole.clone();
        version[0] = 0x40;
        assert!(packets(&version).is_err());
        let mut rtp = whole;
        rtp[1] = 100;
        assert!(packets(&rtp).is_err());
    }
}
