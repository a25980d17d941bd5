//! The disk of a running recorder fails for real: strace makes every n-th of its system calls
//! fail, in each thread, while people talk.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::chain::correlation;
use crate::conversation::Conversation;
use crate::phone::voice;
use crate::resume::channels;
use crate::server::{Server, Settings};

/// strace over a running process, until it is dropped.
struct Faults(Child);

impl Faults {
    /// `None`: strace is missing, or may not look at other processes here.
    fn start(pid: u32, call: &str, fault: &str) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()]);
        strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")]);
        let mut child = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            if !status.contains("TracerPid:\t0") {
                return Some(Self(child));
            }
        }
        None
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // SAFETY: the process is our own child and has not been waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGINT) };
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_05_calls_are_whole_though_system_calls_of_the_disk_fail() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((26_690, 26_790))).await;
    let faults = [
        ("fdatasync", "error=EIO:when=2+3"),
        ("pwrite64", "error=ENOSPC:when=3+5"),
        ("pwrite64", "error=EIO:when=2+2"),
        ("fsync", "error=EIO:when=1+2"),
        ("fallocate", "error=ENOSPC:when=1+2"),
        ("rename", "error=EIO:when=1+2"),
        ("unlink", "error=EIO:when=1+2"),
        ("openat", "error=EMFILE:when=3+4"),
    ];
    let mut failures = 0.0;
    for (call, fault) in faults {
        let mut talk = Conversation::admit(&server, "demo").await;
        let Some(tracer) = Faults::start(server.pid(), call, fault) else {
            println!("skipped: strace is not installed, or may not trace");
            return;
        };
        talk.press("1").await;
        let said = [voice(91, 3_000), voice(92, 3_000)];
        talk.speak(said[0].clone(), said[1].clone()).await;
        drop(tracer);
        let id = talk.id.clone();
        // While a fault lasts an end may not be durable, and is then said again.
        assert_eq!(talk.end(&server).await, "recorded", "{call} {fault}: {}", server.log());
        let recording = server.stored(&id).await;
        let gaps = recording["gaps"].as_array().unwrap().clone();
        assert!(!gaps.iter().any(|gap| gap["reason"] == "spool"), "{call} {fault}: {gaps:?}");
        for (heard, said) in channels(&server, &id).await.iter().zip(&said) {
            let part = &said[8_000..12_000];
            let likeness = (0..6_000)
                .step_by(2)
                .filter_map(|from| Some(correlation(heard.get(from + 5_000..from + 9_000)?, part, 0).0))
                .fold(0.0, f64::max);
            assert!(likeness > 0.6, "{call} {fault}: {likeness}");
        }
        failures = server.metric("optag_spool_failures_total", "").await;
    }
    assert!(failures >= 4.0, "the faults reached the spool: {failures}");
}
