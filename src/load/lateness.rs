//! Lateness and cost of a sender. In: each packet's due time when it is sent. Out: percentiles.

use std::time::{Duration, Instant};

use super::batch::Flushed;

/// Lateness that a receiver would notice.
const LATE: Duration = Duration::from_millis(10);
/// Resolution of the lateness. Units: µs.
const GRAIN_US: u64 = 50;
/// Number of resolution steps; beyond them only the maximum is known.
const GRAINS: usize = 400;

/// Lateness statistics.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// Packets sent.
    pub packets: u64,
    /// Packets sent more than 10 ms late.
    pub late: u64,
    /// Maximum lateness. Units: µs.
    pub worst_us: u64,
    /// Packets rejected by the system.
    pub failed: u64,
    /// Processor time of the sending threads, including kernel time. Units: ns.
    pub cpu_ns: u64,
    noted: u64,
    grains: [u32; GRAINS],
    /// Earliest due time of a packet in the unsent batch.
    first_due: Option<Instant>,
}

impl Default for Lateness {
    fn default() -> Self {
        Self {
            packets: 0,
            late: 0,
            worst_us: 0,
            failed: 0,
            cpu_ns: 0,
            noted: 0,
            grains: [0; GRAINS],
            first_due: None,
        }
    }
}

impl Lateness {
    /// Adds a packet with this due time to the next batch; returns its lateness. Units: µs.
    pub fn note(&mut self, due: Instant) -> u64 {
        let late = due.elapsed();
        let us = late.as_micros() as u64;
        self.late += u64::from(late > LATE);
        self.grains[((us / GRAIN_US) as usize).min(GRAINS - 1)] += 1;
        self.noted += 1;
        if self.first_due.is_none_or(|first| due < first) {
            self.first_due = Some(due);
        }
        us
    }

    /// The batch was sent.
    pub fn flushed(&mut self, flushed: Flushed) {
        self.packets += flushed.sent;
        self.failed += flushed.failed;
        if let Some(due) = self.first_due.take() {
            self.worst_us = self.worst_us.max(due.elapsed().as_micros() as u64);
        }
    }

    /// Adds another thread's statistics.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.late += other.late;
        self.failed += other.failed;
        self.cpu_ns += other.cpu_ns;
        self.noted += other.noted;
        self.worst_us = self.worst_us.max(other.worst_us);
        for (grain, more) in self.grains.iter_mut().zip(other.grains) {
            *grain += more;
        }
    }

    /// The lateness that this share of the packets does not exceed. Units: µs.
    pub fn percentile_us(&self, share: f64) -> u64 {
        let wanted = (self.noted as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (n, &grain) in (1..).zip(&self.grains) {
            seen += u64::from(grain);
            if seen >= wanted {
                return if n == GRAINS as u64 { self.worst_us } else { n * GRAIN_US };
            }
        }
        self.worst_us
    }

    /// Processor time per packet. Units: ns.
    pub fn cpu_ns_per_packet(&self) -> f64 {
        self.cpu_ns as f64 / (self.packets.max(1)) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_the_worst_come_out_of_what_was_noted() {
        let mut lateness = Lateness::default();
        let now = Instant::now();
        for _ in 0..99 {
            lateness.note(now);
        }
        lateness.note(now - Duration::from_millis(15));
        lateness.flushed(Flushed { sent: 100, failed: 0 });
        assert!(lateness.percentile_us(0.99) < lateness.percentile_us(1.0));
        assert!(lateness.percentile_us(1.0) >= 15_000 && lateness.worst_us >= 15_000);
        assert_eq!((lateness.late, lateness.packets), (1, 100));
    }
}
