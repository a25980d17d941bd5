//! One simulated call from announcement to end, and the verification of its recording.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::client::{CallView, Client, RecordingView, wav_channels};
use super::feed::{Admitted, Announcement, Closed, Feed};
use super::impairment::{Impairment, Line};
use super::leg::{KEY_PACKETS_IN_ALL, Leg};
use super::losses::{self, Misfit};
use super::sender::{SenderPool, Sent};
use super::sip::session::Met;
use super::speech::{RATE_HZ, Voices};
use super::srtp;
use super::verify::{Match, Spoken, compare};
use optag_core::call::outcome::Outcome;
use optag_media::codec::coded::{Coded, Format};
use optag_media::fact::GapReason;
use optag_media::rtp::srtp::Suite;

/// When the caller answers, after the start of the call. Units: ms.
pub const ANSWER_MS: u64 = 1_000;
/// The withdrawal sequence.
const WITHDRAWAL: &str = "*9";
/// Time excluded after the answering key press, whose events replace audio. Units: ms.
const AFTER_KEY_MS: u64 = 140;
/// Time excluded at the end of a recording, whose content depends on the last packets. Units: ms.
const END_MS: f64 = 500.0;
/// Offset between the starting points of two calls in the speech. Units: samples.
const STAGGER: usize = 8_000 * 7;

/// A caller's answer to the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Presses yes.
    Yes,
    /// Presses no.
    No,
    /// Presses nothing.
    None,
    /// Presses yes, and withdraws half-way through the call.
    Withdraw,
}

impl Answer {
    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Answer::Yes => "yes (1)",
            Answer::No => "no (2)",
            Answer::None => "none",
            Answer::Withdraw => "yes (1), then *9",
        }
    }

    /// The answering key; empty if none is pressed.
    const fn first_key(self) -> &'static str {
        match self {
            Answer::Yes | Answer::Withdraw => "1",
            Answer::No => "2",
            Answer::None => "",
        }
    }

    /// The expected outcome of a call with audio in a recorded department.
    pub const fn outcome(self) -> Outcome {
        match self {
            Answer::Yes => Outcome::Recorded,
            Answer::No => Outcome::Refused,
            Answer::None => Outcome::NoAnswer,
            Answer::Withdraw => Outcome::Withdrawn,
        }
    }
}

/// Parameters of a simulated call.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Department called.
    pub department: String,
    /// The caller's answer.
    pub answer: Answer,
    /// Codec of both streams.
    pub format: Format,
    /// Network impairment of both streams.
    pub impairment: Impairment,
    /// Duration of the call.
    pub length: Duration,
    /// Channel of the answer.
    pub answered_by: AnsweredBy,
    /// Whether it is put on hold and resumed.
    pub holds: bool,
    /// Whether audio is sent.
    pub media: bool,
    /// Encryption of the streams; `None` for plain RTP.
    pub srtp: Option<Suite>,
}

/// Channel of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AnsweredBy {
    /// A key press in the caller's stream.
    #[default]
    Key,
    /// A header field of the INVITE: an IVR has asked before.
    Header,
    /// A key press relayed by SIP INFO.
    Info,
}

impl Scenario {
    /// How long after consent the audio begins, since key events replace it. Units: samples.
    fn key_samples(&self) -> usize {
        let keys_ms = KEY_PACKETS_IN_ALL * u64::from(self.format.ptime_ms) + AFTER_KEY_MS;
        keys_ms as usize * RATE_HZ as usize / 1_000
    }
}

/// State shared by all calls of a run.
pub struct Stage {
    /// Announces calls.
    pub feed: Feed,
    /// The recorder's API, for reading recordings.
    pub client: Client,
    /// The sending threads.
    pub pool: SenderPool,
    /// The speech.
    pub voices: Voices,
    coded: Mutex<HashMap<Format, [Arc<Coded>; 2]>>,
}

/// Result of a simulated call.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its number in the run.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// The scenario.
    pub scenario: Scenario,
    /// Duration of the admission.
    pub set_up: Duration,
    /// What each stream sent.
    pub sent: [Sent; 2],
    /// Whether the recorder ever accepted the streams.
    pub opened: bool,
    /// The recorder's view of the call at its end, if the feed provides it.
    pub view: Option<CallView>,
    /// Events of its signalling.
    pub met: Met,
}

/// Result of verifying a recording, in channel order.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Comparison of the audio.
    pub matches: [Match; 2],
    /// Comparison of marked gaps and losses.
    pub misfits: [Misfit; 2],
}

