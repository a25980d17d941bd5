//! Key presses as tones and as events: their meaning, and that nothing of them is kept.

use std::f64::consts::TAU;

use super::*;
use crate::codec::coded::Codec;
use crate::codec::g726::{Packing, Rate};
use crate::dtmf::goertzel::ToneDetector;
use crate::dtmf::goertzel::tests::key_tone;
use crate::dtmf::tone_listener::{ToneSettings, TonesInOpus};

const PCMA: (u8, Encoding) = (8, Encoding::Pcma);
const PACKET: usize = 160;

/// Samples of one stream at 8 kHz, and what interrupts them.
#[derive(Default)]
struct Line {
    samples: Vec<i16>,
}

impl Line {
    /// Speech-like sound: a voice of changing pitch with many harmonics, in syllables.
    fn talk(mut self, ms: usize) -> Self {
        for n in 0..ms * 8 {
            let at = (self.samples.len() + n) as f64 / 8_000.0;
            let pitch = 140.0 + 25.0 * (at * 2.1 * TAU).sin();
            let loud = (0.5 + 0.5 * (at * 4.0 * TAU).sin()).powi(2);
            let voice: f64 = (1..12).map(|k| (at * pitch * f64::from(k) * TAU).sin() / f64::from(k)).sum();
            self.samples.push((voice * loud * 2_500.0) as i16);
        }
        self
    }

    fn silence(mut self, ms: usize) -> Self {
        self.samples.extend(vec![0; ms * 8]);
        self
    }

    /// A key's tones alone.
    fn key(mut self, key: char, ms: usize) -> Self {
        self.samples.extend(key_tone(key, ms * 8, 8_000));
        self
    }

    /// A key's tones over the last `ms` of talk.
    fn key_over(mut self, key: char, ms: usize) -> Self {
        let tone = key_tone(key, ms * 8, 8_000);
        let from = self.samples.len() - tone.len();
        for (sample, tone) in self.samples[from..].iter_mut().zip(tone) {
            *sample = (*sample / 4).saturating_add(tone);
        }
        self
    }

    fn ms(&self) -> u64 {
        self.samples.len() as u64 / 8
    }
}

impl Bench {
    /// Sends a stream's samples as A-law from `from_ms` on, while ticks run; `arrives` may reorder (another
    /// position) or lose (`None`) packets.
    fn play(&mut self, stream: u8, from_ms: u64, line: &Line, arrives: impl Fn(usize) -> Option<usize>) {
        let packets = line.samples.len() / PACKET;
        for turn in 0..packets {
            let ms = from_ms + turn as u64 * 20 + 20;
            if ms >= self.now_ms + 100 {
                self.tick_to(self.now_ms + 100);
            }
            self.now_ms = self.now_ms.max(ms);
            let Some(n) = arrives(turn) else { continue };
            let Some(samples) = line.samples.get(n * PACKET..(n + 1) * PACKET) else { continue };
            let sequence = (from_ms / 20) as u16 + n as u16;
            let timestamp = (from_ms as u32 + n as u32 * 20) * 8;
            self.hear(
                stream.into(),
                ms,
                &packet(stream, sequence, timestamp, 8, &Codec::Pcma.encode(samples)),
            );
        }
    }

    /// One event packet.
    fn event(&mut self, at_ms: u64, began_ms: u64, payload_type: u8, event: [u8; 2], ticks: u16) {
        self.now_ms = self.now_ms.max(at_ms);
        let mut payload = event.to_vec();
        payload.extend(ticks.to_be_bytes());
        let datagram = packet(0, (at_ms / 20) as u16, began_ms as u32 * 8, payload_type, &payload);
        self.hear(0, at_ms, &datagram);
    }

    fn granted(&self) -> Option<Evidence> {
        self.out.iter().find_map(|output| match &output.fact {
            Fact::Consent(record) if record.state == ConsentState::Granted => Some(record.evidence.clone()),
            _ => None,
        })
    }

