//! `optag demo`: demonstrates the recorder on this machine. Starts a recorder on loopback, plays calls to it, shows
//! what was kept and why the rest was not.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use futures::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::server::Server;
use crate::app::{hardening, logging};
use crate::config::Config;
use crate::load::call::{Answer, AnsweredBy, Played, Scenario, Stage};
use crate::load::client::Client;
use crate::load::feed::Feed;
use crate::load::impairment::Impairment;
use crate::load::sender::SenderPool;
use crate::load::speech::Voices;
use crate::load::verify::Match;
use optag_media::codec::coded::{Codec, Format};

/// Time limit for the callers' answers.
const CONSENT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for recordings to reach the store.
const DELIVERY: Duration = Duration::from_secs(20);
/// Maximum difference between the lengths of a recording and its call. Units: ms.
const LENGTH_MS: u64 = 40;

/// Demonstrate the recorder on this machine: simulated calls, consent, recordings.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  optag demo --calls 20 --seconds 15")]
pub struct DemoArgs {
    /// Calls to play.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    /// Length of each call; at least 5.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// Directory for the demo's data.
    #[arg(long, value_name = "DIR", default_value = "./optag-data/demo")]
    data: PathBuf,
}

/// One line of the result.
struct Line {
    played: Played,
    kept: Option<(u64, u64)>,
    verdict: Result<String, String>,
}

/// Runs the command.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::default();
    config.set_data_dir(&args.data);
    config.sip.listen = Default::default();
    config.api.listen = free("127.0.0.1:8080")?;
    config.metrics_listen = free("127.0.0.1:9464")?;
    config.spool.min_free_bytes = 0;
    config.log.level = "warn".into();
    for department in &mut config.departments {
        department.consent_timeout = CONSENT_TIMEOUT;
    }
    logging::init(&config.log)?;
    hardening::no_core_dumps();
    let running = Server::start(Arc::new(config), Default::default()).await?;
    let token = running.fresh_token("demo").await?;
    println!("A recorder runs on http://{} with its data in {}.", running.api, args.data.display());
    println!(
        "{} callers call two departments: `demo` is recorded after consent, `private` never.\n",
        args.calls
    );

    let pool = SenderPool::start(1, "127.0.0.1:9".parse()?).context("cannot open a sending socket")?;
    let client = Client::new(&format!("http://{}", running.api), &token)?;
    let stage = Arc::new(Stage::new(Feed::Api(client.clone()), client, pool, Voices::embedded(0.45)?));
    let played = play(&args, &stage).await?;
    let mut lines = Vec::new();
    for call in played {
        lines.push(judge(&stage, call).await?);
    }
    let good = show(&lines);
    what_next(&args, &token, &lines);
    running.stop(std::future::pending()).await?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The address, or another port if that one is in use.
fn free(address: &str) -> anyhow::Result<std::net::SocketAddr> {
    let mut address: std::net::SocketAddr = address.parse()?;
    if std::net::TcpListener::bind(address).is_err() {
        address.set_port(0);
    }
    Ok(address)
}

