//! What a load run found, for people and as JSON with stable keys (`docs/design/performance.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::call::{ANSWER_MS, Answer, Checked, Played};
use super::lateness::Lateness;
use super::prove::SenderReport;
use super::recorder::Cost;
use super::sip::session::Met;
use optag_core::call::outcome::Outcome;

/// Recordings that do not match are named up to so many.
const NAMED: usize = 5;

/// A load run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Calls asked for.
    pub calls: usize,
    /// Calls that were played to their end.
    pub played: usize,
    /// Calls that the recorder refused or lost sight of.
    pub failed: usize,
    /// Half of the admissions took no longer. Units: ms.
    pub set_up_p50_ms: f64,
    /// 99 of 100 admissions took no longer. Units: ms.
    pub set_up_p99_ms: f64,
    /// Packets that left, copies included.
    pub packets_sent: u64,
    /// Packets that the lines lost on purpose.
    pub packets_withheld: u64,
    /// Packets that the recorder accepted.
    pub packets_received: u64,
    /// Packets that it misses.
    pub packets_lost: u64,
    /// Packets that came after their time.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicate: u64,
    /// Packets that it refused.
    pub packets_refused: u64,
    /// Packets sent to calls whose counters are known that the recorder neither accepted nor
    /// refused.
    pub packets_unaccounted: u64,
    /// How well the sender kept its schedule.
    pub sender: SenderReport,
    /// Calls by how the recorder says that they ended.
    pub outcomes: BTreeMap<String, usize>,
    /// Calls with audio that the recorder says to have ended otherwise than they were played, a
    /// department that is not selected left out.
    pub outcomes_unexpected: usize,
    /// Recordings compared with what was sent.
    pub verified: usize,
    /// Of those, the ones that do not match.
    pub mismatched: usize,
    /// Least correlation of a compared channel with its own leg.
    pub own_least: Option<f64>,
    /// Largest correlation with the other leg.
    pub other_most: Option<f64>,
    /// Farthest that a 2 s window lay from where it was sent. Units: ms.
    pub off_most_ms: Option<f64>,
    /// Largest change of that distance within a call. Units: ms.
    pub axis_most_ms: Option<f64>,
    /// Frames marked as lost in which nothing was.
    pub gaps_unexplained: usize,
    /// Losses of 60 ms or more without a marked frame.
    pub losses_unmarked: usize,
    /// What SIP signalling met, where calls came by it.
    pub sip: Option<Met>,
    /// What the recorder used, where it is known.
    pub recorder: Option<Cost>,
    /// What is not as it must be, in words.
    pub faults: Vec<String>,
    /// Seconds of recorded calls.
    #[serde(skip)]
    pub call_seconds: f64,
    /// Calls of which there must be a recording.
    #[serde(skip)]
    pub recorded: usize,
}

impl Report {
    /// Counts a played call.
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
            self.fault(format!("call {}: the recorder never took the streams", played.number));
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

    /// A call that could not be played.
    pub fn failed(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        if self.failed <= NAMED {
            self.faults.push(format!("{error:#}"));
        }
    }

    /// Names a fault, unless there are many.
    fn fault(&mut self, fault: String) {
        if self.faults.len() < 4 * NAMED {
            self.faults.push(fault);
        }
    }

    /// Takes how long the admissions took.
    pub fn set_up(&mut self, mut times: Vec<Duration>) {
        times.sort();
        let at = |share: f64| {
            times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
        };
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        (self.set_up_p50_ms, self.set_up_p99_ms) = (ms(at(0.50)), ms(at(0.99)));
    }

    /// Takes what the check of a call's recording found.
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

    /// Takes how well the sender kept its schedule.
    pub fn sender(&mut self, lateness: &Lateness) {
        self.sender = SenderReport::from(lateness);
        if lateness.failed > 0 {
            self.faults.push(format!("the system did not take {} packets", lateness.failed));
        }
    }

    /// Whether all is as it must be: nothing lost but what the lines lost.
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
