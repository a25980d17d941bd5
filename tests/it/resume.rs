//! Calls go on after `kill -9` and a restart: in the same recording, with the gap marked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use optag_sip::sip::flow::Transport;
use serde_json::{Value, json};

use crate::chain::correlation;
use crate::phone::{FRAME, Leg, talk, voice};
use crate::server::{Server, Settings, call_request};
use crate::sip_recorder::{Client, Connection, apart};
use crate::sip_sipp::{certificate, connect};
use crate::sip_src::{SDP, SIPREC, code, header, media};

/// The longest that anyone speaks here.
const SPOKEN_MS: usize = 20_000;

/// Two legs that speak until they are told to stop, whatever becomes of the recorder.
struct Speaker {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Speaker {
    /// The caller says yes first where `yes`.
    fn start(admitted: &Value, seed: u32, yes: bool) -> Self {
        let mut legs = [Leg::new(admitted, 0, 0, 1_000 + seed), Leg::new(admitted, 1, 0, 2_000 + seed)];
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let voices = [voice(seed, SPOKEN_MS), voice(seed + 50, SPOKEN_MS)];
            if yes {
                legs[0].key('1');
            }
            let start = Instant::now();
            let mut frame = 0;
            while !stopping.load(Ordering::Relaxed) {
                for (leg, voice) in legs.iter_mut().zip(&voices) {
                    leg.audio(&voice[frame * FRAME..][..FRAME]);
                }
                frame += 1;
                let next = start + Duration::from_millis(20) * frame as u32;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            frame
        });
        Self { stop, thread }
    }

