//! The quick comparison for CI: the whole chain from datagrams to Opus packets against bare
//! libopus on the same frames, in one run. Fails where the chain costs too much.
//!
//! Interleaved rounds and the median of their ratios: the machine may be busy, the ratio holds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use optag::base::clock::{MonoTime, WallTime};
use optag::base::id::CallId;
use optag::call::{Answer, ConsentHow, ConsentKeys, Evidence, StreamRole};
use optag::load::leg::Codec;
use optag::load::speech::Voices;
use optag::media::call::{Call, CallRules, CallSettings, Command, Now};
use optag::media::codec::{Encoding, PayloadFormat};
use optag::media::encoder::OpusSettings;
use optag::media::leg::LegPlan;
use optag::media::rtp::source::ExpectedSource;
use optag::media::stats::TickStats;

const SECONDS: usize = 10;
const ROUNDS: usize = 9;

fn packets(samples: &[i16], ssrc: u32) -> Vec<Vec<u8>> {
    let coded = Codec::Pcma.encode(samples);
    let packet = |(n, payload): (usize, &[u8])| {
        let mut packet = vec![0x80, 8];
        packet.extend((n as u16).to_be_bytes());
        packet.extend((n as u32 * 160).to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        packet
    };
    coded.chunks_exact(160).enumerate().map(packet).collect()
}

fn chain(legs: &[Vec<Vec<u8>>; 2]) -> Duration {
    let at =
        |ms: u64| Now { mono: MonoTime::from_nanos((1_000 + ms) * 1_000_000), wall: WallTime::default() };
    let plan = |role| LegPlan {
        role,
        formats: vec![PayloadFormat { payload_type: 8, encoding: Encoding::Pcma }],
        telephone_event: vec![101],
        source: ExpectedSource::default(),
    };
    let rules = CallRules {
        id: CallId::from_bytes([1; 16]),
        selected: true,
        keys: ConsentKeys::default(),
        consent_timeout: Duration::from_secs(30),
    };
    let settings = CallSettings {
        reorder: Duration::from_millis(200),
        rtp_timeout: Duration::from_secs(60),
        opus: OpusSettings { bitrate_bps: 16_000, complexity: 5 },
    };
    let mut stats = TickStats::default();
    let mut call =
        Call::new(rules, vec![plan(StreamRole::Caller), plan(StreamRole::Employee)], settings, at(0).mono);
    let yes = Command::Answer {
        answer: Answer::Yes,
        how: ConsentHow::System,
        prompt_version: None,
        evidence: Evidence::Clock,
    };
    call.command(at(0), yes, &mut stats).expect("the call was asked");
    let from = [SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2))];
    let mut out = Vec::new();
    let started = Instant::now();
    for tick in 0..(SECONDS * 10 + 3) {
        let now = at((tick as u64 + 1) * 100);
        for (stream, packets) in legs.iter().enumerate() {
            for (n, packet) in packets.iter().enumerate().skip(tick * 5).take(5) {
                call.handle(now, stream, at(n as u64 * 20 + 1).mono, from[stream], packet, &mut stats);
            }
        }
        call.tick(now, &mut stats);
        call.take_facts(&mut out);
        out.clear();
    }
    let took = started.elapsed();
    assert!(stats.frames_coded + stats.frames_repeated >= (SECONDS * 2 * 50) as u64, "{stats:?}");
    took
}

fn bare(legs: [&[i16]; 2]) -> Duration {
    let mut encoders = [0, 1].map(|_| {
        let mut encoder =
            opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).expect("8 kHz mono");
        encoder.set_bitrate(opus::Bitrate::Bits(16_000)).expect("a bit rate");
        encoder.set_complexity(5).expect("a complexity");
        encoder.set_signal(opus::Signal::Voice).expect("voice");
        encoder
    });
    let mut packet = [0; 1_275];
    let started = Instant::now();
    for (encoder, samples) in encoders.iter_mut().zip(legs) {
        for frame in samples.chunks_exact(160) {
            encoder.encode(frame, &mut packet).expect("a frame of 20 ms");
        }
    }
    started.elapsed()
}

fn median_ratio(activity: f64) -> f64 {
    let voices = Voices::embedded(activity).expect("the embedded speech");
    let length = SECONDS * 8_000;
    let samples = [&voices.caller[..length], &voices.employee[..length]];
    let legs = [packets(samples[0], 1), packets(samples[1], 2)];
    let mut ratios: Vec<f64> =
        (0..ROUNDS).map(|_| chain(&legs).as_secs_f64() / bare(samples).as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

fn main() {
    let talking = median_ratio(1.0);
    let conversation = median_ratio(0.45);
    println!("datagrams to Opus packets ÷ bare libopus encoding every frame, median of {ROUNDS} rounds:");
    println!("both legs talking         {talking:.3} (at most 1.25)");
    println!("conversation, 45 % each   {conversation:.3} (at most 0.65)");
    assert!(talking <= 1.25, "the chain costs too much beside the encoder");
    assert!(conversation <= 0.65, "silence costs too much");
}
