//! Resources used by a process, from Linux. In: a process id. Out: processor time, memory, threads.
//!
//! Source: proc(5), `/proc/PID/stat` and `/proc/PID/status`.

use anyhow::Context;

use crate::process_stat::{TICKS_PER_S, fields};

/// Resources used by a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User time. Units: s.
    pub user_s: f64,
    /// System time. Units: s.
    pub system_s: f64,
    /// Resident memory. Units: KiB.
    pub rss_kib: u64,
    /// Peak resident memory. Units: KiB.
    pub rss_peak_kib: u64,
    /// Number of threads.
    pub threads: u64,
}

impl Usage {
    /// Reads the figures.
    ///
    /// Errors: there is no such process, or it belongs to another user.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        Self::parse(&read("stat")?, &read("status")?).context("cannot parse the process figures in /proc")
    }

    /// Total processor time. Units: s.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        let fields = fields(stat)?;
        let seconds = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / TICKS_PER_S as f64);
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            user_s: seconds(11)?,
            system_s: seconds(12)?,
            rss_kib: number("VmRSS:")?,
            rss_peak_kib: number("VmHWM:")?,
            threads: number("Threads:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 1250 340 0 0 20 0 5 0 100 200 300";
        let status = "Name:\ta\nVmHWM:\t    9000 kB\nVmRSS:\t    8000 kB\nThreads:\t5\n";
        let usage = Usage::parse(stat, status).unwrap();
        assert_eq!((usage.user_s, usage.system_s), (12.5, 3.4));
        assert_eq!((usage.rss_kib, usage.rss_peak_kib, usage.threads), (8_000, 9_000, 5));
        assert!(Usage::parse("nonsense", status).is_none());
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_kib > 100 && usage.threads >= 1, "{usage:?}");
    }
}
