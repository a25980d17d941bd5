//! System calls that fail in a test of this program's own: strace starts one ignored test of the running
//! binary in a process of its own and makes its n-th call of a kind fail.
//!
//! In: the name of that test and what fails. Out: whether it passed. It must do nothing where
//! [`under_fault`] says that it was not started so.

use std::process::Command;

/// Marks a process that was started here.
const MARK: &str = "OPTAG_UNDER_FAULT";

/// Whether this process was started by [`passes_under`], and for which fault.
pub fn under_fault() -> Option<String> {
    std::env::var(MARK).ok()
}

/// Runs the ignored test `name` under faults such as `fdatasync:error=EIO:when=2`; the counts are those of
/// the test's own thread. `None`: strace is not installed, or may not trace here.
pub fn passes_under(name: &str, faults: &[&str]) -> Option<bool> {
    let own = std::env::current_exe().ok()?;
    let mut strace = Command::new("strace");
    let kinds: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={}", kinds.join(","))]);
    for fault in faults {
        strace.args(["-e", &format!("inject={fault}")]);
    }
    strace.arg(own).args(["--exact", name, "--ignored", "--test-threads=2", "--nocapture"]);
    let output = strace.env(MARK, faults.join(" ")).output().ok()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !said.contains("running 1 test") {
        return None;
    }
    if !output.status.success() {
        println!("{name} under {faults:?}:\n{said}");
    }
    Some(output.status.success())
}

/// Holds that the ignored test `name` passes under each of the faults.
pub fn holds_under(name: &str, all: &[&[&str]]) {
    for faults in all {
        match passes_under(name, faults) {
            Some(passed) => assert!(passed, "{name} under {faults:?}"),
            None => println!("skipped: strace is not installed, or may not trace"),
        }
    }
}
