//! Several recorders on one PostgreSQL: what a caller says reaches the call, whichever node is asked, or nobody is told
//! that it did.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::Request;
use optag::cluster::link::Link;
use optag::cluster::tls::{NodeTls, NodeTlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::conversation::Conversation;
use crate::erasure::becomes;
use crate::postgres::Postgres;
use crate::server::{Server, Settings, call_request};

/// An authority and the certificate of all nodes of a test, which are on one host.
pub(crate) fn certificates(dir: &Path) -> NodeTlsFiles {
    certificates_of(dir, &["127.0.0.1"])
}

/// The same for nodes on these hosts.
pub(crate) fn certificates_of(dir: &Path, hosts: &[&str]) -> NodeTlsFiles {
    let file = |name: &str| dir.join(name);
    let (authority, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = Issuer::new(params, authority);
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let node = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(file("ca.pem"), root.pem()).unwrap();
    std::fs::write(file("node.pem"), node.pem()).unwrap();
    std::fs::write(file("node.key"), key.serialize_pem()).unwrap();
    NodeTlsFiles { certificate: file("node.pem"), key: file("node.key"), ca: file("ca.pem") }
}

/// Nodes of a test: one PostgreSQL, one store, one authority.
pub(crate) struct Site {
    pub dir: tempfile::TempDir,
    pub postgres: Postgres,
    files: NodeTlsFiles,
    port: u16,
    nodes: u16,
}

impl Site {
    /// Of `nodes` nodes; ports from `port` on are theirs. None where there is no PostgreSQL.
    pub(crate) fn new(port: u16, nodes: u16) -> Option<Self> {
        let postgres = Postgres::start()?;
        let dir = tempfile::tempdir().unwrap();
        let files = certificates(dir.path());
        Some(Self { dir, postgres, files, port, nodes })
    }

    pub(crate) fn home(&self, node: u16) -> PathBuf {
        let home = self.dir.path().join(node.to_string());
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    fn address(&self, node: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + node))
    }

    pub(crate) fn settings(&self, node: u16, cluster: bool) -> Settings {
        let ports = self.port + 10 + 120 * node;
        let mut settings = Settings::with_ports((ports, ports + 119));
        settings.extra = format!(
            "[index]\npostgres = \"{}\"\n[store]\ndir = \"{}\"\n[[department]]\nid = \"patient\"\n\
             name = \"Patient\"\nrecord = true\nconsent_timeout_s = 300\n",
            self.postgres.address(),
            self.dir.path().join("store").display()
        );
        if cluster {
            let peers: Vec<_> = (0..self.nodes).map(|node| (self.port + node).to_string()).collect();
            let NodeTlsFiles { certificate, key, ca } = &self.files;
            settings.extra += &format!(
                "[cluster]\nlisten = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"\nca_file = \"{}\"\n\
                 peer_ports = \"{}\"\n",
                self.address(node),
                certificate.display(),
                key.display(),
                ca.display(),
                peers.join(",")
            );
        }
        settings.env = vec![("OPTAG_MASTER_KEY".into(), "07".repeat(32))];
        settings
    }

    pub(crate) async fn start(&self, node: u16) -> Server {
        self.start_with(node, "").await
    }

    /// With more settings.
    pub(crate) async fn start_with(&self, node: u16, extra: &str) -> Server {
        let mut settings = self.settings(node, true);
        settings.extra += extra;
        Server::start(&self.home(node), &settings).await
    }

    /// Two nodes that know each other.
    pub(crate) async fn two(&self) -> (Server, Server) {
        self.two_with("").await
    }

    /// With more settings.
    pub(crate) async fn two_with(&self, extra: &str) -> (Server, Server) {
        let (one, two) = (self.start_with(0, extra).await, self.start_with(1, extra).await);
        for node in [&one, &two] {
            becomes("both nodes are known", async || node.metric("optag_nodes", "ready").await == 2.0).await;
        }
        (one, two)
    }
}

pub(crate) fn named(name: &str) -> Value {
    let mut request = call_request("patient", "pcmu");
    request["external_id"] = json!(name);
    request
}

fn said(name: &str, answer: &str) -> Option<Value> {
    Some(json!({"external_id": name, "answer": answer, "how": "system"}))
}

async fn announce(node: &Server, name: &str) -> (String, Value) {
    let (status, admitted) = node.ask("POST", "/api/v1/calls", Some(named(name))).await;
    assert_eq!(status, 201, "{admitted}");
    (admitted["id"].as_str().unwrap().to_owned(), admitted["consent"].clone())
}

async fn tell(node: &Server, name: &str, answer: &str) -> (u16, Value) {
    node.ask("POST", "/api/v1/consents", said(name, answer)).await
}

async fn consent_of(node: &Server, id: &str) -> Value {
    node.ask("GET", &format!("/api/v1/calls/{id}"), None).await.1["consent"].clone()
}

/// Waits until the node cannot reach the registry, or can again.
pub(crate) async fn registry_is(node: &Server, up: f64) {
    becomes("the registry is seen to be up or away", async || {
        node.metric("optag_registry_up", "").await == up
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_a_no_by_name_stops_the_recording_whichever_node_is_told() {
    let Some(site) = Site::new(30_000, 2) else { return };
    let (one, two) = site.two().await;
    let mut call = Conversation::admit_as(&one, named("told-elsewhere")).await;
    let (status, given) = tell(&two, "told-elsewhere", "yes").await;
    assert_eq!((status, &given["calls"]), (200, &json!([call.id])), "{given}\n{}", two.log());
    call.speak(crate::phone::voice(1, 300), crate::phone::voice(2, 300)).await;
    assert_eq!(consent_of(&one, &call.id).await, "granted");
    let (status, given) = tell(&two, "told-elsewhere", "no").await;
    assert_eq!((status, &given["calls"]), (200, &json!([call.id])), "{given}");
    assert_eq!(consent_of(&one, &call.id).await, "withdrawn");
    // A yes after it is forbidden, and the other node says so in the same words.
    let (status, here) = tell(&one, "told-elsewhere", "yes").await;
    let (status_there, there) = tell(&two, "told-elsewhere", "yes").await;
    assert_eq!((status, status_there, &here["detail"]), (409, 409, &there["detail"]), "{here} {there}");
    assert_eq!(call.end(&one).await, "withdrawn");
    assert!(two.metric("optag_control_forwarded_total", "answered").await >= 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_an_answer_before_the_call_is_taken_by_whichever_node_gets_the_call() {
    let Some(site) = Site::new(30_270, 2) else { return };
    let (one, two) = site.two().await;
    for (name, answer) in [("no-1", "no"), ("yes-1", "yes"), ("kept", "no")] {
        let (status, given) = tell(&two, name, answer).await;
        assert_eq!((status, &given["calls"]), (202, &json!([])), "{given}");
    }
    becomes("the answers are counted", async || one.metric("optag_early_answers", "").await == 3.0).await;
    assert_eq!(announce(&one, "no-1").await.1, "refused");
    assert_eq!(announce(&two, "no-1").await.1, "refused", "a no is for each of its name");
    assert_eq!(announce(&one, "yes-1").await.1, "granted");
    assert_eq!(announce(&two, "yes-1").await.1, "asked", "a yes is for one call");
    // It is in no memory of the node that was told.
    two.kill();
    assert_eq!(announce(&one, "kept").await.1, "refused");
    // What others call a call is not written down in the clear.
    let kept = site.home(0).join("data/early-answers");
    assert_eq!(std::fs::metadata(kept).unwrap().len(), 0, "nothing of it is in a node's own file");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_of_calls_that_begin_while_a_no_of_their_name_comes_none_goes_on() {
    let Some(site) = Site::new(30_540, 2) else { return };
    let (one, two) = site.two().await;
    for n in 0..12 {
        let name = format!("race-{n}");
        let ((status, given), here, there) =
            tokio::join!(tell(&two, &name, "no"), announce(&one, &name), announce(&two, &name));
        assert!(status == 200 || status == 202, "{status} {given}");
        for (node, (id, _)) in [(&one, here), (&two, there)] {
            let began_later = status == 200 && !given["calls"].as_array().unwrap().contains(&json!(id));
            let consent = consent_of(node, &id).await;
            assert!(consent == "refused" || began_later, "{given}: {id} {consent}");
            let (status, _) = node.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
            assert_eq!(status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_a_call_is_controlled_by_its_id_from_any_node_under_the_name_of_who_asks() {
    let Some(site) = Site::new(30_810, 2) else { return };
    let (one, two) = site.two().await;
    let call = Conversation::admit_as(&one, named("by-id")).await;
    let yes = Some(json!({"answer": "yes", "how": "system"}));
    let (status, view) = call.ask(&two, "consent", yes).await;
    assert_eq!((status, &view["consent"]), (200, &json!("granted")), "{view}\n{}", two.log());
    let (status, view) = call.ask(&two, "pause", None).await;
    assert_eq!((status, &view["paused"]), (200, &json!(true)), "{view}");
    assert_eq!(one.ask("GET", &format!("/api/v1/calls/{}", call.id), None).await.1["paused"], true);
    assert_eq!(call.ask(&two, "resume", None).await.1["paused"], false);
    let (status, problem) = call.ask(&two, "transfer", Some(json!({"department": "none"}))).await;
    assert_eq!((status, &problem["field"]), (422, &json!("department")), "{problem}");
    let label = format!("/api/v1/calls/{}/streams/employee", call.id);
    assert_eq!(two.ask("DELETE", &label, None).await.0, 200);
    assert_eq!(two.ask("DELETE", &label.replace("employee", "nobody"), None).await.0, 404);
    // Bad input is refused by the node that is asked, and a role may do no more there than here.
    let (status, problem) = call.ask(&two, "withdraw", Some(json!({"how": "shouting"}))).await;
    assert_eq!(status, 422, "{problem}");
    let agent = two.token_of("agent");
    let answered = reqwest::Client::new()
        .post(format!("{}/api/v1/calls/{}/pause", two.api, call.id))
        .bearer_auth(&agent)
        .send();
    assert_eq!(answered.await.unwrap().status(), 403);
    let answered = reqwest::Client::new()
        .post(format!("{}/api/v1/calls/{}/withdraw", two.api, call.id))
        .bearer_auth(&agent)
        .send();
    assert_eq!(answered.await.unwrap().status(), 200);
    assert_eq!(consent_of(&two, &call.id).await, "withdrawn");
    let id = call.id.clone();
    assert_eq!(call.end(&two).await, "withdrawn");
    assert_eq!(consent_of(&two, &id).await, "withdrawn", "its node shows it after the end as well");
    // Of a call that nobody knows, the registry says that there is none.
    for node in [&one, &two] {
        let unknown = "/api/v1/calls/01890a5d-ac96-774b-bcce-b302099a0001";
        assert_eq!(node.ask("GET", unknown, None).await.0, 404);
        assert_eq!(node.ask("POST", &format!("{unknown}/withdraw"), None).await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_comes_through_another_node_names_who_gave_it() {
    let Some(site) = Site::new(31_080, 2) else { return };
    let (one, two) = site.two().await;
    let mut call = Conversation::admit_as(&one, named("evidence")).await;
    let yes = json!({"answer": "yes", "how": "staff"});
    let answered = reqwest::Client::new()
        .post(format!("{}/api/v1/calls/{}/consent", two.api, call.id))
        .bearer_auth(two.token_of("agent"))
        .json(&yes)
        .send();
    assert_eq!(answered.await.unwrap().status(), 200);
    call.speak(crate::phone::voice(1, 400), crate::phone::voice(2, 400)).await;
    let id = call.id.clone();
    assert_eq!(call.end(&one).await, "recorded");
    let recording = one.stored(&id).await;
    let consents = recording["consent"].as_array().unwrap();
    let given = consents.iter().find(|record| record["state"] == "granted").unwrap();
    assert_eq!(
        (&given["evidence"]["name"], &given["how"]),
        (&json!("agent"), &json!("staff")),
        "{recording}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_nothing_is_acknowledged_for_a_node_that_was_killed_and_it_has_it_when_it_is_back() {
    let Some(site) = Site::new(31_350, 2) else { return };
    let (one, two) = site.two().await;
    let (by_id, by_name) = (announce(&one, "first").await.0, announce(&one, "second").await.0);
    for name in ["first", "second"] {
        assert_eq!(tell(&one, name, "yes").await.0, 200);
    }
    one.kill();
    let path = format!("/api/v1/calls/{by_id}");
    for what in ["", "/pause"] {
        let method = if what.is_empty() { "GET" } else { "POST" };
        let (status, problem) = two.ask(method, &format!("{path}{what}"), None).await;
        assert_eq!(status, 503, "{problem}");
    }
    let (status, problem) = two.ask("POST", &format!("{path}/withdraw"), None).await;
    assert_eq!(status, 503, "{problem}");
    let (status, problem) = tell(&two, "second", "no").await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("cannot be reached"), "{problem}");
    let (status, problem) = tell(&two, "second", "yes").await;
    assert_eq!(status, 503, "{problem}");
    assert!(two.metric("optag_control_forwarded_total", "unreachable").await >= 4.0);
    // The node comes back, and what it was to be told waits for it.
    let one = site.start(0).await;
    for id in [&by_id, &by_name] {
        becomes("the answer takes effect", async || consent_of(&two, id).await == "withdrawn").await;
        assert_eq!(one.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_while_postgresql_is_away_the_node_of_the_call_acknowledges_or_nobody_does() {
    let Some(site) = Site::new(31_620, 2) else { return };
    let (one, two) = site.two().await;
    let (by_name, by_id) = (announce(&one, "away-1").await.0, announce(&one, "away-2").await.0);
    assert_eq!(tell(&two, "kept-before", "no").await.0, 202);
    site.postgres.crash();
    // Told at once, and once the nodes have seen that it is away.
    let (status, given) = tell(&two, "away-1", "no").await;
    assert_eq!((status, &given["calls"]), (200, &json!([by_name])), "{given}\n{}", two.log());
    assert_eq!(consent_of(&one, &by_name).await, "refused");
    for node in [&one, &two] {
        registry_is(node, 0.0).await;
    }
    let (status, problem) = tell(&two, "nobody-yet", "no").await;
    assert_eq!(status, 503, "{problem}");
    assert_eq!(tell(&two, "nobody-yet", "yes").await.0, 503);
    let no = Some(json!({"answer": "no", "how": "system"}));
    let (status, view) = two.ask("POST", &format!("/api/v1/calls/{by_id}/consent"), no).await;
    assert_eq!((status, &view["consent"]), (200, &json!("refused")), "the id says whose it is: {view}");
    let unknown = "/api/v1/calls/01890a5d-ac96-774b-bcce-b302099affff";
    assert_eq!(two.ask("GET", unknown, None).await.0, 503, "nobody says that there is no such call");
    // A call that begins meanwhile is recorded, and looks for its answer once it can; also after its end.
    let (going, asked) = announce(&one, "kept-before").await;
    let (ended, _) = announce(&one, "kept-before").await;
    assert_eq!(asked, "asked");
    for id in [&going, &ended] {
        let yes = Some(json!({"answer": "yes", "how": "system"}));
        assert_eq!(one.ask("POST", &format!("/api/v1/calls/{id}/consent"), yes).await.0, 200);
    }
    assert_eq!(one.ask("POST", &format!("/api/v1/calls/{ended}/end"), None).await.0, 200);
    site.postgres.begin();
    for id in [&going, &ended] {
        becomes("the no from before is found", async || consent_of(&one, id).await == "withdrawn").await;
    }
    // What began meanwhile is found by the other node again.
    let (begun, _) = announce(&one, "after").await;
    registry_is(&two, 1.0).await;
    let (status, given) = tell(&two, "after", "no").await;
    assert_eq!((status, &given["calls"]), (200, &json!([begun])), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_nodes_that_do_not_know_each_other_acknowledge_nothing_for_each_other() {
    let Some(site) = Site::new(31_890, 2) else { return };
    // Two nodes as they were set up before there was [cluster].
    let one = Server::start(&site.home(0), &site.settings(0, false)).await;
    let two = Server::start(&site.home(1), &site.settings(1, false)).await;
    becomes("both are registered", async || two.metric("optag_nodes", "ready").await == 2.0).await;
    let (id, _) = announce(&one, "apart").await;
    let (status, problem) = tell(&two, "apart", "no").await;
    assert_eq!(status, 503, "{problem}");
    assert_eq!(two.ask("GET", &format!("/api/v1/calls/{id}"), None).await.0, 503);
    // It is kept, and its node takes it.
    becomes("the no takes effect", async || consent_of(&one, &id).await == "refused").await;
    let (status, page) = two.health("/readyz").await;
    assert!(status == 200 && page.contains("[cluster] is not set"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_nodes_with_different_master_keys_ask_each_other_directly() {
    let Some(site) = Site::new(32_160, 2) else { return };
    let one = site.start(0).await;
    let mut settings = site.settings(1, true);
    settings.env = vec![("OPTAG_MASTER_KEY".into(), "08".repeat(32))];
    let two = Server::start(&site.home(1), &settings).await;
    for node in [&one, &two] {
        registry_is(node, 0.0).await;
    }
    let (id, _) = announce(&one, "hashed").await;
    assert_eq!(tell(&two, "early", "no").await.0, 503, "the other node would not find it");
    let (status, given) = tell(&two, "hashed", "no").await;
    assert_eq!((status, &given["calls"]), (200, &json!([id])), "{given}");
    assert!(two.health("/readyz").await.1.contains("different master keys"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ended_with_nothing_left_is_waited_for_by_nobody() {
    let Some(site) = Site::new(29_200, 2) else { return };
    let (one, two) = site.two().await;
    let (id, _) = announce(&one, "over").await;
    assert_eq!(one.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await.0, 200);
    assert!(one.terminate().success());
    becomes("it is gone", async || two.metric("optag_nodes", "").await == 1.0).await;
    assert_eq!(two.ask("GET", &format!("/api/v1/calls/{id}"), None).await.0, 404, "the registry says so");
    assert_eq!(tell(&two, "over", "no").await.0, 202);
    // It comes back under its number, and takes what waits.
    let one = site.start(0).await;
    let (again, consent) = announce(&one, "over").await;
    assert_eq!((&again[32..], consent), (&id[32..], json!("refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_declared_lost_is_waited_for_by_nobody_and_may_come_back() {
    let Some(site) = Site::new(29_500, 2) else { return };
    let (one, two) = site.two().await;
    let optag = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_optag"));
        command.arg("nodes").args(args).arg("--config").arg(site.home(1).join("optag.toml"));
        let done = command.env("OPTAG_MASTER_KEY", "07".repeat(32)).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    };
    let (id, _) = announce(&one, "lost").await;
    let number = u16::from_str_radix(&id[32..], 16).unwrap().to_string();
    let (done, said) = optag(&["lost", &number]);
    assert!(!done && said.contains("sent a heartbeat"), "{said}");
    one.kill();
    assert_eq!(two.ask("POST", &format!("/api/v1/calls/{id}/withdraw"), None).await.0, 503);
    becomes("it is silent", async || two.metric("optag_nodes", "silent").await == 1.0).await;
    let (done, said) = optag(&["--json"]);
    let nodes: Value = serde_json::from_str(&said).unwrap();
    let lost = nodes.as_array().unwrap().iter().find(|node| node["address"] == site.address(0).to_string());
    let lost = lost.unwrap();
    assert!(
        done && lost["state"] == "silent" && lost["number"] == json!(number.parse::<u16>().unwrap()),
        "{said}"
    );
    let (done, said) = optag(&["lost", &number]);
    assert!(done && optag(&[]).1.lines().count() == 2, "{said}");
    becomes("nobody waits for it", async || two.metric("optag_nodes", "").await == 1.0).await;
    assert_eq!(two.ask("GET", &format!("/api/v1/calls/{id}"), None).await.0, 404);
    assert_eq!(tell(&two, "lost", "no").await.0, 202);
    // What was left for its call is there when it comes back.
    let one = site.start(0).await;
    becomes("the withdrawal takes effect", async || consent_of(&one, &id).await == "refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_node_of_the_same_authority_is_answered() {
    let Some(site) = Site::new(32_400, 1) else { return };
    let one = site.start(0).await;
    let (id, _) = announce(&one, "guarded").await;
    let other = tempfile::tempdir().unwrap();
    let strangers = certificates(other.path());
    // Its own certificate, and the right authority to recognise ours by.
    let stranger = NodeTlsFiles { ca: site.files.ca.clone(), ..strangers };
    let ask = async |files: NodeTlsFiles| {
        let link = Link::new(Some(Arc::new(NodeTls::load(files).unwrap())));
        let request = Request::post(format!("/api/v1/calls/{id}/end")).header("host", "optag");
        // {"name": "x", "role": "admin"}
        let request = request.header("optag-actor", "eyJuYW1lIjogIngiLCAicm9sZSI6ICJhZG1pbiJ9");
        link.ask(&site.address(0).to_string(), request.body(Bytes::new()).unwrap()).await
    };
    ask(stranger).await.unwrap_err();
    assert!(one.metric("optag_http_connections_closed_total", "handshake").await >= 1.0);
    assert_eq!(consent_of(&one, &id).await, "asked");
    let plain = reqwest::get(format!("http://{}/api/v1/calls/{id}", site.address(0))).await;
    assert!(plain.is_err(), "nothing is answered in the clear");
    // The API believes nobody who says who he is.
    let told = reqwest::Client::new()
        .post(format!("{}/api/v1/calls/{id}/end", one.api))
        .header("optag-actor", "eyJuYW1lIjogIngiLCAicm9sZSI6ICJhZG1pbiJ9")
        .send();
    assert_eq!(told.await.unwrap().status(), 401);
    assert_eq!(ask(site.files.clone()).await.unwrap().status(), 200);
}

/// How long admission and answers take, figures and no assertions. Run with
/// `cargo test --test it -- figures_of_nodes --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; half a minute"]
async fn figures_of_nodes() {
    let Some(site) = Site::new(29_750, 2) else { return };
    let (one, two) = site.two().await;
    let alone = tempfile::tempdir().unwrap();
    let mut settings = site.settings(0, false);
    settings.extra = settings.extra.replace("[index]", "[search]").replace("postgres = ", "# ");
    settings.rtp_ports = (28_800, 28_990);
    let alone = Server::start(alone.path(), &settings).await;
    let mut times = std::collections::BTreeMap::<&str, Vec<f64>>::new();
    for n in 0..100 {
        for (admits, told, what, answers) in [
            (&alone, &alone, "admission, SQLite", "answer by name, SQLite"),
            (&one, &one, "admission, PostgreSQL", "answer by name, PostgreSQL, same node"),
            (&one, &two, "admission, PostgreSQL", "answer by name, PostgreSQL, other node"),
        ] {
            let name = format!("timed-{n}-{answers}");
            let began = std::time::Instant::now();
            let (id, _) = announce(admits, &name).await;
            times.entry(what).or_default().push(began.elapsed().as_secs_f64() * 1e3);
            let began = std::time::Instant::now();
            assert_eq!(tell(told, &name, "no").await.0, 200);
            times.entry(answers).or_default().push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(admits.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await.0, 200);
        }
    }
    for (what, mut times) in times {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{what}: {} times, median {:.1} ms, 95 % within {:.1} ms", times.len(), at(0.5), at(0.95));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_a_token_that_is_revoked_admits_nobody_on_any_node_and_machines_go_on_without_postgresql()
 {
    let Some(site) = Site::new(32_700, 2) else { return };
    let (one, two) = site.two().await;
    let (feed, listener) = (one.token_of("feed"), one.token_of("listener"));
    let ask = async |node: &Server, token: &str, path: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", node.api)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let (calls, search) = ("/api/v1/calls", "/api/v1/recordings?purpose=training");
    becomes("the other node knows the tokens", async || {
        ask(&two, &feed, calls).await == 200 && ask(&two, &listener, search).await == 200
    })
    .await;
    site.postgres.crash();
    becomes("nobody can say who was revoked", async || ask(&two, &listener, search).await == 503).await;
    assert_eq!(ask(&two, &feed, calls).await, 200);
    // After a restart there is only what the node knew last.
    drop(two);
    let two = site.start(1).await;
    assert_eq!(ask(&two, &feed, calls).await, 200);
    assert_eq!(ask(&two, &listener, search).await, 503);
    site.postgres.begin();
    becomes("everyone may do their work again", async || ask(&two, &listener, search).await == 200).await;
    let mut revoke = std::process::Command::new(env!("CARGO_BIN_EXE_optag"));
    revoke.args(["token", "revoke", "listener", "--config"]).arg(site.home(1).join("optag.toml"));
    assert!(revoke.status().unwrap().success());
    for node in [&one, &two] {
        becomes("the token is worthless", async || ask(node, &listener, search).await == 401).await;
        assert_eq!(ask(node, &feed, calls).await, 200);
    }
}
