//! Kamailio and rtpengine for real: a call through them, forked by `contrib/kamailio`, recorded
//! after the caller's key and found again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings};
use crate::sip_src::{code, header, media};
use crate::three_nodes::network::Host;

/// A program that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that Kamailio takes its children along.
        // SAFETY: the process is our own child and has not been waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

pub(crate) fn start(dir: &Path, name: &str, command: &mut Command) -> Running {
    start_on(None, dir, name, command)
}

/// The same on a host of its own.
pub(crate) fn start_on(host: Option<&Host>, dir: &Path, name: &str, command: &mut Command) -> Running {
    let log = std::fs::File::create(dir.join(format!("{name}.log"))).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let child = match host {
        Some(host) => host.within(|| command.spawn()),
        None => command.spawn(),
    };
    Running(child.unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// What is not installed of what is needed.
pub(crate) fn missing_of(programs: &[&'static str]) -> Vec<&'static str> {
    let there = |program: &&str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        found.is_ok_and(|done| done.status.success())
    };
    programs.iter().filter(|program| !there(program)).copied().collect()
}

pub(crate) fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The caller's telephone.
struct Caller {
    socket: UdpSocket,
    local: SocketAddr,
    proxy: SocketAddr,
    target: String,
    to: String,
    route: String,
}

impl Caller {
    async fn new(proxy: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let target = "sip:4711@pbx.example".into();
        Self { socket, local, proxy, target, to: "<sip:4711@pbx.example>".into(), route: String::new() }
    }

    async fn send(&self, method: &str, number: u32, body: &str) {
        let Self { local, target, to, route, .. } = self;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{method}{number};rport\r\n\
             Max-Forwards: 70\r\n{route}From: \"Ida Lund\" <sip:+4588888888@pbx.example>;tag=caller\r\nTo: {to}\r\n\
             Call-ID: kamailio-call\r\nCSeq: {number} {method}\r\nContact: <sip:+4588888888@{local}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.proxy).await.unwrap();
    }

    /// The final answer to a request of this method.
    async fn answer(&self, method: &str) -> String {
        let mut buffer = vec![0; 65_535];
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(10), self.socket.recv(&mut buffer));
            let bytes = wait.await.expect("an answer").unwrap();
            let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            if code(&text) >= 200 && header(&text, "CSeq").is_some_and(|cseq| cseq.ends_with(method)) {
                return text;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_through_kamailio_and_rtpengine_is_recorded_after_the_callers_key() {
    let missing = missing_of(&["kamailio", "rtpengine", "sipp", "python3"]);
    if !missing.is_empty() {
        println!("skipped: not installed: {}", missing.join(", "));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let contrib = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contrib/kamailio");
    let bridge = contrib.join("siprec_bridge.py");
    let server = Server::start(dir.path(), &Settings::with_ports((22_400, 22_440))).await;
    let (ng, ear, proxy, callee) = (free_port(), free_port(), free_port(), free_port());

    let _engine = start(
        dir.path(),
        "rtpengine",
        Command::new("rtpengine")
            .args([
                "--foreground",
                "--log-stderr",
                "--table=-1",
                "--interface=127.0.0.1",
                "--config-file=none",
            ])
            .arg(format!("--listen-ng=127.0.0.1:{ng}"))
            .args(["--port-min=23000", "--port-max=23100"]),
    );
    let _bridge = start(
        dir.path(),
        "bridge",
        Command::new("python3").arg(&bridge).args(["--user", "demo", "--recorder", &server.sip]).args([
            format!("--listen=127.0.0.1:{ear}"),
            format!("--rtpengine=127.0.0.1:{ng}"),
            "--domain=pbx.example".into(),
        ]),
    );
    let _callee = start(
        dir.path(),
        "callee",
        Command::new("sipp")
            .arg("-sf")
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sipp/callee.xml"))
            .args(["-rtp_echo", "-nostdin", "-i", "127.0.0.1", "-mp", "24000"])
            .args(["-p", &callee.to_string()])
            .current_dir(dir.path()),
    );
    let _proxy = start(
        dir.path(),
        "kamailio",
        Command::new("kamailio")
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(contrib.join("kamailio.cfg"))
            .args([
                "-Y",
                &dir.path().display().to_string(),
                "-A",
                &format!("LISTEN=udp:127.0.0.1:{proxy}"),
                "-A",
                &format!("CALLEE=\"sip:127.0.0.1:{callee}\""),
                "-A",
                &format!("RTPENGINE=\"udp:127.0.0.1:{ng}\""),
                "-A",
                &format!("BRIDGE=\"sip:127.0.0.1:{ear}\""),
            ]),
    );
    let logs = || {
        let all = ["rtpengine", "bridge", "kamailio", "callee"];
        let read =
            |name: &&str| std::fs::read_to_string(dir.path().join(format!("{name}.log"))).unwrap_or_default();
        all.iter().map(|name| format!("== {name}\n{}", read(name))).collect::<String>() + &server.log()
    };

    // What reaches the bridge before it listens is lost, and with it the call's recording.
    for _ in 0..300 {
        if std::fs::read_to_string(dir.path().join("bridge.log")).is_ok_and(|log| log.contains("ready")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut caller = Caller::new(format!("127.0.0.1:{proxy}").parse().unwrap()).await;
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 25000 RTP/AVP 8 101\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
    // Everything takes a moment to start: an INVITE is sent until it is answered.
    let mut answer = String::new();
    for _ in 0..50 {
        caller.send("INVITE", 1, sdp).await;
        let wait = tokio::time::timeout(Duration::from_millis(500), caller.answer("INVITE"));
        if let Ok(heard) = wait.await {
            answer = heard;
            break;
        }
    }
    assert_eq!(code(&answer), 200, "{answer}\n{}", logs());
    caller.to = header(&answer, "To").unwrap();
    caller.target = header(&answer, "Contact").unwrap().trim_matches(['<', '>']).to_owned();
    caller.route =
        header(&answer, "Record-Route").map(|route| format!("Route: {route}\r\n")).unwrap_or_default();
    caller.send("ACK", 1, "").await;
    for _ in 0..100 {
        if server.metric("optag_sip_events_total", "calls_admitted").await > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let port: u16 = media(&answer)[0].split(' ').nth(1).unwrap().parse().unwrap();
    let to = json!({"streams": [{"address": "127.0.0.1", "port": port}]});
    tokio::task::spawn_blocking(move || {
        let mut legs = vec![Leg::new(&to, 0, 8, 0x77)];
        talk(&mut legs, &[&voice(1, 1_500)]);
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, 2_500)]);
    })
    .await
    .unwrap();
    caller.send("BYE", 2, "").await;
    assert_eq!(code(&caller.answer("BYE").await), 200, "{}", logs());

    let mut ended = serde_json::Value::Null;
    for _ in 0..100 {
        let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
        if let Some(call) =
            calls.as_array().and_then(|all| all.iter().find(|call| !call["ended_at"].is_null()))
        {
            ended = call.clone();
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ended["outcome"]["outcome"], "recorded", "{ended}\n{}", logs());
    let recording = server.recording(ended["id"].as_str().unwrap()).await;
    assert_eq!(recording["caller_number"], "+4588888888", "{recording:#}");
    assert_eq!(recording["caller_name"], "Ida Lund");
    assert!(recording["duration_ms"].as_u64().unwrap() > 1_500, "{recording:#}");
    let heard = |at: usize| recording["counts"][at]["received"].as_u64().unwrap();
    assert!(heard(0) > 100 && heard(1) > 100, "both parties: {recording:#}");
}
