//! What equipment does to sequence numbers, clocks and arrivals: the audio is placed where it was spoken, and
//! key presses answer and withdraw in every such situation.

use super::*;
use crate::codec::coded::Codec;
use crate::dtmf::goertzel::tests::key_tone;

/// When it occurs. Units: packets of 20 ms.
const WHEN: u32 = 150;

/// A packet as sent: sequence number, timestamp, and offset of its sending time. Units: packets for the
/// first, RTP ticks, ms.
type Sent = (u32, u32, u64);

struct Situation {
    name: &'static str,
    /// How packet `n` is sent; the event occurs from packet `when` on.
    sent: fn(n: u32, when: u32) -> Sent,
    /// Maximum audio missing. Units: frames.
    missing: usize,
}

/// Before the event everything is regular.
fn after(n: u32, when: u32, plain: Sent, happened: Sent) -> Sent {
    if n < when { plain } else { happened }
}

const SITUATIONS: &[Situation] = &[
    Situation { name: "nothing", sent: |n, _| (20_000 + n, n * 160, 0), missing: 0 },
    Situation {
        name: "numbers restart lower, the clock goes on",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (300 + n, n * 160, 0)),
        missing: 1,
    },
    Situation {
        name: "numbers restart higher, the clock goes on",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (28_000 + n, n * 160, 0)),
        missing: 1,
    },
    Situation {
        name: "numbers and clock restart lower",
        sent: |n, when| after(n, when, (20_000 + n, 3_000_000_000 + n * 160, 0), (n, n * 160, 0)),
        missing: 1,
    },
    Situation {
        name: "numbers and clock restart higher",
        sent: |n, when| after(n, when, (2_000 + n, n * 160, 0), (40_000 + n, 2_000_000_000 + n * 160, 0)),
        missing: 1,
    },
    Situation {
        name: "numbers restart within the old window",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (19_970 + n, n * 160, 0)),
        missing: 1,
    },
    Situation {
        name: "numbers and clock step back as those of late packets do",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (19_950 + n, (n.max(50) - 50) * 160, 0)),
        missing: 5,
    },
    Situation {
        name: "numbers skip a few",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (20_050 + n, n * 160, 0)),
        missing: 1,
    },
    Situation {
        name: "two restarts in a row",
        sent: |n, when| match n {
            _ if n < when => (20_000 + n, n * 160, 0),
            _ if n < when + 3 => (300 + n, 90_000_000 + n * 160, 0),
            _ => (50_000 + n, n * 160, 0),
        },
        missing: 2,
    },
    Situation {
        name: "a restart at the wrap of numbers and clock",
        sent: |n, when| {
            let wraps = (65_536 - when + n, 0u32.wrapping_sub(when * 160).wrapping_add(n * 160), 0);
            after(n, when, (9_000 + n, n * 160, 0), wraps)
        },
        missing: 1,
    },
    Situation {
        name: "the clock stands still",
        sent: |n, when| (20_000 + n, n.min(when) * 160, 0),
        missing: 0,
    },
    Situation {
        name: "the clock goes back",
        sent: |n, when| after(n, when, (20_000 + n, 900_000 + n * 160, 0), (20_000 + n, n * 160, 0)),
        missing: 0,
    },
    Situation {
        name: "the clock leaps by hours",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (20_000 + n, 1_000_000_000 + n * 160, 0)),
        missing: 0,
    },
    Situation {
        name: "the clock counts at half its rate from then on",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (20_000 + n, (n + when) * 80, 0)),
        missing: 0,
    },
    Situation {
        name: "the clock counts at double its rate all along",
        sent: |n, _| (20_000 + n, n * 320, 0),
        missing: 0,
    },
    Situation {
        name: "the sender stops for 240 ms and goes on as if it had not",
        sent: |n, when| (20_000 + n, n * 160, if n < when { 0 } else { 240 }),
        missing: 0,
    },
    Situation {
        name: "the sender stops for 1.5 s and goes on as if it had not",
        sent: |n, when| (20_000 + n, n * 160, if n < when { 0 } else { 1_500 }),
        missing: 0,
    },
    Situation {
        name: "a hold of 4 s after which numbers and clock start from zero",
        sent: |n, when| {
            after(
                n,
                when,
                (20_000 + n, 1_500_000_000 + n * 160, 0),
                (n.max(when) - when, (n.max(when) - when) * 160, 4_000),
            )
        },
        missing: 1,
    },
    Situation {
        name: "a hold of 4 s in which the clock stood still",
        sent: |n, when| (20_000 + n, n * 160, if n < when { 0 } else { 4_000 }),
        missing: 0,
    },
    Situation {
        name: "a hold of 4 s in which the clock went on",
        sent: |n, when| after(n, when, (20_000 + n, n * 160, 0), (20_000 + n, n * 160 + 32_000, 4_000)),
        missing: 0,
    },
];