    /// What is stored of a stream, at 8 kHz.
    fn stored(&self, stream: usize) -> Vec<i16> {
        let mut decoder = opus::Decoder::new(8_000, opus::Channels::Mono).unwrap();
        let mut samples = Vec::new();
        for block in self.blocks() {
            for packet in block.packets().skip(stream).step_by(usize::from(block.streams)) {
                let mut out = [0; 160];
                let length = decoder.decode(packet, &mut out, false).unwrap();
                samples.extend_from_slice(&out[..length]);
            }
        }
        samples
    }

    fn cut_frames(&self, stream: u8) -> u32 {
        let gaps = self.gaps(GapReason::KeyTones);
        gaps.iter()
            .filter(|gap| gap.stream == StreamIndex(stream))
            .map(|gap| gap.to_frame - gap.from_frame)
            .sum()
    }
}

/// Keys that a receiver detects, and the longest span that it takes for tones. Units: ms.
fn tones_in(samples: &[i16]) -> (String, i64) {
    let mut detector = ToneDetector::default();
    let (mut keys, mut longest) = (String::new(), 0);
    detector.hear(8_000, samples, |tone| {
        keys.extend(tone.pressed);
        longest = longest.max((tone.to - tone.from) / 8);
    });
    (keys, longest)
}

/// Power at a frequency in the loudest 20 ms. Units: dB below a full-scale sine.
fn loudest_db(samples: &[i16], hz: f64) -> f64 {
    let power = |frame: &[i16]| {
        let sum = frame.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, &sample)| {
            let (sin, cos) = (n as f64 / 8_000.0 * hz * TAU).sin_cos();
            (re + f64::from(sample) * cos, im + f64::from(sample) * sin)
        });
        (sum.0.powi(2) + sum.1.powi(2)) * 4.0 / (frame.len() as f64 * 32_768.0).powi(2)
    };
    10.0 * samples.windows(160).step_by(40).map(power).fold(1e-12, f64::max).log10()
}

/// A call with consent through the API, in which the caller's line is played.
fn recorded(line: &Line, arrives: impl Fn(usize) -> Option<usize>) -> Bench {
    let mut bench = Bench::of(true, PCMA, |_, _, _| {});
    bench.yes();
    bench.play(0, 0, line, arrives);
    assert_eq!(bench.end(line.ms()), Outcome::Recorded);
    bench
}

#[test]
fn a_tone_in_the_audio_opens_the_gate_and_the_record_says_how() {
    let mut bench = Bench::new(true);
    let line = Line::default().talk(500).silence(100).key('1', 100).talk(1_000);
    bench.play(0, 0, &line, Some);
    bench.tick_to(line.ms());
    let Some(Evidence::Keys { keys, stream, rtp_timestamp, by, .. }) = bench.granted() else {
        panic!("{:?}", bench.call.state());
    };
    assert_eq!((keys.as_str(), stream, by), ("1", 0, KeySource::Tone));
    assert!((600 * 8 - 160..600 * 8 + 160).contains(&rtp_timestamp), "{rtp_timestamp}");
    assert_eq!(bench.end(line.ms()), Outcome::Recorded);
    let stored = bench.stored(0);
    assert_eq!(tones_in(&stored).0, "", "the rest of the answering tone is cut");
    assert!(bench.cut_frames(0) >= 3);
}