    /// Frames that were sent.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

pub(crate) async fn admit(server: &Server, department: &str) -> (String, Value) {
    let (status, admitted) =
        server.ask("POST", "/api/v1/calls", Some(call_request(department, "pcmu"))).await;
    assert_eq!(status, 201, "{admitted}");
    (admitted["id"].as_str().unwrap().to_owned(), admitted)
}

pub(crate) async fn end(server: &Server, id: &str) -> Value {
    let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!(status, 200, "{view}");
    view
}

/// The two channels of a recording, 8 kHz.
pub(crate) async fn channels(server: &Server, id: &str) -> [Vec<i16>; 2] {
    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    let rate = u32::from_le_bytes(wav[24..28].try_into().unwrap());
    let step = (rate / 8_000) as usize;
    let channel = |offset: usize| {
        wav[44..]
            .chunks_exact(4)
            .step_by(step)
            .map(|pair| i16::from_le_bytes([pair[offset], pair[offset + 1]]))
            .collect()
    };
    [channel(0), channel(2)]
}

/// Total length of gaps with a reason, in one stream. Units: ms.
fn gap_ms(recording: &Value, stream: u64, reason: &str) -> u64 {
    let gaps = recording["gaps"].as_array().unwrap().iter();
    gaps.filter(|gap| gap["stream"] == stream && gap["reason"] == reason)
        .map(|gap| (gap["to_frame"].as_u64().unwrap() - gap["from_frame"].as_u64().unwrap()) * 20)
        .sum()
}

pub(crate) async fn restart(
    server: Server,
    dir: &Path,
    settings: &Settings,
    down: Duration,
) -> (Server, Duration) {
    server.kill();
    let from = Instant::now();
    tokio::time::sleep(down).await;
    let server = Server::start(dir, settings).await;
    (server, from.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_in_the_same_recording_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((26_000, 26_040));
    let mut server = Server::start(dir.path(), &settings).await;
    let (id, admitted) = admit(&server, "demo").await;
    let speaker = Speaker::start(&admitted, 3, true);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let mut down = Duration::ZERO;
    for pause in [300, 900] {
        let took;
        (server, took) = restart(server, dir.path(), &settings, Duration::from_millis(pause)).await;
        down += took;
        let (status, view) = server.ask("GET", &format!("/api/v1/calls/{id}"), None).await;
        assert_eq!((status, &view["consent"]), (200, &json!("granted")), "{view}\n{}", server.log());
        assert_eq!(view["streams"][0]["port"], admitted["streams"][0]["port"]);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
    assert_eq!(server.metric("optag_calls_resumed_total", "").await, 1.0);
    let frames = speaker.stop();
    end(&server, &id).await;
    let recording = server.recording(&id).await;
    let said_ms = frames as u64 * 20;
    let heard_ms = recording["duration_ms"].as_u64().unwrap();
    assert!(heard_ms.abs_diff(said_ms) < 700, "{heard_ms} of {said_ms} ms: {recording}");
    let missing = gap_ms(&recording, 0, "restart");
    assert!(missing > 1_200, "{recording}");
    assert!(missing <= down.as_millis() as u64 + 2 * 500, "{missing} ms for {down:?}: {recording}");
    assert_eq!(gap_ms(&recording, 0, "spool"), 0, "{recording}");
    // Both parties lie where they spoke, before and after: the axis has not moved.
    for (heard, seed) in channels(&server, &id).await.iter().zip([3, 53]) {
        let said = voice(seed, SPOKEN_MS);
        let lag = |from: usize| {
            let part = &heard[from..from + 4_000];
            let at = |shift: i64| {
                let from = (from as i64 + shift) as usize;
                (correlation(part, &said[from..from + 4_000], 0).0, shift)
            };
            (-1_600..-400).map(at).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
        };
        let (before, after) = (lag(4_000), lag(heard.len() - 12_000));
        assert!(before.0 > 0.7 && after.0 > 0.7, "{before:?} {after:?}");
        assert!((before.1 - after.1).abs() <= 80, "moved: {before:?} {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_siprec_session_goes_on_in_its_dialog_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((26_050, 26_090));
    settings.env = vec![("OPTAG_SIP_LISTEN_UDP".into(), "127.0.0.1:26098".into())];
    let server = Server::start(dir.path(), &settings).await;
    let mut client = Client::new(&server, "resumed-1").await;
    let (answer, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let speak = |legs: &mut Vec<Leg>| talk(legs, &[&voice(1, 1_500), &voice(2, 1_500)]);
    let legs = apart(legs, speak).await;
    let (server, _) = restart(server, dir.path(), &settings, Duration::from_millis(300)).await;
    assert_eq!(server.metric("optag_calls_resumed_total", "").await, 1.0);

    // The client repeats the request whose answer it may have missed, then refreshes its session.
    client.dialog.cseq -= 1;
    let again = client.ask("INVITE", SIPREC, SDP).await;
    assert_eq!((code(&again), media(&again)), (200, media(&answer)), "{again}");
    client.ask("ACK", "", "").await;
    let tag = |answer: &str| header(answer, "To").unwrap();
    assert_eq!(tag(&again), tag(&answer));
    let refreshed = client.ask("UPDATE", SIPREC, "").await;
    assert_eq!(code(&refreshed), 200, "{refreshed}");
    drop(apart(legs, speak).await);
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);

    let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
    let id = calls.pointer("/calls/0/id").or(calls.pointer("/0/id")).unwrap().as_str().unwrap().to_owned();
    let recording = server.recording(&id).await;
    assert!(gap_ms(&recording, 1, "restart") > 0, "{recording}");
    assert!(recording["duration_ms"].as_u64().unwrap() > 3_000, "{recording}");
}

/// Its connection is gone with the process; the client opens another one and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_siprec_session_over_a_connection_goes_on_over_another_one() {
    let keys = tempfile::tempdir().unwrap();
    let (files, root) = certificate(keys.path(), "srs.example");
    for (transport, ports) in [(Transport::Tcp, (26_610, 26_640)), (Transport::Tls, (26_650, 26_680))] {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], ports.1 + 1));
        let mut settings = Settings::with_ports(ports);
        let listen = if transport == Transport::Tcp { "TCP" } else { "TLS" };
        settings.env = vec![
            (format!("OPTAG_SIP_LISTEN_{listen}"), address.to_string()),
            ("OPTAG_SIP_CERTIFICATE_FILE".into(), files.certificate.display().to_string()),
            ("OPTAG_SIP_KEY_FILE".into(), files.key.display().to_string()),
        ];
        let open = async || {
            if transport == Transport::Tcp {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let local = stream.local_addr().unwrap();
                return (Box::new(stream) as Box<dyn Connection>, local);
            }
            let stream = connect(address, &root, "srs.example").await.unwrap();
            let local = stream.get_ref().0.local_addr().unwrap();
            (Box::new(stream) as Box<dyn Connection>, local)
        };
        let server = Server::start(dir.path(), &settings).await;
        let (stream, local) = open().await;
        let mut client = Client::over(transport, stream, local, "connected");
        let (answer, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
        let speak = |legs: &mut Vec<Leg>| talk(legs, &[&voice(1, 1_500), &voice(2, 1_500)]);
        let legs = apart(legs, speak).await;
        let (server, _) = restart(server, dir.path(), &settings, Duration::from_millis(300)).await;
        let (stream, local) = open().await;
        client.reconnected(stream, local);
        let again = client.ask("INVITE", SIPREC, SDP).await;
        assert_eq!((code(&again), media(&again).len()), (200, media(&answer).len()), "{again}");
        assert_eq!(header(&again, "To"), header(&answer, "To"));
        client.ask("ACK", "", "").await;
        drop(apart(legs, speak).await);
        assert_eq!(code(&client.ask("BYE", "", "").await), 200);
        let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
        let id = calls.pointer("/calls/0/id").or(calls.pointer("/0/id")).unwrap().as_str().unwrap();
        let recording = server.recording(id).await;
        assert!(gap_ms(&recording, 1, "restart") > 0, "{recording}");
        assert!(recording["duration_ms"].as_u64().unwrap() > 3_000, "{recording}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_said_yes_is_asked_still_and_who_said_no_is_never_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((26_100, 26_140));
    let server = Server::start(dir.path(), &settings).await;
    let (asked, place) = admit(&server, "demo").await;
    let (refused, _) = admit(&server, "demo").await;
    let no = json!({"answer": "no", "how": "system"});
    let (status, _) = server.ask("POST", &format!("/api/v1/calls/{refused}/consent"), Some(no)).await;
    assert_eq!(status, 200);
    let speaker = Speaker::start(&place, 9, false);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (server, _) = restart(server, dir.path(), &settings, Duration::ZERO).await;
    let consent =
        async |id: &str| server.ask("GET", &format!("/api/v1/calls/{id}"), None).await.1["consent"].clone();
    assert_eq!((consent(&asked).await, consent(&refused).await), (json!("asked"), json!("refused")));
    let yes = json!({"answer": "yes", "how": "system"});
    let (status, view) =
        server.ask("POST", &format!("/api/v1/calls/{asked}/consent"), Some(yes.clone())).await;
    assert_eq!(status, 200, "{view}");
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{refused}/consent"), Some(yes)).await.0, 409);
    tokio::time::sleep(Duration::from_millis(600)).await;
    speaker.stop();
    assert_eq!(end(&server, &asked).await["outcome"]["outcome"], "recorded");
    assert_eq!(end(&server, &refused).await["outcome"]["outcome"], "refused");
    let recording = server.recording(&asked).await;
    assert!(recording["duration_ms"].as_u64().unwrap() < 1_500, "nothing of before the yes: {recording}");
    assert_eq!(gap_ms(&recording, 0, "restart"), 0, "{recording}");
    assert_eq!(server.recordings().await, 1);
}

/// The program takes its own place three times under calls: every packet that was sent is heard,
/// and the recordings have no gap worth the name.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_takes_its_own_place_loses_no_packet() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((26_150, 26_190));
    let mut server = Server::start(dir.path(), &settings).await;
    let mut client = Client::new(&server, "upgraded").await;
    let (_, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
    let mut calls = Vec::new();
    for seed in 1..=4 {
        let (id, admitted) = admit(&server, "demo").await;
        calls.push((id, Speaker::start(&admitted, seed, true)));
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for _ in 0..3 {
        server.upgrade();
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    let talking = apart(legs, |legs| talk(legs, &[&voice(1, 1_000), &voice(2, 1_000)]));
    drop(talking.await);
    assert_eq!(code(&client.ask("BYE", "", "").await), 200, "the dialog outlived the program");
    for (id, speaker) in calls {
        let frames = speaker.stop() as u64;
        tokio::time::sleep(Duration::from_millis(100)).await;
        end(&server, &id).await;
        let recording = server.recording(&id).await;
        let counts = &recording["counts"];
        assert_eq!(counts[1]["received"], json!(frames), "{recording}");
        for stream in 0..2 {
            assert_eq!(
                (&counts[stream]["lost"], &counts[stream]["late"]),
                (&json!(0), &json!(0)),
                "{recording}"
            );
            let seams = gap_ms(&recording, stream as u64, "restart");
            assert!(seams <= 3 * 60, "{seams} ms: {recording}");
        }
        let duration_ms = recording["duration_ms"].as_u64().unwrap();
        assert!(duration_ms.abs_diff(frames * 20) < 400, "{duration_ms} ms of {frames} frames");
    }
    assert_eq!(server.metric("optag_rtp_kernel_drops_total", "").await, 0.0);
}
