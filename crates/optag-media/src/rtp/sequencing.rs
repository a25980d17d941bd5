//! Order of a stream's packets. In: sequence numbers, with the data that distinguish a restart from a late
//! packet. Out: numbers that only increase, in which a restart of the sender's sequence numbers is the next
//! number. Reorder buffer and clock mapping use them, so they restart together.
//!
//! A jump under the same SSRC must be confirmed by a second packet in sequence; until then nothing else
//! changes. Key event packets may share the audio's sequence numbers or have their own: they never affect the
//! audio's numbering, and where they fill its numbers nothing is missing.
//! Source: RFC 3550 appendix A.1.

use std::time::Duration;

use optag_core::clock::MonoTime;

/// The first number: leaves room below for packets that the first one overtook.
const FIRST: u64 = 1 << 16;
/// How far a number may be ahead without elapsed time: reordering in networks.
const AHEAD: i64 = 100;
/// Maximum packet rate of a sender: packets of 5 ms. This bounds the numbers used in a time.
const PACKETS_A_SECOND: i64 = 200;
/// How late a packet may be and still count as late.
const LATE_SECONDS: i64 = 3;
/// Packets in sequence, and the time without any of the old numbering, that confirm a numbering whose
/// sequence numbers and timestamps could both be those of late packets.
const RUN_PACKETS: u32 = 5;
const RUN: Duration = Duration::from_millis(80);
/// How far ahead of the audio an event packet may be numbered and still share the audio's sequence numbers.
const SHARED: i64 = 1_000;

/// A packet's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// It belongs to the current numbering.
    Known(u64),
    /// It is the first of a new, confirmed numbering.
    Restarted(u64),
    /// It may be the first of a new numbering, or a stray packet: the next one decides.
    Doubtful,
}

/// The newest packet of the current numbering.
#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: u16,
    number: u64,
    timestamp: u32,
    at: MonoTime,
}

/// Packets that the current numbering does not explain.
#[derive(Clone, Copy, Debug)]
struct Other {
    next: u16,
    packets: u32,
    since: MonoTime,
}

/// Numbers filled by events: audio below the first number after them is not that far back.
#[derive(Clone, Copy, Debug)]
struct Filled {
    below: u64,
    by: u64,
}

/// The numbering of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbering {
    newest: Option<Newest>,
    other: Option<Other>,
    /// Event packets since the newest audio packet.
    events: i64,
    filled: Option<Filled>,
    /// The sender has changed: any number starts a new numbering.
    new_sender: bool,
}

impl Numbering {
    /// Another sender was accepted: its first packet starts a numbering.
    pub(crate) fn start_anew(&mut self) {
        self.new_sender = true;
    }

    /// Numbers a packet of audio, or of comfort noise; its timestamp counts at `clock_hz`.
    pub(crate) fn number(&mut self, sequence: u16, timestamp: u32, clock_hz: u32, at: MonoTime) -> Number {
        let Some(newest) = self.newest else {
            self.new_sender = false;
            return Number::Known(self.go_on(FIRST, sequence, timestamp, at));
        };
        if std::mem::take(&mut self.new_sender) {
            return Number::Restarted(self.go_on(newest.number + 1, sequence, timestamp, at));
        }
        let step = i64::from(sequence.wrapping_sub(newest.sequence) as i16);
        if step > 0 {
            let sent_since = AHEAD + at.since(newest.at).as_millis() as i64 * PACKETS_A_SECOND / 1_000;
            if step > sent_since {
                return self.doubt(newest, sequence, timestamp, at);
            }
            let filled = self.events.min(step - 1) as u64;
            let number = newest.number + step as u64 - filled;
            if filled > 0 {
                self.filled = Some(Filled { below: number, by: filled });
            }
            return Number::Known(self.go_on(number, sequence, timestamp, at));
        }
        let older = i64::from(newest.timestamp.wrapping_sub(timestamp) as i32);
        let sent_since = AHEAD + older * PACKETS_A_SECOND / i64::from(clock_hz);
        if !(0..=LATE_SECONDS * i64::from(clock_hz)).contains(&older) || -step > sent_since {
            return self.doubt(newest, sequence, timestamp, at);
        }
        self.late(newest, step, sequence, timestamp, at)
    }