#[test]
fn every_narrow_and_wide_coding_is_heard_before_consent() {
    for (payload_type, encoding) in [
        (0, Encoding::Pcmu),
        (8, Encoding::Pcma),
        (9, Encoding::G722),
        (97, Encoding::L16 { rate_hz: 16_000 }),
        (2, Encoding::G726 { rate: Rate::Kbps32, packing: Packing::Rtp }),
        (97, Encoding::G726 { rate: Rate::Kbps16, packing: Packing::Aal2 }),
        (97, Encoding::G726 { rate: Rate::Kbps40, packing: Packing::Rtp }),
        (3, Encoding::Gsm),
        (111, Encoding::Opus),
    ] {
        let mut bench = Bench::of(true, (payload_type, encoding), |stream, _, settings| {
            stream.media.telephone_event.clear();
            settings.capture.pass_through_max_bps = 64_000;
        });
        let line = Line::default().talk(480).silence(60).key('1', 120).talk(540);
        let (codec, format) = match encoding {
            Encoding::Pcmu => (Codec::Pcmu, 1),
            Encoding::Pcma => (Codec::Pcma, 1),
            Encoding::G722 => (Codec::G722, 1),
            Encoding::L16 { .. } => (Codec::L16, 2),
            Encoding::Opus => (Codec::Opus, 6),
            Encoding::G726 { rate, packing } => (Codec::G726(rate, packing), 1),
            Encoding::Gsm => (Codec::Gsm, 1),
            Encoding::G729 | Encoding::Amr { .. } | Encoding::AmrWb { .. } => continue,
        };
        let format = (crate::codec::coded::Format { codec, ptime_ms: 20 }, format);
        let voice = crate::codec::coded::Coded::new(&line.samples, format.0).unwrap();
        for n in 0..voice.packets() as u64 {
            let ms = n * 20 + 20;
            bench.now_ms = bench.now_ms.max(ms);
            let timestamp = n as u32 * 160 * format.1;
            bench.hear(0, ms, &packet(0, n as u16, timestamp, payload_type, voice.payload(n)));
            bench.tick_to(ms);
        }
        let Some(Evidence::Keys { keys, by: KeySource::Tone, .. }) = bench.granted() else {
            panic!("{encoding} is not heard");
        };
        assert_eq!(keys, "1", "{encoding}");
        bench.end(line.ms());
        assert_eq!(tones_in(&bench.stored(0)).0, "", "{encoding}: the tone's end is kept");
    }
}

#[test]
fn tones_count_only_where_that_is_wanted_and_only_the_callers() {
    let line = Line::default().silence(100).key('1', 200).silence(300);
    let mut bench = Bench::of(true, PCMA, |_, _, settings| settings.tones.count = false);
    bench.play(0, 0, &line, Some);
    assert_eq!(bench.call.state().consent, ConsentState::Asked);
    let mut bench = Bench::new(true);
    bench.play(1, 0, &line, Some);
    assert_eq!(bench.call.state().consent, ConsentState::Asked);
}

#[test]
fn a_key_that_comes_as_event_and_as_tone_counts_once() {
    let two_ones = |tones: bool, events: bool| {
        let mut bench = Bench::of(true, PCMA, |_, rules, _| rules.question.keys.yes = "11".into());
        let (on, off) = (100, 500);
        let mut line = Line::default().silence(100);
        line = if tones { line.key('1', on).silence(off) } else { line.silence(on + off) };
        bench.play(0, 0, &line, |n| {
            // The packets of the tone's first half were replaced by the event.
            Some(n)
        });
        if events {
            for n in 1..4u16 {
                bench.event(720, 100, 101, [1, 0x8a], n * 160);
            }
        }
        bench.tick_to(1_000);
        bench.call.state().consent
    };
    for (tones, events) in [(true, false), (false, true), (true, true)] {
        assert_eq!(two_ones(tones, events), ConsentState::Asked, "tone {tones}, event {events}");
    }
}

#[test]
fn t18_two_types_of_events_at_once_are_one_press() {
    let mut bench = Bench::of(true, PCMA, |stream, rules, _| {
        stream.media.telephone_event.push(EventFormat { payload_type: 97, clock_hz: 48_000 });
        rules.question.keys.yes = "77".into();
    });
    bench.talk(0..10, |_| true);
    for (n, ticks) in (0..6).zip([(101, 160), (97, 960), (101, 320), (97, 1_920), (101, 480), (97, 2_880)]) {
        bench.event(220 + n * 20, 200, ticks.0, [7, 10], ticks.1);
    }
    assert_eq!(bench.call.state().consent, ConsentState::Asked, "one press of two");
    bench.event(600, 580, 97, [7, 10], 960);
    bench.tick_to(700);
    assert_eq!(bench.call.state().consent, ConsentState::Granted);
}

