//! Figures of the process itself, by the names that Prometheus' client libraries use.
//!
//! Source: proc(5), proc_pid_stat(5); Prometheus, "Writing client libraries", process metrics.

use std::time::Duration;

use crate::metrics::{self, ProcessFigures};
use crate::process_stat::{TICKS_PER_S, fields};

/// Interval between looks.
const INTERVAL: Duration = Duration::from_secs(5);

/// Open files of the process, and how many it may have.
pub fn open_files() -> Option<(u64, u64)> {
    // The size of the directory is the number, from Linux 6.2 on; before, it is 0.
    let counted = std::fs::metadata("/proc/self/fd").ok()?.len();
    let open = if counted > 0 { counted } else { std::fs::read_dir("/proc/self/fd").ok()?.count() as u64 };
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0;
    known.then_some((open, limit.rlim_cur))
}

/// Publishes the figures until dropped.
pub async fn publish() {
    // SAFETY: the call takes a plain value.
    let page_bytes = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096);
    let booted = std::fs::read_to_string("/proc/stat").ok().and_then(|text| booted_s(&text)).unwrap_or(0);
    loop {
        if let Some(figures) = std::fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| parse(&text, booted, page_bytes, open_files()))
        {
            metrics::process(&figures);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn booted_s(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn parse(stat: &str, booted_s: u64, page_bytes: u64, files: Option<(u64, u64)>) -> Option<ProcessFigures> {
    let fields = fields(stat)?;
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(ProcessFigures {
        cpu: Duration::from_millis((number(11)? + number(12)?) * 1_000 / TICKS_PER_S),
        threads: number(17)?,
        started_s: booted_s + number(19)? / TICKS_PER_S,
        virtual_bytes: number(20)?,
        resident_bytes: number(21)? * page_bytes,
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_whatever_the_program_is_called() {
        let line = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 1 0 1234 66 0 0 20 0 9 0 500 123456789 2500 18446744073709551615";
        let figures = parse(line, 1_700_000_000, 4_096, Some((30, 1_024))).unwrap();
        let expected = ProcessFigures {
            cpu: Duration::from_secs(13),
            threads: 9,
            started_s: 1_700_000_005,
            virtual_bytes: 123_456_789,
            resident_bytes: 2_500 * 4_096,
            files: Some((30, 1_024)),
        };
        assert_eq!(figures, expected);
        assert_eq!(booted_s("cpu  1 2\nbtime 1700000000\n"), Some(1_700_000_000));
    }

    #[test]
    fn open_files_are_counted() {
        let (before, most) = open_files().unwrap();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let (open, _) = open_files().unwrap();
        assert!(open + 40 > before && open >= 50 && open <= most, "{before} {open} {most}");
        drop(files);
    }
}
