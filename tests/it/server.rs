//! A recorder as its users run it: the built program, a directory, a configuration file.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::three_nodes::network::Host;

/// Longest wait for anything that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running `optag serve` with its data directory.
pub(crate) struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    pub dir: PathBuf,
    pub api: String,
    pub metrics: String,
    /// SIP address for UDP.
    pub sip: String,
    /// Address at which callers are asked, over UDP and over TCP.
    pub asking: String,
    pub asking_tcp: String,
    pub token: String,
    client: reqwest::Client,
}

/// Settings of a test that differ from the small defaults here.
pub(crate) struct Settings {
    pub rtp_ports: (u16, u16),
    pub extra: String,
    pub env: Vec<(String, String)>,
    /// Where the recorder runs; `None`: where the test does. Its addresses are in `env`.
    pub host: Option<Host>,
}

impl Settings {
    /// Ports that no other test uses; everything else as the defaults.
    pub(crate) fn with_ports(rtp_ports: (u16, u16)) -> Self {
        Self { rtp_ports, extra: String::new(), env: Vec::new(), host: None }
    }
}

/// Creates a token by the command. `None`: another node has made one of this name.
fn create_token(config: &Path, name: &str, role: &str, env: &[(String, String)]) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command.args(["token", "create", name, "--role", role, "--all-departments", "--config"]);
    let made = command.arg(config).envs(env.iter().cloned()).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    if said.contains("already a token") {
        return None;
    }
    assert!(made.status.success(), "{said}");
    Some(String::from_utf8(made.stdout).unwrap().trim().to_owned())
}

impl Server {
    /// Starts a recorder on `dir` and waits until it reports that it is ready; with an admin token.
    pub(crate) async fn start(dir: &Path, settings: &Settings) -> Self {
        let mut server = Self::start_bare(dir, settings).await;
        let kept = dir.join("token.txt");
        server.token = std::fs::read_to_string(&kept).unwrap_or_default();
        if server.token.is_empty() {
            let create = |name: &str| create_token(&dir.join("optag.toml"), name, "admin", &settings.env);
            let made = create("admin").or_else(|| create(&format!("of {}", dir.display())));
            server.token = made.expect("names are of directories");
            std::fs::write(kept, &server.token).unwrap();
        }
        server
    }

