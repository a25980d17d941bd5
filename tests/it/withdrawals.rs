//! How long a withdrawal takes: figures, not assertions. Run with
//! `WITHDRAWALS=200 cargo test --test it -- figures_of_withdrawals --ignored --nocapture`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::conversation::Conversation;
use crate::phone::voice;
use crate::server::{Server, Settings};

fn figures(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{name}: {} withdrawals, median {:.0} ms, 95 % within {:.0} ms, longest {:.0} ms",
        times.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; a minute for 50"]
async fn figures_of_withdrawals() {
    let rounds: usize = std::env::var("WITHDRAWALS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((22_700, 22_740))).await;
    let keys = server.dir.join("data/spool/keys");
    let (mut stopped, mut unreadable, mut by_api) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut call = Conversation::admit(&server, "demo").await;
        call.press("1").await;
        call.speak(voice(81, 300), voice(82, 300)).await;
        let key = keys.join(format!("{}.key", call.id));
        assert!(key.exists());
        if round % 2 == 0 {
            call.press("*").await;
            // The key that completes the sequence; pressing it takes 120 ms, its first packet is at the front.
            let sent = Instant::now();
            let pressing = call.press("9");
            let watch = async {
                let path = format!("/api/v1/calls/{}", call_id(&key));
                let mut seen = None;
                loop {
                    if seen.is_none()
                        && server.ask("GET", &path, None).await.1["consent"] == json!("withdrawn")
                    {
                        seen = Some(sent.elapsed());
                    }
                    if let Some(seen) = seen.filter(|_| !key.exists()) {
                        return (seen, sent.elapsed());
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let ((seen, gone), ()) = tokio::join!(watch, pressing);
            stopped.push(seen);
            unreadable.push(gone);
        } else {
            let sent = Instant::now();
            let (status, _) = call.ask(&server, "withdraw", None).await;
            assert_eq!((status, key.exists()), (200, false), "unreadable before it was answered");
            by_api.push(sent.elapsed());
        }
        assert_eq!(call.end(&server).await, "withdrawn");
    }
    figures("by key, until capture has stopped and everyone sees it", stopped);
    figures("by key, until the spool's key is gone", unreadable);
    if !by_api.is_empty() {
        figures("by API, until both and the answer", by_api);
    }
}

fn call_id(key: &std::path::Path) -> String {
    key.file_stem().unwrap().to_string_lossy().into_owned()
}
