//! `kill -9` repeatedly at random times during calls, and an oracle that knows each frame that was sent. `KILLS=200
//! KILL_CALLS=50` for the long run.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::phone::{FRAME, Leg};
use crate::resume::{admit, channels, end, restart};
use crate::server::{Server, Settings};

/// What a kill may cost a call beyond the recorder's downtime.
const COST_MS: u64 = 500;

/// Frames around beginning and end that may be silent: consent, reorder buffer, end.
const EDGES_MS: u64 = 300;

/// A caller's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Nothing,
}

/// A call that sounds continuously, each stream with its own pitch.
struct Talker {
    id: String,
    answer: Answer,
    pitches_hz: [u32; 2],
    legs: [Leg; 2],
    answered_at: Instant,
    /// Number and total duration of the recorder's downtimes.
    kills: u32,
    down: Duration,
}

/// 20 ms of a pitch; a multiple of 50 Hz, so that frames join without a discontinuity.
fn tone(pitch_hz: u32) -> Vec<i16> {
    let step = f64::from(pitch_hz) / 8_000.0 * std::f64::consts::TAU;
    (0..FRAME).map(|n| ((n as f64 * step).sin() * 9_000.0) as i16).collect()
}

/// Draws without repeating itself; the seed is printed.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Sends 20 ms of every call in turn, in real time, until it is stopped.
fn sound(talkers: Arc<Mutex<Vec<Talker>>>, stop: Arc<AtomicBool>) {
    let start = Instant::now();
    for frame in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for talker in talkers.lock().unwrap().iter_mut() {
            for (leg, pitch_hz) in talker.legs.iter_mut().zip(talker.pitches_hz) {
                leg.audio(&tone(pitch_hz));
            }
        }
        let next = start + Duration::from_millis(20) * frame;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

async fn begin(server: &Server, n: u32) -> Talker {
    let (id, admitted) = admit(server, "demo").await;
    let answer = match n % 10 {
        3 => Answer::No,
        7 => Answer::Nothing,
        _ => Answer::Yes,
    };
    if answer != Answer::Nothing {
        let word = if answer == Answer::Yes { "yes" } else { "no" };
        let body = json!({"answer": word, "how": "system"});
        let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/consent"), Some(body)).await;
        assert_eq!(status, 200, "{view}");
    }
    Talker {
        id,
        answer,
        pitches_hz: [400 + n % 12 * 50, 1_400 + n % 12 * 50],
        legs: [Leg::new(&admitted, 0, 0, 10_000 + n), Leg::new(&admitted, 1, 0, 20_000 + n)],
        answered_at: Instant::now(),
        kills: 0,
        down: Duration::ZERO,
    }
}

/// An ended call, and what must hold for it.
struct Over {
    id: String,
    answer: Answer,
    pitches_hz: [u32; 2],
    lasted: Duration,
    kills: u32,
    down: Duration,
}

/// Checks a recording against what was sent; returns what is missing beyond the downtime, per kill. Units: ms.
async fn verify(server: &Server, over: &Over) -> f64 {
    let recording: Value = server.recording(&over.id).await;
    let duration_ms = recording["duration_ms"].as_u64().unwrap();
    let lasted_ms = over.lasted.as_millis() as u64;
    assert!(duration_ms.abs_diff(lasted_ms) < 1_000, "{duration_ms} of {lasted_ms} ms: {recording}");
    let mut worst = 0.0f64;
    for (heard, pitch_hz) in channels(server, &over.id).await.iter().zip(over.pitches_hz) {
        let loud =
            |frame: &&[i16]| frame.iter().map(|s| i64::from(s.unsigned_abs())).sum::<i64>() > 160 * 1_500;
        let frames: Vec<&[i16]> = heard.chunks_exact(FRAME).collect();
        let sounding: Vec<&[i16]> = frames.iter().copied().filter(|frame| loud(frame)).collect();
        let missing_ms = (frames.len() - sounding.len()) as u64 * 20;
        let down_ms = over.down.as_millis() as u64;
        let allowed_ms = down_ms + u64::from(over.kills) * COST_MS + EDGES_MS;
        assert!(
            missing_ms <= allowed_ms,
            "{missing_ms} of {allowed_ms} ms, {} kills: {recording}",
            over.kills
        );
        let beyond = missing_ms.saturating_sub(down_ms + EDGES_MS) as f64;
        worst = worst.max(beyond / f64::from(over.kills.max(1)));
        // Each voice in its place and nobody else's: the pitch, by its zeros. The middle half of the frames:
        // those where a coder begins anew weigh much in a recording of a few.
        let zeros = |frame: &&[i16]| frame.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
        let mut zeros: Vec<usize> = sounding.iter().map(zeros).collect();
        zeros.sort_unstable();
        let middle = &zeros[zeros.len() / 4..zeros.len().div_ceil(4) + zeros.len() / 2];
        // A frame of 160 samples has 159 steps at which a zero can lie.
        let seconds = middle.len() as f64 * (FRAME - 1) as f64 / 8_000.0;
        let pitch = middle.iter().sum::<usize>() as f64 / 2.0 / seconds;
        assert!(
            (pitch - f64::from(pitch_hz)).abs() < 40.0,
            "{pitch} Hz is not {pitch_hz}, {} frames: {recording}",
            middle.len()
        );
    }
    worst
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_03_kills_at_random_times_cost_each_call_at_most_half_a_second_and_the_time_down() {
    let (kills, calls) = (setting("KILLS", 4), setting("KILL_CALLS", 8) as usize);
    let seed = setting("KILL_SEED", 1);
    println!("{kills} kills under {calls} calls, seed {seed}");
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((26_200, 26_600));
    let mut server = Server::start(dir.path(), &settings).await;
    let talkers: Arc<Mutex<Vec<Talker>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let sender = std::thread::spawn({
        let (talkers, stop) = (Arc::clone(&talkers), Arc::clone(&stop));
        move || sound(talkers, stop)
    });
    let (mut begun, mut over, mut down_ms) = (0, Vec::new(), Vec::new());
    for kill in 0..=kills {
        while kill < kills && talkers.lock().unwrap().len() < calls {
            let talker = begin(&server, begun).await;
            talkers.lock().unwrap().push(talker);
            begun += 1;
        }
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1_300))).await;
        if kill < kills {
            let down;
            (server, down) = restart(server, dir.path(), &settings, Duration::ZERO).await;
            down_ms.push(down.as_millis() as u64);
            talkers.lock().unwrap().iter_mut().for_each(|talker| {
                talker.kills += 1;
                talker.down += down;
            });
        }
        // Some of the calls end, at the last all. They sound until the recorder says so.
        let ending: Vec<String> = {
            let talkers = talkers.lock().unwrap();
            let chosen = talkers.iter().filter(|_| kill == kills || dice.below(5) == 0);
            chosen.map(|talker| talker.id.clone()).collect()
        };
        for id in ending {
            let view = end(&server, &id).await;
            let talker = {
                let mut talkers = talkers.lock().unwrap();
                let at = talkers.iter().position(|talker| talker.id == id).unwrap();
                talkers.swap_remove(at)
            };
            let Talker { answer, pitches_hz, answered_at, kills, down, .. } = talker;
            let lasted = answered_at.elapsed();
            let outcome = match answer {
                Answer::Yes => "recorded",
                Answer::No => "refused",
                Answer::Nothing => "no_answer",
            };
            assert_eq!(view["outcome"]["outcome"], outcome, "{view}");
            over.push(Over { id, answer, pitches_hz, lasted, kills, down });
        }
    }
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    let mut worst = 0.0f64;
    for over in over.iter().filter(|over| over.answer == Answer::Yes) {
        worst = worst.max(verify(&server, over).await);
    }
    let recorded = over.iter().filter(|over| over.answer == Answer::Yes).count() as u64;
    assert_eq!(server.recordings().await, recorded, "none is missing, none is there twice");
    for refused in over.iter().filter(|over| over.answer != Answer::Yes) {
        let path = format!("/api/v1/recordings/{}?purpose=administration", refused.id);
        assert_eq!(server.ask("GET", &path, None).await.0, 404, "a call without a yes");
    }
    down_ms.sort_unstable();
    println!(
        "{recorded} recordings of {} calls; worst {worst:.0} ms a kill beyond the time down; down {} ms (median), {} ms (most)",
        over.len(),
        down_ms[down_ms.len() / 2],
        down_ms.last().unwrap()
    );
    server.terminate();
    let checked = Command::new(env!("CARGO_BIN_EXE_optag"))
        .args(["check", "--config"])
        .arg(dir.path().join("optag.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("0 calls in the spool"), "{said}");
}
