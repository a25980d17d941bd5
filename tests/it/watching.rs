//! Prometheus for real: it scrapes a recorder that works, answers what the dashboards ask, and fires alerts when their
//! cause is there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::phone::{Leg, talk, voice};
use crate::resume::admit;
use crate::server::{PATIENCE, Server, Settings};
use crate::sip_recorder::{Client, apart};
use crate::sip_sipp::certificate;
use crate::sip_src::code;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A Prometheus that scrapes one recorder several times a second.
struct Prometheus {
    child: Child,
    url: String,
    client: reqwest::Client,
    dir: PathBuf,
}

impl Prometheus {
    /// Starts it with these alert rules; `None` where it is not installed.
    async fn start(dir: &Path, recorder: &Server, rules: &str) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = recorder.metrics.strip_prefix("http://").unwrap();
        std::fs::write(dir.join("rules.yml"), rules).unwrap();
        let config = format!(
            "global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}\nrule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: optag\n    static_configs: [{{targets: [\"{target}\"]}}]\n"
        );
        std::fs::write(dir.join("prometheus.yml"), config).unwrap();
        let log = std::fs::File::create(dir.join("prometheus.log")).unwrap();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("series").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: prometheus does not start: {error}");
                return None;
            }
        };
        let url = format!("http://127.0.0.1:{port}/api/v1");
        let prometheus = Self { child, url, client: reqwest::Client::new(), dir: dir.to_owned() };
        prometheus.finds("count_over_time(optag_build_info[1m]) > 8").await;
        Some(prometheus)
    }

    /// The series that a query finds now; none while it does not answer yet.
    async fn ask(&self, query: &str) -> Vec<Value> {
        let url =
            reqwest::Url::parse_with_params(&format!("{}/query", self.url), [("query", query)]).unwrap();
        let Ok(answer) = self.client.get(url).send().await else { return Vec::new() };
        let (status, page) = (answer.status(), answer.json::<Value>().await.unwrap_or_default());
        assert!(status.as_u16() != 400, "{query}: {page}");
        page["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until a query finds something.
    async fn finds(&self, query: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(query).await.is_empty() {
            let log = std::fs::read_to_string(self.dir.join("prometheus.log")).unwrap();
            assert!(Instant::now() < deadline, "nothing found by {query}\n{log}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn fires(&self, alert: &str) {
        self.finds(&format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}")).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The alert rules as they are shipped, but without their patience.
fn impatient_rules() -> String {
    let rules = std::fs::read_to_string(project("docker/prometheus-alerts.yml")).unwrap();
    let lines = rules.lines().map(|line| match line.trim_start().starts_with("for: ") {
        true => format!("{}for: 0s\n", " ".repeat(line.len() - line.trim_start().len())),
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// The queries of every panel: dashboard and title, and what is asked with all jobs and nodes chosen.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for file in std::fs::read_dir(project("docker/grafana/dashboards")).unwrap() {
        let page: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        for panel in page["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
                let mut query = target["expr"].as_str().unwrap().to_owned();
                for (variable, value) in
                    [("$__rate_interval", "1m"), ("$__range", "5m"), ("$job", ".*"), ("$instance", ".*")]
                {
                    query = query.replace(variable, value);
                }
                queries.push((format!("{}: {}", page["title"], panel["title"]), query));
            }
        }
    }
    queries
}

/// A call with a yes, whole, whose employee's packets are of a payload type. Its id; it may not be stored yet.
pub(crate) async fn call(server: &Server, payload_type: u8) -> String {
    let (id, admitted) = admit(server, "demo").await;
    let mut legs = vec![Leg::new(&admitted, 0, 0, 1), Leg::new(&admitted, 1, payload_type, 2)];
    legs[0].key('1');
    apart(legs, |legs| talk(legs, &[&voice(1, 2_500), &voice(2, 2_500)])).await;
    let (status, ended) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!(status, 200, "{ended}");
    id
}

/// One with a yes, one with a no, and a recording session.
async fn some_calls(server: &Server) {
    let id = call(server, 0).await;
    server.stored(&id).await;
    let (id, _) = admit(server, "demo").await;
    let no = json!({"answer": "no", "how": "system"});
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{id}/consent"), Some(no)).await.0, 200);
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await.0, 200);
    let mut client = Client::new(server, "watching").await;
    client.begin("").await;
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_data_of_a_recorder_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((24_100, 24_190));
    // A certificate, so that there is one whose date is shown.
    let (files, _) = certificate(dir.path(), "srs.example");
    let file = |path: &std::path::Path| path.display().to_string();
    settings.env = vec![
        ("OPTAG_SIP_LISTEN_TLS".into(), "127.0.0.1:0".into()),
        ("OPTAG_SIP_CERTIFICATE_FILE".into(), file(&files.certificate)),
        ("OPTAG_SIP_KEY_FILE".into(), file(&files.key)),
    ];
    // A webhook too: to an address inside, so that what it is to be told waits.
    settings.extra =
        crate::webhooks::settings(dir.path(), (0, 0), &[("inside", ([127, 0, 0, 1], 9).into(), "")]).extra;
    let server = Server::start(dir.path(), &settings).await;
    let Some(prometheus) = Prometheus::start(dir.path(), &server, "groups: []\n").await else { return };
    some_calls(&server).await;
    let kept = "optag_audio_kept_seconds_total / optag_audio_owed_seconds_total > 0.9";
    prometheus.finds(kept).await;
    let queries = queries();
    assert!(queries.len() > 60, "{}", queries.len());
    // Metrics are published each second, and a rate takes two values.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut empty = Vec::new();
        for (panel, query) in &queries {
            if prometheus.ask(query).await.is_empty() {
                empty.push(format!("{panel}: {query}"));
            }
        }
        if empty.is_empty() {
            return;
        }
        let all = empty.join("\n");
        assert!(Instant::now() < deadline, "{} of {} queries:\n{all}", empty.len(), queries.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_when_their_cause_is_there_and_none_while_all_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((24_200, 24_290))).await;
    some_calls(&server).await;
    let Some(prometheus) = Prometheus::start(dir.path(), &server, &impatient_rules()).await else { return };
    let firing = prometheus.ask("ALERTS{alertname=~\"Optag.*\"}").await;
    assert!(firing.is_empty(), "{firing:#?}");

    // A client sends what it did not announce.
    call(&server, 96).await;
    prometheus.fires("OptagStreamsUnusable").await;

    // Something else lies in the place of the store.
    let data = dir.path().join("data");
    std::fs::rename(data.join("store"), data.join("elsewhere")).unwrap();
    std::fs::write(data.join("store"), "").unwrap();
    prometheus.fires("OptagStoreDown").await;
    std::fs::remove_file(data.join("store")).unwrap();
    std::fs::rename(data.join("elsewhere"), data.join("store")).unwrap();

    server.kill();
    prometheus.fires("OptagDown").await;
}
