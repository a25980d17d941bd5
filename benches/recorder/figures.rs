//! The recorder against bare libopus, against itself at other sizes, and at its limit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use optag::load::run::play_all;
use optag::load::usage::Usage;
use optag_media::codec::coded::Codec;

use super::bare;
use super::trial::{Talk, Trial, cost_ms, median};

const SECONDS: u64 = 12;
/// How long calls last whose cost is told: what a call costs once, to be taken in and stored, is
/// part of it, and few calls are shorter.
const RATIO_SECONDS: u64 = 60;
const RATIO_ROUNDS: usize = 2;
const RATIO_CALLS: usize = 200;
/// New calls a second where many are needed.
const RATE_PER_S: f64 = 100.0;

/// The whole recorder ÷ bare libopus encoding every frame, beside it at the same time.
pub(crate) async fn ratio() -> anyhow::Result<()> {
    println!(
        "{RATIO_CALLS} calls of {RATIO_SECONDS} s; processor time of a call-second in ms, kernel time included"
    );
    println!("{:<14} {:>5} {:>9} {:>6} {:>6}", "", "round", "recorder", "bare", "ratio");
    for talk in [Talk::Both, Talk::Conversation, Talk::NoisyConversation] {
        let mut ratios = Vec::new();
        for round in 1..=RATIO_ROUNDS {
            let trial = Trial { rate_per_s: RATE_PER_S, ..Trial::of(RATIO_CALLS, RATIO_SECONDS, talk) };
            let (report, bare) = trial.run_beside_bare().await?;
            let ours = cost_ms(&report);
            ratios.push(ours / bare);
            println!("{:<14} {round:>5} {ours:>9.2} {bare:>6.2} {:>6.3}", talk.name(), ours / bare);
            anyhow::ensure!(report.is_good(), "the run was not clean:\n{report}");
        }
        println!("{:<14} worst ratio {:.3}", talk.name(), ratios.into_iter().fold(0.0, f64::max));
    }
    Ok(())
}

/// Processor time of a call-second as calls grow.
pub(crate) async fn growth() -> anyhow::Result<()> {
    const SIZES: [usize; 4] = [50, 100, 200, 400];
    println!("conversations; processor time of a call-second in ms, and bare libopus at the same time");
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); SIZES.len()];
    for round in 1..=3 {
        for (n, &calls) in SIZES.iter().enumerate() {
            let trial = Trial { rate_per_s: RATE_PER_S, ..Trial::of(calls, SECONDS, Talk::Conversation) };
            let (report, bare) = trial.run_beside_bare().await?;
            let ours = cost_ms(&report);
            println!("round {round}: {calls:>4} calls {ours:>6.2}, bare {bare:.2}, ratio {:.3}", ours / bare);
            all[n].push(ours / bare);
        }
    }
    for (calls, ratios) in SIZES.into_iter().zip(all) {
        println!("{calls:>4} calls: median ratio {:.3}", median(ratios));
    }
    Ok(())
}

/// Resident memory that a two-leg call adds: what 600 calls hold beyond 300. The first hundreds
/// also bring the allocator's own reserves, which stay and differ by some MiB from run to run. The
/// parties talk little: more than the machine keeps up with would bring what waits for it.
pub(crate) async fn memory() -> anyhow::Result<()> {
    const CALLS: usize = 300;
    let trial = Trial { rate_per_s: RATE_PER_S, ..Trial::of(CALLS, 24, Talk::Seldom) };
    let recorder = trial.start_recorder()?;
    let idle = Usage::of(recorder.pid())?;
    let (mut held, mut playing) = (Vec::new(), Vec::new());
    // Each batch under other numbers, by a stage of its own.
    for _ in 0..2 {
        let (plan, stage) = (trial.plan(), Arc::new(trial.stage(&recorder)?));
        playing.push(tokio::spawn(async move { play_all(&plan, &stage).await }));
        tokio::time::sleep(Duration::from_secs(10)).await;
        held.push(Usage::of(recorder.pid())?.rss_kib);
    }
    for batch in playing {
        let (_, report) = batch.await?;
        // Calls that are not there would make those that are look small.
        anyhow::ensure!(
            report.failed == 0,
            "{} calls were not played: the machine does not keep up",
            report.failed
        );
    }
    println!(
        "resident: {} KiB idle, {} with {CALLS} calls, {} with {}",
        idle.rss_kib,
        held[0],
        held[1],
        2 * CALLS
    );
    let kib = held[1].saturating_sub(held[0]) as f64 / CALLS as f64;
    let all = held[1].saturating_sub(idle.rss_kib) as f64 / (2 * CALLS) as f64;
    println!(
        "a call adds {kib:.1} KiB (at most 128); the recorder without calls subtracted, {all:.1} KiB a call"
    );
    Ok(())
}

/// How many calls lose nothing: ever more, until the first loss. What bare libopus takes right before,
/// always at complexity 5, tells how fast the machine is at the time.
pub(crate) async fn capacity(words: &[&str]) -> anyhow::Result<()> {
    let codec = if words.contains(&"opus") { Codec::Opus } else { Codec::Pcma };
    let adaptive = words.contains(&"adaptive");
    let given = words.iter().find_map(|word| word.parse().ok());
    let complexity = given.unwrap_or(5);
    let (first, step, most) = if codec == Codec::Opus { (600, 300, 3_000) } else { (400, 100, 1_200) };
    println!(
        "two-leg conversations, {}, complexity {complexity}{}, all up for 15 s, sender on the same machine",
        codec.name(),
        if adaptive { " and less under load" } else { "" }
    );
    println!(
        "calls    sent packets  missing  kernel drops  failed  ms/call-s      bare  recorder CPU  sender late p99/worst ms"
    );
    let voices = Talk::Conversation.voices()?;
    let mut held = 0;
    for calls in (first..=most).step_by(step) {
        let trial = Trial {
            rate_per_s: RATE_PER_S,
            codec,
            complexity,
            adaptive,
            ..Trial::of(calls, 15, Talk::Conversation)
        };
        let bare = bare::call_second_ms(&voices, 5);
        let report = trial.run().await?;
        let cost = report.recorder.context("the recorder was watched")?;
        let drops = cost.kernel_drops.unwrap_or(0);
        let missing = report.packets_lost + report.packets_unaccounted;
        println!(
            "{calls:>5} {:>15} {missing:>8} {drops:>13} {:>7} {:>10.2} {bare:>8.2} {:>12.0}% {:>12.2} {:>8.1}",
            report.packets_sent,
            report.failed,
            cost.cpu_ms_per_call_second,
            cost.cpu_ms_per_call_second * calls as f64 / 10.0,
            report.sender.late_p99_ms,
            report.sender.late_worst_ms,
        );
        if missing + drops > 0 || report.failed > 0 {
            for fault in &report.faults {
                println!("      {fault}");
            }
            break;
        }
        held = calls;
    }
    println!("{held} calls without a loss");
    Ok(())
}
