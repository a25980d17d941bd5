//! The complete chain of a call in simulated time: datagrams with their arrivals in, facts out.

use std::net::SocketAddr;
use std::time::Duration;

use super::call::{Call, CallRules, CallSettings, Command, Now};
use super::codec::{Encoding, PayloadFormat};
use super::rtp::rtcp::RtcpPlan;
use super::rtp::telephone_event::EventFormat;
use super::stats::TickStats;
use crate::call::output::{Fact, Output};
use crate::dtmf::tone_listener::ToneSettings;
use crate::fact::{EndedBy, Gap, GapReason, MediaBlock, StreamIndex};
use crate::opus::encoder::OpusSettings;
use crate::rtp::source_filter::ExpectedSource;
use crate::stream::media::StreamMedia;
use crate::stream::plan::StreamPlan;
use crate::stream::settings::CaptureSettings;
use optag_core::call::{
    Answer, ConsentHow, ConsentKeys, ConsentState, Evidence, KeySource, NoAudio, Outcome, Question,
    StreamRole,
};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;

#[cfg(feature = "amr")]
mod amr;
#[cfg(feature = "g729")]
mod g729;
mod keys;
mod noise;
mod objecting;

mod codecs;
mod edges;
mod fault;
mod joining;
mod protected;
mod reporting;
mod resume;
mod senders;
mod side_by_side;
mod spilled;
mod strangers;
mod unheard;

/// One call with its clock.
struct Bench {
    call: Call,
    now_ms: u64,
    stats: TickStats,
    out: Vec<Output>,
}

fn at(ms: u64) -> Now {
    let micros = (1_700_000_000_000 + ms as i64) * 1_000;
    Now { mono: MonoTime::from_nanos((5_000 + ms) * 1_000_000), wall: WallTime::from_unix_micros(micros) }
}

fn packet(stream: u8, sequence: u16, timestamp: u32, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(u32::from(stream).to_be_bytes());
    packet.extend(payload);
    packet
}

/// A-law of a tone: louder than any silence, different in each frame.
fn tone(n: u32) -> Vec<u8> {
    (0..160u32)
        .map(|i| ((n * 160 + i) as f64 * 0.7).sin())
        .map(|s| if s > 0.0 { 0xaa } else { 0x2a } ^ (n as u8 & 7))
        .collect()
}

impl Bench {
    fn new(selected: bool) -> Self {
        Self::with(selected, |plan| plan)
    }

    /// A call with modified stream parameters.
    fn with(selected: bool, change: impl Fn(StreamPlan) -> StreamPlan) -> Self {
        let pcma = (8, Encoding::Pcma);
        Self::of(selected, pcma, |stream, _, _| *stream = change(stream.clone()))
    }

    /// Both streams with this encoding; `change` may modify stream, rules and settings.
    fn of(
        selected: bool,
        (payload_type, encoding): (u8, Encoding),
        change: impl Fn(&mut StreamPlan, &mut CallRules, &mut CallSettings),
    ) -> Self {
        let plan = |role| StreamPlan {
            withheld: false,
            role,
            media: StreamMedia {
                formats: vec![PayloadFormat { payload_type, encoding }],
                telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
                source: ExpectedSource { ip: Some([127, 0, 0, 1].into()), ..ExpectedSource::default() },
                ..StreamMedia::default()
            },
        };
        let mut rules = CallRules {
            id: CallId::from_bytes([1; 16]),
            question: Question::new("demo", selected, ConsentKeys::default(), Duration::from_secs(30)),
            prompt_version: None,
        };
        let mut settings = Self::settings();
        let mut streams = vec![plan(StreamRole::Caller), plan(StreamRole::Employee)];
        streams.iter_mut().for_each(|stream| change(stream, &mut rules, &mut settings));
        let call = Call::new(rules, streams, settings, at(0).mono);
        Self { call, now_ms: 0, stats: TickStats::default(), out: Vec::new() }
    }

    fn settings() -> CallSettings {
        CallSettings {
            capture: CaptureSettings {
                reorder: Duration::from_millis(200),
                opus: OpusSettings {
                    bitrate_bps: 16_000,
                    wideband_bitrate_bps: 24_000,
                    complexity: 0,
                    saves_background: true,
                },
                pass_through_max_bps: 64_000,
                encodes: Default::default(),
            },
            tones: ToneSettings::default(),
            rtp_timeout: Duration::from_secs(60),
            reports: false,
        }
    }

    fn hear(&mut self, stream: usize, ms: u64, datagram: &[u8]) {
        let from = SocketAddr::from(([127, 0, 0, 1], 4_000 + stream as u16));
        self.call.handle(at(self.now_ms), stream, at(ms).mono, from, datagram, &mut self.stats);
    }

