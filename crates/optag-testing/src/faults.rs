//! System calls that fail in a test of the running binary: strace starts that test once more in a process
//! of its own and makes its n-th call of a kind fail.
//!
//! In: the test's name, what fails, what must hold then. Out: whether it did.

use std::process::Command;

/// Marks a process that was started here.
const MARK: &str = "OPTAG_UNDER_FAULT";

/// Holds `body` under each of the faults, some of the form `fdatasync:error=EIO:when=2` at a time; it is
/// given them as one text. Counts are those of a thread. Where strace is not installed or may not trace,
/// the test is skipped.
///
/// Panics: `body` does under one of them, or there is no test `name`.
pub fn holds_under(name: &str, all: &[&[&str]], body: impl FnOnce(&str)) {
    if let Ok(fault) = std::env::var(MARK) {
        return body(&fault);
    }
    for faults in all {
        match passes(name, faults) {
            Some(passed) => assert!(passed, "{name} under {faults:?}"),
            None => println!("skipped: strace is not installed, or may not trace"),
        }
    }
}

fn passes(name: &str, faults: &[&str]) -> Option<bool> {
    let own = std::env::current_exe().ok()?;
    let mut strace = Command::new("strace");
    let kinds: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={}", kinds.join(","))]);
    for fault in faults {
        strace.args(["-e", &format!("inject={fault}")]);
    }
    // Two threads, so that the test has one of its own.
    strace.arg(own).args(["--exact", name, "--test-threads=2", "--nocapture"]);
    let output = strace.env(MARK, faults.join(" ")).output().ok()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("running 0 tests"), "there is no test {name}");
    if !said.contains("running 1 test") {
        return None;
    }
    if !output.status.success() {
        println!("{name} under {faults:?}:\n{said}");
    }
    Some(output.status.success())
}
