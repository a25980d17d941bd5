//! Where secrets lie, by what the system says of this process.

use std::os::unix::fs::FileExt;

use super::*;

/// Mapped memory as proc_pid_smaps(5) lists it: range, first line, `VmFlags`.
fn mappings() -> Vec<(std::ops::Range<usize>, String, Vec<String>)> {
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
pub fn copies(complement: &[u8; SECRET_BYTES]) -> Vec<usize> {
    const STEP: usize = 1 << 20;
    /// One search at a time: another's buffer holds what it has just read.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut looked_at = vec![0; STEP + SECRET_BYTES];
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
            for (offset, window) in looked_at[..length].windows(SECRET_BYTES).enumerate() {
                if window[0] == !complement[0]
                    && window.iter().zip(complement).all(|(byte, other)| *byte == !other)
                    && !own.contains(&(from + offset))
                {
                    found.push(from + offset);
                }
            }
        }
    }
    looked_at.zeroize();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn secrets_lie_in_pages_that_are_locked_and_not_dumped_each_in_its_own_slot() {
    let many: Vec<Secret> = (0..1_200).map(|n: u32| Secret::copy_of(&[n as u8; 32])).collect();
    for (n, one) in many.iter().enumerate() {
        assert_eq!(**one, [n as u8; 32]);
    }
    for one in [&many[0], &many[600], &many[1_199]] {
        assert_protected(one.address());
    }
    assert!(usage().total >= 1_200 * SECRET_BYTES && usage().unprotected == 0, "{:?}", usage());
}

#[test]
fn a_dropped_secret_is_zeros_in_the_page_that_is_still_mapped() {
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    let mut secret = Secret::within(pool);
    secret.fill(0xa7);
    let place = secret.slot.as_ptr();
    // SAFETY: chunks stay mapped, and nobody else takes slots of this pool.
    assert_eq!(unsafe { place.read_volatile() }, [0xa7; 32]);
    drop(secret);
    // SAFETY: as above.
    assert_eq!(unsafe { place.read_volatile() }, [0; 32]);
    assert_eq!(*Secret::within(pool), [0; 32]);
    assert_eq!(pool.slots().usage.total, CHUNK_BYTES, "freed slots are used again");
}

#[cfg(feature = "server")]
/// In a process of its own, as the limit is the process's.
#[test]
fn where_no_memory_may_be_locked_keys_work_and_the_shortfall_is_counted() {
    const NAME: &str =
        "base::locked::tests::where_no_memory_may_be_locked_keys_work_and_the_shortfall_is_counted";
    const MARK: &str = "OPTAG_TEST_NO_LOCKED_MEMORY";
    if std::env::var_os(MARK).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", NAME]).env(MARK, "1").status().unwrap();
        return assert!(ended.success());
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call takes a pointer to a local.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) }, 0);
    caps::clear(None, caps::CapSet::Effective).unwrap();
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    let mut secret = Secret::within(pool);
    secret.fill(3);
    assert_eq!(*secret, [3; 32]);
    assert_eq!(pool.slots().usage, Usage { total: CHUNK_BYTES, unprotected: CHUNK_BYTES });
    let at = secret.address();
    let (_, _, flags) = mappings().into_iter().find(|(range, ..)| range.contains(&at)).unwrap();
    let has = |wanted: &str| flags.iter().any(|flag| flag == wanted);
    assert!(has("dd") && has("wf") && !has("lo"), "{flags:?}");
}

#[cfg(feature = "server")]
/// In a process of its own, for the same reason.
#[test]
fn a_soft_limit_is_raised_to_the_hard_one_before_keys_go_unlocked() {
    const NAME: &str = "base::locked::tests::a_soft_limit_is_raised_to_the_hard_one_before_keys_go_unlocked";
    const MARK: &str = "OPTAG_TEST_SOFT_LIMIT";
    if std::env::var_os(MARK).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", NAME]).env(MARK, "1").status().unwrap();
        return assert!(ended.success());
    }
    let small = libc::rlimit { rlim_cur: 0, rlim_max: 1 << 20 };
    // SAFETY: the call takes a pointer to a local.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &small) }, 0);
    caps::clear(None, caps::CapSet::Effective).unwrap();
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    assert_protected(Secret::within(pool).address());
    assert_eq!(pool.slots().usage.unprotected, 0);
}
