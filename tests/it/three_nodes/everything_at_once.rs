//! Calls, requests and every fault at once, drawn from a seed; then what is left is held against what everybody was told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::asking::{Broken, ask_on};
use super::calling::Voices;
use super::faults::{Servers, Spare, to_nodes, to_the_world};
use super::network::Network;
use super::notes::Notes;
use super::site::{NODES, Site};
use super::talking::Run;
use super::{in_network, plan, setting, verdict};
use crate::clock_jump::LIBRARY;
use crate::handouts::OWNER;
use crate::kill_loop::Dice;

/// How long calls and faults may go on after the last call began.
const OVER_WITHIN: Duration = Duration::from_secs(180);

/// Askers at a time.
const ASKERS: u64 = 3;

const SETTINGS: &str = "[retention]\nsweep_interval_s = 1\nlegal_hold = true\n[shutdown]\ndrain_limit_s = 2\n\
    deliver_limit_s = 5\n";

#[test]
fn invariant_16_whatever_goes_wrong_at_once_what_three_nodes_acknowledged_is_kept() {
    in_network(everything);
}

async fn everything(network: Network) {
    let (count, seed) = (setting("NODES_CALLS", 30), setting("NODES_SEED", 1));
    let Some(mut site) = Site::new(network, &format!("{SETTINGS}{OWNER}")).await else { return };
    let clocks = clocks();
    println!(
        "{count} calls, seed {seed}{}",
        if clocks { "" } else { ", no clock jumps: libfaketime is missing or in vain" }
    );
    for node in 0..NODES {
        // A call whose end nobody hears of is over soon.
        site.add_env(node, "OPTAG_RTP_TIMEOUT_S", "10");
        if clocks {
            site.fake_clock(node);
        }
    }
    let servers = site.start_all().await;
    let spare = Spare::new(&site).await;
    let token = servers[0].token.clone();
    let servers: Servers = Arc::new(
        servers
            .into_iter()
            .map(|one| Mutex::new(Some(one)))
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| unreachable!()),
    );
    let run = Run { site: Arc::new(site), notes: Notes::new(seed), voices: Arc::new(Voices::start()), token };
    let (stop, broken) = (Arc::new(AtomicBool::new(false)), Broken::default());
    let mut callers = tokio::task::JoinSet::new();
    let within = Duration::from_millis(250 * count).max(Duration::from_secs(30));
    for (n, plan) in plan::calls(&mut Dice(seed), count, within).into_iter().enumerate() {
        callers.spawn(run.clone().play(n, plan));
    }
    let mut others = tokio::task::JoinSet::new();
    others.spawn(to_nodes(run.clone(), Arc::clone(&servers), spare, seed + 1, Arc::clone(&stop)));
    others.spawn(to_the_world(run.clone(), clocks, seed + 2, Arc::clone(&stop)));
    for _ in 0..ASKERS {
        others.spawn(ask_on(run.clone(), Arc::clone(&stop), Arc::clone(&broken)));
    }
    let over = async {
        while let Some(called) = callers.join_next().await {
            called.unwrap();
        }
        run.notes.say("all calls are over");
        stop.store(true, Ordering::Relaxed);
        while let Some(done) = others.join_next().await {
            done.unwrap_or_else(|error| panic!("{error}\n{}", run.site.logs()));
        }
        run.notes.say("nothing goes wrong any more");
    };
    let over = tokio::time::timeout(within + OVER_WITHIN, over).await;
    assert!(over.is_ok(), "it does not end\n{}", run.site.logs());
    let broken = std::mem::take(&mut *broken.lock().unwrap());
    verdict::of(&run, &servers, broken).await;
}

/// Whether clocks can be made to jump.
fn clocks() -> bool {
    Path::new(LIBRARY).exists() && !optag_core::steady::kept_by_a_time_server()
}
