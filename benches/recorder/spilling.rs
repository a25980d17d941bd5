//! More calls than can be encoded while they last: how many lose nothing, and how long their encoding takes after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use optag::load::recorder::Watch;
use optag::load::run::play_all;

use super::trial::{Talk, Trial};

/// New calls a second.
const RATE_PER_S: f64 = 100.0;
/// Maximum time for the rest to be encoded, as `engine.spill_within_h` has it.
const WITHIN: Duration = Duration::from_secs(12 * 3_600);

/// Conversations from complexity 10 down to spilling, all up at once for the given time; then the time until all of
/// them are stored as Opus.
pub(crate) async fn spill(words: &[&str]) -> anyhow::Result<()> {
    let mut numbers = words.iter().map(|word| word.parse::<u32>());
    let calls = numbers.next().transpose().context("the number of calls")?.unwrap_or(1_500) as usize;
    let seconds = numbers.next().transpose().context("seconds")?.unwrap_or(120);
    let trial = Trial {
        rate_per_s: RATE_PER_S,
        complexity: 10,
        adaptive: true,
        spills: true,
        ..Trial::of(calls, seconds.into(), Talk::Conversation)
    };
    println!("{calls} two-leg conversations, all up for {seconds} s, sender on the same machine");
    let recorder = trial.start_recorder()?;
    let stage = Arc::new(trial.stage(&recorder)?);
    stage.coded(trial.plan().format)?;
    let watch = Watch::begin(recorder.pid(), Some(recorder.metrics.clone())).await?;
    let (_, report) = play_all(&trial.plan(), &stage).await;
    let ended = Instant::now();
    let during = watch.end(report.call_seconds).await?;
    let spilled = watch.increase("optag_calls_spilled_total").await?.unwrap_or(0.0);
    let waiting = watch.increase("optag_backlog_seconds").await?.unwrap_or(0.0);
    let bytes = watch.increase("optag_backlog_bytes").await?.unwrap_or(0.0);
    println!(
        "lost {}, not accounted for {}, dropped by the kernel {}, refused or failed {}, spilled {spilled:.0}",
        report.packets_lost,
        report.packets_unaccounted,
        during.kernel_drops.unwrap_or(0),
        report.failed,
    );
    println!(
        "{:.2} ms of processor time a call-second, {} MiB resident at most, sender late p99 {:.1} ms, worst {:.1}",
        during.cpu_ms_per_call_second,
        during.rss_peak_kib / 1024,
        report.sender.late_p99_ms,
        report.sender.late_worst_ms,
    );
    println!(
        "waiting when the last call ended: {waiting:.0} s of audio in {:.0} MiB, {:.0} bytes a second",
        bytes / 1048576.0,
        bytes / waiting.max(1.0)
    );
    for fault in &report.faults {
        println!("      {fault}");
    }
    watch.stored(report.recorded, WITHIN).await?;
    let after = ended.elapsed();
    let all = watch.end(report.call_seconds).await?;
    println!(
        "all {} stored as Opus {:.0} s after that: {:.1} s of audio a second, {:.2} ms of processor time a call-second in all",
        report.recorded,
        after.as_secs_f64(),
        waiting / after.as_secs_f64().max(1e-3),
        all.cpu_ms_per_call_second
    );
    anyhow::ensure!(report.is_good(), "the run was not clean:\n{report}");
    Ok(())
}
