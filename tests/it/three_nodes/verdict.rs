//! After a run: everything settles, and what is left is what everybody was told, at each node, in the store and in the
//! index, also after all nodes were restarted once more.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use super::faults::Servers;
use super::notes::{Note, Told};
use super::site::{NODES, Site, apart};
use super::talking::Run;
use crate::server::{Server, files_below};

/// How long everything may take to settle: calls of which nobody heard the end, claims of dead nodes.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

/// Heard for so long after the yes, a call is a recording whatever happened before and after.
const HEARD: Duration = Duration::from_millis(2_500);

/// Panics where a promise is broken. `broken`: what was seen during the run.
pub(super) async fn of(run: &Run, servers: &Servers, mut broken: Vec<String>) {
    let site = &run.site;
    let mut all = Vec::new();
    for server in servers.iter() {
        all.push(server.lock().await.take().expect("all were started again"));
    }
    settle(run, &all).await;
    broken.extend(promises(run).await);
    for server in &all {
        let returned = server.metric("optag_erased_returned_total", "").await;
        if returned > 0.0 {
            broken.push(format!("{returned} erased recordings came back at {}", server.api));
        }
    }
    for node in 0..NODES {
        broken.extend(optag(site, node, &["audit", "verify"]).err());
    }
    for server in all {
        let ended = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap();
        if !ended.success() {
            broken.push(format!("a node ended with {ended}"));
        }
    }
    for node in 0..NODES {
        broken.extend(optag(site, node, &["check"]).err());
    }
    // After another start, nothing is different.
    let all = site.start_all().await;
    settle(run, &all).await;
    broken.extend(promises(run).await.into_iter().map(|line| format!("after a restart: {line}")));
    report(run);
    if !broken.is_empty() {
        let concerned = broken.iter().flat_map(|line| about(run, line)).collect::<BTreeSet<_>>();
        let concerned = concerned.into_iter().collect::<Vec<_>>().join("\n");
        panic!("{}\n{concerned}", broken.join("\n"));
    }
}

fn report(run: &Run) {
    let calls = run.notes.lock();
    let count = |is: &dyn Fn(&Note) -> bool| calls.values().filter(|note| is(note)).count();
    println!(
        "{} of {} calls taken, {} must be there; acknowledged: {} yes, {} no, {} erasures, {} holds; {} expired, {} links",
        count(&|note| !note.id.is_empty()),
        calls.len(),
        count(&|note| must_be_there(run, note)),
        count(&|note| note.yes.is_some()),
        count(&|note| note.no == Told::Done),
        count(&|note| note.erasure == Told::Done),
        count(&|note| note.hold == Told::Done),
        count(&|note| note.expiry == Told::Done),
        calls.values().map(|note| note.links.len()).sum::<usize>(),
    );
}

/// What is known of the calls that a line names.
fn about(run: &Run, line: &str) -> Vec<String> {
    let calls = run.notes.lock();
    let named = calls.iter().filter(|(_, note)| !note.id.is_empty() && line.contains(&note.id));
    let logs = run.site.logs();
    named
        .map(|(n, note)| {
            let logged: Vec<&str> = logs.lines().filter(|line| line.contains(&note.id)).collect();
            format!("== call {n} {}\n{}\n{}", note.id, note.history.join("\n"), logged.join("\n"))
        })
        .collect()
}

