//! `optag load`: plays calls to a recorder and checks what it recorded.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::load_sip::SipArgs;
use crate::load::call::{Answer, AnsweredBy, Stage};
use crate::load::client::Client;
use crate::load::feed::Feed;
use crate::load::impairment::Impairment;
use crate::load::prove::prove;
use crate::load::recorder::{OwnRecorder, Watch};
use crate::load::run::{Run, play_all, verify};
use crate::load::sender::SenderPool;
use crate::load::sip::Target;
use crate::load::sip::shape::Shape;
use crate::load::speech::Voices;
use optag_media::codec::coded::{Codec, Format};
use optag_media::codec::{Encoding, table};
use optag_media::rtp::srtp::Suite;

/// Maximum time for the recorder to store what was recorded.
const DELIVERY: Duration = Duration::from_secs(120);

/// Share of the time that each party of a conversation talks.
const CONVERSATION: f64 = 0.45;
/// Peak of the line noise: about −62 dB of full scale.
const NOISE_PEAK: i16 = 45;
/// Calls per sending thread.
const CALLS_PER_THREAD: usize = 2_000;

/// Play simulated calls with real speech to a recorder, and check what it stored.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag load --target http://127.0.0.1:8080 --calls 100 --rate 20 --seconds 60 --verify 10
  optag load --own --calls 100 --talk both --json          start a recorder, and report its resource usage
  optag load --target sip:127.0.0.1:5060 --calls 100 --rate 20     SIPREC, as several makers send it
  optag load --own --sip tcp --calls 3000 --rate 200 --seconds 15 --no-media
  optag load --own --sip tcp --calls 20 --srtp AEAD_AES_128_GCM --verify 5
  optag load --own --calls 20 --loss 5 --burst 3 --reorder 1 --jitter-ms 30 --verify 20
  optag load --prove --calls 1000                          measure the sender alone

