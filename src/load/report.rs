//! What a load run found, for people and as JSON with stable keys.

use std::time::Duration;

use serde::Serialize;

use super::call::Played;
use super::sender::Lateness;

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
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that the recorder accepted.
    pub packets_received: u64,
    /// Packets that it misses.
    pub packets_lost: u64,
    /// Packets that came after their time.
    pub packets_late: u64,
    /// Packets that it refused.
    pub packets_refused: u64,
    /// Packets that left the sender more than 10 ms late.
    pub sender_late: u64,
    /// The sender's worst lateness. Units: ms.
    pub sender_worst_ms: f64,
    /// Calls by how the recorder says that they ended.
    pub outcomes: std::collections::BTreeMap<String, usize>,
    /// Recordings compared with what was sent.
    pub verified: usize,
    /// Of those, the ones that do not match.
    pub mismatched: usize,
    /// What is not as it must be, in words.
    pub faults: Vec<String>,
}

impl Report {
    /// Counts a played call.
    pub fn add(&mut self, played: &Played) {
        self.played += 1;
        self.packets_sent += played.sent.iter().map(|sent| sent.packets).sum::<u64>();
        for stream in &played.view.streams {
            self.packets_received += stream.counts.received;
            self.packets_lost += stream.counts.lost;
            self.packets_late += stream.counts.late;
            self.packets_refused += stream.counts.refused;
        }
        let outcome = played.view.outcome.as_ref().map_or("open", |view| view.outcome.as_str());
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
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

    /// Takes how well the sender kept its schedule.
    pub fn sender(&mut self, lateness: Lateness) {
        self.sender_late = lateness.late;
        self.sender_worst_ms = lateness.worst_us as f64 / 1e3;
        if lateness.failed > 0 {
            self.faults.push(format!("the system did not take {} packets", lateness.failed));
        }
    }

    /// Whether all is as it must be.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.mismatched == 0 && self.packets_lost == 0 && self.faults.is_empty()
    }
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
        writeln!(f, "sender     {} packets late, worst {:.1} ms", self.sender_late, self.sender_worst_ms)?;
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "outcomes   {}", outcomes.join(", "))?;
        writeln!(f, "verified   {} recordings, {} do not match", self.verified, self.mismatched)?;
        for fault in &self.faults {
            writeln!(f, "fault      {fault}")?;
        }
        Ok(())
    }
}