/// A stream generated by a sender, packet by packet.
struct Phone<'a> {
    bench: Bench,
    situation: &'a Situation,
    when: u32,
    next: u32,
}

impl<'a> Phone<'a> {
    fn new(situation: &'a Situation, when: u32) -> Self {
        Self { bench: Bench::new(true), situation, when, next: 0 }
    }

    /// A packet's arrival, and its header fields.
    fn sent(&self, n: u32) -> (u64, u16, u32) {
        let (number, timestamp, late_ms) = (self.situation.sent)(n, self.when);
        (u64::from(n) * 20 + 20 + late_ms, number as u16, timestamp)
    }

    fn send(&mut self, payload_type: u8, timestamp: Option<u32>, payload: &[u8]) {
        let (ms, sequence, own) = self.sent(self.next);
        self.bench.tick_to(ms);
        self.bench.hear(0, ms, &packet(0, sequence, timestamp.unwrap_or(own), payload_type, payload));
        self.next += 1;
    }

    fn talk_to(&mut self, n: u32) {
        while self.next < n {
            self.send(8, None, &tone(self.next));
        }
    }

    /// A key press as events in place of the audio, with its sequence numbers, or as a tone.
    fn press(&mut self, key: char, by_tone: bool) {
        let samples = key_tone(key, 800, 8_000);
        let began = self.sent(self.next).2;
        for n in 1..=7u16 {
            let code = "0123456789*#".find(key).unwrap() as u8;
            let duration = (n.min(5) * 160).to_be_bytes();
            let event = [code, if n > 5 { 0x8a } else { 10 }, duration[0], duration[1]];
            match samples.get(usize::from(n - 1) * 160..usize::from(n) * 160) {
                _ if !by_tone => self.send(101, Some(began), &event),
                Some(samples) => self.send(8, None, &Codec::Pcma.encode(samples)),
                None => self.send(8, None, &[0xd5; 160]),
            }
        }
        for _ in 0..4 {
            self.send(8, None, &[0xd5; 160]);
        }
    }

    fn state(&mut self) -> ConsentState {
        let (ms, ..) = self.sent(self.next + 20);
        self.bench.tick_to(ms);
        self.bench.call.state().consent
    }
}

#[test]
fn a_yes_or_a_no_is_heard_whatever_numbers_and_clocks_do() {
    for situation in SITUATIONS {
        for (key, state) in [('1', ConsentState::Granted), ('2', ConsentState::Refused)] {
            for (by_tone, before) in [(false, 0), (false, 3), (true, 3), (true, 20)] {
                let mut phone = Phone::new(situation, WHEN);
                phone.talk_to(WHEN + before);
                phone.press(key, by_tone);
                assert_eq!(phone.state(), state, "{key} as tone {by_tone}: {}", situation.name);
            }
        }
    }
}

#[test]
fn a_withdrawal_is_heard_whatever_numbers_and_clocks_do_and_wherever_it_happens() {
    for situation in SITUATIONS {
        for by_tone in [false, true] {
            // Before the key presses, and between them.
            for when in [WHEN - 4, WHEN + 8] {
                if when > WHEN && situation.name.contains("a hold of 4 s") {
                    // A pause of this length ends a key sequence.
                    continue;
                }
                let mut phone = Phone::new(situation, when);
                phone.bench.yes();
                phone.talk_to(WHEN);
                phone.press('*', by_tone);
                assert_eq!(phone.bench.call.state().consent, ConsentState::Granted);
                phone.press('9', by_tone);
                phone.talk_to(WHEN + 60);
                let state = phone.state();
                assert_eq!(state, ConsentState::Withdrawn, "as tone {by_tone}, {when}: {}", situation.name);
            }
        }
    }
}

