//! The recorder's chain in simulated time: encoded speech in, a recording's file out.

use std::net::SocketAddr;
use std::time::Duration;

use optag_core::call::{
    Answer, CallFacts, ConsentHow, ConsentKeys, Evidence, Question, StreamFacts, StreamRole,
};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;
use optag_media::call::output::Output;
use optag_media::call::{Call, CallRules, CallSettings, Command, Now};
use optag_media::codec::{Encoding, PayloadFormat};
use optag_media::dtmf::tone_listener::ToneSettings;
use optag_media::fact::EndedBy;
use optag_media::opus::encoder::OpusSettings;
use optag_media::rtp::telephone_event::EventFormat;
use optag_media::stats::TickStats;
use optag_media::stream::media::StreamMedia;
use optag_media::stream::plan::StreamPlan;
use optag_media::stream::settings::CaptureSettings;
use optag_storage::archive::assemble::Assembler;
use optag_storage::archive::manifest::Manifest;
use optag_storage::spool::record::Body;

/// A call of one or more streams, recorded from its first millisecond.
pub(crate) struct Chain {
    pub call: Call,
    pub stats: TickStats,
    facts: CallFacts,
    formats: Vec<Vec<(u8, Encoding)>>,
    now_ms: u64,
    out: Vec<Output>,
}

fn at(ms: u64) -> Now {
    let micros = (1_700_000_000_000 + ms as i64) * 1_000;
    Now { mono: MonoTime::from_nanos((5_000 + ms) * 1_000_000), wall: WallTime::from_unix_micros(micros) }
}

impl Chain {
    /// Streams with these payload types; Opus is passed through up to `pass_through_max_bps`.
    pub(crate) fn new(streams: &[&[(u8, Encoding)]], pass_through_max_bps: u32) -> Self {
        Self::saving(streams, pass_through_max_bps, true)
    }

    /// The same, with `saves_background` as configured by an owner.
    pub(crate) fn saving(
        streams: &[&[(u8, Encoding)]],
        pass_through_max_bps: u32,
        saves_background: bool,
    ) -> Self {
        Self::coded(streams, pass_through_max_bps, saves_background, 5)
    }

    /// The same at a complexity of 0 to 10.
    pub(crate) fn coded(
        streams: &[&[(u8, Encoding)]],
        pass_through_max_bps: u32,
        saves_background: bool,
        complexity: u8,
    ) -> Self {
        let plan = |formats: &&[(u8, Encoding)]| StreamPlan {
            withheld: false,
            role: StreamRole::Other,
            media: StreamMedia {
                formats: formats
                    .iter()
                    .map(|&(payload_type, encoding)| PayloadFormat { payload_type, encoding })
                    .collect(),
                telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
                ..StreamMedia::default()
            },
        };
        let id = CallId::from_bytes([3; 16]);
        let rules = CallRules {
            id,
            question: Question::new("demo", true, ConsentKeys::default(), Duration::from_secs(30)),
            prompt_version: None,
        };
        let settings = CallSettings {
            capture: CaptureSettings {
                reorder: Duration::from_millis(200),
                opus: OpusSettings {
                    bitrate_bps: 16_000,
                    wideband_bitrate_bps: 24_000,
                    complexity,
                    saves_background,
                },
                pass_through_max_bps,
                encodes: Default::default(),
            },
            tones: ToneSettings::default(),
            rtp_timeout: Duration::from_secs(60),
            reports: false,
        };
        let streams_known = (0..streams.len())
            .map(|n| StreamFacts { label: n.to_string(), role: StreamRole::Other })
            .collect();
        let facts = CallFacts {
            id,
            department: "d".into(),
            started_at: at(0).wall,
            retention_days: 90,
            caller_number: String::new().into(),
            called_number: String::new().into(),
            caller_name: None,
            external_id: None,
            streams: streams_known,
            context: Default::default(),
        };
        let mut call = Call::new(rules, streams.iter().map(plan).collect(), settings, at(0).mono);
        let mut stats = TickStats::default();
        let yes = Command::Answer {
            answer: Answer::Yes,
            how: ConsentHow::System,
            prompt_version: None,
            evidence: Evidence::Clock,
        };
        call.command(at(0), yes, &mut stats).unwrap();
        let formats = streams.iter().map(|formats| formats.to_vec()).collect();
        Self { call, stats, facts, formats, now_ms: 0, out: Vec::new() }
    }

