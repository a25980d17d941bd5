//! A whole chain for real: baresip calls through Kamailio, optag asks, baresip of the department answers, rtpengine forks
//! the conversation. The caller's side records what it hears.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::asking::{alike, as_heard, settings};
use crate::kamailio::{Running, free_port, start};
use crate::phone::voice;
use crate::server::Server;

fn missing() -> Vec<&'static str> {
    crate::kamailio::missing_of(&["kamailio", "rtpengine", "baresip", "python3"])
}

/// A baresip with its control connection.
struct Phone {
    _program: Running,
    control: TcpStream,
    dir: PathBuf,
}

impl Phone {
    async fn start(
        dir: &Path,
        name: &str,
        port: u16,
        proxy: u16,
        (rtp, seed): (u16, u32),
        more: &str,
    ) -> Self {
        let own = dir.join(name);
        std::fs::create_dir_all(&own).unwrap();
        let said = optag::prompts::audio::wav(&voice(seed, 20_000), 8_000);
        std::fs::write(own.join("said.wav"), said).unwrap();
        let control = free_port();
        let at = own.display();
        let config = format!(
            "module_path /usr/lib/baresip/modules\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\naudio_source aufile,{at}/said.wav\n\
             audio_player aubridge,sink\naudio_alert aubridge,sink\nausrc_srate 8000\nauplay_srate 8000\n\
             rtp_ports {rtp}-{}\nsnd_path {at}\nctrl_tcp_listen 127.0.0.1:{control}\n\
             module g711.so\nmodule sndfile.so\nmodule aufile.so\nmodule aubridge.so\nmodule_tmp account.so\n\
             module_app menu.so\nmodule_app ctrl_tcp.so\n",
            rtp + 40
        );
        std::fs::write(own.join("config"), config).unwrap();
        let account = format!(
            "<sip:{name}@127.0.0.1:{port}>;regint=0;audio_codecs=PCMA/8000/1;outbound=\"sip:127.0.0.1:{proxy}\"{more}\n"
        );
        std::fs::write(own.join("accounts"), account).unwrap();
        std::fs::write(own.join("contacts"), "").unwrap();
        let program = start(dir, name, Command::new("baresip").arg("-f").arg(&own).arg("-v"));
        for _ in 0..100 {
            if let Ok(control) = TcpStream::connect(("127.0.0.1", control)).await {
                return Self { _program: program, control, dir: own };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} never started: {}", std::fs::read_to_string(dir.join(format!("{name}.log"))).unwrap());
    }

    /// A command of baresip. The form is that of its module ctrl_tcp: JSON in a netstring.
    async fn tell(&mut self, command: &str, params: &str) {
        let text = format!("{{\"command\":\"{command}\",\"params\":\"{params}\"}}");
        self.control.write_all(format!("{}:{text},", text.len()).as_bytes()).await.unwrap();
    }

    /// Waits until an event or a response says this.
    async fn hears(&mut self, what: &str, within: Duration) -> bool {
        let mut all = Vec::new();
        let mut buffer = [0; 4_096];
        let until = tokio::time::Instant::now() + within;
        while let Ok(Ok(count)) = tokio::time::timeout_at(until, self.control.read(&mut buffer)).await {
            all.extend_from_slice(&buffer[..count]);
            if count == 0 || String::from_utf8_lossy(&all).contains(what) {
                return count > 0;
            }
        }
        false
    }

    /// What its dumps of received audio hold, all calls.
    fn heard(&self) -> Vec<i16> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.dir).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("dump-") && name.contains("-dec") {
                let bytes = std::fs::read(entry.path()).unwrap();
                all.extend(
                    bytes
                        .get(44..)
                        .unwrap_or_default()
                        .chunks_exact(2)
                        .map(|b| i16::from_le_bytes([b[0], b[1]])),
                );
            }
        }
        all
    }
}

/// Everything but the caller, around a recorder.
struct Chain {
    programs: Vec<Running>,
    proxy: u16,
    callee: Phone,
}

