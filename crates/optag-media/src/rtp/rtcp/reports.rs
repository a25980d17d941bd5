//! Timing and contents of receiver reports. In: arrivals of packets and of the sender's own reports, the
//! time. Out: a compound of receiver report and source description (a meaningless CNAME).
//!
//! The part of RFC 3550 §6.2 and §6.3 that two parties need: the minimum interval of 5 s always applies,
//! randomised. A report is sent only to a sender received since the last one, and never exceeds the bytes
//! received from it.

use std::time::Duration;

use aws_lc_rs::digest;

use super::reception::{Reception, ReportBlock};
use optag_core::base64;
use optag_core::clock::MonoTime;

/// Minimum time between reports. Source: RFC 3550 §6.2.
const INTERVAL: Duration = Duration::from_secs(5);
/// e − 3/2: compensates for the effect of randomisation on the mean interval. Source: RFC 3550 §6.3.1.
const COMPENSATION: f64 = std::f64::consts::E - 1.5;
/// Characters of a CNAME: 96 bits. Source: RFC 7022 §4.2.
const CNAME_CHARS: usize = 16;
/// Size of a report: header and block, then the description of one source.
pub const REPORT_BYTES: usize = 32 + 4 + 4 + (2 + CNAME_CHARS + 1).next_multiple_of(4);

/// The CNAME of the recorder in one call, for all of its streams. It comes from the call's id, whose 74 random
/// bits stand in for the 96 that RFC 7022 §5 asks for: another process that resumes the call goes on under the
/// same name, which §4.2 asks for too.
pub fn cname(call: &[u8]) -> [u8; CNAME_CHARS] {
    let mut input = *b"optag rtcp cname\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let length = call.len().min(16);
    input[16..16 + length].copy_from_slice(&call[..length]);
    let hash = digest::digest(&digest::SHA256, &input);
    let mut name = [0; CNAME_CHARS];
    name.copy_from_slice(base64::encode(&hash.as_ref()[..12]).as_bytes());
    name
}

/// The reports on one stream.
#[derive(Clone, Debug)]
pub struct Reports {
    ssrc: u32,
    cname: [u8; CNAME_CHARS],
    chance: u64,
    reception: Reception,
    heard_bytes: usize,
    due: Option<MonoTime>,
    /// Middle bits of the last sender report's clock, and its arrival.
    sender_report: Option<(u32, MonoTime)>,
}

impl Reports {
    /// Reports on stream number `stream` of a call.
    pub fn new(cname: [u8; CNAME_CHARS], stream: usize) -> Self {
        let mut seed = [0; 8];
        seed.copy_from_slice(&cname[..8]);
        let mut reports = Self {
            ssrc: 0,
            cname,
            chance: u64::from_be_bytes(seed) ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            reception: Reception::default(),
            heard_bytes: 0,
            due: None,
            sender_report: None,
        };
        reports.ssrc = reports.random() as u32;
        reports
    }

    /// A packet of the stream's sender was received.
    pub fn packet(&mut self, now: MonoTime, sequence: u16, bytes: usize) {
        self.reception.packet(sequence);
        self.heard_bytes += bytes;
        if self.due.is_none() {
            // The first report is sent after half the interval.
            self.due = Some(now + self.interval() / 2);
        }
    }

    /// The media clock of an audio packet. Units: RTP ticks of `clock_hz`.
    pub fn timing(&mut self, timestamp: u32, clock_hz: u32, arrival: MonoTime) {
        self.reception.timing(timestamp, clock_hz, arrival);
    }

    /// The sender has changed.
    pub fn new_source(&mut self) {
        self.reception = Reception::default();
        self.sender_report = None;
    }

    /// The sender reported its wall clock.
    pub fn sender_report(&mut self, ntp: u64, arrival: MonoTime) {
        self.sender_report = Some(((ntp >> 16) as u32, arrival));
    }