    /// Notes an event packet.
    pub(crate) fn event(&mut self, sequence: u16) {
        if let Some(newest) = self.newest {
            let step = i64::from(sequence.wrapping_sub(newest.sequence) as i16);
            self.events += i64::from((1..=SHARED).contains(&step));
        }
    }

    /// Sequence number and timestamp do not continue the old ones: the second packet in sequence decides.
    fn doubt(&mut self, newest: Newest, sequence: u16, timestamp: u32, at: MonoTime) -> Number {
        if self.other.is_some_and(|other| other.next == sequence) {
            // Only the packet before is missing.
            return Number::Restarted(self.go_on(newest.number + 2, sequence, timestamp, at));
        }
        self.other = Some(Other { next: sequence.wrapping_add(1), packets: 1, since: at });
        Number::Doubtful
    }

    /// A packet that may be late or a duplicate: if many arrive in sequence and nothing else does, the sender
    /// has restarted there.
    fn late(&mut self, newest: Newest, step: i64, sequence: u16, timestamp: u32, at: MonoTime) -> Number {
        let again = self.other.is_some_and(|other| other.next == sequence.wrapping_add(1));
        let run = self.other.filter(|other| again || other.next == sequence);
        let mut run = run.unwrap_or(Other { next: sequence, packets: 0, since: at });
        (run.next, run.packets) = (sequence.wrapping_add(1), run.packets + u32::from(!again));
        if run.packets >= RUN_PACKETS && at.since(run.since) >= RUN && at.since(newest.at) >= RUN {
            return Number::Restarted(self.go_on(newest.number + 1, sequence, timestamp, at));
        }
        self.other = Some(run);
        let number = newest.number.saturating_add_signed(step);
        let filled = self.filled.filter(|filled| number < filled.below).map_or(0, |filled| filled.by);
        Number::Known(number + filled)
    }

    fn go_on(&mut self, number: u64, sequence: u16, timestamp: u32, at: MonoTime) -> u64 {
        self.newest = Some(Newest { sequence, number, timestamp, at });
        (self.other, self.events) = (None, 0);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 8_000;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos((10_000 + ms) * 1_000_000)
    }

    /// Numbers of packets that arrive every 20 ms: sequence number and timestamp, in packets.
    fn numbers(numbering: &mut Numbering, from_ms: u64, packets: &[(u16, u32)]) -> Vec<Number> {
        let each = (0..).zip(packets);
        each.map(|(n, &(sequence, packet))| {
            numbering.number(sequence, packet.wrapping_mul(160), HZ, at(from_ms + n * 20))
        })
        .collect()
    }

    fn known(numbers: &[Number]) -> Vec<Option<u64>> {
        let known = |number: &Number| match *number {
            Number::Known(number) => Some(number - FIRST),
            Number::Restarted(_) | Number::Doubtful => None,
        };
        numbers.iter().map(known).collect()
    }

    #[test]
    fn numbers_go_on_over_the_wrap_whatever_the_order() {
        let mut numbering = Numbering::default();
        let order = [(65_534, 0), (65_535, 1), (1, 3), (0, 2), (1, 3), (3, 5), (2, 4), (4, 6)];
        assert_eq!(known(&numbers(&mut numbering, 0, &order)), [0, 1, 3, 2, 3, 5, 4, 6].map(Some::<u64>));
    }

    #[test]
    fn two_packets_in_sequence_make_a_numbering_good_in_either_direction() {
        for (first, packet) in [(300, 500), (300, 3), (28_000, 9), (20_200, 2), (52_800, 0), (19_990, 11)] {
            let mut numbering = Numbering::default();
            numbers(&mut numbering, 0, &[(20_000, 1_000), (20_001, 1_001)]);
            // The timestamps of the last two continue, the others restart as well.
            let packet = if first < 20_300 && first > 19_000 { 1_002 } else { packet };
            let after: Vec<_> = (0..4).map(|n| (first + n, packet + u32::from(n))).collect();
            let seen = numbers(&mut numbering, 40, &after);
            assert_eq!(
                seen,
                [
                    Number::Doubtful,
                    Number::Restarted(FIRST + 3),
                    Number::Known(FIRST + 4),
                    Number::Known(FIRST + 5)
                ],
                "{first}"
            );
        }
    }

