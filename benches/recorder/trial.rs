//! One run of the whole recorder: started anew, fed, looked at, stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use optag::load::call::{ANSWER_MS, Answer, AnsweredBy, Stage};
use optag::load::client::Client;
use optag::load::feed::Feed;
use optag::load::impairment::Impairment;
use optag::load::recorder::{OwnRecorder, Watch};
use optag::load::report::Report;
use optag::load::run::{Run, play_all};
use optag::load::sender::SenderPool;
use optag::load::speech::Voices;
use optag_media::codec::coded::{Codec, Format};

use super::bare::Beside;

/// Maximum time for the recorder to store what it encoded during the calls.
const DELIVERY: Duration = Duration::from_secs(120);

/// Largest sample of the lines' noise: no frame is digital silence.
const NOISE_PEAK: i16 = 45;

/// What the parties do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Both talk all the time, over lines with noise: every frame must be encoded.
    Both,
    /// Each talks 45 % of the time, digital silence in between.
    Conversation,
    /// The same over lines with noise.
    NoisyConversation,
    /// Each talks 5 % of the time: what a call holds, and little of what it costs.
    Seldom,
}

impl Talk {
    /// What they say.
    pub(crate) fn voices(self) -> anyhow::Result<Voices> {
        match self {
            Talk::Both => Ok(Voices::embedded(1.0)?.with_noise(NOISE_PEAK)),
            Talk::Conversation => Voices::embedded(0.45),
            Talk::Seldom => Voices::embedded(0.05),
            Talk::NoisyConversation => Ok(Voices::embedded(0.45)?.with_noise(NOISE_PEAK)),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Talk::Both => "both talking",
            Talk::Conversation => "conversation",
            Talk::NoisyConversation => "noisy lines",
            Talk::Seldom => "seldom talking",
        }
    }
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub calls: usize,
    /// How long all calls are up at once.
    pub together: Duration,
    pub rate_per_s: f64,
    pub talk: Talk,
    pub codec: Codec,
    pub complexity: i32,
    /// Whether the complexity goes down under load.
    pub adaptive: bool,
    /// Whether calls beyond that are kept as they come, to be encoded later.
    pub spills: bool,
}

impl Trial {
    /// A-law at complexity 5, all calls within a second.
    pub(crate) fn of(calls: usize, seconds: u64, talk: Talk) -> Self {
        let together = Duration::from_secs(seconds);
        Self {
            calls,
            together,
            rate_per_s: calls as f64,
            talk,
            codec: Codec::Pcma,
            complexity: 5,
            adaptive: false,
            spills: false,
        }
    }

    pub(crate) fn start_recorder(&self) -> anyhow::Result<OwnRecorder> {
        let settings = [
            ("OPTAG_ENGINE_OPUS_COMPLEXITY", self.complexity.to_string()),
            ("OPTAG_ENGINE_ADAPTIVE_COMPLEXITY", self.adaptive.to_string()),
            ("OPTAG_ENGINE_SPILL", if self.spills { "auto" } else { "never" }.into()),
        ];
        OwnRecorder::start(Path::new(env!("CARGO_BIN_EXE_optag")), &settings)
    }

    pub(crate) fn plan(&self) -> Run {
        let ramp = Duration::from_secs_f64(self.calls as f64 / self.rate_per_s);
        Run {
            answered_by: AnsweredBy::Key,
            holds: false,
            media: true,
            srtp: None,
            calls: self.calls,
            rate_per_s: self.rate_per_s,
            length: Duration::from_millis(ANSWER_MS) + ramp + self.together,
            department: "demo".into(),
            answers: vec![Answer::Yes],
            format: Format { codec: self.codec, ptime_ms: 20 },
            impairment: Impairment::default(),
            seed: 1,
        }
    }

    pub(crate) fn stage(&self, recorder: &OwnRecorder) -> anyhow::Result<Stage> {
        let pool = SenderPool::start(1, "127.0.0.1:9".parse()?)?;
        let client = Client::new(&recorder.api, &recorder.token)?;
        Ok(Stage::new(Feed::Api(client.clone()), client, pool, self.talk.voices()?))
    }

    /// Runs it: from before the first call until the last recording is stored.
    pub(crate) async fn run(&self) -> anyhow::Result<Report> {
        let recorder = self.start_recorder()?;
        let stage = Arc::new(self.stage(&recorder)?);
        stage.coded(self.plan().format)?;
        let watch = Watch::begin(recorder.pid(), Some(recorder.metrics.clone())).await?;
        let (_, mut report) = play_all(&self.plan(), &stage).await;
        watch.stored(report.recorded, DELIVERY).await?;
        report.recorder = Some(watch.end(report.call_seconds).await?);
        if let Some(stage) = Arc::into_inner(stage) {
            report.sender(&stage.pool.stop());
        }
        Ok(report)
    }

    /// The same with bare libopus beside it; besides, what that took of a processor for a second of
    /// two legs, at the same complexity. Units: ms.
    pub(crate) async fn run_beside_bare(&self) -> anyhow::Result<(Report, f64)> {
        let beside = Beside::start(&self.talk.voices()?, self.complexity);
        let report = self.run().await?;
        Ok((report, beside.end()))
    }
}

/// Processor time of the recorder for a call-second. Units: ms.
pub(crate) fn cost_ms(report: &Report) -> f64 {
    report.recorder.map_or(f64::NAN, |cost| cost.cpu_ms_per_call_second)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len().saturating_sub(1) / 2..=values.len() / 2).unwrap_or_default();
    middle.iter().sum::<f64>() / middle.len() as f64
}
