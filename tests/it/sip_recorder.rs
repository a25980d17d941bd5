//! SIPREC against the built program: signalling, audio, consent, and what is stored then.

use std::net::SocketAddr;
use std::time::Duration;

use optag_sip::sip::flow::Transport;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

use crate::key_tones::tone;
use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, files_below};
use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header, media, with_metadata};

const PARTIES: &str = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>\
    <participant participant_id='a'><nameID aor='sip:+4588888888@h'><name>Ida Lund</name></nameID></participant>\
    <participant participant_id='b'><nameID aor='sip:4711@h'/></participant>\
    <stream stream_id='s1'><label>1</label></stream><stream stream_id='s2'><label>2</label></stream>\
    <participantstreamassoc participant_id='a'><send>s2</send></participantstreamassoc>\
    <participantstreamassoc participant_id='b'><send>s1</send></participantstreamassoc></recording>";

/// What carries a client's messages.
enum Way {
    Datagrams(UdpSocket),
    Connection { stream: Box<dyn Connection>, local: SocketAddr, read: Vec<u8> },
}

/// A connection, encrypted or not.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

impl Way {
    fn local(&self) -> SocketAddr {
        match self {
            Way::Datagrams(socket) => socket.local_addr().unwrap(),
            Way::Connection { local, .. } => *local,
        }
    }

    async fn send(&mut self, text: &str) {
        match self {
            Way::Datagrams(socket) => drop(socket.send(text.as_bytes()).await.unwrap()),
            Way::Connection { stream, .. } => stream.write_all(text.as_bytes()).await.unwrap(),
        }
    }

    /// The next message.
    async fn receive(&mut self) -> String {
        match self {
            Way::Datagrams(socket) => {
                let mut buffer = vec![0; 65_535];
                let bytes = socket.recv(&mut buffer).await.unwrap();
                String::from_utf8_lossy(&buffer[..bytes]).into_owned()
            }
            Way::Connection { stream, read, .. } => loop {
                let text = String::from_utf8_lossy(read).into_owned();
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let length = header(&text, "Content-Length").unwrap().parse::<usize>().unwrap();
                    let whole = head.len() + 4 + length;
                    if read.len() >= whole {
                        return String::from_utf8(read.drain(..whole).collect()).unwrap();
                    }
                }
                assert_ne!(stream.read_buf(read).await.unwrap(), 0, "the recorder closed the connection");
            },
        }
    }
}

/// A client with a socket of its own.
pub(crate) struct Client {
    way: Way,
    pub src: Src,
    pub dialog: Dialog,
}

impl Client {
    pub(crate) async fn new(server: &Server, call_id: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(&server.sip).await.unwrap();
        Self { way: Way::Datagrams(socket), src: Src::new(), dialog: dialog(call_id) }
    }

    /// One that comes over a connection.
    pub(crate) fn over(
        transport: Transport,
        stream: Box<dyn Connection>,
        local: SocketAddr,
        call_id: &str,
    ) -> Self {
        let way = Way::Connection { stream, local, read: Vec::new() };
        let mut src = Src::new();
        src.transport = transport;
        Self { way, src, dialog: dialog(call_id) }
    }

    /// Goes on over another connection.
    pub(crate) fn reconnected(&mut self, stream: Box<dyn Connection>, local: SocketAddr) {
        self.way = Way::Connection { stream, local, read: Vec::new() };
    }

