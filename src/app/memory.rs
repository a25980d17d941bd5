//! How much memory the process may still take.
//!
//! Out: the smaller of what the machine and the control group have left. Source: proc_meminfo(5); Linux,
//! "Control Group v2", memory interface files.

use std::path::Path;

/// Memory left to the process; `None` where the system does not say. Units: bytes.
pub fn available_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    let group = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        of_group(&Path::new("/sys/fs/cgroup").join(path))
    });
    machine.into_iter().chain(group).min()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Cached files count as free: the kernel drops them first.
fn of_group(dir: &Path) -> Option<u64> {
    let read = |name| std::fs::read_to_string(dir.join(name)).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let cached = cached.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_machine_and_control_group_have_left_is_read_from_what_the_kernel_writes() {
        let meminfo = "MemTotal:       24694780 kB\nMemFree:         1000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(of_machine(meminfo), Some(22_000_000 << 10));
        assert_eq!(of_machine("MemTotal: 1 kB\n"), None);
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "5000\n");
        assert_eq!(of_group(dir.path()), None, "no limit");
        write("memory.max", "8000\n");
        assert_eq!(of_group(dir.path()), Some(3_000));
        write("memory.stat", "anon 3500\ninactive_file 1500\nfile 1500\n");
        assert_eq!(of_group(dir.path()), Some(4_500));
        write("memory.current", "20000\n");
        assert_eq!(of_group(dir.path()), Some(0));
        assert!(available_bytes().is_some());
    }
}