#[test]
fn a_withdrawal_is_heard_in_a_pause_across_a_restart_of_both_sides() {
    for situation in SITUATIONS {
        let mut phone = Phone::new(situation, WHEN - 10);
        phone.bench.yes();
        phone.talk_to(WHEN - 30);
        let now = at(phone.bench.now_ms);
        phone.bench.call.command(now, Command::Pause, &mut phone.bench.stats).unwrap();
        phone.talk_to(WHEN);
        phone.press('*', false);
        phone.press('9', true);
        assert_eq!(phone.state(), ConsentState::Withdrawn, "{}", situation.name);
    }
}

#[test]
fn audio_lies_where_it_arrives_whatever_numbers_and_clocks_do() {
    for situation in SITUATIONS {
        for every_packet_twice in [false, true] {
            let mut phone = Phone::new(situation, WHEN);
            phone.bench.yes();
            for n in 0..400 {
                // Quiet except for two marks that show the positions.
                let loud = !(100..120).contains(&n) && !(200..220).contains(&n);
                let payload = if loud { tone(n) } else { vec![0xd5; 160] };
                phone.send(8, None, &payload);
                if every_packet_twice {
                    phone.next -= 1;
                    phone.send(8, None, &payload);
                }
            }
            let (end_ms, ..) = phone.sent(400);
            let late_frames = ((end_ms - 400 * 20 - 20) / 20) as usize;
            let mut bench = phone.bench;
            assert_eq!(bench.end(end_ms), Outcome::Recorded);
            let peaks = bench.peaks(0);
            let name = situation.name;
            assert!(peaks[100..120].iter().all(|&peak| peak < 20), "{name}: the mark before");
            let mark = 200 + late_frames..220 + late_frames;
            assert!(peaks[mark.start + 1..mark.end - 1].iter().all(|&peak| peak < 20), "{name}: {peaks:?}");
            let there: usize = peaks.iter().filter(|&&peak| peak > 100).count();
            let sent = 400 - 40 - 1;
            assert!(there + situation.missing + 2 >= sent, "{name}: {there} of {sent} frames");
            assert!(bench.stats.lost <= situation.missing as u64 + 50, "{name}: {:?}", bench.stats);
        }
    }
}

#[test]
fn events_that_count_apart_from_the_audio_leave_it_alone() {
    for ahead in [98u16, 5_000, 40_000, 10, 0u16.wrapping_sub(20)] {
        let mut bench = Bench::new(true);
        bench.yes();
        bench.talk(0..100, |_| true);
        for n in 100..200u32 {
            let ms = u64::from(n) * 20 + 20;
            bench.tick_to(ms);
            if n < 114 {
                let sequence = (n as u16).wrapping_add(ahead);
                bench.hear(0, ms, &packet(0, sequence, 16_000, 101, &[5, 10, 0, 160]));
            }
            bench.hear(0, ms, &packet(0, n as u16, n * 160, 8, &tone(n)));
        }
        assert_eq!(bench.end(4_000), Outcome::Recorded);
        assert_eq!((bench.stats.lost, bench.stats.late), (0, 0), "{ahead}");
        assert!(bench.peaks(0)[125..199].iter().all(|&peak| peak > 100), "{ahead}: {:?}", bench.peaks(0));
    }
}

#[test]
fn events_among_the_audios_numbers_are_not_lost_audio_however_long_the_key_is_held() {
    for packets in [5u32, 14, 400] {
        let mut bench = Bench::new(true);
        bench.yes();
        bench.talk(0..100, |_| true);
        for n in 100..100 + packets {
            let ms = u64::from(n) * 20 + 20;
            bench.tick_to(ms);
            bench.hear(0, ms, &packet(0, n as u16, 16_000, 101, &[5, 10, 0, 160]));
        }
        let from = 100 + packets;
        for n in from..from + 50 {
            let ms = u64::from(n) * 20 + 20;
            bench.tick_to(ms);
            bench.hear(0, ms, &packet(0, n as u16, n * 160, 8, &tone(n)));
        }
        bench.end(u64::from(from + 50) * 20);
        assert_eq!((bench.stats.lost, bench.stats.late), (0, 0), "{packets}");
        assert!(bench.gaps(GapReason::Lost).iter().all(|gap| gap.stream == StreamIndex(1)), "{packets}");
    }
}
