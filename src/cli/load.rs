//! `optag load`: plays calls to a recorder and checks what it made of them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::load::call::{Answer, Played, Scenario, Stage};
use crate::load::client::Client;
use crate::load::leg::Codec;
use crate::load::report::Report;
use crate::load::sender::SenderPool;
use crate::load::speech::Voices;

/// How long a recording may take to reach the store.
const DELIVERY: Duration = Duration::from_secs(60);

/// Play simulated calls with real speech to a recorder, and check what it stored.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  optag load --target http://127.0.0.1:8080 --calls 100 --rate 20 --seconds 60 --verify 10

The token of the recorder is taken from --token or OPTAG_TOKEN. Exit code 0: every call was
taken, no packet is missing, every recording that was looked at matches what was sent.")]
pub struct LoadArgs {
    /// The recorder's API.
    #[arg(long, value_name = "URL")]
    target: String,
    /// An access token with the role `feed`; verifying needs one that may listen.
    #[arg(long, env = "OPTAG_TOKEN", hide_env_values = true)]
    token: String,
    /// Calls in all.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    /// New calls a second.
    #[arg(long, value_name = "PER_S", default_value_t = 10.0)]
    rate: f64,
    /// Length of each call.
    #[arg(long, value_name = "S", default_value_t = 30)]
    seconds: u64,
    /// What callers answer.
    #[arg(long, value_enum, default_value_t = ConsentArg::Yes)]
    consent: ConsentArg,
    /// Coding of the streams.
    #[arg(long, value_enum, default_value_t = CodecArg::Pcma)]
    codec: CodecArg,
    /// Share of the time that each party talks.
    #[arg(long, default_value_t = 0.45)]
    activity: f64,
    /// Department that is called.
    #[arg(long, default_value = "demo")]
    department: String,
    /// Own speech: a directory of 8 kHz audio files.
    #[arg(long, value_name = "DIR")]
    speech: Option<PathBuf>,
    /// Recordings that are fetched and compared with what was sent.
    #[arg(long, default_value_t = 0)]
    verify: usize,
    /// Makes stream numbers; the same seed sends the same packets.
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
enum CodecArg {
    Pcmu,
    Pcma,
}

/// Runs the command.
pub async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let voices = match &args.speech {
        Some(dir) => Voices::from_dir(dir, args.activity)?,
        None => Voices::embedded(args.activity)?,
    };
    let threads = if args.calls > 200 { 2 } else { 1 };
    let pool = SenderPool::start(threads, "127.0.0.1:9".parse()?).context("no socket to send from")?;
    let stage = Arc::new(Stage::new(Client::new(&args.target, &args.token)?, pool, voices));
    let (played, mut report) = play_all(&args, &stage).await;
    verify(&args, &stage, &played, &mut report).await;
    if let Ok(stage) = Arc::try_unwrap(stage).map_err(drop) {
        report.sender(stage.pool.stop());
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play_all(args: &LoadArgs, stage: &Arc<Stage>) -> (Vec<Played>, Report) {
    let mut report = Report { calls: args.calls, ..Report::default() };
    let mut calls = FuturesUnordered::new();
    let mut started = tokio::time::interval(Duration::from_secs_f64(1.0 / args.rate.clamp(0.01, 10_000.0)));
    for number in 0..args.calls {
        started.tick().await;
        let scenario = Scenario {
            department: args.department.clone(),
            answer: match args.consent {
                ConsentArg::Yes => Answer::Yes,
                ConsentArg::No => Answer::No,
                ConsentArg::None => Answer::None,
                ConsentArg::Mixed => [Answer::Yes, Answer::No, Answer::None, Answer::Withdraw][number % 4],
            },
            codec: match args.codec {
                CodecArg::Pcmu => Codec::Pcmu,
                CodecArg::Pcma => Codec::Pcma,
            },
            length: Duration::from_secs(args.seconds),
        };
        let (stage, seed) = (Arc::clone(stage), args.seed);
        calls.push(tokio::spawn(async move { stage.play(number, seed, scenario).await }));
    }
    let mut played = Vec::new();
    while let Some(done) = calls.next().await {
        match done.map_err(anyhow::Error::from).flatten() {
            Ok(call) => {
                report.add(&call);
                played.push(call);
            }
            Err(error) => {
                report.failed += 1;
                if report.failed <= 5 {
                    report.faults.push(format!("{error:#}"));
                }
            }
        }
    }
    report.set_up(played.iter().map(|call| call.set_up).collect());
    (played, report)
}

async fn verify(args: &LoadArgs, stage: &Stage, played: &[Played], report: &mut Report) {
    let recorded = played.iter().filter(|call| call.scenario.answer == Answer::Yes);
    for call in recorded.take(args.verify) {
        let checked = async {
            let recording =
                stage.client.recording(&call.id, DELIVERY).await?.context("there is no recording")?;
            stage.verify(call, &recording).await
        };
        report.verified += 1;
        match checked.await {
            Ok(matches) if matches.iter().all(|found| found.is_good()) => {}
            Ok(matches) => {
                report.mismatched += 1;
                report.faults.push(format!("call {}: {matches:?}", call.number));
            }
            Err(error) => {
                report.mismatched += 1;
                report.faults.push(format!("call {}: {error:#}", call.number));
            }
        }
    }
}
