//! Calls beyond what the engine can encode: kept as they came, played from the spool, encoded later.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chain::correlation;
use crate::conversation::{Conversation, wav_channels};
use crate::phone::voice;
use crate::server::{PATIENCE, Server, Settings, call_request};

/// The engine believes that it has this load.
fn loaded(ports: (u16, u16), load: &str) -> Settings {
    Settings { env: vec![("INJECT_LOAD".into(), load.into())], ..Settings::with_ports(ports) }
}

/// Waits until the engine has gone down to its lowest complexity, and new calls spill.
async fn until_it_spills(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let call = Conversation::admit(server, "demo").await;
        call.end(server).await;
        // Metrics are published each second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        if server.metric("optag_calls_spilled_total", "").await > 0.0 {
            return;
        }
        assert!(Instant::now() < deadline, "nothing spills:\n{}", server.log());
    }
}

async fn wav(server: &Server, id: &str) -> Vec<Vec<i16>> {
    wav_channels(&server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await)
}

async fn opus(server: &Server, id: &str) -> Vec<u8> {
    server.bytes(&format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training")).await
}

fn gaps(recording: &Value, reason: &str) -> u64 {
    let gaps = recording["gaps"].as_array().unwrap().iter();
    gaps.filter(|gap| gap["reason"] == reason && gap["stream"] == 0)
        .map(|gap| gap["to_frame"].as_u64().unwrap() - gap["from_frame"].as_u64().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_03_a_spilled_call_survives_kill_9_is_played_at_once_and_encoded_when_there_is_time() {
    let dir = tempfile::tempdir().unwrap();
    let busy = loaded((27_000, 27_040), "0.8");
    let server = Server::start(dir.path(), &busy).await;
    until_it_spills(&server).await;
    let mut call = Conversation::admit(&server, "demo").await;
    call.press("1").await;
    let (caller, employee) = (voice(61, 8_000), voice(62, 8_000));
    call.speak(caller[..24_000].to_vec(), employee[..24_000].to_vec()).await;
    // Killed in mid-call: the next process goes on with it, packed as it was.
    server.kill();
    let server = Server::start(dir.path(), &busy).await;
    assert_eq!(server.metric("optag_calls_resumed_total", "").await, 1.0);
    call.speak(caller[24_000..].to_vec(), employee[24_000..].to_vec()).await;
    let id = call.id.clone();
    assert_eq!(call.end(&server).await, "recorded");
    let waiting = server.recording(&id).await;
    assert_eq!((&waiting["state"], &waiting["object"]), (&json!("spooled"), &Value::Null), "{waiting}");
    assert!(gaps(&waiting, "restart") > 0 && gaps(&waiting, "spool") == 0, "{waiting}");
    server.metric_reaches("optag_backlog_seconds", 12.0).await;
    assert!(server.metric("optag_backlog_bytes", "").await > 10_000.0);
    let (raw, file) = (wav(&server, &id).await, opus(&server, &id).await);
    // What was heard is there without loss: a second of it, wherever it lies.
    let heard = &raw[0][8_000..16_000];
    let (alike, _) = correlation(&caller[..24_000], heard, 16_000);
    assert!(alike > 0.999, "{alike}");
    // A part of a file is a part of the whole.
    assert_eq!(server.recordings().await, 0, "it is listed once it is stored");

    // Killed again, and once more when the encoding has hardly begun.
    server.kill();
    let idle = Settings::with_ports((27_000, 27_040));
    Server::start(dir.path(), &idle).await.kill();
    let server = Server::start(dir.path(), &idle).await;
    let stored = server.stored(&id).await;
    assert_eq!(stored["state"], json!("stored"));
    for what in ["duration_ms", "gaps", "consent", "counts", "verdicts"] {
        assert_eq!(stored[what], waiting[what], "{what}");
    }
    assert_eq!(opus(&server, &id).await, file, "the same file as before");
    let coded = wav(&server, &id).await;
    for (coded, raw) in coded.iter().zip(&raw) {
        assert_eq!(coded.len(), raw.len());
        let (alike, off) = correlation(coded, raw, 80);
        assert!(alike > 0.8 && off.abs() <= 8, "{alike} at {off}");
    }
    server.metric_reaches("optag_stored_objects_total", 1.0).await;
    assert_eq!(server.recordings().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_06_a_call_in_progress_gives_way_under_load_and_all_of_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let idle = Settings::with_ports((27_200, 27_240));
    let server = Server::start(dir.path(), &idle).await;
    let mut call = Conversation::admit(&server, "demo").await;
    call.press("1").await;
    let (caller, employee) = (voice(81, 8_000), voice(82, 8_000));
    call.speak(caller[..24_000].to_vec(), employee[..24_000].to_vec()).await;
    // It was encoded at once until now, and goes on under load.
    server.kill();
    let server = Server::start(dir.path(), &loaded((27_200, 27_240), "0.8")).await;
    until_it_spills(&server).await;
    call.speak(caller[24_000..].to_vec(), employee[24_000..].to_vec()).await;
    let id = call.id.clone();
    assert_eq!(call.end(&server).await, "recorded");
    let waiting = server.recording(&id).await;
    assert_eq!(waiting["state"], json!("spooled"), "its end waits to be encoded: {waiting}");
    let raw = wav(&server, &id).await;
    server.kill();
    let server = Server::start(dir.path(), &idle).await;
    let stored = server.stored(&id).await;
    for what in ["duration_ms", "gaps", "consent", "counts", "verdicts"] {
        assert_eq!(stored[what], waiting[what], "{what}");
    }
    let coded = wav(&server, &id).await;
    for (said, (coded, raw)) in [&caller, &employee].into_iter().zip(coded.iter().zip(&raw)) {
        assert_eq!(coded.len(), raw.len());
        let (alike, off) = correlation(coded, raw, 80);
        assert!(alike > 0.8 && off.abs() <= 8, "{alike} at {off}");
        // What was said before it gave way, and after.
        let end = raw.len() - 12_000;
        for (said, kept) in
            [(&said[..24_000], &raw[8_000..12_000]), (&said[24_000..], &raw[end..end + 4_000])]
        {
            let (alike, _) = correlation(said, kept, said.len() as i64);
            assert!(alike > 0.8, "{alike}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_withdrawal_ends_a_spilled_call_and_what_waits_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &loaded((27_050, 27_090), "0.8")).await;
    until_it_spills(&server).await;
    let key = |id: &str| server.dir.join(format!("data/spool/keys/{id}.key"));
    // By key, in mid-call.
    let mut call = Conversation::admit(&server, "demo").await;
    call.press("1").await;
    call.speak(voice(71, 600), voice(72, 600)).await;
    assert!(key(&call.id).exists());
    call.press("*9").await;
    let deadline = Instant::now() + PATIENCE;
    while key(&call.id).exists() {
        assert!(Instant::now() < deadline, "its key is there still");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let id = call.id.clone();
    assert_eq!(call.end(&server).await, "withdrawn");
    let path = format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training");
    assert!([404, 410].contains(&server.ask("GET", &path, None).await.0));
    // Erased while it waits to be encoded.
    let mut call = Conversation::admit(&server, "demo").await;
    call.press("1").await;
    call.speak(voice(73, 600), voice(74, 600)).await;
    let id = call.id.clone();
    assert_eq!(call.end(&server).await, "recorded");
    assert_eq!(server.recording(&id).await["state"], json!("spooled"));
    let erase = format!("/api/v1/recordings/{id}?reason=asked");
    let (status, receipt) = server.ask("DELETE", &erase, None).await;
    assert!(status < 300, "{status} {receipt}");
    assert!(!key(&id).exists());
    let path = format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training");
    assert_eq!(server.ask("GET", &path, None).await.0, 410);
    assert_eq!(server.recordings().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_spill_before_they_are_refused_and_never_where_the_owner_does_not_want_it() {
    for (n, load, spill, status, spilled) in
        [(0, "0.8", "never", 201, false), (1, "0.9", "never", 503, false), (2, "0.9", "auto", 503, false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = loaded((27_100 + n * 30, 27_120 + n * 30), load);
        settings.env.push(("OPTAG_ENGINE_SPILL".into(), spill.into()));
        let server = Server::start(dir.path(), &settings).await;
        let deadline = Instant::now() + PATIENCE;
        // The lowest complexity first.
        while server.metric("optag_encoder_complexity", "").await > 3.0 {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (answered, view) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcma"))).await;
        assert_eq!(answered, status, "{load}, {spill}: {view}");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(server.metric("optag_calls_spilled_total", "").await > 0.0, spilled);
    }
}