#[test]
fn t18_events_by_clocks_of_16_and_48_khz_cut_their_own_time() {
    for clock_hz in [8_000u32, 16_000, 48_000] {
        let mut bench =
            Bench::of(true, PCMA, |stream, _, _| stream.media.telephone_event[0].clock_hz = clock_hz);
        bench.yes();
        bench.play(0, 0, &Line::default().talk(1_000), Some);
        // Only the end of a press of 100 ms arrives.
        for _ in 0..3 {
            bench.event(1_010, 900, 101, [5, 0x8a], (clock_hz / 10) as u16);
        }
        bench.play(0, 1_020, &Line::default().talk(980), Some);
        bench.end(2_000);
        // 110 ms, margins of 60 ms before and after, and the frames that they overlap.
        assert!((11..=15).contains(&bench.cut_frames(0)), "{clock_hz} Hz: {}", bench.cut_frames(0));
    }
}

#[test]
fn m2_events_of_a_type_that_was_not_negotiated_are_never_a_yes_but_take_one_back() {
    let press = |bench: &mut Bench, at: u64, key: u8| {
        for n in 0..3u16 {
            bench.event(at + 20 + u64::from(n) * 20, at, 96, [key, 10], (n + 1) * 160);
        }
    };
    let others = |stream: &mut StreamPlan, _: &mut CallRules, _: &mut CallSettings| {
        stream.media.telephone_event.clear()
    };
    for (negotiates_others, key, state) in
        [(false, 1, ConsentState::Asked), (true, 1, ConsentState::Asked), (false, 2, ConsentState::Refused)]
    {
        let mut bench = match negotiates_others {
            true => Bench::of(true, PCMA, |_, _, _| {}),
            false => Bench::of(true, PCMA, others),
        };
        bench.talk(0..10, |_| true);
        press(&mut bench, 200, key);
        assert_eq!(bench.call.state().consent, state, "key {key}");
        assert_eq!(bench.stats.unknown_payload, 0);
    }
    // Whoever said yes can withdraw it, in any way.
    let mut bench = Bench::of(true, PCMA, others);
    bench.yes();
    bench.talk(0..10, |_| true);
    press(&mut bench, 200, 10);
    press(&mut bench, 400, 9);
    assert_eq!(bench.call.state().consent, ConsentState::Withdrawn);
}

#[test]
fn m2_three_end_packets_without_a_marker_are_one_press_and_a_long_one_in_segments_too() {
    let mut bench = Bench::of(true, PCMA, |_, rules, _| rules.question.keys.yes = "55".into());
    bench.talk(0..10, |_| true);
    for _ in 0..3 {
        bench.event(320, 200, 101, [5, 0x8a], 800);
    }
    bench.tick_to(4_000);
    assert_eq!(bench.call.state().consent, ConsentState::Asked);
    // 12 s: longer than 16 bits of duration at 8 kHz, so in two segments.
    let mut bench = Bench::of(true, PCMA, |_, rules, _| rules.question.keys.yes = "55".into());
    bench.talk(0..10, |_| true);
    for n in 1..=600u64 {
        let (at, ticks) = (200 + n * 20, n * 160);
        let (began, ticks) = if ticks > 0xffff { (1_600 + 0xffff, ticks - 0xffff) } else { (1_600, ticks) };
        let mut payload = vec![5, if n == 600 { 0x8a } else { 10 }];
        payload.extend((ticks as u16).to_be_bytes());
        bench.now_ms = at;
        bench.hear(0, at, &packet(0, (at / 20) as u16, began, 101, &payload));
    }
    assert_eq!(bench.call.state().consent, ConsentState::Asked, "one press of two");
}