impl Checked {
    /// Whether everything is as expected.
    pub fn is_good(&self) -> bool {
        self.matches.iter().all(Match::is_good) && self.misfits == [Misfit::default(); 2]
    }
}

impl Stage {
    /// A stage for a recorder.
    pub fn new(feed: Feed, client: Client, pool: SenderPool, voices: Voices) -> Self {
        Self { feed, client, pool, voices, coded: Mutex::default() }
    }

    /// Encodes the voices, unless done before.
    ///
    /// Errors: they cannot be encoded in this format.
    pub fn coded(&self, format: Format) -> anyhow::Result<[Arc<Coded>; 2]> {
        let mut all = self.coded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(coded) = all.get(&format) {
            return Ok(coded.clone());
        }
        let caller = Arc::new(Coded::new(&self.voices.caller, format)?);
        let employee = Arc::new(Coded::new(&self.voices.employee, format)?);
        let coded = [caller, employee];
        all.insert(format, coded.clone());
        Ok(coded)
    }

    /// Runs one call. `seed` determines initial stream numbers, and the impairment.
    ///
    /// Errors: the recorder refuses it, or cannot be reached.
    pub async fn play(&self, number: usize, seed: u32, scenario: Scenario) -> anyhow::Result<Played> {
        let coded = self.coded(scenario.format)?;
        let announcement = Announcement {
            department: scenario.department.clone(),
            number,
            caller_number: format!("+45{:08}", 20_000_000 + number),
            caller_name: format!("Caller {number}"),
            codec: scenario.format.codec,
            signalled_answer: match (scenario.answered_by, scenario.answer) {
                (AnsweredBy::Header, Answer::Yes | Answer::Withdraw) => Some("yes"),
                (AnsweredBy::Header, Answer::No) => Some("no"),
                _ => None,
            },
            keys: scenario.srtp.map(srtp::keys).transpose()?,
            source_ports: [0, 1].map(|side| self.pool.port(stream(number, side))),
        };
        let mut admitted = self.feed.open(&announcement).await?;
        let (set_up, ends) = (admitted.after, Instant::now() + scenario.length);
        if !scenario.media {
            admitted.wait(scenario.length).await?;
            let id = admitted.id.clone();
            let Closed { view, met } = self.feed.close(admitted).await?;
            let sent = [Sent::default(), Sent::default()];
            return Ok(Played { number, id, scenario, set_up, sent, opened: true, view, met });
        }
        let relayed = scenario.answered_by == AnsweredBy::Info;
        // If streams are only requested after an answer, it must be sent before them.
        let answers_first = relayed && !admitted.is_open();
        if answers_first {
            relay_answer(&mut admitted, scenario.answer, scenario.length).await?;
        }
        let opened = admitted.until_open(ends.saturating_duration_since(Instant::now())).await?;
        for (side, to) in admitted.to.into_iter().enumerate().filter(|_| opened) {
            let stream_seed = seed.wrapping_add((number * 2 + side) as u32);
            let first = start(number, &coded[side]);
            let mut leg = Leg::new(to, Arc::clone(&coded[side]), first, stream_seed);
            if let Some(keys) = &announcement.keys {
                leg = leg.protected_by(&keys[side]);
            }
            if side == 0 {
                press(&mut leg, &scenario);
            }
            let impairment = scenario.impairment;
            if impairment.is_none() {
                self.pool.add(stream(number, side), leg);
            } else {
                let line = Line::new(impairment, leg.packet_time(), u64::from(stream_seed));
                self.pool.add_impaired(stream(number, side), leg, line, impairment.drift_ppm);
            }
        }
        let left = ends.saturating_duration_since(Instant::now());
        if relayed && !answers_first {
            relay_answer(&mut admitted, scenario.answer, left).await?;
        }
        if relayed && scenario.answer == Answer::Withdraw {
            admitted.wait(left / 3).await?;
            admitted.keys(WITHDRAWAL).await?;
        }
        if scenario.holds {
            admitted.wait(left / 3).await?;
            admitted.hold(true).await?;
            admitted.wait(left / 6).await?;
            admitted.hold(false).await?;
        }
        admitted.wait(ends.saturating_duration_since(Instant::now())).await?;
        let sent = match opened {
            true => [0, 1].map(|side| self.pool.remove(stream(number, side))),
            false => [Some(Sent::default()), Some(Sent::default())],
        };
        let [Some(caller), Some(employee)] = sent else { anyhow::bail!("a sender thread has ended") };
        let id = admitted.id.clone();
        let Closed { view, met } = self.feed.close(admitted).await?;
        Ok(Played { number, id, scenario, set_up, sent: [caller, employee], opened, view, met })
    }