/// Waits until nothing is left to do.
async fn settle(run: &Run, servers: &[Server]) {
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let mut left = Vec::new();
        for (node, server) in servers.iter().enumerate() {
            for (name, labels, wanted) in [
                ("optag_nodes", "ready", NODES as f64),
                ("optag_registry_up", "", 1.0),
                ("optag_calls", "", 0.0),
                ("optag_erasures_pending", "", 0.0),
                ("optag_clock_trusted", "", 1.0),
                ("optag_store_up", "", 1.0),
            ] {
                let found = server.metric(name, labels).await;
                if found != wanted {
                    left.push(format!("node {}: {name} is {found}", node + 1));
                }
            }
            let waiting = files_below(&server.dir.join("data/spool/keys")).len();
            if waiting > 0 {
                left.push(format!("node {}: {waiting} calls in the spool", node + 1));
            }
        }
        let stored = run.site.objects();
        for note in run.notes.lock().values() {
            if note.expiry == Told::Done && note.hold == Told::Nothing && copies(&stored, &note.id) > 0 {
                left.push(format!("{} is expired and not swept", note.id));
            }
        }
        if left.is_empty() {
            return;
        }
        if Instant::now() > until {
            let about: Vec<String> = left.iter().flat_map(|line| about(run, line)).collect();
            panic!("{}\n{}\n{}", left.join("\n"), about.join("\n"), run.site.logs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn copies(stored: &[String], id: &str) -> usize {
    stored.iter().filter(|name| name.contains(id)).count()
}

/// Broken promises.
async fn promises(run: &Run) -> Vec<String> {
    let site = &run.site;
    let stored = site.objects();
    let live: BTreeSet<String> =
        column(site, "SELECT id FROM recordings WHERE erased_at_us IS NULL").await.collect();
    let outcomes: BTreeMap<String, String> = {
        let rows = site.rows("SELECT id, outcome FROM calls").await;
        rows.into_iter().map(|mut row| (row.remove(0), row.remove(0))).collect()
    };
    let mut broken = Vec::new();
    // Each recording is there once, with audio and manifest, and has a row; nothing else is there.
    for id in &live {
        if copies(&stored, id) != 2 {
            broken.push(format!("{id} has a row and {} objects", copies(&stored, id)));
        }
    }
    broken.extend(
        stored
            .iter()
            .filter(|name| !live.iter().any(|id| name.contains(id)))
            .map(|name| format!("{name} has no row")),
    );
    let created = site.store.state.lock().unwrap().created.clone();
    let audio = created.iter().filter(|name| name.ends_with(".opus.age"));
    let mut times = BTreeMap::<&String, u32>::new();
    audio.for_each(|name| *times.entry(name).or_default() += 1);
    broken.extend(
        times
            .iter()
            .filter(|(_, times)| **times > 1)
            .map(|(name, times)| format!("{name} was stored {times} times")),
    );
    let notes: Vec<Note> = run.notes.lock().values().cloned().collect();
    for note in notes.iter().filter(|note| !note.id.is_empty()) {
        let id = &note.id;
        let is_there = live.contains(id);
        match outcomes.get(id) {
            None => broken.push(format!("{id} has no outcome")),
            Some(outcome) if is_there && !outcome.starts_with("recorded") => {
                broken.push(format!("{id} is there, and its outcome is {outcome}"));
            }
            Some(_) => {}
        }
        if note.no == Told::Done && is_there {
            broken.push(format!("{id} is there after a no"));
        }
        if note.erasure == Told::Done && is_there {
            broken.push(format!("{id} is there after its erasure"));
        }
        // A no of the caller outranks a hold.
        if is_held(note) && note.no == Told::Nothing && !is_there {
            broken.push(format!("{id} is gone under a hold"));
        }
        if must_be_there(run, note) && !is_there {
            let heard = run.notes.heard(note);
            broken.push(format!("{id} is lost: heard for {heard:?} after its yes, {:?}", outcomes.get(id)));
        }
        for (token, used) in &note.links {
            if *used > 1 {
                broken.push(format!("{id}: link {token} was used {used} times"));
            }
        }
        let wanted = if is_there { 200 } else { 404 };
        for node in 0..NODES {
            let path = format!("/api/v1/recordings/{id}?purpose=administration");
            let status = site.ask(node, &run.token, "GET", &path, None).await.map(|(status, _)| status);
            let fits = status == Some(wanted) || wanted == 404 && status == Some(410);
            if !fits {
                broken.push(format!("node {} answers {status:?} for {id}, there: {is_there}", node + 1));
            }
        }
    }
    let open = column(site, "SELECT id FROM deletion_orders WHERE done_at_us IS NULL").await;
    broken.extend(open.map(|id| format!("the erasure of {id} is open")));
    broken
}

fn is_held(note: &Note) -> bool {
    note.hold == Told::Done && !note.lifted
}

/// Whether a call that had its yes was heard for long enough, and nobody may have had it removed.
fn must_be_there(run: &Run, note: &Note) -> bool {
    let may_be_gone = note.no != Told::Nothing
        || !is_held(note) && (note.erasure != Told::Nothing || note.expiry != Told::Nothing);
    note.yes.is_some() && !may_be_gone && run.notes.heard(note) >= HEARD
}

async fn column(site: &Site, sql: &str) -> impl Iterator<Item = String> {
    site.rows(sql).await.into_iter().map(|mut row| row.remove(0))
}

/// Runs a command with a node's configuration; what it says where it fails.
fn optag(site: &Site, node: usize, args: &[&str]) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command.args(args).arg("--config").arg(site.home(node).join("optag.toml"));
    command.envs(site.settings(node).env);
    let done = apart(|| site.nodes[node].within(|| command.output())).unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if done.status.success() {
        Ok(())
    } else {
        Err(format!("optag {} at node {}: {said}", args.join(" "), node + 1))
    }
}
