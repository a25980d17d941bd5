//! Reception statistics of a sender. In: each of its packets. Out: the block of a receiver report.
//!
//! Source: RFC 3550 §6.4.1, A.1, A.3, A.8.

use optag_core::clock::MonoTime;

/// Maximum step of the sequence number for the same sender. Source: RFC 3550 A.1.
const DROPOUT: u16 = 3_000;
const MISORDER: u16 = 100;

/// The block of a receiver report on a sender, for the time since the previous report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Fraction of the packets lost, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative with duplicates.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Interarrival jitter. Units: RTP ticks.
    pub jitter: u32,
    /// Clock rate of these ticks. Units: Hz.
    pub clock_hz: u32,
}

/// The counts of one sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reception {
    base: u32,
    highest: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    /// The sequence number that confirms a large step.
    after_step: Option<u16>,
    transit: Option<u32>,
    /// Units: 16ths of an RTP tick.
    jitter_16: u32,
    clock_hz: u32,
}

impl Reception {
    /// A packet of the sender was received.
    pub fn packet(&mut self, sequence: u16) {
        let step = sequence.wrapping_sub(self.highest as u16);
        if self.received == 0 || (step >= DROPOUT && self.after_step == Some(sequence)) {
            *self = Self { base: sequence.into(), highest: sequence.into(), ..Self::default() };
        } else if step < DROPOUT {
            self.highest = self.highest.wrapping_add(u32::from(step));
        } else if step <= u16::MAX - MISORDER {
            self.after_step = Some(sequence.wrapping_add(1));
            return;
        }
        self.after_step = None;
        self.received = self.received.wrapping_add(1);
    }

    /// Its media clock and arrival.
    pub fn timing(&mut self, timestamp: u32, clock_hz: u32, arrival: MonoTime) {
        if clock_hz != self.clock_hz {
            (self.clock_hz, self.transit) = (clock_hz, None);
        }
        let arrived = (arrival.as_nanos() / 1_000).wrapping_mul(clock_hz.into()) / 1_000_000;
        let transit = (arrived as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit {
            let step = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // A jump of the media clock is not delay.
            if step < clock_hz {
                self.jitter_16 = self.jitter_16 + step - ((self.jitter_16 + 8) >> 4);
            }
        }
        self.transit = Some(transit);
    }

    /// Whether packets were received since the last report.
    pub fn has_news(&self) -> bool {
        self.received != self.received_before
    }

    /// The block of a report; the next one counts from here.
    pub fn report(&mut self) -> ReportBlock {
        let expected = self.highest.wrapping_sub(self.base).wrapping_add(1);
        let lost = expected.wrapping_sub(self.received) as i32;
        let expected_since = expected.wrapping_sub(self.expected_before);
        let received_since = self.received.wrapping_sub(self.received_before);
        let lost_since = i64::from(expected_since) - i64::from(received_since);
        let fraction = (lost_since.max(0) << 8).checked_div(expected_since.into()).unwrap_or(0);
        (self.expected_before, self.received_before) = (expected, self.received);
        ReportBlock {
            fraction_lost: fraction.min(255) as u8,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff),
            highest: self.highest,
            jitter: self.jitter_16 >> 4,
            clock_hz: self.clock_hz,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> MonoTime {
        MonoTime::from_nanos(us * 1_000)
    }

    #[test]
    fn loss_is_counted_over_a_roll_over_and_by_interval() {
        let mut reception = Reception::default();
        for n in (0..100u16).filter(|n| n % 4 != 1) {
            reception.packet(65_500u16.wrapping_add(n));
        }
        let first = reception.report();
        assert_eq!((first.fraction_lost, first.lost, first.highest), (64, 25, 65_599));
        for n in 100..200u16 {
            reception.packet(65_500u16.wrapping_add(n));
        }
        let second = reception.report();
        assert_eq!((second.fraction_lost, second.lost), (0, 25));
        assert!(!reception.has_news());
    }

    #[test]
    fn repeats_make_the_loss_negative_and_a_leap_begins_anew() {
        let mut reception = Reception::default();
        for n in [1, 2, 3, 3, 2, 4] {
            reception.packet(n);
        }
        assert_eq!((reception.report().lost, reception.report().fraction_lost), (-2, 0));
        reception.packet(30_000);
        assert_eq!(reception.report().highest, 4, "one packet proves nothing");
        reception.packet(30_001);
        let report = reception.report();
        assert_eq!((report.highest, report.lost), (30_001, 0));
    }

    #[test]
    fn jitter_settles_at_the_mean_difference_of_delays() {
        let mut even = Reception::default();
        let mut uneven = Reception::default();
        for n in 0..2_000u32 {
            even.packet(n as u16);
            even.timing(n * 160, 8_000, at(u64::from(n) * 20_000));
            uneven.packet(n as u16);
            uneven.timing(n * 160, 8_000, at(u64::from(n) * 20_000 + u64::from(n % 2) * 10_000));
        }
        assert_eq!(even.report().jitter, 0);
        let jitter = uneven.report().jitter;
        assert!((78..=80).contains(&jitter), "10 ms are 80 ticks: {jitter}");
    }
}
