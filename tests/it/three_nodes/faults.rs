//! Does what the plan says to nodes and to the world around them.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::network::Host;
use super::notes::Seen;
use super::plan::{self, NodeFault, WorldFault};
use super::site::{NODES, Site, apart, start};
use super::talking::Run;
use crate::kill_loop::Dice;
use crate::server::Server;

/// How long another machine may take to deliver a dead node's spool.
const RECOVERED_WITHIN: Duration = Duration::from_secs(40);
/// How long an upgrade takes at the most; nothing depends on it.
const UPGRADED_WITHIN: Duration = Duration::from_millis(2_500);

/// The running recorders.
pub(super) type Servers = Arc<[Mutex<Option<Server>>; NODES]>;

/// The machine that delivers the spools of dead nodes.
pub(super) struct Spare {
    host: Host,
    dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Spare {
    /// One on which the recorder has run once, and does not run.
    pub(super) async fn new(site: &Site) -> Self {
        let host = site.network.host(9);
        let mut settings = site.settings(0);
        for (_, value) in &mut settings.env {
            *value = value.replace(&format!("{}:", site.nodes[0].ip), &format!("{}:", host.ip));
        }
        settings.extra = settings.extra.split("[cluster]").next().unwrap().to_owned();
        settings.host = Some(host.clone());
        settings.env.retain(|(name, _)| name != "OPTAG_RTP_LISTEN_IP");
        let dir = site.dir.path().join("spare");
        std::fs::create_dir_all(&dir).unwrap();
        let server = start(&dir, &settings);
        let ended = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap();
        assert!(ended.success(), "{ended}");
        Self { host, dir, env: settings.env }
    }

    /// Delivers the spool of a dead node; whether it could.
    async fn recovers(&self, spool: PathBuf) -> Result<String, String> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_optag"));
        command.arg("recover").arg("--spool").arg(spool).arg("--config").arg(self.dir.join("optag.toml"));
        command
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        let runtime = tokio::runtime::Handle::current();
        let child = apart(|| {
            self.host.within(|| {
                let _inside = runtime.enter();
                command.spawn()
            })
        });
        let done = tokio::time::timeout(RECOVERED_WITHIN, child.unwrap().wait_with_output()).await;
        let done = done.map_err(|_| "not done in time".to_owned())?.unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        if done.status.success() { Ok(said) } else { Err(said) }
    }
}

/// What happens to the programs: everything once, and on until it is told to stop.
pub(super) async fn to_nodes(run: Run, servers: Servers, spare: Spare, seed: u64, stop: Arc<AtomicBool>) {
    let mut dice = Dice(seed);
    for round in 0.. {
        for (node, fault) in plan::node_faults(&mut dice) {
            if round > 0 && stop.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(plan::ms(&mut dice, 300, 2_500)).await;
            run.notes.say(&format!("node {}: {fault:?}", node + 1));
            match fault {
                NodeFault::Upgraded => upgrade_all(&servers).await,
                _ => restart(&run, &servers, &spare, node, fault).await,
            }
            run.notes.say(&format!("node {}: {fault:?} is over", node + 1));
        }
    }
}

async fn upgrade_all(servers: &Servers) {
    for server in servers.iter() {
        if let Some(server) = &*server.lock().await {
            server.signal(libc::SIGUSR2);
            tokio::time::sleep(UPGRADED_WITHIN).await;
        }
    }
}

async fn restart(run: &Run, servers: &Servers, spare: &Spare, node: usize, fault: NodeFault) {
    let mut place = servers[node].lock().await;
    let server = place.take().expect("each fault ends with a start");
    let notes = &run.notes;
    if !matches!(fault, NodeFault::Killed(_)) {
        notes.node(node, Seen::CallsEnd);
    }
    match fault {
        NodeFault::Drained => {
            server.signal(libc::SIGTERM);
            let ended = tokio::task::spawn_blocking(move || server.ended()).await.unwrap();
            notes.node(node, Seen::Away);
            notes.say(&format!("node {} ended: {ended}", node + 1));
        }
        _ => {
            notes.node(node, Seen::Away);
            tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
        }
    }
    match fault {
        NodeFault::Killed(away) => tokio::time::sleep(away).await,
        NodeFault::Recovered => {
            let spool = run.site.home(node).join("data/spool");
            let said = spare.recovers(spool).await;
            notes.say(&format!("node {} recovered elsewhere: {said:?}", node + 1));
        }
        _ => {}
    }
    *place = Some(run.site.start(node));
    notes.node(node, Seen::Back);
}

/// What happens around the nodes, in the same way.
pub(super) async fn to_the_world(run: Run, clocks: bool, seed: u64, stop: Arc<AtomicBool>) {
    let mut dice = Dice(seed);
    for round in 0.. {
        for fault in plan::world_faults(&mut dice, clocks) {
            if round > 0 && stop.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(plan::ms(&mut dice, 300, 2_000)).await;
            run.notes.say(&format!("{fault:?}"));
            befall(&run, fault).await;
            run.notes.say(&format!("{fault:?} is over"));
        }
    }
}

async fn befall(run: &Run, fault: WorldFault) {
    let site = &run.site;
    match fault {
        WorldFault::Database(span) => {
            apart(|| site.postgres.crash());
            tokio::time::sleep(span).await;
            apart(|| site.postgres.begin());
        }
        WorldFault::Store(span) => {
            site.store.storm(usize::MAX);
            tokio::time::sleep(span).await;
            site.store.storm(0);
        }
        WorldFault::CutOff(node, span) => {
            run.notes.node(node, Seen::Away);
            apart(|| site.network.cut(&site.nodes[node], true));
            tokio::time::sleep(span).await;
            apart(|| site.network.cut(&site.nodes[node], false));
            run.notes.node(node, Seen::Back);
        }
        WorldFault::NoDatabase(node, span) => {
            apart(|| site.nodes[node].loses(&site.database));
            tokio::time::sleep(span).await;
            apart(|| site.nodes[node].finds(&site.database));
        }
        WorldFault::Apart(one, other, span) => {
            apart(|| site.nodes[one].loses(&site.nodes[other]));
            tokio::time::sleep(span).await;
            apart(|| site.nodes[one].finds(&site.nodes[other]));
        }
        WorldFault::Clock(node, offset, span) => {
            site.set_clock(node, offset);
            tokio::time::sleep(span).await;
            site.set_clock(node, "+0");
        }
    }
}
