//! One simulated call from announcement to end, and the check of its recording.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::client::{CallView, Client, RecordingView, wav_channels};
use super::leg::{Codec, Leg};
use super::sender::{SenderPool, Sent};
use super::speech::{RATE_HZ, Voices};
use super::verify::{Match, compare};

/// Frame at which the caller answers: 1 s after the call began.
const ANSWER_FRAME: u64 = 50;
/// Samples after consent that are not compared: while the answering key is held, its events
/// take the place of audio (300 ms).
const KEY_SAMPLES: usize = 2_400;
/// Samples between the starting places of two calls in the speech.
const STAGGER: usize = 8_000 * 7;

/// What a caller does when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Presses yes.
    Yes,
    /// Presses no.
    No,
    /// Presses nothing.
    None,
    /// Presses yes, and takes it back half-way.
    Withdraw,
}

impl Answer {
    /// What a person would read.
    pub const fn name(self) -> &'static str {
        match self {
            Answer::Yes => "yes (1)",
            Answer::No => "no (2)",
            Answer::None => "none",
            Answer::Withdraw => "yes (1), then *9",
        }
    }
}

/// A call to play.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Department called.
    pub department: String,
    /// What the caller does.
    pub answer: Answer,
    /// Coding of both streams.
    pub codec: Codec,
    /// How long it lasts.
    pub length: Duration,
}

/// What is shared by all calls of a run.
pub struct Stage {
    /// The recorder.
    pub client: Client,
    /// The sending threads.
    pub pool: SenderPool,
    /// What is said.
    pub voices: Voices,
    coded: [[Arc<Vec<u8>>; 2]; 2],
}

/// A call that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its number in the run.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// The scenario.
    pub scenario: Scenario,
    /// How long the admission took.
    pub set_up: Duration,
    /// What each leg sent.
    pub sent: [Sent; 2],
    /// How the recorder saw it at its end.
    pub view: CallView,
}

impl Stage {
    /// A stage for a recorder.
    pub fn new(client: Client, pool: SenderPool, voices: Voices) -> Self {
        let code =
            |codec: Codec| [&voices.caller, &voices.employee].map(|voice| Arc::new(codec.encode(voice)));
        Self { coded: [code(Codec::Pcmu), code(Codec::Pcma)], client, pool, voices }
    }

    /// Plays one call. `seed` makes its streams' first numbers.
    ///
    /// Errors: the recorder refuses it, or cannot be reached.
    pub async fn play(&self, number: usize, seed: u32, scenario: Scenario) -> anyhow::Result<Played> {
        let asked = Instant::now();
        let caller_number = format!("+45{:08}", 20_000_000 + number);
        let name = format!("Caller {number}");
        let admitted = self.client.admit(&scenario.department, &caller_number, &name, scenario.codec).await?;
        let set_up = asked.elapsed();
        let frames = scenario.length.as_millis() as u64 / 20;
        for (side, &to) in admitted.to.iter().enumerate() {
            let coded = &self.coded[usize::from(scenario.codec == Codec::Pcma)][side];
            let stream_seed = seed.wrapping_add((number * 2 + side) as u32);
            let mut leg =
                Leg::new(to, scenario.codec, Arc::clone(coded), start(number, coded.len()), stream_seed);
            if side == 0 {
                match scenario.answer {
                    Answer::Yes => leg.press(ANSWER_FRAME, "1"),
                    Answer::No => leg.press(ANSWER_FRAME, "2"),
                    Answer::None => {}
                    Answer::Withdraw => {
                        leg.press(ANSWER_FRAME, "1");
                        leg.press(frames / 2, "*9");
                    }
                }
            }
            self.pool.add(stream(number, side), leg);
        }
        tokio::time::sleep(scenario.length).await;
        let sent = [0, 1].map(|side| self.pool.remove(stream(number, side)));
        let [Some(caller), Some(employee)] = sent else { anyhow::bail!("a sending thread has ended") };
        let view = self.client.end(&admitted.id).await?;
        Ok(Played { number, id: admitted.id, scenario, set_up, sent: [caller, employee], view })
    }

    /// Fetches a played call's recording and compares both channels with what was sent.
    ///
    /// Errors: there is no such recording, or it cannot be fetched.
    pub async fn verify(&self, played: &Played, recording: &RecordingView) -> anyhow::Result<[Match; 2]> {
        let wav = self.client.wav(&played.id).await?;
        let channels = wav_channels(&wav)?;
        let voices = [Arc::clone(&self.voices.caller), Arc::clone(&self.voices.employee)];
        let shifts: Vec<i64> = (0..2)
            .map(|side| {
                let late_us = recording.recording_started_at.micros_since(played.sent[side].started_at);
                late_us * i64::from(RATE_HZ) / 1_000_000
                    + (start(played.number, voices[side].len()) + KEY_SAMPLES) as i64
            })
            .collect();
        let matches = tokio::task::spawn_blocking(move || {
            let one = |side: usize| {
                let (own, other) =
                    ((&voices[side][..], shifts[side]), (&voices[1 - side][..], shifts[1 - side]));
                channels.get(side)?.get(KEY_SAMPLES..).map(|stored| compare(stored, own, other))
            };
            Some([one(0)?, one(1)?])
        });
        matches.await?.context("the recording has not two channels")
    }
}

/// Where in the speech a call begins.
fn start(number: usize, length: usize) -> usize {
    number * STAGGER % length.max(1)
}

fn stream(number: usize, side: usize) -> u64 {
    (number * 2 + side) as u64
}
