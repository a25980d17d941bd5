//! All nodes are restarted one after another while calls go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::calling::{Call, Voices};
use super::network::Network;
use super::site::{NODES, Site, comes};
use super::{in_network, setting};

const YES: &str = "X-Recording-Consent: yes\r\n";

/// Calls go on for as long as they like.
const DRAINING: &str = "[shutdown]\ndrain_limit_s = 3600\ndeliver_limit_s = 60\n";

/// A call that is over.
struct Over {
    name: String,
    id: String,
    said: Duration,
    answered: bool,
    cut: bool,
}

#[test]
fn invariant_16_of_nodes_that_are_restarted_in_turn_under_load_no_call_is_refused_or_cut() {
    in_network(all_in_turn);
}

async fn all_in_turn(network: Network) {
    let Some(site) = Site::new(network, DRAINING).await else { return };
    let mut servers = site.start_all().await;
    let in_progress = setting("NODES_CALLS", 30).div_ceil(2);
    println!("{in_progress} calls in progress at a time");
    let (voices, stop, begun) =
        (Arc::new(Voices::start()), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut talkers = tokio::task::JoinSet::new();
    for talker in 0..in_progress {
        let (voices, stop, begun, from) =
            (Arc::clone(&voices), Arc::clone(&stop), Arc::clone(&begun), site.network.hub.ip.into());
        talkers.spawn(async move {
            let mut over = Vec::new();
            tokio::time::sleep(Duration::from_millis(211 * talker)).await;
            while !stop.load(Ordering::Relaxed) {
                let n = begun.fetch_add(1, Ordering::Relaxed) as u64;
                let name = format!("rolling-{n}");
                let call = Call::begin(&voices, from, &name, YES).await;
                let mut call = call.map_err(|error| format!("{name} was refused: {error:#}"))?;
                let going = call.goes_on(Duration::from_millis(2_000 + n * 617 % 4_000)).await;
                let id = call.id();
                let (said, answered) = call.end().await;
                over.push(Over { name, id, said, answered, cut: !going });
            }
            Ok::<_, String>(over)
        });
    }
    for node in 0..NODES {
        let server = servers.remove(0);
        server.metric_reaches("optag_sip_sessions", 1.0).await;
        server.signal(libc::SIGTERM);
        let status = tokio::task::spawn_blocking(move || server.ended()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{}", site.logs());
        let server = site.start(node);
        for server in servers.iter().chain([&server]) {
            server.metric_becomes("optag_nodes", "ready", NODES as f64).await;
        }
        servers.push(server);
    }
    for server in &servers {
        server.metric_reaches("optag_sip_sessions", 1.0).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(talked) = talkers.join_next().await {
        all.extend(talked.unwrap().unwrap_or_else(|why| panic!("{why}\n{}", site.logs())));
    }
    comes("all are delivered", Duration::from_secs(60), async || site.objects().len() == 2 * all.len()).await;
    let mut by_node = [0; NODES];
    for Over { name, id, said, answered, cut } in &all {
        assert!(*answered && !cut, "{name} {id}\n{}", site.logs());
        let recording = servers[0].stored(id).await;
        assert_eq!(recording["ended_by"], "feed", "{recording}");
        // Of 20 ms each; the last may be on their way when the call ends.
        let sent = said.as_millis() as u64 / 20;
        for stream in recording["counts"].as_array().unwrap() {
            let received = stream["received"].as_u64().unwrap();
            assert!(received + 25 >= sent, "{name} {id}: {received} of {sent} packets: {recording}");
        }
        let node = usize::from_str_radix(&id[32..], 16).unwrap();
        by_node[node - 1] += 1;
    }
    let outcomes = site.rows("SELECT outcome, count(*) FROM calls GROUP BY outcome").await;
    assert_eq!(outcomes, [["recorded".to_owned(), all.len().to_string()]]);
    let log = site.logs();
    assert_eq!(log.matches("draining: no call is left in progress").count(), NODES, "{log}");
    assert!(!log.contains("drain limit reached"), "{log}");
    println!("{} calls, by node {by_node:?}", all.len());
    assert!(by_node.iter().all(|calls| *calls > 0), "{by_node:?}");
}