    fn yes(&mut self) {
        let yes = Command::Answer {
            answer: Answer::Yes,
            how: ConsentHow::System,
            prompt_version: None,
            evidence: Evidence::Clock,
        };
        self.call.command(at(self.now_ms), yes, &mut self.stats).unwrap();
    }

    fn tick_to(&mut self, ms: u64) {
        while self.now_ms < ms {
            self.now_ms = (self.now_ms + 100).min(ms);
            self.call.tick(at(self.now_ms), &mut self.stats);
        }
        self.call.take_facts(&mut self.out);
    }

    /// Sends frames of both streams in real time, each once it was spoken, if `keep` permits, while ticks
    /// run.
    fn talk(&mut self, frames: std::ops::Range<u32>, keep: impl Fn(u32) -> bool) {
        for n in frames {
            let ms = u64::from(n) * 20 + 20;
            self.now_ms = self.now_ms.max(ms);
            for stream in 0..2u8 {
                if keep(n) {
                    self.hear(stream.into(), ms, &packet(stream, n as u16, n * 160, 8, &tone(n)));
                }
            }
            if ms.is_multiple_of(100) {
                self.call.tick(at(self.now_ms), &mut self.stats);
                self.call.take_facts(&mut self.out);
            }
        }
    }

    fn press(&mut self, stream: usize, ms: u64, sequence: u16, event: u8) {
        self.now_ms = self.now_ms.max(ms);
        let datagram = packet(stream as u8, sequence, ms as u32 * 8, 101, &[event, 0x8a, 3, 0x20]);
        self.hear(stream, ms, &datagram);
    }

    fn end(&mut self, ms: u64) -> Outcome {
        self.tick_to(ms);
        self.call.end(at(ms), EndedBy::Feed, &mut self.stats);
        self.call.take_facts(&mut self.out);
        match &self.out.last().unwrap().fact {
            Fact::Ended(ended) => ended.outcome,
            other => panic!("{other:?} after the end"),
        }
    }

    fn blocks(&self) -> Vec<&MediaBlock> {
        self.out
            .iter()
            .filter_map(|output| if let Fact::Media(block) = &output.fact { Some(block) } else { None })
            .collect()
    }

    fn frames(&self) -> u32 {
        self.blocks().iter().map(|block| block.frames()).sum()
    }

    fn gaps(&self, reason: GapReason) -> Vec<Gap> {
        let gaps = self
            .out
            .iter()
            .filter_map(|output| if let Fact::Gap(gap) = output.fact { Some(gap) } else { None });
        gaps.filter(|gap| gap.reason == reason).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        self.blocks().iter().flat_map(|block| block.bytes.clone()).collect()
    }

    /// Peak sample of each frame of a stream.
    fn peaks(&self, stream: usize) -> Vec<u8> {
        self.blocks().iter().flat_map(|block| block.peaks.iter().skip(stream).step_by(2).copied()).collect()
    }
}

#[test]
fn reordered_and_repeated_packets_make_the_same_bytes() {
    let run = |order: &[u32]| {
        let mut bench = Bench::new(true);
        bench.talk(0..5, |_| true);
        bench.yes();
        for group in 0..40u32 {
            for &n in order {
                let frame = 5 + group * 4 + n;
                bench.now_ms = bench.now_ms.max(u64::from(5 + group * 4 + 3) * 20);
                for stream in 0..2u8 {
                    let ms = bench.now_ms;
                    bench.hear(
                        stream.into(),
                        ms,
                        &packet(stream, frame as u16, frame * 160, 8, &tone(frame)),
                    );
                }
            }
            bench.tick_to(bench.now_ms + 1);
        }
        assert_eq!(bench.end(4_000), Outcome::Recorded);
        (bench.bytes(), bench.stats.duplicate, bench.stats.lost)
    };
    let (straight, _, lost) = run(&[0, 1, 2, 3]);
    let (mixed, duplicates, mixed_lost) = run(&[2, 0, 0, 1, 3, 2]);
    assert_eq!((straight == mixed, lost, mixed_lost), (true, 0, 0));
    assert_eq!(duplicates, 160);
}

