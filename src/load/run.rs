//! A run: many calls, started at a constant rate. In: a [`Run`]. Out: the completed calls, a report.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::call::{Answer, AnsweredBy, Played, Scenario, Stage};
use super::feed::Feed;
use super::impairment::Impairment;
use super::report::Report;
use super::sip::session::Met;
use optag_media::codec::coded::Format;
use optag_media::rtp::srtp::Suite;

/// Maximum time for a recording to reach the store.
const DELIVERY: Duration = Duration::from_secs(60);

/// Parameters of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Total number of calls.
    pub calls: usize,
    /// New calls per second.
    pub rate_per_s: f64,
    /// Duration of each.
    pub length: Duration,
    /// Department called.
    pub department: String,
    /// The callers' answers, in turn.
    pub answers: Vec<Answer>,
    /// Codec of all streams.
    pub format: Format,
    /// Network impairment.
    pub impairment: Impairment,
    /// Channel of the answers.
    pub answered_by: AnsweredBy,
    /// Whether calls are put on hold.
    pub holds: bool,
    /// Whether audio is sent.
    pub media: bool,
    /// Encryption of the streams; `None` for plain RTP.
    pub srtp: Option<Suite>,
    /// Determines initial stream numbers and the impairment.
    pub seed: u32,
}

/// Runs all calls to their end.
pub async fn play_all(run: &Run, stage: &Arc<Stage>) -> (Vec<Played>, Report) {
    let sip = matches!(stage.feed, Feed::Sip(_)).then(Met::default);
    let mut report = Report { calls: run.calls, sip, ..Report::default() };
    let mut calls = FuturesUnordered::new();
    let period = Duration::from_secs_f64(1.0 / run.rate_per_s.clamp(0.01, 10_000.0));
    let mut started = tokio::time::interval(period);
    for number in 0..run.calls {
        started.tick().await;
        let scenario = Scenario {
            department: run.department.clone(),
            answer: run.answers.get(number % run.answers.len().max(1)).copied().unwrap_or(Answer::None),
            format: run.format,
            impairment: run.impairment,
            length: run.length,
            answered_by: run.answered_by,
            holds: run.holds,
            media: run.media,
            srtp: run.srtp,
        };
        let (stage, seed) = (Arc::clone(stage), run.seed);
        calls.push(tokio::spawn(async move { stage.play(number, seed, scenario).await }));
    }
    let mut played = Vec::new();
    while let Some(done) = calls.next().await {
        match done.map_err(anyhow::Error::from).flatten() {
            Ok(call) => {
                report.add(&call);
                played.push(call);
            }
            Err(error) => report.failed(&error),
        }
    }
    report.set_up(played.iter().map(|call| call.set_up).collect());
    (played, report)
}

/// Compares the first `count` recordings with what was sent.
pub async fn verify(stage: &Stage, played: &[Played], count: usize, report: &mut Report) {
    let recorded = played.iter().filter(|call| call.scenario.answer == Answer::Yes);
    for call in recorded.take(count) {
        let checked = async {
            let recording =
                stage.client.recording(&call.id, DELIVERY).await?.context("there is no recording")?;
            stage.verify(call, &recording).await
        };
        report.checked(call.number, checked.await);
    }
}
