//! The hosts: three recorders, PostgreSQL, S3, Kamailio. The callers are where the test is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use optag::cluster::tls::NodeTlsFiles;
use serde_json::Value;

use super::network::{Host, Network};
use crate::clock_jump::LIBRARY;
use crate::kamailio::{Running, start_on};
use crate::lying_s3::double::Double;
use crate::nodes::certificates_of;
use crate::postgres::Postgres;
use crate::server::{Server, Settings};

/// Number of nodes.
pub(super) const NODES: usize = 3;

/// Where Kamailio listens.
pub(super) const PROXY: &str = "10.77.0.30:5060";

/// Longest wait for an answer of a node that may be away.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Everything around the recorders, and how they are set up.
pub(super) struct Site {
    _kamailio: Running,
    pub postgres: Postgres,
    pub store: Double,
    pub nodes: Vec<Host>,
    pub database: Host,
    pub network: Network,
    files: NodeTlsFiles,
    /// Further lines of the configuration.
    extra: String,
    /// Further environment of each node, by number.
    env: Vec<Vec<(String, String)>>,
    client: reqwest::Client,
    pub dir: tempfile::TempDir,
}

impl Site {
    /// Without recorders yet; `None` where there is no PostgreSQL.
    pub(super) async fn new(network: Network, extra: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let nodes: Vec<Host> = (1..).take(NODES).map(|last| network.host(last)).collect();
        let (database, proxy) = (network.host(10), network.host(30));
        let postgres = Postgres::start_on(Some(database.clone()))?;
        let store = Double::start_at(&format!("{}:9000", network.hub.ip)).await;
        let names: Vec<String> = nodes.iter().map(|node| node.ip.to_string()).collect();
        let files = certificates_of(dir.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        let list: String = names.iter().map(|ip| format!("1 sip:{ip}:5060\n")).collect();
        std::fs::write(dir.path().join("recorders.list"), list).unwrap();
        let at = dir.path().display();
        let mut kamailio = Command::new("kamailio");
        kamailio.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]);
        kamailio.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contrib/kamailio/dispatcher.cfg"));
        kamailio.args(["-Y", &at.to_string(), "-A", &format!("LISTEN=udp:{PROXY}")]);
        kamailio.args(["-A", &format!("RECORDERS=\"{at}/recorders.list\"")]);
        Some(Self {
            _kamailio: start_on(Some(&proxy), dir.path(), "kamailio", &mut kamailio),
            postgres,
            store,
            nodes,
            database,
            network,
            files,
            extra: extra.into(),
            env: vec![Vec::new(); NODES],
            client: reqwest::Client::builder().timeout(ANSWER_WITHIN).build().unwrap(),
            dir,
        })
    }

    /// Environment that a node is started with from now on.
    pub(super) fn add_env(&mut self, node: usize, name: &str, value: &str) {
        self.env[node].push((name.into(), value.into()));
    }

    /// Lets a node's wall clock be changed, from its next start on.
    pub(super) fn fake_clock(&mut self, node: usize) {
        self.set_clock(node, "+0");
        let offset = self.clock_file(node).display().to_string();
        for (name, value) in [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &offset),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ] {
            self.add_env(node, name, value);
        }
    }

    /// The wall clock of a node is off by this from now on, as libfaketime writes it.
    pub(super) fn set_clock(&self, node: usize, offset: &str) {
        std::fs::write(self.clock_file(node), offset).unwrap();
    }

    fn clock_file(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("clock-{node}"))
    }

    pub(super) fn home(&self, node: usize) -> PathBuf {
        let home = self.dir.path().join(node.to_string());
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    pub(super) fn settings(&self, node: usize) -> Settings {
        let ip = self.nodes[node].ip;
        let mut settings = Settings::with_ports((20_000, 23_999));
        let NodeTlsFiles { certificate, key, ca } = &self.files;
        settings.extra = format!(
            "[index]\npostgres = \"{}\"\n[store]\nkind = \"s3\"\nbucket = \"bucket\"\nendpoint = \"{}\"\n\
             allow_http = true\n[[department]]\nid = \"patient\"\nname = \"Patient\"\nrecord = true\n\
             consent_timeout_s = 300\n[cluster]\nlisten = \"{ip}:7946\"\ncertificate_file = \"{}\"\n\
             key_file = \"{}\"\nca_file = \"{}\"\n{}",
            self.postgres.address(),
            self.store.endpoint,
            certificate.display(),
            key.display(),
            ca.display(),
            self.extra,
        );
        let env = [
            ("OPTAG_MASTER_KEY", "07".repeat(32)),
            ("OPTAG_SEAL_ESCROW_TO", "store".into()),
            ("AWS_ACCESS_KEY_ID", "key".into()),
            ("AWS_SECRET_ACCESS_KEY", "secret".into()),
            ("OPTAG_API_LISTEN", format!("{ip}:8080")),
            ("OPTAG_METRICS_LISTEN", format!("{ip}:9464")),
            ("OPTAG_SIP_LISTEN_UDP", format!("{ip}:5060")),
            ("OPTAG_SIP_CLIENTS", "10.77.0.0/24".into()),
            ("OPTAG_SIP_REFUSE_WHEN_FULL", "true".into()),
            ("OPTAG_RTP_LISTEN_IP", ip.to_string()),
        ];
        settings.env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        settings.env.extend(self.env[node].iter().cloned());
        settings.host = Some(self.nodes[node].clone());
        settings
    }

    pub(super) fn start(&self, node: usize) -> Server {
        start(&self.home(node), &self.settings(node))
    }

    /// Starts all, and waits until they know each other.
    pub(super) async fn start_all(&self) -> Vec<Server> {
        let mut servers = Vec::new();
        for node in 0..NODES {
            servers.push(self.start(node));
        }
        for server in &servers {
            server.metric_becomes("optag_nodes", "ready", NODES as f64).await;
        }
        servers
    }

    /// Asks the API of a node, which may be away: then there is no answer.
    pub(super) async fn ask(
        &self,
        node: usize,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}:8080{path}", self.nodes[node].ip);
        let mut request = self.client.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// Rows of a query, their columns as text.
    pub(super) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same where the database may be away.
    pub(super) async fn try_rows(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let sql = sql.to_owned();
        let address = self.postgres.address();
        let asked = move || {
            Command::new("psql").args(["-X", "-A", "-t", "-q", "-F", "|", "-c", &sql, &address]).output()
        };
        let asked = tokio::task::spawn_blocking(asked).await.unwrap().unwrap();
        if !asked.status.success() {
            return Err(String::from_utf8_lossy(&asked.stderr).trim().to_owned());
        }
        let said = String::from_utf8(asked.stdout).unwrap();
        Ok(said.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
    }

    /// Names of the objects that are recordings.
    pub(super) fn objects(&self) -> Vec<String> {
        let state = self.store.state.lock().unwrap();
        let names = state.objects.keys().filter(|key| key.ends_with(".age") || key.ends_with(".opus"));
        names.cloned().collect()
    }

    /// What the programs said.
    pub(super) fn logs(&self) -> String {
        let of_kamailio = read(&self.dir.path().join("kamailio.log"));
        let of_nodes = (0..NODES).map(|n| format!("== node {n}\n{}", read(&self.home(n).join("log.txt"))));
        of_nodes.collect::<String>() + "== kamailio\n" + &of_kamailio
    }
}

/// Starts a recorder. Its start is waited for without the runtime, which serves the store meanwhile.
pub(super) fn start(dir: &Path, settings: &Settings) -> Server {
    apart(|| tokio::runtime::Handle::current().block_on(Server::start(dir, settings)))
}

/// Does what blocks, while the runtime goes on.
pub(super) fn apart<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// Waits until something is so; `within` is how long it may take.
pub(super) async fn comes(what: &str, within: Duration, mut so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + within;
    while !so().await {
        assert!(Instant::now() < until, "{what} did not come about within {within:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
