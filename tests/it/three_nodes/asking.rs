//! What staff and citizens ask of nodes drawn at random: holds, erasures, links, searches, playing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::notes::{Told, line};
use super::site::NODES;
use super::talking::{Run, told};

/// What was served although it was promised that it would not be.
pub(super) type Broken = Arc<Mutex<Vec<String>>>;

/// Asks until it is told to stop.
pub(super) async fn ask_on(run: Run, stop: Arc<AtomicBool>, broken: Broken) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100 + run.notes.draw(400))).await;
        let Some((n, id)) = run.notes.any_recording() else { continue };
        match run.notes.draw(24) {
            0 | 1 => hold(&run, n, &id).await,
            2 => lift(&run, n, &id).await,
            3 => erase(&run, n, &id).await,
            4 => expire(&run, n, &id).await,
            5..9 => link(&run, n, &id).await,
            9..14 => search(&run, &broken).await,
            _ => play(&run, n, &id, &broken).await,
        }
    }
}

async fn hold(run: &Run, n: usize, id: &str) {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let body = json!({"until": until.to_string(), "reason": "case 17/2026"});
    let (node, answer) = run.ask_any("PUT", &format!("/api/v1/recordings/{id}/hold"), Some(body)).await;
    let said = format!("hold at node {}: {}", node + 1, line(&answer));
    run.notes.change(n, said, |note| note.hold = note.hold.max(told(&answer, &[200])));
}

async fn lift(run: &Run, n: usize, id: &str) {
    // Whatever the answer: from now on the hold may be gone.
    run.notes.change(n, "lifting".into(), |note| note.lifted = true);
    let (node, answer) = run.ask_any("DELETE", &format!("/api/v1/recordings/{id}/hold"), None).await;
    run.notes.change(n, format!("lift at node {}: {}", node + 1, line(&answer)), |_| {});
}

async fn erase(run: &Run, n: usize, id: &str) {
    let path = format!("/api/v1/recordings/{id}?reason=asked&request=2026-{n}");
    let (node, answer) = run.ask_any("DELETE", &path, None).await;
    let said = format!("erasure at node {}: {}", node + 1, line(&answer));
    run.notes.change(n, said, |note| note.erasure = note.erasure.max(told(&answer, &[200, 202])));
}

/// The recording's time is over since an hour, as the index says.
async fn expire(run: &Run, n: usize, id: &str) {
    let over = jiff::Timestamp::now().as_microsecond() - 3_600_000_000;
    let sql = format!(
        "UPDATE recordings SET expires_at_us = {over} WHERE id = '{id}' AND erased_at_us IS NULL RETURNING id"
    );
    let changed = run.site.try_rows(&sql).await;
    let done = changed.as_ref().is_ok_and(|rows| rows.iter().any(|row| row[0] == id));
    run.notes.change(n, format!("expires: {changed:?}"), |note| {
        note.expiry = note.expiry.max(match changed {
            Ok(_) if done => Told::Done,
            Ok(_) => Told::Nothing,
            Err(_) => Told::Unanswered,
        });
    });
}

/// A link is made at one node and opened at all of them at once.
async fn link(run: &Run, n: usize, id: &str) {
    let path = format!("/api/v1/recordings/{id}/links?purpose=caller_request");
    let (node, answer) = run.ask_any("POST", &path, Some(json!({}))).await;
    run.notes.change(n, format!("link at node {}: {}", node + 1, line(&answer)), |_| {});
    let Some((201, made)) = answer else { return };
    let token = made["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let (path, mut used) = (format!("/handout/{token}"), 0);
    for _ in 0..2 {
        let all = (0..NODES).map(|node| run.site.ask(node, "", "POST", &path, None));
        let answers = futures::future::join_all(all).await;
        used += answers.iter().filter(|answer| matches!(answer, Some((200, _)))).count() as u32;
    }
    run.notes.change(n, format!("link used {used} times"), |note| note.links.push((token, used)));
}

async fn search(run: &Run, broken: &Broken) {
    let gone: Vec<String> = {
        let calls = run.notes.lock();
        let gone = calls.values().filter(|note| note.erasure == Told::Done || note.no == Told::Done);
        gone.map(|note| note.id.clone()).filter(|id| !id.is_empty()).collect()
    };
    let (node, answer) =
        run.ask_any("GET", "/api/v1/recordings?purpose=administration&limit=500", None).await;
    let Some((200, found)) = answer else { return };
    let found = found.to_string();
    for id in gone.iter().filter(|id| found.contains(*id)) {
        broken.lock().unwrap().push(format!("node {} found {id}, which was erased before", node + 1));
    }
}

async fn play(run: &Run, n: usize, id: &str, broken: &Broken) {
    let is_gone = {
        let calls = run.notes.lock();
        calls[&n].erasure == Told::Done || calls[&n].no == Told::Done
    };
    let path = format!("/api/v1/recordings/{id}/audio?purpose=training");
    let (node, answer) = run.ask_any("GET", &path, None).await;
    if let Some((200, _)) = answer
        && is_gone
    {
        broken.lock().unwrap().push(format!("node {} served {id}, which was erased before", node + 1));
    }
    run.notes.change(n, format!("played at node {}: {}", node + 1, status(&answer)), |_| {});
}

fn status(answer: &Option<(u16, Value)>) -> String {
    answer.as_ref().map_or_else(|| "no answer".into(), |(status, _)| status.to_string())
}