async fn play(args: &DemoArgs, stage: &Arc<Stage>) -> anyhow::Result<Vec<Played>> {
    let answers = [
        ("demo", Answer::Yes),
        ("demo", Answer::No),
        ("demo", Answer::Yes),
        ("demo", Answer::None),
        ("demo", Answer::Withdraw),
        ("private", Answer::Yes),
    ];
    let length = Duration::from_secs(args.seconds);
    let calls = (0..args.calls).map(|number| {
        let (department, answer) = answers[number % answers.len()];
        let codec = if number % 2 == 0 { Codec::Pcmu } else { Codec::Pcma };
        let scenario = Scenario {
            answered_by: AnsweredBy::Key,
            holds: false,
            media: true,
            srtp: None,
            department: department.into(),
            answer,
            format: Format { codec, ptime_ms: 20 },
            impairment: Impairment::default(),
            length,
        };
        let stage = Arc::clone(stage);
        async move {
            tokio::time::sleep(Duration::from_millis(number as u64 * 50)).await;
            stage.play(number, 1, scenario).await
        }
    });
    let bar = ProgressBar::new(args.seconds * 10);
    bar.set_style(ProgressStyle::with_template("{bar:40} {msg} {elapsed}")?);
    bar.set_message("calls in progress");
    let ticking = {
        let bar = bar.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            loop {
                bar.set_position(started.elapsed().as_millis() as u64 / 100);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };
    let played = join_all(calls).await;
    ticking.abort();
    bar.finish_and_clear();
    played.into_iter().collect()
}

/// Whether what was kept of a call is correct.
async fn judge(stage: &Stage, played: Played) -> anyhow::Result<Line> {
    let must_be_kept = played.scenario.answer == Answer::Yes && played.scenario.department == "demo";
    let outcome = played
        .view
        .as_ref()
        .and_then(|view| view.outcome.as_ref())
        .map_or("open", |view| view.outcome.as_str())
        .to_owned();
    let patience = if must_be_kept { DELIVERY } else { Duration::ZERO };
    let recording = stage.client.recording(&played.id, patience).await?;
    let (kept, verdict) = match recording {
        None if must_be_kept => (None, Err("recording missing".into())),
        None => (None, Ok(why_not(&outcome).into())),
        Some(recording) if !must_be_kept => (
            Some((recording.size_bytes, recording.duration_ms)),
            Err(format!("recorded, though {}", why_not(&outcome))),
        ),
        Some(recording) => {
            let matches = stage.verify(&played, &recording).await?.matches;
            let kept = Some((recording.size_bytes, recording.duration_ms));
            (kept, sound(&played, &recording, matches))
        }
    };
    Ok(Line { played, kept, verdict })
}

fn sound(
    played: &Played,
    recording: &crate::load::client::RecordingView,
    matches: [Match; 2],
) -> Result<String, String> {
    let ended = played.sent[0].started_at.plus_micros(played.sent[0].packets as i64 * 20_000);
    let spoken_ms = ended.micros_since(recording.recording_started_at).max(0) as u64 / 1_000;
    // The feed reports the end of the call a moment later; until then there is silence.
    let slack_ms = LENGTH_MS + 250;
    if recording.duration_ms + LENGTH_MS < spoken_ms || recording.duration_ms > spoken_ms + slack_ms {
        return Err(format!("{} ms long, {spoken_ms} ms were spoken", recording.duration_ms));
    }
    let text = format!(
        "as spoken: left {:.3}, right {:.3}, off by {:.1} ms",
        matches[0].own,
        matches[1].own,
        matches.iter().map(|found| found.off_samples.abs()).max().unwrap_or(0) as f64 / 8.0
    );
    if matches.iter().all(Match::is_good) { Ok(text) } else { Err(format!("does not match: {matches:?}")) }
}

fn why_not(outcome: &str) -> &'static str {
    match outcome {
        "refused" => "the caller said no",
        "no_answer" => "the caller did not answer, which counts as no",
        "withdrawn" => "the caller withdrew consent: erased",
        "not_selected" => "this department is not recorded",
        _ => "unexpected outcome",
    }
}

/// Prints the table; returns whether all checks passed.
fn show(lines: &[Line]) -> bool {
    println!(
        "{:<4} {:<10} {:<6} {:<18} {:>9} {:>8}  result",
        "call", "department", "codec", "answer", "stored", "length"
    );
    for line in lines {
        let scenario = &line.played.scenario;
        let (stored, length) = line.kept.map_or(("nothing".into(), "-".into()), |(bytes, ms)| {
            (format!("{:.1} kB", bytes as f64 / 1e3), format!("{:.2} s", ms as f64 / 1e3))
        });
        let (mark, text) = match &line.verdict {
            Ok(text) => ("ok   ", text),
            Err(text) => ("WRONG", text),
        };
        println!(
            "{:<4} {:<10} {:<6} {:<18} {stored:>9} {length:>8}  {mark} {text}",
            line.played.number + 1,
            scenario.department,
            scenario.format.codec.name(),
            scenario.answer.name(),
        );
    }
    let wrong = lines.iter().filter(|line| line.verdict.is_err()).count();
    match wrong {
        0 => println!("\nAll checks passed."),
        wrong => println!("\n{wrong} of {} calls failed the check.", lines.len()),
    }
    wrong == 0
}

fn what_next(args: &DemoArgs, token: &str, lines: &[Line]) {
    let data = args.data.display();
    let program = std::env::args().next().unwrap_or_else(|| "optag".into());
    let id = lines.iter().find(|line| line.kept.is_some()).map_or("ID", |line| line.played.id.as_str());
    println!(
        "
Listen     {program} export {id} --data {data} --format wav -o call.wav --purpose training
Search     {program} search --data {data} --number 20000000 --purpose training
Erase      {program} erase {id} --data {data} --reason 'asked for by the caller'
Check      {program} check --data {data}
Metrics    {program} serve --data {data}    then    curl http://127.0.0.1:9464/metrics
API        the same recorder, with  Authorization: Bearer {token}
For real   {program} serve --print-config > optag.toml, name your departments, then  {program} serve --config optag.toml"
    );
}
