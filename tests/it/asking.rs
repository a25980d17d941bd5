//! Callers asked by the built program, over real sockets: what they hear, what becomes of their answer, what is left
//! behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;

use crate::phone::{FRAME, alaw, voice};
use crate::server::{Server, Settings, call_request, files_below};
use crate::sip_src::{code, header, media};

/// Length of the prompt. Units: ms, with the silence that storing leaves around it.
pub(crate) const PROMPT_MS: usize = 1_250;

/// Writes a prompt like speech; returns its file.
pub(crate) fn prompt(dir: &Path) -> PathBuf {
    let samples: Vec<i16> = voice(3, 1_000).iter().flat_map(|&sample| [sample, sample]).collect();
    let raw = dir.join("question-raw.wav");
    std::fs::write(&raw, optag::prompts::audio::wav(&samples, 16_000)).unwrap();
    raw
}

/// The configuration of a recorder that asks the callers of 70101010, with its prompt in the store.
pub(crate) fn settings(dir: &Path, rtp_ports: (u16, u16), more: &str) -> Settings {
    let prompts = dir.join("prompts");
    let samples = optag::prompts::audio::read(&prompt(dir)).unwrap();
    let stored = optag::prompts::store::NewPrompt {
        version: "2026-1-da",
        language: "da",
        text: "Tast 1 for ja, 2 for nej.",
        samples: &optag::prompts::level::prepare(&samples).unwrap(),
        departments: &["tax".to_owned()],
        keys: None,
    };
    if !prompts.join("2026-1-da.toml").exists() {
        optag::prompts::store::add(&prompts, &stored).unwrap();
    }
    let mut settings = Settings::with_ports(rtp_ports);
    settings.extra = format!(
        "[ask]\nlisten_udp = '127.0.0.1:0'\nlisten_tcp = '127.0.0.1:0'\nsend_to = 'sip:{{called}}@127.0.0.1:5090'\n\
         answer_s = 2\nmax_asks = 10\nprompts_dir = '{}'\n{more}\n[[ask.department]]\nid = 'tax'\n\
         [[department]]\nid = 'tax'\nname = 'Tax'\nrecord = true\nnumbers = ['70101010']\nprompts = ['2026-1-da']\n",
        prompts.display()
    );
    settings
}

/// A telephone that calls the asking recorder, by UDP.
struct Caller {
    signalling: UdpSocket,
    audio: UdpSocket,
    server: SocketAddr,
    name: String,
}

impl Caller {
    async fn new(server: SocketAddr, name: &str) -> Self {
        let signalling = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let audio = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { signalling, audio, server, name: name.to_owned() }
    }

    async fn send(&self, method: &str, called: &str, to: &str, body: &str) {
        let local = self.signalling.local_addr().unwrap();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let name = &self.name;
        let text = format!(
            "{method} sip:{called}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{name};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+4511223344@127.0.0.1>;tag={name}\r\nTo: {to}\r\nCall-ID: {name}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:caller@{local}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.signalling.send_to(text.as_bytes(), self.server).await.unwrap();
    }

    /// Calls; probes are answered on the way. Returns the first response that is not 100.
    async fn call(&self, called: &str) -> String {
        let port = self.audio.local_addr().unwrap().port();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp-mux\r\n"
        );
        self.send("INVITE", called, &format!("<sip:{called}@127.0.0.1>"), &sdp).await;
        self.response().await
    }