The token of the recorder is taken from --token or OPTAG_TOKEN. Exit code 0: every call was
taken, no packet is missing but those lost on purpose, every recording that was looked at
matches what was sent. docs/design/performance.md explains the keys of --json.")]
pub struct LoadArgs {
    /// The recorder: its API, as http://127.0.0.1:8080, or a SIP address to which calls are
    /// announced by SIPREC, as sip:192.0.2.50, sip:tax@recorder:5060;transport=tcp, sips:recorder.
    #[arg(long, value_name = "URL", required_unless_present_any = ["own", "prove"])]
    target: Option<String>,
    /// Access token with the role `feed`; --verify needs one that may listen.
    #[arg(long, env = "OPTAG_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Start a recorder for this run, on loopback with its data in the temporary directory, and report its cost.
    /// Settings as for any recorder: OPTAG_ENGINE_OPUS_COMPLEXITY=10.
    #[arg(long, conflicts_with_all = ["target", "token", "recorder_pid"])]
    own: bool,
    /// Process id of a recorder on this machine: report its cost.
    #[arg(long, value_name = "PID")]
    recorder_pid: Option<u32>,
    /// Its metrics listener, for figures that only the metrics contain.
    #[arg(long, value_name = "URL", requires = "recorder_pid")]
    metrics: Option<String>,
    /// Send to sinks that only count packets; reports the sender's lateness, cost and maximum rate.
    #[arg(long, conflicts_with_all = ["target", "own"])]
    prove: bool,
    /// Total number of calls.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    /// New calls per second.
    #[arg(long, value_name = "PER_S", default_value_t = 10.0)]
    rate: f64,
    /// Length of each call.
    #[arg(long, value_name = "S", default_value_t = 30)]
    seconds: u64,
    /// How callers answer.
    #[arg(long, value_enum, default_value_t)]
    answer_by: AnsweredBy,
    /// Put each call on hold once (SIPREC).
    #[arg(long)]
    hold: bool,
    /// Signal the calls without sending audio.
    #[arg(long)]
    no_media: bool,
    /// Protect the streams by SRTP with keys exchanged in signalling (SDES, or the API's `srtp`):
    /// AES_CM_128_HMAC_SHA1_80 or another suite's name.
    #[arg(long, value_name = "SUITE", value_parser = suite)]
    srtp: Option<Suite>,
    #[command(flatten)]
    sip: SipArgs,
    /// What callers answer.
    #[arg(long, value_enum, default_value_t = ConsentArg::Yes)]
    consent: ConsentArg,
    /// Codec of the streams.
    #[arg(long, default_value = "pcma", value_parser = codecs())]
    codec: Codec,
    /// Packet duration: 10 to 60.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = ptime)]
    ptime: u32,
    /// Whether the parties take turns or talk all the time.
    #[arg(long, value_enum, default_value_t = TalkArg::Conversation)]
    talk: TalkArg,
    /// Share of the time that each party talks, instead of --talk.
    #[arg(long, value_name = "SHARE")]
    activity: Option<f64>,
    /// Line noise; without it, pauses are digital silence.
    #[arg(long)]
    noise: bool,
    /// Packets lost. Percent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    loss: f64,
    /// Mean length of a burst of lost packets.
    #[arg(long, value_name = "PACKETS", default_value_t = 1.0)]
    burst: f64,
    /// Packets reordered. Percent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    reorder: f64,
    /// Packets duplicated. Percent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    duplicate: f64,
    /// Maximum delay added to each packet.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter_ms: u64,
    /// Clock skew of the senders; positive: slow, negative: fast.
    #[arg(long, value_name = "PPM", default_value_t = 0.0, allow_negative_numbers = true)]
    drift_ppm: f64,
    /// Department to call.
    #[arg(long, default_value = "demo")]
    department: String,
    /// Directory of 8 kHz audio files used as speech.
    #[arg(long, value_name = "DIR")]
    speech: Option<PathBuf>,
    /// Number of recordings to download and compare with what was sent.
    #[arg(long, default_value_t = 0)]
    verify: usize,
    /// Random seed; the same seed sends the same packets.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConsentArg {
    Yes,
    No,
    None,
    Mixed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TalkArg {
    Conversation,
    Both,
}

/// Names of all codecs that can be sent, as in the API.
fn codecs() -> impl TypedValueParser<Value = Codec> {
    let sent = table::built().filter(|codec| Codec::of(codec.encoding).is_some());
    let named = sent.map(|codec| match Codec::of(codec.encoding) {
        Some(Codec::L16) => PossibleValue::new(codec.name).alias("l16"),
        _ => PossibleValue::new(codec.name),
    });
    PossibleValuesParser::new(named).try_map(|name| {
        let name = if name == "l16" { Codec::L16.name() } else { &name };
        let encoding = name.parse::<Encoding>().map_err(|error| error.to_string())?;
        Codec::of(encoding).ok_or_else(|| format!("{name} cannot be sent"))
    })
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok().filter(|share| (0.0..100.0).contains(share));
    Ok(number.ok_or("must be at least 0 and below 100")? / 100.0)
}

fn ptime(text: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|ms| (10..=60).contains(ms) && ms % 2 == 0);
    number.ok_or_else(|| "must be an even number from 10 to 60".into())
}

fn suite(text: &str) -> Result<Suite, String> {
    Suite::named(text)
        .ok_or_else(|| format!("unknown suite, must be one of {}", Suite::ALL.map(Suite::name).join(", ")))
}

impl LoadArgs {
    fn voices(&self) -> anyhow::Result<Voices> {
        let activity = self.activity.unwrap_or(match self.talk {
            TalkArg::Conversation => CONVERSATION,
            TalkArg::Both => 1.0,
        });
        let voices = match &self.speech {
            Some(dir) => Voices::from_dir(dir, activity)?,
            None => Voices::embedded(activity)?,
        };
        Ok(if self.noise { voices.with_noise(NOISE_PEAK) } else { voices })
    }

    fn format(&self) -> Format {
        Format { codec: self.codec, ptime_ms: self.ptime }
    }

    fn plan(&self) -> Run {
        Run {
            calls: self.calls,
            rate_per_s: self.rate,
            length: Duration::from_secs(self.seconds),
            department: self.department.clone(),
            answers: match self.consent {
                ConsentArg::Yes => vec![Answer::Yes],
                ConsentArg::No => vec![Answer::No],
                ConsentArg::None => vec![Answer::None],
                ConsentArg::Mixed => vec![Answer::Yes, Answer::No, Answer::None, Answer::Withdraw],
            },
            format: self.format(),
            answered_by: self.answer_by,
            holds: self.hold,
            media: !self.no_media,
            srtp: self.srtp,
            impairment: Impairment {
                loss: self.loss,
                burst: self.burst.max(1.0),
                reorder: self.reorder,
                duplicate: self.duplicate,
                jitter: Duration::from_millis(self.jitter_ms),
                drift_ppm: self.drift_ppm,
            },
            seed: self.seed,
        }
    }