    /// The same as on an owner's first start: without a token.
    pub(crate) async fn start_bare(dir: &Path, settings: &Settings) -> Self {
        let config = dir.join("optag.toml");
        std::fs::write(&config, toml_of(dir, settings)).unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log.txt")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
        command.args(["serve", "--config"]).arg(&config).envs(settings.env.iter().cloned());
        command.stdout(Stdio::piped()).stderr(log);
        let mut child = match &settings.host {
            Some(host) => host.within(|| command.spawn()),
            None => command.spawn(),
        }
        .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut sip, mut asking, mut asking_tcp) = (String::new(), String::new(), String::new());
        let (api, metrics) = loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let log = std::fs::read_to_string(dir.join("log.txt")).unwrap();
                panic!("optag serve ended early ({:?}):\n{log}", child.wait());
            }
            if let Some((_, address)) = line.split_once("SIPREC over UDP: ") {
                sip = address.trim().to_owned();
            }
            if let Some((_, address)) = line.split_once("asking over UDP: ") {
                asking = address.trim().to_owned();
            }
            if let Some((_, address)) = line.split_once("asking over TCP: ") {
                asking_tcp = address.trim().to_owned();
            }
            if let Some((_, rest)) = line.split_once("API ") {
                let (api, metrics) = rest.trim().split_once(", metrics ").unwrap();
                break (api.to_owned(), metrics.to_owned());
            }
        };
        Self {
            child,
            _stdout: stdout,
            dir: dir.to_owned(),
            api,
            metrics,
            sip,
            asking,
            asking_tcp,
            token: String::new(),
            client: reqwest::Client::new(),
        }
    }

    /// Sends a request to the API; returns status and JSON (null if there is none).
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.api)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The bytes of a successful GET.
    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let url = format!("{}{path}", self.api);
        let answer = self.client.get(url).bearer_auth(&self.token).send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap().to_vec();
        assert!(
            status.is_success(),
            "GET {path}: {status} {}\n{}",
            String::from_utf8_lossy(&bytes),
            self.log()
        );
        bytes
    }

    /// The text of the metrics page.
    pub(crate) async fn metrics_page(&self) -> String {
        self.client.get(format!("{}/metrics", self.metrics)).send().await.unwrap().text().await.unwrap()
    }

    /// Status and text of a page on the metrics listener.
    pub(crate) async fn health(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.metrics)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The sum of a metric's samples whose line contains `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = self.metrics_page().await;
        let lines = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric is at least `least`.
    pub(crate) async fn metric_reaches(&self, name: &str, least: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name, "").await < least {
            assert!(Instant::now() < deadline, "{name} is not {least}:\n{}", self.metrics_page().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the sum of a metric's samples is this.
    pub(crate) async fn metric_becomes(&self, name: &str, labels: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name, labels).await != value {
            assert!(Instant::now() < deadline, "{name} is not {value}:\n{}", self.metrics_page().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the recording is in the store.
    pub(crate) async fn stored(&self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let recording = self.recording(id).await;
            if !recording["object"].is_null() {
                return recording;
            }
            assert!(Instant::now() < deadline, "{id} was never stored:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A new token of a role, under the role's name.
    pub(crate) fn token_of(&self, role: &str) -> String {
        create_token(&self.dir.join("optag.toml"), role, role, &[]).expect("it is the first")
    }

    /// A new token of a role within a department.
    pub(crate) fn token_within(&self, name: &str, role: &str, department: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
        command.args(["token", "create", name, "--role", role, "--department", department, "--config"]);
        let made = command.arg(self.dir.join("optag.toml")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Waits until the recording is in the index.
    pub(crate) async fn recording(&self, id: &str) -> Value {
        let path = format!("/api/v1/recordings/{id}?purpose=administration");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.ask("GET", &path, None).await;
            if status == 200 {
                return answer;
            }
            assert!(Instant::now() < deadline, "no recording {id}: {status} {answer}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many recordings there are.
    pub(crate) async fn recordings(&self) -> u64 {
        let (status, answer) = self.ask("GET", "/api/v1/recordings?purpose=administration", None).await;
        assert_eq!(status, 200, "{answer}");
        answer["total"].as_u64().unwrap()
    }

    /// What the recorder logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log.txt")).unwrap()
    }

    /// SIGUSR2: the program takes its own place. Waits until it is ready again.
    pub(crate) fn upgrade(&mut self) {
        self.signal(libc::SIGUSR2);
        self.is_ready_again();
    }

    /// Waits until the program says that it is ready once more.
    pub(crate) fn is_ready_again(&mut self) {
        let mut line = String::new();
        while !line.contains("optag is ready") {
            line.clear();
            assert!(self._stdout.read_line(&mut line).unwrap() > 0, "it ended:\n{}", self.log());
        }
        let addresses = format!("API {}, metrics {}", self.api, self.metrics);
        assert!(line.contains(&addresses), "{line} is not {addresses}");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the process is our own child and has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits until the log holds this.
    pub(crate) async fn logs(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "the log does not say {text}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGTERM, then waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The request that admits a two-leg call.
pub(crate) fn call_request(department: &str, codec: &str) -> Value {
    let stream = |label: &str| json!({"label": label, "codec": codec, "source": {"ip": "127.0.0.1"}});
    json!({
        "department": department,
        "caller_number": "+45 12 34 56 78",
        "called_number": "70 10 10 10",
        "caller_name": "Ada Lovelace",
        "external_id": "case-4711",
        "streams": [stream("caller"), stream("employee")],
    })
}

/// Every file below `dir` with its bytes.
pub(crate) fn files_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if let Ok(mut file) = std::fs::File::open(&path) {
                let mut bytes = Vec::new();
                if file.read_to_end(&mut bytes).is_ok() {
                    files.push((path, bytes));
                }
            }
        }
    }
    files
}

fn toml_of(dir: &Path, settings: &Settings) -> String {
    let (low, high) = settings.rtp_ports;
    let data = dir.join("data");
    // Most tests end a recorder whatever goes on in it.
    let shutdown = if settings.extra.contains("[shutdown]") { "" } else { "[shutdown]\ndrain_limit_s = 0\n" };
    format!(
        r#"data_dir = "{}"
[api]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[sip]
listen_udp = "127.0.0.1:0"
listen_tcp = ""
[spool]
segment_mib = 1
min_free_gib = 0
{shutdown}[rtp]
port_min = {low}
port_max = {high}
{}
[[department]]
id = "demo"
name = "Demo"
record = true
consent_timeout_s = 3
[[department]]
id = "private"
name = "Private"
record = false
"#,
        data.display(),
        settings.extra
    )
}