#[test]
fn digits_keyed_as_tones_after_the_answer_are_not_in_what_is_stored() {
    let digits = "4929123412341234";
    let alone = digits
        .chars()
        .fold(Line::default().talk(1_000), |line, digit| line.key(digit, 70).silence(70))
        .talk(1_000);
    let over = digits
        .chars()
        .fold(Line::default().talk(1_000), |line, digit| line.talk(110).key_over(digit, 100))
        .talk(1_000);
    let quick = digits
        .chars()
        .fold(Line::default().talk(1_000), |line, digit| line.key(digit, 40).silence(40))
        .talk(1_000);
    for (name, line) in [("alone", alone), ("over speech", over), ("quick", quick)] {
        let sent = tones_in(&line.samples).0;
        assert_eq!(sent, digits, "{name}: the test itself");
        let bench = recorded(&line, Some);
        let stored = bench.stored(0);
        assert_eq!(tones_in(&stored), (String::new(), 0), "{name}");
        assert!(stored.len() as u64 / 8 + 20 >= line.ms(), "{name}: the time axis");
        let cut = bench.cut_frames(0);
        assert!(cut > 16 * 4 && u64::from(cut) * 20 < line.ms() - 1_600, "{name}: {cut} frames");
        assert!(bench.gaps(GapReason::Lost).is_empty(), "{name}");
        let spoken = stored[800..7_000].iter().map(|sample| sample.unsigned_abs()).max();
        assert!(spoken > Some(3_000), "{name}: what was said before is kept");
    }
}

#[test]
fn no_more_of_a_tone_is_stored_than_of_the_speech_around_it() {
    // A tone without a harmonic of the voice nearby, between silences: all energy there is the tone's.
    let line = Line::default().silence(400).key('D', 200).silence(600).key('A', 45).silence(400);
    let stored = recorded(&line, Some).stored(0);
    for hz in [697.0, 941.0, 1_633.0] {
        assert!(loudest_db(&line.samples, hz) > -30.0);
        assert!(loudest_db(&stored, hz) < -60.0, "{hz} Hz: {} dB", loudest_db(&stored, hz));
    }
}

#[test]
fn tones_are_cut_through_loss_and_reorder() {
    let digits = "4929123412341234";
    let line = digits
        .chars()
        .fold(Line::default().talk(1_000), |line, digit| line.key(digit, 120).silence(80))
        .talk(1_000);
    type Arrives = fn(usize) -> Option<usize>;
    let ways: [(&str, Arrives); 4] = [
        // The first ones are in order, so that the sender is accepted.
        ("swapped", |n| Some(if n < 8 { n } else { n ^ 1 })),
        ("four reversed", |n| Some(if n < 8 { n } else { n ^ 3 })),
        ("one in ten lost", |n| (n % 10 != 3).then_some(n)),
        ("one in seven lost", |n| (n % 7 != 0).then_some(n)),
    ];
    for (name, arrives) in ways {
        let stored = recorded(&line, arrives).stored(0);
        let (keys, longest) = tones_in(&stored);
        assert_eq!(keys, "", "{name}");
        assert!(longest < 30, "{name}: {longest} ms of a tone");
    }
}

