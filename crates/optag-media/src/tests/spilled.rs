//! A call whose audio is packed and encoded later, beside the same call that is encoded at once.

use super::*;
use crate::call::snapshot::{CallSnapshot, Resumption};
use crate::codec::coded::Codec;
use crate::fact::Form;
use crate::opus::noise_classifier::is_silent;
use crate::spill::deferred_encoder::DeferredEncoder;
use crate::spill::packed_frame::{Content, Given, unpack};
use crate::stream::coder::When;
use crate::timebase::LONGEST_FRAME;

const COMPLEXITY: u8 = 5;

fn settings(encodes: When) -> CallSettings {
    let mut settings = Bench::settings();
    settings.capture.opus.complexity = COMPLEXITY;
    settings.capture.encodes = encodes;
    settings
}

fn bench(encodes: When) -> Bench {
    let formats = [(8, Encoding::Pcma), (0, Encoding::Pcmu), (9, Encoding::G722), (96, Encoding::Opus)];
    Bench::of(true, (8, Encoding::Pcma), |leg, _, of_call| {
        *of_call = settings(encodes);
        leg.media.comfort_noise = vec![13];
        leg.media.formats = formats
            .iter()
            .map(|&(payload_type, encoding)| PayloadFormat { payload_type, encoding })
            .collect();
    })
}

/// Talk with pauses over a quiet line: words of half a second, loud and soft ones.
fn talk(rate_hz: u32, frame: u32) -> Vec<i16> {
    let length = rate_hz / 50;
    let mut state = frame.wrapping_mul(2_654_435_761) | 1;
    let sample = |n: u32| {
        let t = f64::from(frame * length + n) / f64::from(rate_hz);
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let line = (f64::from(state >> 16) / 32_768.0 - 1.0) * 40.0;
        let word = (t * 2.0) as u32;
        let loud = [9_000.0, 0.0, 1_500.0, 6_000.0, 0.0, 0.0, 300.0][(word % 7) as usize];
        let pitch = 110.0 + 30.0 * (t * 3.0).sin();
        let voice: f64 =
            (1..12).map(|h| (t * pitch * f64::from(h) * std::f64::consts::TAU).sin() / f64::from(h)).sum();
        (line + voice * loud * (t * 4.0 * std::f64::consts::PI).sin().abs()) as i16
    };
    (0..length).map(sample).collect()
}