#[test]
fn loss_and_bursts_keep_the_time_axis() {
    type Lost = fn(u32) -> bool;
    let patterns: [(&str, Lost); 4] = [
        ("1 %", |n| n % 100 == 17),
        ("5 %", |n| n % 20 == 7),
        ("20 %", |n| n % 5 == 3),
        ("bursts", |n| n % 200 > 150),
    ];
    for (name, lost) in patterns {
        let mut bench = Bench::new(true);
        bench.yes();
        bench.talk(0..1_000, |n| !lost(n));
        assert_eq!(bench.end(20_000), Outcome::Recorded, "{name}");
        assert_eq!(bench.frames(), 1_000, "{name}");
        // Those after the last packet are not known to be missing.
        let last = (0..1_000).rev().find(|&n| !lost(n)).unwrap();
        let dropped = (0..last).filter(|&n| lost(n)).count() as u64 * 2;
        assert_eq!(bench.stats.lost, dropped, "{name}");
        assert!(!bench.gaps(GapReason::Lost).is_empty(), "{name}");
        let next = bench.blocks().iter().fold(0, |next, block| {
            assert_eq!(block.first_frame, next, "{name}");
            next + block.frames()
        });
        assert_eq!(next, 1_000);
    }
}

#[test]
fn invariant_01_nothing_from_before_consent_is_kept() {
    let mut bench = Bench::new(true);
    // The caller is loud until a millisecond before the yes, and silent afterwards.
    bench.talk(0..100, |_| true);
    bench.now_ms = 2_000;
    bench.yes();
    for n in 100..200u32 {
        bench.now_ms = u64::from(n) * 20 + 20;
        for stream in 0..2u8 {
            let ms = bench.now_ms;
            bench.hear(stream.into(), ms, &packet(stream, n as u16, n * 160, 8, &[0xd5; 160]));
        }
        bench.tick_to(bench.now_ms + 1);
    }
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    for stream in 0..2 {
        assert!(bench.peaks(stream).iter().all(|&peak| peak == 0), "{:?}", bench.peaks(stream));
    }
}

#[test]
fn without_a_yes_no_place_for_audio_exists() {
    for (selected, outcome) in [(true, Outcome::NoAnswer), (false, Outcome::NotSelected)] {
        let mut bench = Bench::new(selected);
        bench.talk(0..500, |_| true);
        assert_eq!(bench.end(10_000), outcome);
        assert_eq!((bench.frames(), bench.stats.frames_coded), (0, 0));
    }
}

#[test]
fn a_key_opens_the_gate_at_its_own_time_and_only_the_callers() {
    let mut bench = Bench::new(true);
    bench.talk(0..10, |_| true);
    bench.press(1, 210, 10, 1);
    bench.tick_to(300);
    assert_eq!(bench.call.state().consent, ConsentState::Asked);
    bench.press(0, 350, 10, 1);
    bench.tick_to(400);
    let granted = bench.out.iter().find_map(|output| match &output.fact {
        Fact::Consent(record) if record.state == ConsentState::Granted => Some(record.clone()),
        _ => None,
    });
    let granted = granted.unwrap();
    assert_eq!(granted.at, at(350).wall);
    assert_eq!(
        granted.evidence,
        Evidence::Keys {
            keys: "1".into(),
            stream: 0,
            rtp_timestamp: 2_800,
            ssrc: 0,
            by: KeySource::Event,
            source: Some(SocketAddr::from(([127, 0, 0, 1], 4_000)).into()),
        }
    );
}

#[test]
fn a_withdrawal_stops_at_once_and_nothing_follows() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..100, |_| true);
    bench.tick_to(2_000);
    let before = bench.frames();
    bench.press(0, 2_010, 100, 10);
    bench.press(0, 2_110, 101, 9);
    bench.talk(106..200, |_| true);
    assert_eq!(bench.end(4_000), Outcome::Withdrawn);
    assert_eq!(bench.frames(), before, "audio after the withdrawal");
}

#[test]
fn what_is_said_while_paused_is_silence_of_the_same_length() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..100, |_| true);
    bench.call.command(at(2_000), Command::Pause, &mut bench.stats).unwrap();
    bench.talk(100..200, |_| true);
    bench.tick_to(4_000);
    bench.call.command(at(4_000), Command::Resume, &mut bench.stats).unwrap();
    bench.talk(200..300, |_| true);
    assert_eq!(bench.end(6_000), Outcome::Recorded);
    assert_eq!(bench.frames(), 300);
    let peaks = bench.peaks(0);
    assert!(
        peaks[101..199].iter().all(|&peak| peak == 0) && peaks[50] > 100 && peaks[250] > 100,
        "{peaks:?}"
    );
    assert_eq!(
        bench.gaps(GapReason::Paused).iter().map(|gap| gap.to_frame - gap.from_frame).sum::<u32>() / 2,
        100
    );
}