    /// Sends a request; its final answer.
    pub(crate) async fn ask(&mut self, method: &str, headers: &str, body: &str) -> String {
        let text = self.src.request(&mut self.dialog, method, headers, body);
        let branch = format!("branch=z9hG4bK{}", self.dialog.call_id);
        let text = text.replacen("sip:srs@", "sip:demo@", 1).replacen("branch=z9hG4bK", &branch, 1);
        let local = format!("sip:src@{}", self.way.local());
        let text = text.replace("sip:src@127.0.0.1:5070", &local);
        self.way.send(&text).await;
        if method == "ACK" {
            return String::new();
        }
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(5), self.way.receive());
            let answer = wait.await.expect("an answer");
            if code(&answer) >= 200 {
                return answer;
            }
        }
    }

    /// The next message from the recorder.
    pub(crate) async fn hears(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(10), self.way.receive()).await.expect("a message")
    }

    /// Begins a session; its answer and the legs to send by.
    pub(crate) async fn begin(&mut self, headers: &str) -> (String, Vec<Leg>) {
        let body = with_metadata(SDP, PARTIES);
        let answer = self.ask("INVITE", &format!("{SIPREC}{headers}"), &body).await;
        assert_eq!(code(&answer), 200, "{answer}");
        self.dialog.to = header(&answer, "To").unwrap();
        self.ask("ACK", "", "").await;
        let port = |m: &String| m.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
        let streams: Vec<Value> =
            media(&answer).iter().map(|m| json!({"address": "127.0.0.1", "port": port(m)})).collect();
        let admitted = json!({ "streams": streams });
        (answer, vec![Leg::new(&admitted, 0, 8, 0x11), Leg::new(&admitted, 1, 8, 0x22)])
    }
}

fn dialog(call_id: &str) -> Dialog {
    Dialog { call_id: call_id.into(), to: "<sip:demo@127.0.0.1>".into(), cseq: 0 }
}

/// Does what takes real time away from the runtime.
pub(crate) async fn apart(mut legs: Vec<Leg>, what: impl FnOnce(&mut Vec<Leg>) + Send + 'static) -> Vec<Leg> {
    tokio::task::spawn_blocking(move || {
        what(&mut legs);
        legs
    })
    .await
    .unwrap()
}

/// The call that has ended and is none of `known`.
async fn ended(server: &Server, known: &[String]) -> Value {
    for _ in 0..100 {
        let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
        let list = calls["calls"].as_array().or(calls.as_array()).cloned().unwrap_or_default();
        let fresh =
            |call: &&Value| !call["ended_at"].is_null() && !known.iter().any(|id| call["id"] == id.as_str());
        if let Some(call) = list.iter().find(fresh) {
            return call.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no call ended:\n{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_siprec_call_with_a_yes_by_key_is_recorded_and_found_by_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((21_700, 21_740));
    // In plain, so that the stored metadata can be looked at.
    settings.extra = "[store]\nseal = \"none\"\n".into();
    let server = Server::start(dir.path(), &settings).await;
    let mut client = Client::new(&server, "siprec-1").await;
    let (answer, legs) = client.begin("").await;
    assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");

    let speak = |legs: &mut Vec<Leg>| talk(legs, &[&voice(1, 1_500), &voice(2, 1_500)]);
    // The caller speaks in the second stream: a key in the first is the employee's.
    let legs = apart(legs, |legs| legs[0].key('1')).await;
    let legs = apart(legs, speak).await;
    let legs = apart(legs, |legs| legs[1].key('1')).await;
    let legs = apart(legs, speak).await;
    drop(legs);
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);

    let call = ended(&server, &[]).await;
    assert_eq!(call["outcome"]["outcome"], "recorded", "{call}");
    let id = call["id"].as_str().unwrap();
    let recording = server.recording(id).await.to_string();
    assert!(recording.contains("granted") && recording.contains("+4588888888"), "{recording}");
    let query = "/api/v1/recordings?number=88888888&name=lund&department=demo&purpose=training";
    let (_, found) = server.ask("GET", query, None).await;
    assert_eq!(found["total"], 1, "{found}");
    let kept = files_below(&server.dir.join("data").join("store"));
    let holds = |text: &str| kept.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(text));
    assert!(holds("urn:ietf:params:xml:ns:recording:1"), "the metadata is kept as it came");
    assert!(holds("INVITE sip:demo@127.0.0.1"), "and so is the header");
    let page = server.metrics_page().await;
    assert!(page.contains("optag_sip_events_total{event=\"calls_admitted\"} 1"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_by_tone_in_the_forked_audio_opens_a_siprec_recording() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_900, 21_940))).await;
    let mut client = Client::new(&server, "siprec-tone").await;
    let (_, legs) = client.begin("").await;
    let spoken = |key: char| {
        let mut samples = voice(1, 400);
        samples.extend(tone(key, 100));
        samples.extend(voice(1, 800));
        samples
    };
    // The caller speaks in the second stream: a tone in the first is the employee's.
    let legs = apart(legs, move |legs| talk(legs, &[&spoken('1'), &voice(2, 1_300)])).await;
    let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
    assert!(calls.to_string().contains("asked"), "{calls}");
    let legs = apart(legs, move |legs| talk(legs, &[&voice(2, 1_300), &spoken('1')])).await;
    drop(legs);
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    let call = ended(&server, &[]).await;
    assert_eq!(call["outcome"]["outcome"], "recorded", "{call}");
    let recording = server.recording(call["id"].as_str().unwrap()).await.to_string();
    assert!(recording.contains(r#""by":"tone""#), "{recording}");
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_in_a_header_opens_the_recording_and_no_consent_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_750, 21_790))).await;
    let mut known = Vec::new();
    for (headers, outcome) in
        [("X-Recording-Consent: yes\r\n", "recorded"), ("X-Recording-Consent: no\r\n", "refused")]
    {
        let mut client = Client::new(&server, outcome).await;
        let (_, legs) = client.begin(headers).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        apart(legs, |legs| talk(legs, &[&voice(1, 1_000), &voice(2, 1_000)])).await;
        assert_eq!(code(&client.ask("BYE", "", "").await), 200);
        let call = ended(&server, &known).await;
        assert_eq!(call["outcome"]["outcome"], outcome);
        known.push(call["id"].as_str().unwrap().to_owned());
    }
}