/// Both parties talk for so many seconds: packets are lost, keys are pressed, the recording pauses, one
/// party changes its coding, the other one sends Opus for a while and comfort noise.
fn story(bench: &mut Bench, frames: std::ops::Range<u32>) {
    let mut opus = opus::Encoder::new(16_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
    for n in frames {
        let ms = u64::from(n) * 20 + 20;
        bench.now_ms = bench.now_ms.max(ms);
        for stream in 0..2u8 {
            let lost = n % 97 == 13 || (n % 400 > 380 && stream == 0);
            let (kind, payload) = match (stream, n) {
                (0, 300..450) => (9, Codec::G722.encode(&talk(8_000, n))),
                (1, 250..320) => (96, opus.encode_vec(&talk(16_000, n), 400).unwrap()),
                (1, 500..540) if n.is_multiple_of(10) => (13, vec![60]),
                (1, 500..540) => continue,
                (1, _) => (0, Codec::Pcmu.encode(&talk(8_000, n + 70))),
                (_, _) if n % 50 < 3 => (8, vec![0xd5; 160]),
                (_, _) => (8, Codec::Pcma.encode(&talk(8_000, n))),
            };
            let ticks = if kind == 96 { 960 } else { 160 };
            if !lost {
                bench.hear(stream.into(), ms, &packet(stream, n as u16, n * ticks, kind, &payload));
            }
        }
        match n {
            150 => bench.press(0, ms, 9_000, 7),
            200 => bench.call.command(at(ms), Command::Pause, &mut bench.stats).unwrap(),
            230 => bench.call.command(at(ms), Command::Resume, &mut bench.stats).unwrap(),
            _ => {}
        }
        if ms.is_multiple_of(100) {
            // Load changes what is encoded at once, and never what is encoded later.
            let complexity = if bench.call.encodes_later() { 1 } else { COMPLEXITY };
            bench.call.set_complexity(complexity);
            bench.call.tick(at(bench.now_ms), &mut bench.stats);
            bench.call.take_facts(&mut bench.out);
        }
    }
}

/// The packets of each stream, packed ones encoded.
fn packets(bench: &Bench) -> [Vec<Vec<u8>>; 2] {
    let mut encoders = [DeferredEncoder::default(), DeferredEncoder::default()];
    let mut packets = [Vec::new(), Vec::new()];
    for block in bench.blocks() {
        for (n, packet) in block.packets().enumerate() {
            let packet = match block.form {
                Form::Opus => packet,
                Form::Packed(settings) => encoders[n % 2].encode(packet, settings).expect("a packed frame"),
            };
            packets[n % 2].push(packet.to_vec());
        }
    }
    packets
}

fn others(bench: &Bench) -> Vec<String> {
    let facts = bench.out.iter().filter(|output| !matches!(output.fact, Fact::Media(_) | Fact::State(_)));
    facts.map(|output| format!("{:?}", output.fact)).collect()
}

fn same(now: &Bench, later: &Bench) {
    let (now_packets, later_packets) = (packets(now), packets(later));
    for stream in 0..2 {
        assert_eq!(now_packets[stream].len(), later_packets[stream].len());
        let pairs = now_packets[stream].iter().zip(&later_packets[stream]);
        let other = pairs.clone().position(|(now, later)| now != later);
        assert_eq!(other, None, "stream {stream}, of {} frames", now_packets[stream].len());
        assert_eq!(now.peaks(stream), later.peaks(stream));
    }
    assert_eq!(others(now), others(later), "gaps, consent, end");
}

#[test]
fn what_is_encoded_later_has_the_packets_of_what_is_encoded_at_once() {
    let [now, later] = [When::Now, When::Later].map(|encodes| {
        let mut bench = bench(encodes);
        bench.yes();
        story(&mut bench, 0..700);
        assert_eq!(bench.end(14_000), Outcome::Recorded);
        bench
    });
    same(&now, &later);
    let coded = now.stats.frames_coded + now.stats.frames_repeated;
    assert_eq!((now.stats.frames_packed, later.stats.frames_coded), (0, 0));
    assert_eq!(later.stats.frames_packed, coded);
    assert!(now.stats.frames_background > 0 && now.stats.frames_passed > 0, "{:?}", now.stats);
}

/// What a player makes of a stream's packets.
fn played(packets: &[Vec<u8>]) -> Vec<f64> {
    let mut decoder = opus::Decoder::new(16_000, opus::Channels::Mono).unwrap();
    let mut samples = [0; 320];
    let mut all = Vec::new();
    for packet in packets {
        let length = decoder.decode(packet, &mut samples, false).unwrap();
        all.extend(samples[..length].iter().map(|&sample| f64::from(sample)));
    }
    all
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    sum(a, b) / (sum(a, a) * sum(b, b)).sqrt()
}

#[test]
fn a_call_that_gives_way_is_packed_from_the_next_block_on_and_nothing_of_it_is_missing() {
    let [now, gave_way] = [false, true].map(|gives_way| {
        let mut bench = bench(When::Now);
        bench.yes();
        story(&mut bench, 0..300);
        if gives_way {
            assert!(bench.call.encode_later(COMPLEXITY));
            assert!(!bench.call.encode_later(COMPLEXITY), "it does already");
        }
        story(&mut bench, 300..700);
        assert_eq!(bench.end(14_000), Outcome::Recorded);
        bench
    });
    let forms: Vec<bool> = gave_way.blocks().iter().map(|block| block.form == Form::Opus).collect();
    let change = forms.iter().position(|is_opus| !is_opus).expect("some are packed");
    assert!(change > 20 && forms[change..].iter().all(|is_opus| !is_opus), "{forms:?}");
    assert_eq!(others(&now), others(&gave_way), "gaps, consent, end");
    let (at_once, mixed) = (packets(&now), packets(&gave_way));
    let encoded = gave_way.blocks()[change].first_frame as usize;
    for stream in 0..2 {
        assert_eq!(at_once[stream][..encoded], mixed[stream][..encoded]);
        let [a, b] = [&at_once, &mixed].map(|packets| played(&packets[stream]));
        assert_eq!(a.len(), b.len());
        for (n, (a, b)) in a.chunks(16_000).zip(b.chunks(16_000)).enumerate() {
            let same = correlation(a, b);
            assert!(
                same > 0.9 || a.iter().all(|sample| sample.abs() < 1_000.0),
                "stream {stream}, second {n}: {same}"
            );
        }
    }
}

#[test]
fn frames_that_wait_for_their_block_are_not_taken_for_packed_ones() {
    let mut bench = bench(When::Now);
    bench.yes();
    story(&mut bench, 0..50);
    // Frames are made ahead of the tick while a backlog is read.
    for n in 50..100u32 {
        let ms = u64::from(n) * 20 + 20;
        bench.now_ms = ms;
        bench.hear(0, ms, &packet(0, n as u16, n * 160, 8, &Codec::Pcma.encode(&talk(8_000, n))));
    }
    assert!(!bench.call.encode_later(COMPLEXITY) && !bench.call.encodes_later());
    bench.tick_to(2_100);
    assert!(bench.call.encode_later(COMPLEXITY));
}

#[test]
fn a_packed_call_goes_on_packed_in_another_process_with_the_same_packets() {
    let [now, later] = [When::Now, When::Later].map(|encodes| {
        let mut bench = bench(encodes);
        bench.yes();
        story(&mut bench, 0..350);
        bench.tick_to(7_100);
        let frames = bench.blocks().last().map_or(0, |block| block.first_frame + block.frames());
        let mut states = bench.out.iter().filter_map(|output| match &output.fact {
            Fact::State(saved) => Some(saved.to_text()),
            _ => None,
        });
        let saved = CallSnapshot::from_text(&states.next_back().unwrap()).unwrap();
        let resumption = Resumption { saved, frames, sockets_kept: false };
        // The engine's own settings encode at once: the call's state says how it goes on.
        bench.call = Call::resume(resumption, settings(When::Now), at(9_000).mono);
        assert_eq!(bench.call.encodes_later(), encodes == When::Later);
        bench.now_ms = 9_000;
        story(&mut bench, 450..700);
        assert_eq!(bench.end(14_000), Outcome::Recorded);
        bench
    });
    same(&now, &later);
    assert!(later.blocks().iter().all(|block| block.form != Form::Opus));
}

#[test]
fn invariant_01_nothing_from_before_consent_is_packed() {
    let mut bench = bench(When::Later);
    let alaw = |n: u32| if n < 100 { Codec::Pcma.encode(&talk(8_000, n)) } else { vec![0xd5; 160] };
    for n in 0..200u32 {
        bench.now_ms = u64::from(n) * 20 + 20;
        if n == 100 {
            // The caller talks until the moment of the yes.
            bench.now_ms = 2_000;
            bench.yes();
        }
        let ms = u64::from(n) * 20 + 20;
        (0..2).for_each(|stream: u8| {
            bench.hear(stream.into(), ms, &packet(stream, n as u16, n * 160, 8, &alaw(n)));
        });
        bench.tick_to(ms + 1);
    }
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    let mut frames = 0;
    for block in bench.blocks() {
        for packed in block.packets() {
            let mut samples = [0; LONGEST_FRAME];
            match unpack(packed, &mut samples).unwrap() {
                Given::Coded { content: Content::Samples(samples, ..), .. } => assert!(is_silent(samples)),
                Given::Coded { content: Content::Silence(_), .. } | Given::Opus(_) => {}
            }
            frames += 1;
        }
    }
    assert_eq!(frames, 200);
}

#[test]
fn of_a_packed_call_whose_consent_is_withdrawn_nothing_leaves_the_engine() {
    let mut bench = bench(When::Later);
    bench.yes();
    story(&mut bench, 0..50);
    bench.out.clear();
    story(&mut bench, 50..54);
    let withdraw = Command::Withdraw { how: ConsentHow::System, evidence: Evidence::Clock };
    bench.call.command(at(bench.now_ms), withdraw, &mut bench.stats).unwrap();
    story(&mut bench, 54..100);
    assert_eq!(bench.end(2_000), Outcome::Withdrawn);
    assert!(bench.blocks().is_empty());
}

#[test]
fn a_long_backlog_of_wide_packed_audio_comes_in_blocks_that_a_record_holds() {
    let mut bench = Bench::of(true, (97, Encoding::L16 { rate_hz: 48_000 }), |_, _, of_call| {
        *of_call = settings(When::Later);
    });
    bench.yes();
    // Nothing was read for twelve seconds: noise, which no predictor shortens.
    let mut state = 1u32;
    for n in 0..600u32 {
        let mut sample = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16
        };
        let payload: Vec<u8> = (0..960).flat_map(|_| sample().to_be_bytes()).collect();
        for stream in 0..2u8 {
            bench.hear(
                stream.into(),
                u64::from(n) * 20 + 20,
                &packet(stream, n as u16, n * 960, 97, &payload),
            );
        }
    }
    bench.now_ms = 12_000;
    assert_eq!(bench.end(12_000), Outcome::Recorded);
    let most = bench.blocks().iter().map(|block| block.bytes.len() / usize::from(block.streams)).max();
    // Of eight streams it is four MiB at the most.
    assert!((200_000..=(4 << 20) / 8 - 1_024).contains(&most.unwrap()), "{most:?}");
    let next = bench.blocks().iter().fold(0, |next, block| {
        assert_eq!(block.first_frame, next);
        next + block.frames()
    });
    assert_eq!(next, 600);
}
