//! Where secrets lie, by what the system says of this process.

use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// Length of what is looked for. Units: bytes.
const LENGTH: usize = 32;

/// Mapped memory as proc_pid_smaps(5) lists it: range, first line, `VmFlags`.
pub fn mappings() -> Vec<(std::ops::Range<usize>, String, Vec<String>)> {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        let bound = |text| usize::from_str_radix(text, 16).ok();
        if let Some((from, to)) = first.split_once('-')
            && let (Some(from), Some(to)) = (bound(from), bound(to))
        {
            found.push((from..to, line.to_owned(), Vec::new()));
        }
        if let (Some(flags), Some(last)) = (line.strip_prefix("VmFlags:"), found.last_mut()) {
            last.2 = flags.split_whitespace().map(str::to_owned).collect();
        }
    }
    found
}

/// The page at an address is locked, not dumped, and zeros in a child.
pub fn assert_protected(at: usize) {
    let (_, line, flags) = mappings().into_iter().find(|(range, ..)| range.contains(&at)).unwrap();
    for wanted in ["lo", "dd", "wf"] {
        assert!(flags.iter().any(|flag| flag == wanted), "no `{wanted}` among {flags:?} of {line}");
    }
}

/// Whether the calling test has a process to itself. Where not, it is run in one, and its result is
/// this test's: beside hundreds of others' threads a search of all memory takes minutes.
pub fn has_a_process_to_itself(test: &str) -> bool {
    const ALONE: &str = "OPTAG_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    let status = program.args(["--exact", test, "--nocapture"]).env(ALONE, "1").status().unwrap();
    assert!(status.success(), "{test} failed in a process of its own");
    false
}

/// Every place in writable memory, stacks aside, that holds 32 bytes whose complement this is.
pub fn copies(complement: &[u8; LENGTH]) -> Vec<usize> {
    const STEP: usize = 1 << 20;
    /// One search at a time: another's buffer holds what it has just read.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut looked_at = vec![0; STEP + LENGTH];
    let own = looked_at.as_ptr().addr()..looked_at.as_ptr().addr() + looked_at.len();
    let mut found = Vec::new();
    let here = (&raw const own).addr();
    for (range, line, _) in mappings() {
        let writable = line.split(' ').nth(1).is_some_and(|access| access.starts_with("rw"));
        if !writable || range.contains(&here) || line.ends_with("[stack]") {
            continue;
        }
        for from in range.clone().step_by(STEP) {
            let wanted = looked_at.len().min(range.end - from);
            // What another test has given back meanwhile.
            let Ok(length) = memory.read_at(&mut looked_at[..wanted], from as u64) else { continue };
            for (offset, window) in looked_at[..length].windows(LENGTH).enumerate() {
                if window[0] == !complement[0]
                    && window.iter().zip(complement).all(|(byte, other)| *byte == !other)
                    && !own.contains(&(from + offset))
                {
                    found.push(from + offset);
                }
            }
        }
    }
    looked_at.fill(0);
    std::hint::black_box(&looked_at);
    found.sort_unstable();
    found.dedup();
    found
}
