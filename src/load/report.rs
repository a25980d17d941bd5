//! The report of a load run, for people and as JSON with stable keys (`docs/design/performance.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::call::{ANSWER_MS, Answer, Checked, Played};
use super::lateness::Lateness;
use super::prove::SenderReport;
use super::recorder::Cost;
use super::sip::session::Met;
use optag_core::call::outcome::Outcome;

/// Maximum number of faults listed.
const NAMED: usize = 5;

/// The report of a load run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Calls requested.
    pub calls: usize,
    /// Calls played to the end.
    pub played: usize,
    /// Calls refused by the recorder or aborted.
    pub failed: usize,
    /// Median admission time. Units: ms.
    pub set_up_p50_ms: f64,
    /// 99th percentile of the admission time. Units: ms.
    pub set_up_p99_ms: f64,
    /// Packets sent, including duplicates.
    pub packets_sent: u64,
    /// Packets dropped on purpose.
    pub packets_withheld: u64,
    /// Packets accepted by the recorder.
    pub packets_received: u64,
    /// Packets missing at the recorder.
    pub packets_lost: u64,
    /// Packets received too late.
    pub packets_late: u64,
    /// Duplicate packets.
    pub packets_duplicate: u64,
    /// Packets refused.
    pub packets_refused: u64,
    /// Packets sent in calls with known counters that the recorder neither accepted nor refused.
    pub packets_unaccounted: u64,
    /// Lateness and cost of the sender.
    pub sender: SenderReport,
    /// Calls by outcome as reported by the recorder.
    pub outcomes: BTreeMap<String, usize>,
    /// Calls with audio whose reported outcome differs from the expected one, excluding departments that are
    /// not recorded.
    pub outcomes_unexpected: usize,
    /// Recordings compared with what was sent.
    pub verified: usize,
    /// Recordings that differ.
    pub mismatched: usize,
    /// Lowest correlation of a channel with its own stream.
    pub own_least: Option<f64>,
    /// Highest correlation with the other stream.
    pub other_most: Option<f64>,
    /// Largest offset of a 2 s window from where it was sent. Units: ms.
    pub off_most_ms: Option<f64>,
    /// Largest change of that offset within a call. Units: ms.
    pub axis_most_ms: Option<f64>,
    /// Frames marked as lost although nothing was lost in them.
    pub gaps_unexplained: usize,
    /// Losses of 60 ms or more without a marked frame.
    pub losses_unmarked: usize,
    /// Events of SIP signalling, if used.
    pub sip: Option<Met>,
    /// Resources used by the recorder, if known.
    pub recorder: Option<Cost>,
    /// Failed checks, in words.
    pub faults: Vec<String>,
    /// Seconds of recorded calls.
    #[serde(skip)]
    pub call_seconds: f64,
    /// Number of calls that must have a recording.
    #[serde(skip)]
    pub recorded: usize,
}

impl Report {
    /// Adds a completed call.
    pub fn add(&mut self, played: &Played) {
        self.played += 1;
        let datagrams: u64 = played.sent.iter().map(|sent| sent.datagrams).sum();
        self.packets_sent += datagrams;
        self.packets_withheld += played.sent.iter().map(|sent| sent.lost.len() as u64).sum::<u64>();
        if let Some(sip) = &mut self.sip {
            sip.add(played.met);
        }
        let answer = played.scenario.answer;
        let ended = played
            .view
            .as_ref()
            .map(|view| view.outcome.as_ref().map_or("open", |view| view.outcome.as_str()));
        let recorded = ended.map(|outcome| outcome.starts_with(Outcome::Recorded.name()));
        if recorded.unwrap_or(answer == Answer::Yes && played.scenario.media) {
            let answered = Duration::from_millis(ANSWER_MS);
            self.call_seconds += played.scenario.length.saturating_sub(answered).as_secs_f64();
            self.recorded += 1;
        }
        let not_selected = ended == Some(Outcome::NotSelected.name());
        let must_open = matches!(answer, Answer::Yes | Answer::Withdraw) && !not_selected;
        if !played.opened && must_open {
            self.fault(format!("call {}: the recorder never accepted the streams", played.number));
        }
        let (Some(view), Some(outcome)) = (&played.view, ended) else { return };
        let mut known = 0;
        for stream in &view.streams {
            let counts = &stream.counts;
            self.packets_received += counts.received;
            self.packets_lost += counts.lost;
            self.packets_late += counts.late;
            self.packets_duplicate += counts.duplicate;
            self.packets_refused += counts.refused;
            known += counts.received + counts.refused;
        }
        self.packets_unaccounted += datagrams.saturating_sub(known);
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let expected = answer.outcome().name();
        if played.scenario.media && outcome != expected && !not_selected {
            self.outcomes_unexpected += 1;
            self.fault(format!("call {}: ended as `{outcome}`, not as `{expected}`", played.number));
        }
    }

