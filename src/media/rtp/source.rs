//! Whose packets a stream takes. In: address, SSRC and sequence number of a packet. Out:
//! whether it belongs to the stream.
//!
//! The first source must send two packets in sequence before it counts; later ones must do
//! the same and more, and only while the one in place is silent: a little while where only the
//! SSRC is another, longer where the address is. An address that signalling fixed is never left.
//! Who sent to the port in an earlier call is not heard in this one.
//! Source: RFC 3550 appendix A.1 (probation).

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::MonoTime;

/// Packets in sequence that make a first source.
const FIRST_PROBATION: u8 = 2;
/// Packets in sequence that make another source the stream's.
const CHANGE_PROBATION: u8 = 5;
/// How long the source in place must have been silent before one at another address can take
/// over.
const SILENT: Duration = Duration::from_millis(500);
/// The same for another SSRC at the same address: clients change it in mid-call, without a word.
const SILENT_SSRC: Duration = Duration::from_millis(80);

/// What is known of a stream's sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSource {
    /// Its address.
    pub ip: Option<std::net::IpAddr>,
    /// Its port.
    pub port: Option<u16>,
    /// Its SSRC.
    pub ssrc: Option<u32>,
}

impl ExpectedSource {
    fn fits(&self, address: SocketAddr, ssrc: u32) -> bool {
        self.fits_address(address) && self.ssrc.is_none_or(|expected| expected == ssrc)
    }

    fn fits_address(&self, address: SocketAddr) -> bool {
        self.ip.is_none_or(|ip| ip == address.ip()) && self.port.is_none_or(|port| port == address.port())
    }
}

/// A sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sender {
    address: SocketAddr,
    ssrc: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Candidate {
    sender: Sender,
    next_sequence: u16,
    in_sequence: u8,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the stream's.
    Accept,
    /// It is the stream's, and the first of a new sender: sequence and timestamp start anew.
    AcceptNew,
    /// It may become the stream's: keep nothing of it.
    Probation,
    /// It comes from an address that is not the stream's.
    ForeignAddress,
    /// It carries an SSRC that is not the stream's.
    ForeignSsrc,
    /// It belongs to an earlier call that had this port.
    Stale,
}

/// The rule, with the sender in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceRule {
    expected: ExpectedSource,
    current: Option<(Sender, MonoTime)>,
    candidate: Option<Candidate>,
    #[serde(default)]
    stale: Option<Sender>,
}

impl SourceRule {
    /// A rule without a sender yet.
    pub fn new(expected: ExpectedSource) -> Self {
        Self { expected, current: None, candidate: None, stale: None }
    }

    /// This sender belongs to an earlier call that had the port.
    pub fn shun(&mut self, (address, ssrc): (SocketAddr, u32)) {
        self.stale = Some(Sender { address, ssrc });
    }

    /// Who is in place: address and SSRC.
    pub fn sender(&self) -> Option<(SocketAddr, u32)> {
        self.current.map(|(sender, _)| (sender.address, sender.ssrc))
    }

    /// Signalling says where packets come from now. A sender that still fits goes on; any other
    /// gives way to the first that proves itself.
    pub fn expect(&mut self, expected: ExpectedSource) {
        self.candidate = None;
        self.current = self.current.filter(|(sender, _)| expected.fits(sender.address, sender.ssrc));
        self.expected = expected;
    }

    /// Whether signalling allows packets from there at all.
    pub fn may_come_from(&self, from: SocketAddr) -> bool {
        self.expected.fits_address(from)
    }

    /// Judges a packet.
    pub fn judge(&mut self, now: MonoTime, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        let sender = Sender { address: from, ssrc };
        if let Some((current, heard)) = &mut self.current
            && *current == sender
        {
            *heard = now;
            self.candidate = None;
            return Verdict::Accept;
        }
        // Signalling that names port or SSRC knows better.
        let named = self.expected.port.is_some() || self.expected.ssrc.is_some();
        if self.stale == Some(sender) && !named {
            return Verdict::Stale;
        }
        if !self.expected.fits_address(from) {
            return Verdict::ForeignAddress;
        }
        if !self.expected.fits(from, ssrc) {
            return Verdict::ForeignSsrc;
        }
        self.try_out(now, sender, sequence)
    }

