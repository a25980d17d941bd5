//! A two-leg call with an open gate, fed from memory: what both benches play.

use std::net::SocketAddr;
use std::time::Duration;

use optag_core::call::{Answer, ConsentHow, ConsentKeys, Evidence, Question, StreamRole};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;
use optag_media::call::output::Output;
use optag_media::call::{Call, CallRules, CallSettings, Command, Now};
use optag_media::codec::coded::Codec;
use optag_media::codec::{Encoding, PayloadFormat};
use optag_media::dtmf::tone_listener::ToneSettings;
use optag_media::opus::encoder::OpusSettings;
use optag_media::rtp::telephone_event::EventFormat;
use optag_media::stats::TickStats;
use optag_media::stream::coder::When;
use optag_media::stream::media::StreamMedia;
use optag_media::stream::plan::StreamPlan;
use optag_media::stream::settings::CaptureSettings;

/// How every encoder is set here.
pub(crate) const OPUS: OpusSettings =
    OpusSettings { bitrate_bps: 16_000, wideband_bitrate_bps: 24_000, complexity: 5, saves_background: true };

/// A-law RTP packets of 20 ms.
pub(crate) fn packets(samples: &[i16], ssrc: u32) -> Vec<Vec<u8>> {
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

/// A call with its clock.
pub(crate) struct Player {
    call: Call,
    out: Vec<Output>,
    /// What was counted so far.
    pub stats: TickStats,
}

impl Player {
    /// A two-leg call whose caller said yes already, or who was only asked.
    pub(crate) fn new(yes: bool) -> Self {
        Self::of(yes, OPUS, When::Now)
    }

    /// The same, with these settings and packed or not.
    pub(crate) fn of(yes: bool, opus: OpusSettings, encodes: When) -> Self {
        let plan = |role| StreamPlan {
            withheld: false,
            role,
            media: StreamMedia {
                formats: vec![PayloadFormat { payload_type: 8, encoding: Encoding::Pcma }],
                telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
                ..StreamMedia::default()
            },
        };
        let rules = CallRules {
            id: CallId::from_bytes([1; 16]),
            question: Question::new("demo", true, ConsentKeys::default(), Duration::from_secs(30)),
            prompt_version: None,
        };
        let settings = CallSettings {
            capture: CaptureSettings {
                reorder: Duration::from_millis(200),
                opus,
                pass_through_max_bps: 0,
                encodes,
            },
            tones: ToneSettings::default(),
            rtp_timeout: Duration::from_secs(60),
            reports: false,
        };
        let legs = vec![plan(StreamRole::Caller), plan(StreamRole::Employee)];
        let mut player = Self {
            call: Call::new(rules, legs, settings, at_ms(0).mono),
            out: Vec::new(),
            stats: TickStats::default(),
        };
        if yes {
            let answer = Command::Answer {
                answer: Answer::Yes,
                how: ConsentHow::System,
                prompt_version: None,
                evidence: Evidence::Clock,
            };
            player.call.command(at_ms(0), answer, &mut player.stats).expect("the call was asked");
        }
        player
    }

    /// Hands over the `n`-th packet of a stream.
    pub(crate) fn hand(&mut self, stream: usize, n: usize, packet: &[u8]) {
        let from = SocketAddr::from(([127, 0, 0, 1], stream as u16 + 1));
        let arrival = at_ms(n as u64 * 20 + 1);
        self.call.handle(arrival, stream, arrival.mono, from, packet, &mut self.stats);
    }

    /// Lets the `n`-th tick of 100 ms pass and throws away what it made.
    pub(crate) fn tick(&mut self, n: usize) {
        self.call.tick(at_ms((n as u64 + 1) * 100), &mut self.stats);
        self.call.take_facts(&mut self.out);
        self.out.clear();
    }
}

fn at_ms(ms: u64) -> Now {
    Now { mono: MonoTime::from_nanos((1_000 + ms) * 1_000_000), wall: WallTime::default() }
}