    /// Adds a call that failed.
    pub fn failed(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        if self.failed <= NAMED {
            self.faults.push(format!("{error:#}"));
        }
    }

    /// Adds a fault, up to a limit.
    fn fault(&mut self, fault: String) {
        if self.faults.len() < 4 * NAMED {
            self.faults.push(fault);
        }
    }

    /// Sets the admission times.
    pub fn set_up(&mut self, mut times: Vec<Duration>) {
        times.sort();
        let at = |share: f64| {
            times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
        };
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        (self.set_up_p50_ms, self.set_up_p99_ms) = (ms(at(0.50)), ms(at(0.99)));
    }

    /// Adds the result of verifying a call's recording.
    pub fn checked(&mut self, call: usize, checked: anyhow::Result<Checked>) {
        self.verified += 1;
        let fault = match checked {
            Ok(checked) => {
                for found in checked.matches {
                    let ms = |samples: i64| samples.abs() as f64 / 8.0;
                    widen(&mut self.own_least, found.own, f64::min);
                    widen(&mut self.other_most, found.other, f64::max);
                    widen(&mut self.off_most_ms, ms(found.off_samples), f64::max);
                    widen(&mut self.axis_most_ms, ms(found.axis_samples), f64::max);
                }
                for misfit in checked.misfits {
                    self.gaps_unexplained += misfit.unexplained;
                    self.losses_unmarked += misfit.unmarked;
                }
                if checked.is_good() {
                    return;
                }
                format!("call {call}: {checked:?}")
            }
            Err(error) => format!("call {call}: {error:#}"),
        };
        self.mismatched += 1;
        if self.mismatched <= NAMED {
            self.faults.push(fault);
        }
    }

    /// Sets the sender's statistics.
    pub fn sender(&mut self, lateness: &Lateness) {
        self.sender = SenderReport::from(lateness);
        if lateness.failed > 0 {
            self.faults.push(format!("the system rejected {} packets", lateness.failed));
        }
    }

    /// Whether everything is as expected: nothing lost except what was dropped on purpose.
    pub fn is_good(&self) -> bool {
        self.failed == 0
            && self.mismatched == 0
            && self.packets_lost <= self.packets_withheld
            && self.packets_unaccounted == 0
            && self.sip.is_none_or(|sip| sip.ended_by_server == 0)
            && self.faults.is_empty()
    }
}

fn widen(most: &mut Option<f64>, value: f64, pick: fn(f64, f64) -> f64) {
    *most = Some(most.map_or(value, |before| pick(before, value)));
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "calls      {} of {} played, {} failed", self.played, self.calls, self.failed)?;
        writeln!(f, "set-up     p50 {:.1} ms, p99 {:.1} ms", self.set_up_p50_ms, self.set_up_p99_ms)?;
        writeln!(
            f,
            "packets    {} sent, {} received, {} lost, {} late, {} refused",
            self.packets_sent,
            self.packets_received,
            self.packets_lost,
            self.packets_late,
            self.packets_refused
        )?;
        if self.packets_withheld + self.packets_duplicate + self.packets_unaccounted > 0 {
            writeln!(
                f,
                "           {} lost on purpose, {} twice, {} unaccounted for",
                self.packets_withheld, self.packets_duplicate, self.packets_unaccounted
            )?;
        }
        if self.packets_sent > 0 {
            let sender = &self.sender;
            writeln!(
                f,
                "sender     late p50 {:.2} ms, p99 {:.2} ms, worst {:.1} ms; {:.0} ns of processor time a packet",
                sender.late_p50_ms, sender.late_p99_ms, sender.late_worst_ms, sender.cpu_ns_per_packet
            )?;
        }
        if let Some(sip) = &self.sip {
            writeln!(
                f,
                "sip        {} requests sent again, {} re-INVITEs answered, {} of the server's, {} sessions ended by it",
                sip.repeated, sip.re_invites, sip.server_re_invites, sip.ended_by_server
            )?;
        }
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "outcomes   {}", outcomes.join(", "))?;
        writeln!(f, "verified   {} recordings, {} do not match", self.verified, self.mismatched)?;
        if let (Some(own), Some(other), Some(off)) = (self.own_least, self.other_most, self.off_most_ms) {
            writeln!(f, "           own leg ≥ {own:.3}, other leg ≤ {other:.3}, off by ≤ {off:.1} ms")?;
        }
        if let Some(cost) = &self.recorder {
            if cost.call_seconds > 0.0 {
                writeln!(
                    f,
                    "recorder   {:.2} ms of processor time a call-second",
                    cost.cpu_ms_per_call_second
                )?;
            }
            writeln!(
                f,
                "recorder   {:.2} s user, {:.2} s system, {} MiB at most, {} threads",
                cost.user_s,
                cost.system_s,
                cost.rss_peak_kib >> 10,
                cost.threads
            )?;
        }
        for fault in &self.faults {
            writeln!(f, "fault      {fault}")?;
        }
        Ok(())
    }
}