    async fn response(&self) -> String {
        let mut buffer = vec![0; 65_535];
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(20), self.signalling.recv(&mut buffer));
            let bytes = wait.await.expect("a response").unwrap();
            let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            if text.starts_with("OPTIONS ") {
                let fields: String = ["Via", "From", "To", "Call-ID", "CSeq"]
                    .iter()
                    .map(|name| format!("{name}: {}\r\n", header(&text, name).unwrap()))
                    .collect();
                let answer = format!("SIP/2.0 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
                self.signalling.send_to(answer.as_bytes(), self.server).await.unwrap();
            } else if code(&text) != 100 {
                return text;
            }
        }
    }

    /// Speaks and listens to the address in a description until a final response comes. Presses `key` so many ms after
    /// the beginning. Returns what was heard, and the response.
    async fn listen(&self, early: &str, said: &[i16], key: Option<(u64, u8)>) -> (Vec<u8>, String) {
        let port: u16 = media(early)[0].split(' ').nth(1).unwrap().parse().unwrap();
        let to: SocketAddr = ([127, 0, 0, 1], port).into();
        let speak = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            let mut timestamp = 0_u32;
            for sequence in 0_u16.. {
                tick.tick().await;
                let ms = u64::from(sequence) * 20;
                let mut packet = vec![0x80, 8];
                let mut payload: Vec<u8> = Vec::new();
                let mut at = timestamp;
                if let Some((begin, event)) = key.filter(|(begin, _)| (*begin..begin + 120).contains(&ms)) {
                    packet[1] = 101;
                    at = timestamp - (ms - begin) as u32 * 8;
                    let duration = (ms - begin + 20) as u16 * 8;
                    let ends = if ms - begin >= 100 { 0x80 } else { 0 };
                    payload.extend([event, ends | 10, (duration >> 8) as u8, duration as u8]);
                } else {
                    let frame = usize::from(sequence) * FRAME % (said.len() - FRAME);
                    payload.extend(said[frame..frame + FRAME].iter().map(|&sample| alaw(sample)));
                }
                packet.extend(sequence.to_be_bytes());
                packet.extend(at.to_be_bytes());
                packet.extend(0x1234_5678_u32.to_be_bytes());
                packet.extend(payload);
                self.audio.send_to(&packet, to).await.unwrap();
                timestamp = timestamp.wrapping_add(160);
            }
        };
        let hear = async {
            let (mut heard, mut buffer) = (Vec::new(), vec![0; 2_000]);
            loop {
                tokio::select! {
                    got = self.audio.recv(&mut buffer) => {
                        let bytes = got.unwrap();
                        if buffer[1] & 0x7f == 8 {
                            heard.extend_from_slice(&buffer[12..bytes]);
                        }
                    }
                    text = self.response() => {
                        if code(&text) >= 200 {
                            return (heard, text);
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = speak => unreachable!("it speaks for ever"),
            heard = hear => heard,
        }
    }

    async fn acknowledge(&self, called: &str, response: &str) {
        self.send("ACK", called, &header(response, "To").unwrap(), "").await;
    }
}

fn asking_at(server: &Server) -> SocketAddr {
    server.asking.parse().unwrap()
}

/// How alike two stretches of audio are at their best offset: 1 for equal, around 0 for others.
pub(crate) fn alike(heard: &[i16], prompt: &[i16]) -> f64 {
    let dot = |a: &[i16], b: &[i16]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let own = dot(prompt, prompt).sqrt();
    let last = heard.len().saturating_sub(prompt.len());
    let at = |from: usize| {
        let part = &heard[from..from + prompt.len()];
        dot(part, prompt) / (own * dot(part, part).sqrt()).max(1.0)
    };
    (0..=last).map(at).fold(0.0, f64::max)
}

/// The prompt as a caller with G.711 hears it.
pub(crate) fn as_heard(dir: &Path) -> Vec<i16> {
    let output = dir.join("heard.wav");
    let status = Command::new(env!("CARGO_BIN_EXE_optag"))
        .args(["prompt", "play", "2026-1-da", "--codec", "pcma", "-o"])
        .arg(&output)
        .arg("--config")
        .arg(dir.join("optag.toml"))
        .status();
    assert!(status.unwrap().success());
    let bytes = std::fs::read(&output).unwrap();
    assert_eq!(u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]), 8_000);
    bytes[44..].chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn decoded(alaw: &[u8]) -> Vec<i16> {
    let mut out = vec![0; alaw.len()];
    optag_media::codec::decoder::Decoder::new(optag_media::codec::Encoding::Pcma).decode(alaw, &mut out);
    out
}

/// Announces the recording of a call that the SBC names so.
async fn recording_of(server: &Server, name: &str) -> serde_json::Value {
    let mut request = call_request("tax", "pcmu");
    request["external_id"] = json!(name);
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(request)).await;
    assert_eq!(status, 201, "{admitted}");
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_the_question_and_the_answer_waits_for_the_recording_of_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings(dir.path(), (24_100, 24_180), "")).await;
    let prompt = as_heard(dir.path());
    let said = voice(5, 4_000);
    for (name, key, outcome, consent) in [("yes-1", 1_u8, "yes", "granted"), ("no-1", 2, "no", "refused")] {
        let caller = Caller::new(asking_at(&server), name).await;
        let early = caller.call("70101010").await;
        assert_eq!(code(&early), 183, "{early}\n{}", server.log());
        let pressed = Some((PROMPT_MS as u64 + 700, key));
        let (heard, last) = caller.listen(&early, &said, pressed).await;
        assert_eq!(code(&last), 302, "{last}");
        let told = header(&last, "X-Recording-Consent").unwrap();
        assert_eq!(told, format!("{outcome};prompt=2026-1-da"));
        assert!(header(&last, "Contact").unwrap().starts_with("<sip:70101010@127.0.0.1:5090?"), "{last}");
        caller.acknowledge("70101010", &last).await;
        let match_ = alike(&decoded(&heard), &prompt);
        assert!(match_ > 0.95, "{name}: what was heard is like the prompt by {match_}");
        assert_eq!(recording_of(&server, name).await["consent"], consent);
    }
    server.metric_becomes("optag_asks_total", "outcome=\"yes\"", 1.0).await;
    assert_eq!(server.metric("optag_asks_total", "outcome=\"no\"").await, 1.0);
    server.metric_becomes("optag_asks", "", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_in_the_middle_of_the_question_is_none_and_no_key_in_the_recording_is_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings(dir.path(), (24_200, 24_280), "")).await;
    let caller = Caller::new(asking_at(&server), "early-key").await;
    let early = caller.call("70101010").await;
    let (_, last) = caller.listen(&early, &voice(5, 4_000), Some((500, 1))).await;
    assert_eq!(code(&last), 302);
    assert_eq!(header(&last, "X-Recording-Consent").unwrap(), "no;prompt=2026-1-da");
    caller.acknowledge("70101010", &last).await;
    assert_eq!(server.metric("optag_asks_total", "outcome=\"silence\"").await, 1.0, "{}", server.log());
    assert_eq!(recording_of(&server, "early-key").await["consent"], "refused");
    // A call of the department whose caller was not asked at all: the key belongs to something else.
    let admitted = recording_of(&server, "never-asked").await;
    assert_eq!(admitted["consent"], "asked");
    let path = format!("/api/v1/calls/{}", admitted["id"].as_str().unwrap());
    let heard = admitted.clone();
    tokio::task::spawn_blocking(move || {
        let mut legs = vec![crate::phone::Leg::new(&heard, 0, 0, 0x51)];
        crate::phone::talk(&mut legs, &[&voice(1, 1_500)]);
        legs[0].key('1');
        crate::phone::talk(&mut legs, &[&voice(1, 500)]);
        legs[0].key('2');
        crate::phone::talk(&mut legs, &[&voice(1, 500)]);
    })
    .await
    .unwrap();
    let (_, view) = server.ask("GET", &path, None).await;
    assert_eq!(view["consent"], "refused", "a no counts, a yes did not: {view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_01_nothing_that_a_caller_says_while_asked_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings(dir.path(), (24_300, 24_380), "")).await;
    let caller = Caller::new(asking_at(&server), "canary").await;
    let early = caller.call("70101010").await;
    let said = voice(6, 4_000);
    let (_, last) = caller.listen(&early, &said, Some((PROMPT_MS as u64 + 700, 1))).await;
    assert_eq!(header(&last, "X-Recording-Consent").unwrap(), "yes;prompt=2026-1-da", "{last}");
    // Every stretch of 20 ms, as it was sent and as samples, in every file and in the memory of the process.
    let coded: Vec<Vec<u8>> =
        said.chunks(FRAME).map(|frame| frame.iter().map(|&s| alaw(s)).collect()).collect();
    let loud = |frame: &&Vec<u8>| frame.iter().collect::<std::collections::BTreeSet<_>>().len() > 20;
    let canaries: Vec<&Vec<u8>> = coded.iter().filter(loud).collect();
    assert!(canaries.len() > 50, "{}", canaries.len());
    let files = files_below(&dir.path().join("data"));
    assert!(files.len() > 5);
    for (path, bytes) in &files {
        for canary in &canaries {
            let found = memchr::memmem::find(bytes, canary);
            assert_eq!(found, None, "{}", path.display());
        }
    }
    let log = server.log();
    assert!(!log.contains("11223344") && !log.contains("70101010"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_beyond_the_limit_and_those_of_a_stopping_recorder_are_answered_503_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start(dir.path(), &settings(dir.path(), (24_400, 24_480), "internal_digits = 0\n")).await;
    let mut asked = Vec::new();
    for n in 0..10 {
        let caller = Caller::new(asking_at(&server), &format!("many-{n}")).await;
        assert_eq!(code(&caller.call("70101010").await), 183, "{n}: {}", server.log());
        asked.push(caller);
    }
    let more = Caller::new(asking_at(&server), "one-more").await;
    let refused = more.call("70101010").await;
    assert_eq!((code(&refused), header(&refused, "Retry-After").as_deref()), (503, Some("5")));
    server.metric_becomes("optag_asks", "", 10.0).await;
    // A stop sends them on.
    server.signal(libc::SIGTERM);
    for caller in &asked {
        let last = loop {
            let text = caller.response().await;
            if code(&text) >= 200 {
                break text;
            }
        };
        assert_eq!(
            (code(&last), header(&last, "X-Recording-Consent").as_deref()),
            (302, Some("no;prompt=2026-1-da"))
        );
    }
    assert!(server.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_made_listed_checked_and_heard_by_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("optag.toml");
    let text = format!(
        "data_dir = '{}'\n[[department]]\nid = 'tax'\nname = 'Tax'\nrecord = true\n",
        dir.path().join("data").display()
    );
    std::fs::write(&config, &text).unwrap();
    let raw = prompt(dir.path());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
        let done = command.arg("prompt").args(arguments).arg("--config").arg(&config).output().unwrap();
        let text =
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (done.status.success(), text)
    };
    let raw = raw.display().to_string();
    let add = |version: &'static str, text: &'static str, department: &'static str| {
        run(&[
            "add",
            &raw,
            "--version",
            version,
            "--language",
            "da",
            "--text",
            text,
            "--department",
            department,
        ])
    };
    let (done, said) = add("v1", "Tast 1 for ja, 2 for nej", "tax");
    assert!(done && said.contains("add \"v1\" to `prompts`"), "{said}");
    for (version, text, department, why) in [
        ("v1", "Tast 1 for ja, 2 for nej", "tax", "there already"),
        ("v2", "Tast 1 for ja", "tax", "does not name"),
        ("v2", "Tast 1 for ja, 2 for nej", "police", "no department"),
    ] {
        let (done, said) = add(version, text, department);
        assert!(!done && said.contains(why), "{said}");
    }
    std::fs::write(&config, text + "prompts = ['v1']\n").unwrap();
    let (done, said) = run(&["list"]);
    assert!(done && said.contains("v1  da  1.2 s  tax") && said.contains("Tast 1"), "{said}");
    assert_eq!(run(&["check"]), (true, "v1: in order\n".to_owned()));
    for codec in ["pcmu", "g722", "opus"] {
        let out = dir.path().join(format!("{codec}.wav"));
        assert!(run(&["play", "v1", "--codec", codec, "-o", &out.display().to_string()]).0);
        assert!(std::fs::metadata(&out).unwrap().len() > 15_000);
    }
    // One that was made elsewhere, far too loud.
    let loud: Vec<i16> =
        optag::prompts::audio::read(Path::new(&raw)).unwrap().iter().map(|s| s.saturating_mul(4)).collect();
    std::fs::write(dir.path().join("data/prompts/v1.wav"), optag::prompts::audio::wav(&loud, 16_000))
        .unwrap();
    let (done, said) = run(&["check", "v1"]);
    assert!(!done && said.contains("LUFS"), "{said}");
}

/// Runs a scenario of SIPp.
async fn sipp(scenario: &str, target: &str, more: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{scenario}.xml"));
    let scratch = tempfile::tempdir().unwrap();
    let mut run = Command::new("sipp");
    run.arg("-sf").arg(file).arg(target).args(["-i", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "20s"]);
    run.args(["-timeout_error", "-trace_err", "-trace_msg"]).args(more).current_dir(scratch.path());
    let done = tokio::task::spawn_blocking(move || run.output()).await.unwrap().unwrap();
    let mut text = String::from_utf8_lossy(&done.stderr).into_owned();
    for file in std::fs::read_dir(scratch.path()).unwrap().flatten() {
        text += &std::fs::read_to_string(file.path()).unwrap_or_default();
    }
    assert!(done.status.success(), "{scenario}: {}: {text}", done.status);
}

fn is_there(program: &str, argument: &str) -> bool {
    let quiet = std::process::Stdio::null;
    let there = Command::new(program).arg(argument).stdout(quiet()).stderr(quiet()).status().is_ok();
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_is_asked_over_udp_tcp_and_tls_and_redirected() {
    if !is_there("sipp", "-v") || !is_there("socat", "-V") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["optag.example".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (tls, plain) = (port(), port());
    let mut all = settings(dir.path(), (24_500, 24_580), &format!("listen_tls = '127.0.0.1:{tls}'\n"));
    all.env.push(("OPTAG_SIP_CERTIFICATE_FILE".into(), certificate.display().to_string()));
    all.env.push(("OPTAG_SIP_KEY_FILE".into(), key.display().to_string()));
    let server = Server::start(dir.path(), &all).await;
    sipp("ask", &server.asking, &["-t", "u1"]).await;
    sipp("ask", &server.asking_tcp, &["-t", "t1"]).await;
    let carried = Command::new("socat")
        .arg(format!("TCP-LISTEN:{plain},bind=127.0.0.1,fork,reuseaddr"))
        .arg(format!("OPENSSL:127.0.0.1:{tls},verify=0"))
        .spawn();
    let mut carried = carried.unwrap();
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", plain)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sipp("ask", &format!("127.0.0.1:{plain}"), &["-t", "t1"]).await;
    carried.kill().unwrap();
    carried.wait().unwrap();
    server.metric_becomes("optag_asks_total", "outcome=\"not_heard\"", 3.0).await;
    assert_eq!(server.metric("optag_asks_total", "outcome=\"not_selected\"").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_is_asked_in_an_answered_call_and_sent_on_by_refer() {
    if !is_there("sipp", "-v") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start(dir.path(), &settings(dir.path(), (24_700, 24_780), "send_on = 'refer'\n")).await;
    for (target, transport, port) in [(&server.asking, "u1", "46000"), (&server.asking_tcp, "t1", "46010")] {
        sipp("ask_refer", target, &["-t", transport, "-rtp_echo", "-mp", port]).await;
    }
    server.metric_becomes("optag_asks_total", "outcome=\"yes\"", 2.0).await;
}