#[test]
fn a_hold_without_packets_is_marked_and_keeps_its_length() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..50, |_| true);
    // The sender's clock continues, its sequence numbers do not.
    bench.tick_to(31_000);
    for n in 50..100u32 {
        bench.now_ms = 30_000 + u64::from(n) * 20;
        for stream in 0..2u8 {
            let ms = bench.now_ms;
            bench.hear(stream.into(), ms, &packet(stream, n as u16, (n + 1_500) * 160, 8, &tone(n)));
        }
        bench.tick_to(bench.now_ms + 1);
    }
    assert_eq!(bench.end(32_000), Outcome::Recorded);
    assert_eq!((bench.frames(), bench.stats.lost), (1_600, 0));
    let held: u32 = bench.gaps(GapReason::Held).iter().map(|gap| gap.to_frame - gap.from_frame).sum();
    assert!((2_990..=3_010).contains(&held), "{held}");
    assert!(bench.stats.frames_repeated > 2_880, "{:?}", bench.stats);
}

#[test]
fn a_call_without_packets_says_so() {
    let mut bench = Bench::new(true);
    bench.yes();
    assert_eq!(bench.end(5_000), Outcome::NoAudio(NoAudio::NoPackets));
    let mut bench = Bench::new(true);
    bench.yes();
    bench.hear(0, 10, b"no rtp");
    assert_eq!(bench.end(5_000), Outcome::NoAudio(NoAudio::NothingAccepted));
}

#[test]
fn a_call_of_which_no_packet_ever_comes_ends_after_twice_the_timeout() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.tick_to(119_000);
    assert!(!bench.call.is_ended());
    bench.tick_to(121_000);
    assert!(bench.call.is_ended());
    let ended = bench.out.iter().find_map(|output| match &output.fact {
        Fact::Ended(ended) => Some((ended.by, ended.outcome)),
        _ => None,
    });
    assert_eq!(ended, Some((EndedBy::RtpTimeout, Outcome::NoAudio(NoAudio::NoPackets))));
}

#[test]
fn invariant_11_audio_under_another_ssrc_from_the_senders_own_address_is_refused() {
    let record = |foreign: bool| {
        let mut bench = Bench::new(true);
        bench.yes();
        for n in 0..200u32 {
            bench.talk(n..n + 1, |_| true);
            if foreign && n > 50 {
                let ms = u64::from(n) * 20 + 25;
                bench.hear(0, ms, &packet(9, 7_000 + n as u16, n * 160, 8, &[0xaa; 160]));
            }
        }
        bench.end(4_000);
        bench
    };
    let (plain, disturbed) = (record(false), record(true));
    assert_eq!(disturbed.stats.foreign_ssrc, 149);
    assert_eq!((disturbed.stats.received, disturbed.bytes()), (plain.stats.received, plain.bytes()));
}

#[test]
fn a_yes_just_before_the_end_makes_no_recording_without_a_frame() {
    for (after_ms, outcome) in [(5, Outcome::NoAudio(NoAudio::OnlyWhileClosed)), (15, Outcome::Recorded)] {
        let mut bench = Bench::new(true);
        bench.talk(0..50, |_| true);
        bench.tick_to(1_000);
        bench.yes();
        bench.hear(0, 1_000 + after_ms, &packet(0, 50, 50 * 160, 8, &tone(50)));
        assert_eq!(bench.end(1_000 + after_ms), outcome);
        assert_eq!(bench.frames() > 0, outcome == Outcome::Recorded);
    }
}

#[test]
fn no_decoded_sample_is_left_behind_by_a_tick() {
    for coding in [(8, Encoding::Pcma), (9, Encoding::G722)] {
        let mut bench = Bench::of(true, coding, |_, _, _| {});
        bench.yes();
        for n in 0..50 {
            bench.hear(0, u64::from(n) * 20 + 20, &packet(0, n as u16, n * 160, coding.0, &tone(n)));
            bench.tick_to(u64::from(n) * 20 + 20);
            assert!(crate::stream::decode_buffer::is_wiped(), "{coding:?}");
        }
        assert_eq!(bench.end(1_000), Outcome::Recorded);
        assert!(bench.peaks(0).iter().any(|&peak| peak > 50) && crate::stream::decode_buffer::is_wiped());
    }
}

#[test]
fn a_backlog_of_a_stalled_tick_is_heard_whole() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..50, |_| true);
    // Three seconds without a tick, then everything at once.
    bench.now_ms = 4_000;
    for stream in 0..2u8 {
        for n in 50..200u32 {
            let ms = u64::from(n) * 20 + 20;
            bench.hear(stream.into(), ms, &packet(stream, n as u16, n * 160, 8, &tone(n)));
        }
    }
    assert_eq!(bench.end(4_050), Outcome::Recorded);
    assert_eq!((bench.stats.lost, bench.stats.late), (0, 0));
    assert!(bench.peaks(0)[1..199].iter().all(|&peak| peak > 100));
}