    /// Downloads the recording of a call and compares both channels with what was sent.
    ///
    /// Errors: there is no such recording, or it cannot be downloaded.
    pub async fn verify(&self, played: &Played, recording: &RecordingView) -> anyhow::Result<Checked> {
        let wav = self.client.wav(&played.id).await?;
        let channels = wav_channels(&wav)?;
        let coded = self.coded(played.scenario.format)?;
        let check = Check {
            channels,
            voices: [Arc::clone(&self.voices.caller), Arc::clone(&self.voices.employee)],
            starts: coded.map(|coded| start(played.number, &coded) as usize),
            played: played.clone(),
            recording: recording.clone(),
        };
        tokio::task::spawn_blocking(move || check.run())
            .await?
            .context("the recording does not have two channels")
    }
}

/// Everything that a recording is compared with.
struct Check {
    channels: Vec<Vec<i16>>,
    voices: [Arc<Vec<i16>>; 2],
    starts: [usize; 2],
    played: Played,
    recording: RecordingView,
}

impl Check {
    fn run(&self) -> Option<Checked> {
        let (caller, employee) = (self.channel(0)?, self.channel(1)?);
        Some(Checked { matches: [caller.0, employee.0], misfits: [caller.1, employee.1] })
    }

    fn channel(&self, side: usize) -> Option<(Match, Misfit)> {
        let scenario = &self.played.scenario;
        let skipped = scenario.key_samples();
        let stored = self.channels.get(side)?.get(skipped..)?;
        let packet_ms = f64::from(scenario.format.ptime_ms) * (1.0 + scenario.impairment.drift_ppm / 1e6);
        // A packet is sent once its last sample was spoken, so the stream began one packet duration before
        // the first one was sent.
        let late_us = |side: usize| {
            let since = self.recording.recording_started_at.micros_since(self.played.sent[side].started_at);
            since + (packet_ms * 1e3) as i64
        };
        let said = |side: usize| Spoken {
            voice: &self.voices[side],
            start: self.starts[side] * scenario.format.samples(),
            late: late_us(side) * i64::from(RATE_HZ) / 1_000_000 + skipped as i64,
            drift_ppm: scenario.impairment.drift_ppm,
            sent_late: self.played.sent[side].late_most_us as i64 * i64::from(RATE_HZ) / 1_000_000,
        };
        let lost = losses::spans(&self.played.sent[side].lost, packet_ms, late_us(side) as f64 / 1e3);
        let in_samples = |ms: f64| (ms * f64::from(RATE_HZ) / 1e3) as i64 - skipped as i64;
        let holes: Vec<(i64, i64)> =
            lost.iter().map(|span| (in_samples(span.from_ms), in_samples(span.to_ms))).collect();
        let marked: Vec<(u32, u32)> = self
            .recording
            .gaps
            .iter()
            .filter(|gap| usize::from(gap.stream) == side && gap.reason == GapReason::Lost)
            .map(|gap| (gap.from_frame, gap.to_frame))
            .collect();
        let from_ms = skipped as f64 * 1e3 / f64::from(RATE_HZ);
        let to_ms = self.recording.duration_ms as f64 - END_MS;
        let misfit = losses::misfit(&marked, &lost, from_ms, to_ms);
        Some((compare(stored, said(side), said(1 - side), &holes), misfit))
    }
}

/// Relays the answering key at the caller's answer time, or at the end of what is `left`.
async fn relay_answer(admitted: &mut Admitted, answer: Answer, left: Duration) -> anyhow::Result<()> {
    admitted.wait(Duration::from_millis(ANSWER_MS).min(left)).await?;
    admitted.keys(answer.first_key()).await
}

/// Schedules the key presses of the scenario's caller in the stream.
fn press(leg: &mut Leg, scenario: &Scenario) {
    let packet_ms = u64::from(scenario.format.ptime_ms);
    if scenario.answered_by == AnsweredBy::Key {
        leg.press(ANSWER_MS / packet_ms, scenario.answer.first_key());
    }
    // A header field cannot withdraw an answer.
    if scenario.answered_by != AnsweredBy::Info && scenario.answer == Answer::Withdraw {
        leg.press(scenario.length.as_millis() as u64 / packet_ms / 2, WITHDRAWAL);
    }
}

/// The index of the speech packet with which a call begins.
fn start(number: usize, coded: &Coded) -> u64 {
    (number * (STAGGER / coded.format.samples()) % coded.packets()) as u64
}

fn stream(number: usize, side: usize) -> u64 {
    (number * 2 + side) as u64
}