/// Waits for a request of the recorder and answers it; the request.
async fn serve(client: &mut Client, method: &str, body: &str) -> String {
    loop {
        let wait = tokio::time::timeout(Duration::from_secs(10), client.way.receive());
        let text = wait.await.expect("a request");
        if !text.starts_with(method) {
            continue;
        }
        if method == "ACK " {
            return text;
        }
        let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            answer.push_str(&format!("{name}: {}\r\n", header(&text, name).unwrap()));
        }
        let local = client.way.local();
        answer
            .push_str(&format!("Contact: <sip:src@{local}>\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        client.way.send(&answer).await;
        return text;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_by_a_name_of_the_call_opens_inactive_streams_before_and_during_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_100, 22_140));
    settings.env = vec![("OPTAG_SIP_UNTIL_CONSENT".into(), "inactive".into())];
    let server = Server::start(dir.path(), &settings).await;
    let say = |name: &str, value: &str| json!({name: value, "answer": "yes", "how": "system"});

    // During the call, by one half of the Session-ID.
    let mut client = Client::new(&server, "late").await;
    let (answer, legs) = client.begin("Session-ID: aa11;remote=bb22\r\n").await;
    assert!(media(&answer).iter().all(|m| m.contains("a=inactive")), "{answer}");
    let (status, given) = server.ask("POST", "/api/v1/consents", Some(say("session_id", "BB22"))).await;
    assert_eq!((status, given["calls"].as_array().map(Vec::len)), (200, Some(1)), "{given}");
    let invite = serve(&mut client, "INVITE ", SDP).await;
    assert!(media(&invite).iter().all(|m| m.contains("a=recvonly")), "{invite}");
    serve(&mut client, "ACK ", "").await;
    apart(legs, |legs| talk(legs, &[&voice(1, 1_500), &voice(2, 1_500)])).await;
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    let first = ended(&server, &[]).await;
    assert_eq!(first["outcome"]["outcome"], "recorded", "{first}");

    // Before the call, by the UCID in decimal; the INVITE has it in hexadecimal.
    let (status, given) =
        server.ask("POST", "/api/v1/consents", Some(say("ucid", "00025000160955721139"))).await;
    assert_eq!((status, given["calls"].as_array().map(Vec::len)), (202, Some(0)), "{given}");
    let mut client = Client::new(&server, "early").await;
    let (answer, legs) = client.begin("User-to-User: 00FA080019001038F725B3;encoding=hex\r\n").await;
    assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");
    apart(legs, |legs| talk(legs, &[&voice(1, 1_500), &voice(2, 1_500)])).await;
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    let second = ended(&server, &[first["id"].as_str().unwrap().to_owned()]).await;
    assert_eq!(second["outcome"]["outcome"], "recorded", "{second}");

    let id = second["id"].as_str().unwrap();
    let recording = server.recording(id).await;
    let context = &recording["context"];
    assert_eq!(context["participants"][0]["name"], "Ida Lund", "{recording:#}");
    assert!(context["raw"].to_string().contains("urn:ietf:params:xml:ns:recording:1"), "{context:#}");
    let (status, problem) =
        server.ask("POST", "/api/v1/consents", Some(json!({"answer": "yes", "how": "key"}))).await;
    assert_eq!(status, 422, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_known_in_mid_call_is_kept_and_searched() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((22_200, 22_240))).await;
    let mut client = Client::new(&server, "transfer").await;
    let (_, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
    let legs = apart(legs, |legs| talk(legs, &[&voice(1, 800), &voice(2, 800)])).await;
    // The employee hands over to a colleague.
    let partial = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>partial</datamode>\
        <participant participant_id='c'><nameID aor='sip:4712@h'><name>Bo Berg</name></nameID></participant>\
        <participantsessionassoc participant_id='b' session_id='s'><disassociate-time>x</disassociate-time>\
        </participantsessionassoc></recording>";
    let kind = "Content-Type: application/rs-metadata+xml\r\n";
    assert_eq!(code(&client.ask("UPDATE", kind, partial).await), 200);
    apart(legs, |legs| talk(legs, &[&voice(1, 800), &voice(2, 800)])).await;
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    let call = ended(&server, &[]).await;
    let recording = server.recording(call["id"].as_str().unwrap()).await;
    let people = recording["context"]["participants"].as_array().unwrap().clone();
    let seen: Vec<(String, bool)> = people
        .iter()
        .map(|p| (p["addresses"][0].as_str().unwrap_or_default().to_owned(), p["left_at"].is_null()))
        .collect();
    let expect = [("sip:+4588888888@h", true), ("sip:4711@h", false), ("sip:4712@h", true)];
    assert_eq!(seen, expect.map(|(aor, there)| (aor.to_owned(), there)), "{recording:#}");
    assert!(recording["context"]["raw"].to_string().contains("Bo Berg"), "the later body is kept as well");
}

/// The client tells of the transfer by metadata alone: the yes was to another department.
#[tokio::test(flavor = "multi_thread")]
async fn t13_a_transfer_within_the_dialog_is_recorded_only_after_a_yes_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_370, 22_395));
    settings.extra =
        "[[department]]\nid = \"far\"\nname = \"Far\"\nrecord = true\nnumbers = [\"4712\"]\n".into();
    let server = Server::start(dir.path(), &settings).await;
    let mut client = Client::new(&server, "moved").await;
    let (_, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
    let legs = apart(legs, |legs| talk(legs, &[&voice(1, 800), &voice(2, 800)])).await;
    let partial = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>partial</datamode>\
        <participant participant_id='c'><nameID aor='sip:4712@h'/></participant>\
        <participantsessionassoc participant_id='b' session_id='s'><disassociate-time>x</disassociate-time>\
        </participantsessionassoc>\
        <participantstreamassoc participant_id='c'><send>s1</send></participantstreamassoc></recording>";
    let kind = "Content-Type: application/rs-metadata+xml\r\n";
    assert_eq!(code(&client.ask("UPDATE", kind, partial).await), 200);
    let asked = async |department: &str, consent: &str| {
        let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
        let call = calls["calls"].as_array().or(calls.as_array()).unwrap()[0].clone();
        call["department"] == department && call["consent"] == consent
    };
    for _ in 0..100 {
        if asked("far", "asked").await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked("far", "asked").await, "{}", server.log());
    let legs = apart(legs, |legs| {
        talk(legs, &[&voice(3, 600), &voice(4, 600)]);
        // The metadata has the caller on the second stream.
        legs[1].key('1');
        talk(legs, &[&voice(1, 800), &voice(2, 800)]);
    })
    .await;
    drop(legs);
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    let call = ended(&server, &[]).await;
    let recording = server.recording(call["id"].as_str().unwrap()).await;
    let told: Vec<String> = recording["consent"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| format!("{} {}", record["state"], record["terms"]["department"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["granted demo", "asked far", "granted far"], "{recording:#}");
    let gaps = recording["gaps"].as_array().unwrap();
    let paused = gaps.iter().filter(|gap| gap["reason"] == "paused").count();
    assert_eq!(paused, 2, "the time between in both channels: {gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_stream_that_a_re_invite_adds_is_recorded_beside_the_others() {
    use optag_media::rtp::srtp::{SrtpKey, SrtpSender, Suite};
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_800, 21_840))).await;
    let mut client = Client::new(&server, "siprec-3").await;
    let (_, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let legs = apart(legs, |legs| talk(legs, &[&voice(1, 1_000), &voice(2, 1_000)])).await;
    let suite = Suite::AeadAes256Gcm;
    let key = SrtpKey::new(suite, vec![5; suite.secret_bytes()], vec![]).unwrap();
    let secret = optag_core::base64::encode(key.secret().reveal());
    let third = format!(
        "m=audio 40004 RTP/SAVP 8\r\na=label:3\r\na=sendonly\r\na=crypto:7 {} inline:{secret}|2^31\r\n",
        suite.name()
    );
    let answer = client.ask("INVITE", SIPREC, &format!("{SDP}{third}")).await;
    let line = media(&answer)[2].clone();
    assert!(line.contains("RTP/SAVP 8") && line.contains("a=crypto:7 AEAD_AES_256_GCM inline:"), "{answer}");
    assert!(!answer.contains(&secret), "our key is our own");
    client.ask("ACK", "", "").await;
    let port: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
    drop(
        apart(legs, move |legs| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut sender = SrtpSender::new(&key);
            let voices = [voice(1, 1_000), voice(2, 1_000), voice(3, 1_000)];
            for n in 0..50usize {
                let frame = |voice: &Vec<i16>| voice[n * 160..][..160].to_vec();
                legs[0].audio(&frame(&voices[0]));
                legs[1].audio(&frame(&voices[1]));
                let mut packet = vec![0x80, 8, 0, n as u8];
                packet.extend((n as u32 * 160).to_be_bytes());
                packet.extend([0, 0, 0, 0x33]);
                packet.extend(frame(&voices[2]).iter().map(|&sample| crate::phone::alaw(sample)));
                let mut out = [0; 512];
                let length = sender.protect(&packet, &mut out).unwrap();
                socket.send_to(&out[..length], ("127.0.0.1", port)).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        })
        .await,
    );
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    let call = ended(&server, &[]).await;
    let recording = server.recording(call["id"].as_str().unwrap()).await;
    assert_eq!(recording["streams"][2]["label"], "3", "{recording}");
    assert!(recording["counts"][2]["received"].as_u64().unwrap() > 45, "{recording}");
    assert_eq!(server.metric("optag_rtp_packets_refused_total", "").await, 0.0);
    let kept = files_below(dir.path());
    assert!(!kept.iter().any(|(_, bytes)| memchr::memmem::find(bytes, secret.as_bytes()).is_some()));
}