#[test]
fn what_leaks_into_the_audio_around_an_event_is_cut_with_it() {
    // A gateway that needs 40 ms to detect the tone: those stay in the audio, the rest is events, with silent
    // audio beside them and 30 ms of the tone at its end.
    let line = Line::default()
        .talk(1_000)
        .key('4', 40)
        .silence(120)
        .key('4', 30)
        .talk(1_010)
        .key('9', 20)
        .silence(100)
        .talk(880);
    let mut bench = Bench::new(true);
    bench.yes();
    let (first, rest) = line.samples.split_at(1_060 * 8);
    bench.play(0, 0, &Line { samples: first.to_vec() }, Some);
    for n in 1..=7u64 {
        let ended = if n >= 7 { 0x80 } else { 0 };
        bench.event(1_040 + n * 20, 1_000, 101, [4, 10 | ended], (n.min(8) * 160 + 320) as u16);
    }
    bench.play(0, 1_060, &Line { samples: rest.to_vec() }, Some);
    assert_eq!(bench.end(line.ms()), Outcome::Recorded);
    let stored = bench.stored(0);
    let around = &stored[900 * 8..1_300 * 8];
    assert_eq!(tones_in(around), (String::new(), 0));
    assert!(loudest_db(&stored[990 * 8..1_190 * 8], 1_209.0) < -60.0);
}

#[test]
fn a_withdrawal_by_tones_stops_at_once() {
    let mut bench = Bench::new(true);
    bench.yes();
    let line = Line::default().talk(1_000).key('*', 100).silence(100).key('9', 100).talk(500);
    bench.play(0, 0, &line, Some);
    assert_eq!(bench.end(line.ms()), Outcome::Withdrawn);
    let withdrawn = bench.out.iter().find_map(|output| match &output.fact {
        Fact::Consent(record) if record.state == ConsentState::Withdrawn => Some(record.clone()),
        _ => None,
    });
    let record = withdrawn.unwrap();
    assert!(matches!(&record.evidence, Evidence::Keys { keys, by: KeySource::Tone, .. } if keys == "*9"));
    let ms = (record.at.as_unix_micros() - at(0).wall.as_unix_micros()) / 1_000;
    assert!((1_200..1_300).contains(&ms), "{ms} ms");
}

#[test]
fn keys_are_heard_while_the_recording_is_paused() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.play(0, 0, &Line::default().talk(500), Some);
    bench.call.command(at(500), Command::Pause, &mut bench.stats).unwrap();
    bench.play(0, 500, &Line::default().talk(300).key('*', 80).silence(80).key('9', 80).silence(200), Some);
    assert_eq!(bench.end(1_300), Outcome::Withdrawn);
}

#[test]
fn opus_that_is_kept_as_it_comes_loses_its_tones_by_packets_of_silence() {
    let line = "492912"
        .chars()
        .fold(Line::default().talk(960), |line, digit| line.key(digit, 80).silence(100))
        .talk(960);
    let voice = crate::codec::coded::Coded::new(
        &line.samples,
        crate::codec::coded::Format { codec: Codec::Opus, ptime_ms: 20 },
    )
    .unwrap();
    let run = |in_opus: TonesInOpus, negotiated: bool| {
        let mut bench = Bench::of(true, (111, Encoding::Opus), |stream, _, settings| {
            settings.tones = ToneSettings { count: true, in_opus };
            settings.capture.pass_through_max_bps = 64_000;
            if !negotiated {
                stream.media.telephone_event.clear();
            }
        });
        bench.yes();
        for n in 0..voice.packets() as u64 {
            let ms = n * 20 + 20;
            bench.now_ms = bench.now_ms.max(ms);
            bench.hear(0, ms, &packet(0, n as u16, n as u32 * 960, 111, voice.payload(n)));
            bench.tick_to(ms);
        }
        assert_eq!(bench.end(line.ms()), Outcome::Recorded);
        assert!(bench.stats.frames_passed > 60, "{:?}", bench.stats);
        (tones_in(&bench.stored(0)), bench.cut_frames(0))
    };
    for (in_opus, negotiated) in [(TonesInOpus::WithoutEvents, false), (TonesInOpus::Always, true)] {
        let (found, cut) = run(in_opus, negotiated);
        assert_eq!(found, (String::new(), 0), "{in_opus:?}");
        assert!(cut > 6 * 5, "{cut}");
    }
    // A sender that negotiated events sends them; its tones are detected only if configured.
    assert_eq!(run(TonesInOpus::WithoutEvents, true).0.0, "492912");
}