    #[test]
    fn a_stray_packet_moves_nothing_and_two_strays_apart_do_not_either() {
        let mut numbering = Numbering::default();
        let order = [(7, 7), (8, 8), (9_000, 70), (9, 9), (9_001, 71), (10, 10)];
        let stray = None;
        assert_eq!(
            known(&numbers(&mut numbering, 0, &order)),
            [Some(0), Some(1), stray, Some(2), stray, Some(3)]
        );
    }

    #[test]
    fn what_was_sent_again_in_sequence_is_no_restart_while_the_stream_goes_on() {
        let mut numbering = Numbering::default();
        let mut order = vec![(1_000, 1_000)];
        for n in 1..200u16 {
            order.push((1_000 + n, 1_000 + u32::from(n)));
            if n > 60 {
                order.push((940 + n, 940 + u32::from(n)));
            }
        }
        let seen = numbers(&mut numbering, 0, &order);
        assert!(seen.iter().all(|number| matches!(number, Number::Known(_))));
    }

    #[test]
    fn a_restart_that_looks_like_late_packets_costs_a_tenth_of_a_second() {
        let mut numbering = Numbering::default();
        numbers(&mut numbering, 0, &[(100, 100), (101, 101), (102, 102)]);
        let after: Vec<_> = (0..20).map(|n| (50 + n, 50 + u32::from(n))).collect();
        let seen = numbers(&mut numbering, 60, &after);
        assert_eq!(seen[4], Number::Restarted(FIRST + 3));
        assert_eq!(seen[5], Number::Known(FIRST + 4));
    }

    #[test]
    fn events_among_the_numbers_are_not_missing_and_events_apart_move_nothing() {
        let mut numbering = Numbering::default();
        numbers(&mut numbering, 0, &[(10, 10), (11, 11)]);
        (12..26).for_each(|sequence| numbering.event(sequence));
        assert_eq!(known(&numbers(&mut numbering, 320, &[(26, 26), (27, 27)])), [Some(2), Some(3)]);
        // One audio packet that was late, and one missing among events.
        assert_eq!(known(&numbers(&mut numbering, 360, &[(11, 11), (10, 10)])), [Some(1), Some(0)]);
        [28, 30, 31].into_iter().for_each(|sequence| numbering.event(sequence));
        assert_eq!(known(&numbers(&mut numbering, 400, &[(32, 31)])), [Some(5)], "29 is missing");
        (5_000..5_014).for_each(|sequence| numbering.event(sequence));
        (130..144).for_each(|sequence| numbering.event(sequence));
        assert_eq!(known(&numbers(&mut numbering, 420, &[(33, 32), (34, 33)])), [Some(6), Some(7)]);
    }

    #[test]
    fn a_hold_that_used_up_numbers_is_no_restart_and_a_jump_without_time_is() {
        let mut numbering = Numbering::default();
        numbers(&mut numbering, 0, &[(10, 10)]);
        assert_eq!(known(&numbers(&mut numbering, 20_000, &[(1_010, 1_010)])), [Some(1_000)]);
        let seen = numbers(&mut numbering, 20_020, &[(9_010, 1_011), (9_011, 1_012)]);
        assert_eq!(seen, [Number::Doubtful, Number::Restarted(FIRST + 1_002)]);
    }

    #[test]
    fn another_senders_first_packet_counts_at_once() {
        let mut numbering = Numbering::default();
        numbers(&mut numbering, 0, &[(10, 10), (11, 11)]);
        numbering.start_anew();
        let seen = numbers(&mut numbering, 40, &[(11, 11), (12, 12)]);
        assert_eq!(seen, [Number::Restarted(FIRST + 2), Number::Known(FIRST + 3)]);
    }
}