    fn threads(&self) -> usize {
        self.calls.div_ceil(CALLS_PER_THREAD).max(1)
    }
}

/// Runs the command.
pub async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let voices = args.voices()?;
    if args.prove {
        return show_proof(&args, &voices).await;
    }
    if args.srtp.is_some() && args.sip.sip_shape.contains(&Shape::Delayed) {
        // The server makes the offer then, with what every client accepts.
        anyhow::bail!("--srtp cannot be combined with --sip-shape delayed");
    }
    let own = match args.own {
        true => Some(OwnRecorder::start(&std::env::current_exe()?, &[])?),
        false => None,
    };
    let (target, token) = match &own {
        Some(own) => {
            let [udp, tcp] = &own.sip;
            (args.sip.of_own(udp, tcp).unwrap_or_else(|| own.api.clone()), own.token.clone())
        }
        None => (args.target.clone().unwrap_or_default(), args.token.clone().unwrap_or_default()),
    };
    let watch = match (&own, args.recorder_pid) {
        (Some(own), _) => Some(Watch::begin(own.pid(), Some(own.metrics.clone())).await?),
        (None, Some(pid)) => Some(Watch::begin(pid, args.metrics.clone()).await?),
        (None, None) => None,
    };
    let by_sip = Target::is_sip(&target);
    let over_ipv6 = match by_sip {
        true => Target::parse(&target)?.address.is_ipv6(),
        false => url::Url::parse(&target).is_ok_and(|url| matches!(url.host(), Some(url::Host::Ipv6(_)))),
    };
    let toward = if over_ipv6 { "[::1]:9".parse()? } else { "127.0.0.1:9".parse()? };
    let pool = SenderPool::start(args.threads(), toward).context("cannot open a sending socket")?;
    let api = match &own {
        Some(own) => Some(own.api.clone()),
        None if by_sip => args.sip.api.clone(),
        None => Some(target.clone()),
    };
    if args.verify > 0 && api.is_none() {
        anyhow::bail!("--verify needs the recorder's API: --api URL and --token");
    }
    if !by_sip && token.is_empty() {
        anyhow::bail!("the recorder's API needs a token: --token, or OPTAG_TOKEN");
    }
    let client = Client::new(api.as_deref().unwrap_or_default(), &token)?;
    let feed = match by_sip {
        true => args.sip.feed(&target, api.map(|_| client.clone())).await?,
        false => Feed::Api(client.clone()),
    };
    let stage = Arc::new(Stage::new(feed, client, pool, voices));
    let (played, mut report) = play_all(&args.plan(), &stage).await;
    if let Some(watch) = &watch {
        watch.stored(report.recorded, DELIVERY).await?;
        report.recorder = Some(watch.end(report.call_seconds).await?);
    }
    verify(&stage, &played, args.verify, &mut report).await;
    if let Ok(stage) = Arc::try_unwrap(stage).map_err(drop) {
        report.sender(&stage.pool.stop());
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show_proof(args: &LoadArgs, voices: &Voices) -> anyhow::Result<ExitCode> {
    use optag_media::codec::coded::Coded;

    let format = args.format();
    let coded =
        [Arc::new(Coded::new(&voices.caller, format)?), Arc::new(Coded::new(&voices.employee, format)?)];
    let (calls, threads, length) = (args.calls, args.threads(), Duration::from_secs(args.seconds.min(30)));
    let proof = tokio::task::spawn_blocking(move || prove(coded, calls, threads, length)).await??;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&proof)?);
    } else {
        println!(
            "paced      {} calls: {} packets sent, {} received\n\
             late       p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, worst {:.2} ms\n\
             cost       {:.0} ns of processor time per packet, kernel time included\n\
             unpaced    {:.0} packets/s from one thread at {:.0} ns each: enough for {} calls",
            proof.calls,
            proof.packets_sent,
            proof.packets_received,
            proof.sender.late_p50_ms,
            proof.sender.late_p99_ms,
            proof.sender.late_p999_ms,
            proof.sender.late_worst_ms,
            proof.sender.cpu_ns_per_packet,
            proof.most_packets_per_s,
            proof.most_cpu_ns_per_packet,
            proof.most_calls,
        );
    }
    let good = proof.sender.failed == 0 && proof.packets_sent == proof.packets_received;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