    /// Whether a report is due.
    pub fn is_due(&self, now: MonoTime) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// Writes the report that is due, on `sender`, to `out`; returns its block. `None` if nothing was
    /// received since the last one, and no report is sent.
    pub fn write(&mut self, now: MonoTime, sender: u32, out: &mut [u8; REPORT_BYTES]) -> Option<ReportBlock> {
        self.due = Some(now + self.interval());
        let heard_bytes = std::mem::take(&mut self.heard_bytes);
        if !self.reception.has_news() || heard_bytes < REPORT_BYTES {
            return None;
        }
        let block = self.reception.report();
        if self.ssrc == sender {
            self.ssrc = self.random() as u32;
        }
        let (last, since) = self.sender_report.map_or((0, 0), |(last, at)| {
            let since = now.since(at).as_nanos() * 65_536 / 1_000_000_000;
            (last, since.min(u32::MAX.into()) as u32)
        });
        let lost = u32::from(block.fraction_lost) << 24 | (block.lost as u32 & 0x00ff_ffff);
        let description_words = (REPORT_BYTES - 32) as u32 / 4 - 1;
        let words = [
            0x81c9_0007,
            self.ssrc,
            sender,
            lost,
            block.highest,
            block.jitter,
            last,
            since,
            0x81ca_0000 | description_words,
            self.ssrc,
        ];
        out.fill(0);
        for (four, word) in out.chunks_exact_mut(4).zip(words) {
            four.copy_from_slice(&word.to_be_bytes());
        }
        out[40..42].copy_from_slice(&[1, CNAME_CHARS as u8]);
        out[42..42 + CNAME_CHARS].copy_from_slice(&self.cname);
        Some(block)
    }

    /// Source: RFC 3550 §6.3.1.
    fn interval(&mut self) -> Duration {
        let part = (self.random() >> 11) as f64 / (1u64 << 53) as f64;
        INTERVAL.mul_f64((part + 0.5) / COMPENSATION)
    }

    /// SplitMix64: spreads reports; it need not be unpredictable.
    fn random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{RtcpPacket, packets};
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn reports_come_about_every_five_seconds_and_not_together() {
        let mut reports: Vec<_> = (0..20).map(|stream| Reports::new(cname(b"call"), stream)).collect();
        let mut sent = vec![Vec::new(); 20];
        let mut out = [0; REPORT_BYTES];
        for ms in (0..600_000u64).step_by(20) {
            for (reports, sent) in reports.iter_mut().zip(&mut sent) {
                reports.packet(at(ms), (ms / 20) as u16, 172);
                if reports.is_due(at(ms)) && reports.write(at(ms), 7, &mut out).is_some() {
                    sent.push(ms);
                }
            }
        }
        for sent in &sent {
            assert!(sent[0] <= 3_100, "{sent:?}");
            assert!(sent.windows(2).all(|two| (2_000..6_300).contains(&(two[1] - two[0]))), "{sent:?}");
            assert!((120..=170).contains(&sent.len()), "{}", sent.len());
        }
        assert!(sent.iter().any(|other| other[1] != sent[0][1]));
    }

    #[test]
    fn a_report_is_well_formed_and_says_what_was_received() {
        let mut reports = Reports::new(cname(b"call"), 0);
        for n in (0..200u16).filter(|n| n % 2 == 0) {
            reports.packet(at(u64::from(n) * 20), n, 172);
        }
        reports.sender_report(0x1122_3344_5566_7788, at(4_000));
        let mut out = [0; REPORT_BYTES];
        let block = reports.write(at(6_000), 0xabcd, &mut out).unwrap();
        assert_eq!((block.lost, block.highest), (99, 198));
        let read: Vec<_> = packets(&out).unwrap().collect();
        assert!(matches!(read[..], [RtcpPacket::ReceiverReport { .. }, RtcpPacket::Description]));
        let word = |at: usize| u32::from_be_bytes(out[at * 4..][..4].try_into().unwrap());
        assert_eq!((word(2), word(4)), (0xabcd, 198));
        assert_eq!((word(6), word(7)), (0x3344_5566, 2 * 65_536));
        assert_eq!(out[42..58], cname(b"call"));
        assert_ne!(cname(b"call"), cname(b"other"));
    }

    #[test]
    fn invariant_13_who_is_silent_or_sends_little_gets_no_report() {
        let mut reports = Reports::new(cname(b"call"), 0);
        let mut out = [0; REPORT_BYTES];
        assert!(!reports.is_due(at(60_000)), "nobody was heard");
        reports.packet(at(0), 1, 30);
        assert_eq!(reports.write(at(5_000), 7, &mut out), None, "it would outweigh what came");
        reports.packet(at(6_000), 2, 172);
        assert!(reports.write(at(10_000), 7, &mut out).is_some());
        assert_eq!(reports.write(at(20_000), 7, &mut out), None);
        reports.packet(at(21_000), 3, 30);
        assert_eq!(reports.write(at(30_000), 7, &mut out), None, "what was heard pays for one report");
    }
}