    /// Advances time.
    pub(crate) fn run_to(&mut self, ms: u64) {
        while self.now_ms < ms {
            self.now_ms = (self.now_ms / 100 * 100 + 100).min(ms);
            if self.now_ms.is_multiple_of(100) {
                self.call.tick(at(self.now_ms), &mut self.stats);
                self.call.take_facts(&mut self.out);
            }
        }
    }

    /// Sends a command to the call now.
    pub(crate) fn command(&mut self, command: Command) {
        self.call.command(at(self.now_ms), command, &mut self.stats).unwrap();
    }

    /// A packet spoken from `ms`, which arrives once it was spoken.
    pub(crate) fn hear(
        &mut self,
        stream: u8,
        ms: u64,
        payload_type: u8,
        sequence: u16,
        timestamp: u32,
        payload: &[u8],
    ) {
        self.hear_from(stream.into(), stream, ms, payload_type, sequence, timestamp, payload);
    }

    /// The same from another sender.
    #[allow(clippy::too_many_arguments, reason = "a packet's fields, in their order")]
    pub(crate) fn hear_from(
        &mut self,
        ssrc: u32,
        stream: u8,
        ms: u64,
        payload_type: u8,
        sequence: u16,
        timestamp: u32,
        payload: &[u8],
    ) {
        let formats = &self.formats[usize::from(stream)];
        let format = formats.iter().find(|(known, _)| *known == payload_type);
        let ms = ms + format.map_or(0, |(_, encoding)| encoding.length_axis(payload) as u64 / 48);
        self.run_to(ms);
        let mut packet = vec![0x80, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        let from = SocketAddr::from(([127, 0, 0, 1], 4_000 + u16::from(stream)));
        self.call.handle(at(ms), stream.into(), at(ms).mono, from, &packet, &mut self.stats);
    }

    /// Ends the call; returns its file and manifest.
    pub(crate) fn end(mut self, ms: u64) -> (Vec<u8>, Manifest, TickStats) {
        self.run_to(ms);
        self.call.end(at(ms), EndedBy::Feed, &mut self.stats);
        self.call.take_facts(&mut self.out);
        let mut assembler = Assembler::new(Body::Opened(self.facts)).unwrap();
        let mut file = Vec::new();
        for output in self.out {
            assembler.record(output.fact.into()).unwrap();
            file.extend(assembler.take());
        }
        let (last, manifest) = assembler.finish().unwrap();
        file.extend(last);
        (file, manifest, self.stats)
    }
}

/// Similar to speech: bursts of a gliding voice with harmonics up to `top_hz`.
pub(crate) fn voice(rate_hz: u32, seconds: u32, top_hz: f64) -> Vec<i16> {
    let mut phase = 0.0;
    (0..rate_hz * seconds)
        .map(|n| {
            let t = f64::from(n) / f64::from(rate_hz);
            let pitch = 130.0 + 40.0 * (t * 1.7).sin();
            phase += std::f64::consts::TAU * pitch / f64::from(rate_hz);
            let loud =
                (t * 2.0 % 1.0 < 0.6) as u8 as f64 * (t * 2.0 % 1.0 * std::f64::consts::PI / 0.6).sin().abs();
            let harmonics = (top_hz / 170.0) as u32;
            let wave: f64 =
                (3..=harmonics).map(|k| (phase * f64::from(k)).sin() / f64::from(k).powf(0.7)).sum();
            (wave * loud * 6_000.0) as i16
        })
        .collect()
}

/// Root mean square of each part of `samples` of that length.
pub(crate) fn levels(samples: &[i16], part: usize) -> Vec<f64> {
    let rms =
        |part: &[i16]| (part.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / part.len() as f64).sqrt();
    samples.chunks_exact(part).map(rms).collect()
}

/// Largest normalised correlation of `heard` with `said`, and its lag.
pub(crate) fn correlation(heard: &[i16], said: &[i16], reach: i64) -> (f64, i64) {
    let one = |lag: i64| {
        let pairs = said.iter().enumerate().filter_map(|(n, &s)| {
            let h = heard.get(usize::try_from(n as i64 + lag).ok()?)?;
            Some((f64::from(s), f64::from(*h)))
        });
        let (mut product, mut a, mut b) = (0.0, 1.0, 1.0);
        for (s, h) in pairs {
            product += s * h;
            a += s * s;
            b += h * h;
        }
        (product / f64::sqrt(a * b), lag)
    };
    (-reach..=reach).map(one).max_by(|x, y| x.0.total_cmp(&y.0)).unwrap()
}
