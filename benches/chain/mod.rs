//! A two-leg call with an open gate, fed from memory: what both benches play.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use optag::base::clock::{MonoTime, WallTime};
use optag::base::id::CallId;
use optag::call::{Answer, ConsentHow, ConsentKeys, Evidence, StreamRole};
use optag::load::leg::Codec;
use optag::media::call::{Call, CallRules, CallSettings, Command, Now};
use optag::media::codec::{Encoding, PayloadFormat};
use optag::media::encoder::OpusSettings;
use optag::media::leg::LegPlan;
use optag::media::plan::CaptureSettings;
use optag::media::rtp::source::ExpectedSource;
use optag::media::stats::TickStats;

/// How every encoder is set here.
pub const OPUS: OpusSettings =
    OpusSettings { bitrate_bps: 16_000, wideband_bitrate_bps: 24_000, complexity: 5 };

/// A-law RTP packets of 20 ms.
pub fn packets(samples: &[i16], ssrc: u32) -> Vec<Vec<u8>> {
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

/// Plays both legs through a call, tick by tick; how long that took.
pub fn play(legs: &[Vec<Vec<u8>>; 2]) -> Duration {
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
        capture: CaptureSettings { reorder: Duration::from_millis(200), opus: OPUS, pass_through_max_bps: 0 },
        rtp_timeout: Duration::from_secs(60),
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
    let frames = legs[0].len().min(legs[1].len());
    for tick in 0..frames / 5 + 3 {
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
    assert!(stats.frames_coded + stats.frames_repeated >= (frames * 2) as u64, "{stats:?}");
    took
}