async fn chain(dir: &Path, server: &Server, askers: &[String], ports: (u16, u16)) -> Chain {
    let contrib = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contrib/kamailio");
    let (ng, ear, proxy, callee) = (free_port(), free_port(), free_port(), free_port());
    let list: String = askers.iter().map(|address| format!("1 sip:{address}\n")).collect();
    std::fs::write(dir.join("askers.list"), list).unwrap();
    let engine = start(
        dir,
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
            .arg(format!("--port-min={}", ports.0))
            .arg(format!("--port-max={}", ports.0 + 98)),
    );
    let bridge = start(
        dir,
        "bridge",
        Command::new("python3")
            .arg(contrib.join("siprec_bridge.py"))
            .args(["--user", "tax", "--recorder", &server.sip, "--domain=pbx.example"])
            .arg(format!("--listen=127.0.0.1:{ear}"))
            .arg(format!("--rtpengine=127.0.0.1:{ng}")),
    );
    let callee_phone = Phone::start(dir, "70101010", callee, proxy, (ports.1, 2), ";answermode=auto").await;
    let kamailio = start(
        dir,
        "kamailio",
        Command::new("kamailio")
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(contrib.join("ask.cfg"))
            .args([
                "-Y",
                &dir.display().to_string(),
                "-A",
                &format!("LISTEN=udp:127.0.0.1:{proxy}"),
                "-A",
                &format!("CALLEE=\"sip:127.0.0.1:{callee}\""),
                "-A",
                &format!("ASKERS=\"{}\"", dir.join("askers.list").display()),
                "-A",
                "ASK_LONGEST=6000",
                "-A",
                &format!("RTPENGINE=\"udp:127.0.0.1:{ng}\""),
                "-A",
                &format!("BRIDGE=\"sip:127.0.0.1:{ear}\""),
            ]),
    );
    // What reaches the bridge before it listens is lost.
    for _ in 0..300 {
        let ready = |name: &str, what: &str| {
            std::fs::read_to_string(dir.join(format!("{name}.log"))).is_ok_and(|log| log.contains(what))
        };
        if ready("bridge", "ready") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Chain { programs: vec![engine, bridge, kamailio], proxy, callee: callee_phone }
}

fn logs(dir: &Path, server: &Server) -> String {
    let all = ["4588888888", "70101010", "kamailio", "bridge", "rtpengine"];
    let read = |name: &&str| std::fs::read_to_string(dir.join(format!("{name}.log"))).unwrap_or_default();
    all.iter().map(|name| format!("== {name}\n{}", read(name))).collect::<String>() + &server.log()
}

async fn ended_call(server: &Server) -> serde_json::Value {
    for _ in 0..150 {
        let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
        if let Some(call) =
            calls.as_array().and_then(|all| all.iter().find(|call| !call["ended_at"].is_null()))
        {
            return call.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    serde_json::Value::Null
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_the_question_says_yes_is_connected_and_recorded_from_then_on() {
    let missing = missing();
    if !missing.is_empty() {
        println!("skipped: not installed: {}", missing.join(", "));
        return;
    }
    for (key, outcome, rtp) in [("1", "recorded", 24_600), ("2", "refused", 24_800)] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &settings(dir.path(), (rtp, rtp + 80), "")).await;
        let prompt = as_heard(dir.path());
        let mut chain =
            chain(dir.path(), &server, std::slice::from_ref(&server.asking), (rtp + 100, 25_000 + rtp / 10))
                .await;
        let mut caller =
            Phone::start(dir.path(), "4588888888", free_port(), chain.proxy, (25_500 + rtp / 10, 3), "")
                .await;
        caller.tell("dial", &format!("sip:70101010@127.0.0.1:{}", chain.proxy)).await;
        // The question lasts 1.25 s; the key comes in the time to answer.
        server.metric_becomes("optag_asks", "", 1.0).await;
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        caller.tell("sndcode", key).await;
        assert!(
            caller.hears("CALL_ESTABLISHED", Duration::from_secs(15)).await,
            "{}",
            logs(dir.path(), &server)
        );
        tokio::time::sleep(Duration::from_secs(4)).await;
        caller.tell("hangup", "").await;
        let ended = ended_call(&server).await;
        assert_eq!(ended["outcome"]["outcome"], outcome, "{ended}\n{}", logs(dir.path(), &server));
        let match_ = alike(&caller.heard(), &prompt);
        assert!(match_ > 0.9, "what the caller heard is like the prompt by {match_}");
        if outcome == "recorded" {
            let recording = server.recording(ended["id"].as_str().unwrap()).await;
            let heard = |at: usize| recording["counts"][at]["received"].as_u64().unwrap();
            assert!(heard(0) > 100 && heard(1) > 100, "both parties: {recording:#}");
            let consent = &recording["consent"];
            let text = consent.to_string();
            assert!(
                text.contains("2026-1-da") || recording.to_string().contains("2026-1-da"),
                "{recording:#}"
            );
        }
        drop(chain.programs.drain(..));
        drop(chain.callee);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_recorders_away_or_killed_in_the_question_the_caller_is_connected_all_the_same() {
    let missing = missing();
    if !missing.is_empty() {
        println!("skipped: not installed: {}", missing.join(", "));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings(dir.path(), (25_900, 25_980), "")).await;
    let away = format!("127.0.0.1:{}", free_port());
    // The first is away: the second asks. It is killed in the question.
    let chain = chain(dir.path(), &server, &[away, server.asking.clone()], (26_000, 26_200)).await;
    let mut caller = Phone::start(dir.path(), "4588888888", free_port(), chain.proxy, (26_300, 3), "").await;
    let target = format!("sip:70101010@127.0.0.1:{}", chain.proxy);
    caller.tell("dial", &target).await;
    server.metric_becomes("optag_asks", "", 1.0).await;
    let text = logs(dir.path(), &server);
    server.kill();
    assert!(caller.hears("CALL_ESTABLISHED", Duration::from_secs(20)).await, "{text}");
    caller.tell("hangup", "").await;
    assert!(caller.hears("CALL_CLOSED", Duration::from_secs(5)).await);
    // Now none is there.
    caller.tell("dial", &target).await;
    assert!(caller.hears("CALL_ESTABLISHED", Duration::from_secs(10)).await, "{text}");
}