    fn try_out(&mut self, now: MonoTime, sender: Sender, sequence: u16) -> Verdict {
        let foreign = match self.current {
            Some((current, _)) if current.address != sender.address => Verdict::ForeignAddress,
            Some(_) => Verdict::ForeignSsrc,
            None => Verdict::Probation,
        };
        let same_address = self.current.is_some_and(|(current, _)| current.address == sender.address);
        let silent = if same_address { SILENT_SSRC } else { SILENT };
        let is_silent = self.current.is_none_or(|(_, heard)| now.since(heard) >= silent);
        let needed = if self.current.is_some() { CHANGE_PROBATION } else { FIRST_PROBATION };
        let in_sequence = match self.candidate {
            Some(known) if known.sender == sender && known.next_sequence == sequence => {
                known.in_sequence.saturating_add(1)
            }
            // Another sender in the middle of a probation starts its own.
            _ => 1,
        };
        if in_sequence >= needed && is_silent {
            self.candidate = None;
            self.current = Some((sender, now));
            return Verdict::AcceptNew;
        }
        self.candidate = Some(Candidate { sender, next_sequence: sequence.wrapping_add(1), in_sequence });
        foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    fn from(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], port))
    }

    #[test]
    fn the_first_source_proves_itself_with_two_packets() {
        let mut rule = SourceRule::new(ExpectedSource::default());
        assert_eq!(rule.judge(at(0), from(1, 9), 7, 65_535), Verdict::Probation);
        assert_eq!(rule.judge(at(20), from(1, 9), 7, 0), Verdict::AcceptNew);
        assert_eq!(rule.judge(at(40), from(1, 9), 7, 1), Verdict::Accept);
    }

    #[test]
    fn a_stranger_is_refused_while_the_source_speaks_and_after() {
        let mut rule = SourceRule::new(ExpectedSource::default());
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        for n in 0..100u16 {
            let now = at(40 + u64::from(n) * 20);
            assert_eq!(rule.judge(now, from(1, 9), 7, 3 + n), Verdict::Accept);
            assert_eq!(rule.judge(now, from(2, 9), 7, n), Verdict::ForeignAddress);
            assert_eq!(rule.judge(now, from(1, 9), 8, n), Verdict::ForeignSsrc);
        }
    }

    #[test]
    fn a_new_ssrc_takes_over_once_the_old_one_is_silent() {
        let mut rule = SourceRule::new(ExpectedSource { ip: Some(from(1, 0).ip()), port: None, ssrc: None });
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        let verdicts: Vec<_> =
            (0..5).map(|n| rule.judge(at(600 + n * 20), from(1, 9), 8, n as u16)).collect();
        assert_eq!(verdicts[3..], [Verdict::ForeignSsrc, Verdict::AcceptNew]);
        assert_eq!(rule.sender(), Some((from(1, 9), 8)));
        assert_eq!(rule.judge(at(2_000), from(2, 9), 8, 5), Verdict::ForeignAddress);
    }

    #[test]
    fn a_sender_that_signalling_moved_takes_over_at_once() {
        let mut rule = SourceRule::new(ExpectedSource { ip: None, port: Some(9), ssrc: None });
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        rule.expect(ExpectedSource { ip: None, port: Some(9), ssrc: None });
        assert_eq!(rule.judge(at(40), from(1, 9), 7, 3), Verdict::Accept, "the same sender still fits");
        rule.expect(ExpectedSource { ip: None, port: Some(11), ssrc: None });
        assert_eq!(rule.judge(at(60), from(1, 9), 7, 4), Verdict::ForeignAddress);
        assert_eq!(rule.judge(at(60), from(2, 11), 8, 1), Verdict::Probation);
        assert_eq!(rule.judge(at(80), from(2, 11), 8, 2), Verdict::AcceptNew);
    }

    #[test]
    fn trap_t16_an_ssrc_that_changes_without_a_word_costs_five_packets() {
        let mut rule = SourceRule::new(ExpectedSource::default());
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        let verdicts: Vec<_> =
            (0..6).map(|n| rule.judge(at(40 + n * 20), from(1, 9), 8, 900 + n as u16)).collect();
        assert_eq!(verdicts[3..], [Verdict::ForeignSsrc, Verdict::AcceptNew, Verdict::Accept]);
    }

    #[test]
    fn trap_t16_another_address_waits_until_the_old_one_is_silent() {
        let mut rule = SourceRule::new(ExpectedSource::default());
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        let moved = |rule: &mut SourceRule, n: u64| rule.judge(at(40 + n * 20), from(1, 11), 7, 3 + n as u16);
        for n in 0..24 {
            assert_eq!(moved(&mut rule, n), Verdict::ForeignAddress, "{n}");
        }
        assert_eq!(moved(&mut rule, 24), Verdict::AcceptNew);
        // One packet of the old one, and a candidate begins again.
        let mut rule = SourceRule::new(ExpectedSource::default());
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        for n in 0..24 {
            moved(&mut rule, n);
        }
        rule.judge(at(510), from(1, 9), 7, 3);
        assert_eq!(moved(&mut rule, 24), Verdict::ForeignAddress);
    }

    #[test]
    fn trap_t16_a_flood_under_another_ssrc_does_not_displace_the_source() {
        let mut rule = SourceRule::new(ExpectedSource::default());
        rule.judge(at(0), from(1, 9), 7, 1);
        rule.judge(at(20), from(1, 9), 7, 2);
        for n in 0..50u16 {
            let now = at(40 + u64::from(n) * 20);
            assert_eq!(rule.judge(now, from(1, 9), 7, 3 + n), Verdict::Accept);
            for k in 0..20 {
                assert_eq!(rule.judge(now, from(1, 9), 8, n * 20 + k), Verdict::ForeignSsrc);
            }
        }
    }

    #[test]
    fn trap_t16_stale_packets_on_a_reused_port_are_not_this_calls() {
        let mut rule = SourceRule::new(ExpectedSource::default());
        rule.shun((from(1, 9), 7));
        for n in 0..50 {
            assert_eq!(rule.judge(at(u64::from(n) * 20), from(1, 9), 7, n), Verdict::Stale);
        }
        assert_eq!(rule.judge(at(2_000), from(1, 9), 8, 1), Verdict::Probation);
        assert_eq!(rule.judge(at(2_020), from(1, 9), 8, 2), Verdict::AcceptNew);
        let mut named = SourceRule::new(ExpectedSource { ip: None, port: Some(9), ssrc: None });
        named.shun((from(1, 9), 7));
        assert_eq!(named.judge(at(0), from(1, 9), 7, 1), Verdict::Probation, "signalling names it");
    }

    #[test]
    fn what_signalling_fixed_is_kept() {
        let expected = ExpectedSource { ip: Some(from(1, 0).ip()), port: Some(9), ssrc: Some(7) };
        let mut rule = SourceRule::new(expected);
        for n in 0..9 {
            assert_eq!(rule.judge(at(u64::from(n)), from(1, 10), 7, n), Verdict::ForeignAddress);
            assert_eq!(rule.judge(at(u64::from(n)), from(1, 9), 6, n), Verdict::ForeignSsrc);
        }
    }
}
