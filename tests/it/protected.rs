//! Encrypted streams, RTCP and streams that come in mid-call, against a running recorder.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use optag_core::base64;
use optag_media::rtp::rtcp::{RtcpPacket, packets};
use optag_media::rtp::srtp::{SrtpKey, SrtpPlan, SrtpReceiver, SrtpSender, Suite};
use serde_json::{Value, json};

use crate::phone::{FRAME, alaw, voice};
use crate::server::{Server, Settings, files_below};

/// A telephone that encrypts, with a socket for RTCP beside the one for RTP.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    to: SocketAddr,
    sender: SrtpSender,
    /// What reads the reports, one receiver a key: a report may be on its way while the key changes.
    reports: Vec<SrtpReceiver>,
    sequence: u16,
}

/// Two sockets on neighbouring ports.
fn pair() -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        if let Some(rtcp) = port.checked_add(1).and_then(|next| UdpSocket::bind(("127.0.0.1", next)).ok()) {
            return (rtp, rtcp);
        }
    }
}

fn key(suite: Suite, seed: u8) -> SrtpKey {
    SrtpKey::new(suite, vec![seed; suite.secret_bytes()], vec![]).unwrap()
}

fn text(key: &SrtpKey) -> String {
    base64::encode(key.secret().reveal())
}

/// What reads reports that the recorder encrypts as [`srtp`] of the same seed asks.
fn reader(suite: Suite, seed: u8) -> SrtpReceiver {
    SrtpReceiver::new(SrtpPlan { receive: vec![key(suite, seed + 100)], send: None, required: true, roc: 0 })
}

fn srtp(suite: Suite, seed: u8) -> Value {
    json!({"suite": suite.name(), "key": text(&key(suite, seed)), "report_key": text(&key(suite, seed + 100))})
}

impl Phone {
    fn new(place: &Value, suite: Suite, seed: u8) -> Self {
        let (rtp, rtcp) = pair();
        rtcp.set_nonblocking(true).unwrap();
        let to = format!("{}:{}", place["address"].as_str().unwrap(), place["port"]);
        Self {
            rtp,
            rtcp,
            to: to.parse().unwrap(),
            sender: SrtpSender::new(&key(suite, seed)),
            reports: vec![reader(suite, seed)],
            sequence: 0,
        }
    }

    fn frame(&mut self, samples: &[i16]) {
        let mut packet = vec![0x80, 8];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend(samples.iter().map(|&sample| alaw(sample)));
        self.sequence += 1;
        let mut out = [0; 512];
        let length = self.sender.protect(&packet, &mut out).unwrap();
        self.rtp.send_to(&out[..length], self.to).unwrap();
    }

    /// The reports that came so far, decrypted.
    fn reports(&mut self) -> usize {
        let (mut came, mut out, mut clear) = (0, [0; 2_048], [0; 2_048]);
        while let Ok((length, from)) = self.rtcp.recv_from(&mut out) {
            assert_eq!(from.port(), self.to.port() + 1, "a report leaves from the RTCP port");
            let mut read = self.reports.iter_mut();
            let length = read.find_map(|read| read.unprotect_rtcp(&out[..length], &mut clear).ok());
            let length = length.expect("under one of our keys");
            let read: Vec<_> = packets(&clear[..length]).unwrap().collect();
            assert!(matches!(read[..], [RtcpPacket::ReceiverReport { .. }, RtcpPacket::Description]));
            came += 1;
        }
        came
    }
}

fn speak(phones: &mut [&mut Phone], millis: usize) {
    let voices: Vec<_> = (0..phones.len()).map(|n| voice(n as u32 + 3, millis)).collect();
    let start = Instant::now();
    for frame in 0..millis / 20 {
        for (phone, voice) in phones.iter_mut().zip(&voices) {
            phone.frame(&voice[frame * FRAME..][..FRAME]);
        }
        let next = start + Duration::from_millis(20) * (frame as u32 + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_streams_join_and_go_in_mid_call_and_their_senders_get_reports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((23_000, 23_050))).await;
    let (cm, gcm) = (Suite::AesCm256Sha1Tag80, Suite::AeadAes128Gcm);
    let call = json!({"department": "demo", "caller_number": "1", "called_number": "2", "streams": [
        {"label": "caller", "codec": "pcma", "srtp": srtp(cm, 1)},
        {"label": "employee", "codec": "pcma", "srtp": srtp(gcm, 2)}]});
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call)).await;
    assert_eq!(status, 201, "{admitted}");
    let id = admitted["id"].as_str().unwrap().to_owned();
    let streams = format!("/api/v1/calls/{id}/streams");
    let mut one = Phone::new(&admitted["streams"][0], cm, 1);
    let mut two = Phone::new(&admitted["streams"][1], gcm, 2);
    let yes = json!({"answer": "yes", "how": "system"});
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{id}/consent"), Some(yes)).await.0, 200);
    tokio::task::block_in_place(|| speak(&mut [&mut one, &mut two], 2_000));

    let third =
        json!({"label": "interpreter/2", "codec": "pcma", "srtp": srtp(cm, 3), "rtcp": {"mux": true}});
    let (status, place) = server.ask("POST", &streams, Some(third.clone())).await;
    assert_eq!(status, 201, "{place}");
    assert_eq!(server.ask("POST", &streams, Some(third)).await.0, 422, "the label is taken");
    let mut three = Phone::new(&place, cm, 3);
    tokio::task::block_in_place(|| speak(&mut [&mut one, &mut two, &mut three], 2_000));

    // The caller's key changes; the interpreter leaves.
    let change = json!({"label": "caller", "codec": "pcma", "srtp": srtp(gcm, 9)});
    let (status, changed) = server.ask("PUT", &format!("{streams}/caller"), Some(change)).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(server.ask("DELETE", &format!("{streams}/interpreter%2F2"), None).await.0, 200);
    assert_eq!(server.ask("DELETE", &format!("{streams}/nobody"), None).await.0, 404);
    one.sender = SrtpSender::new(&key(gcm, 9));
    one.reports.push(reader(gcm, 9));
    let mut reports = one.reports() + two.reports();
    // All that came under the first key are read: from here on only the second counts.
    one.reports.remove(0);
    tokio::task::block_in_place(|| speak(&mut [&mut one, &mut two, &mut three], 2_000));
    reports += one.reports() + two.reports();
    assert!(reports >= 2, "the first report comes within 3.1 s: {reports}");
    let (_, view) = server.ask("GET", &format!("/api/v1/calls/{id}"), None).await;
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await.0, 200);

    let recording = server.recording(&id).await;
    let labels: Vec<_> =
        recording["streams"].as_array().unwrap().iter().map(|s| s["label"].clone()).collect();
    assert_eq!(labels, ["caller", "employee", "interpreter/2"]);
    let gaps = recording["gaps"].as_array().unwrap();
    let of_third: Vec<_> =
        gaps.iter().filter(|gap| gap["stream"] == 2 && gap["reason"] == "no_media").collect();
    let joined = of_third.first().unwrap();
    assert_eq!(joined["from_frame"], 0, "{gaps:?}");
    assert!((95..140).contains(&joined["to_frame"].as_u64().unwrap()), "{gaps:?}");
    assert!(of_third.last().unwrap()["from_frame"].as_u64().unwrap() > 180, "{gaps:?}");
    assert_eq!(server.metric("optag_rtp_packets_refused_total", "unproved").await, 0.0, "{view}");
    assert!(server.metric("optag_rtcp_total", "report_sent").await >= 3.0);

    let opus = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training")).await;
    assert_eq!(opus[28..28 + 10], *b"OpusHead\x01\x03");
    let file = dir.path().join("three.opus");
    std::fs::write(&file, opus).unwrap();
    match Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(&file).args(["-f", "s16le", "-"]).output() {
        Ok(decoded) => {
            assert!(decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
            let samples = decoded.stdout.as_chunks::<2>().0;
            let loudest = |channel: usize, from_s: usize, to_s: usize| {
                let of = samples.iter().skip(channel).step_by(3).skip(from_s * 48_000);
                of.take((to_s - from_s) * 48_000).map(|&s| i16::from_le_bytes(s).unsigned_abs()).max()
            };
            // ffmpeg orders three channels left, right, centre; the file has left, centre, right.
            assert!((0..3).all(|channel| loudest(channel, 3, 4) > Some(2_000)));
            let early: Vec<_> = (0..3).map(|channel| loudest(channel, 0, 1)).collect();
            assert_eq!(early.iter().filter(|&&peak| peak > Some(2_000)).count(), 2, "{early:?}");
        }
        Err(_) => println!("skipped: ffmpeg is not installed"),
    }
    // No key is anywhere where it could be read.
    for secret in [text(&key(cm, 1)), text(&key(gcm, 102)), text(&key(gcm, 9))] {
        for (path, bytes) in files_below(dir.path()) {
            assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{}", path.display());
        }
        assert!(!view.to_string().contains(&secret) && !recording.to_string().contains(&secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_encrypts_is_recorded_and_its_sender_reports_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((23_060, 23_090))).await;
    let suite = Suite::AesCm128Sha1Tag80;
    let call = json!({"department": "demo", "caller_number": "1", "called_number": "2", "streams": [
        {"label": "all", "codec": "pcma", "srtp": srtp(suite, 5)}]});
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call)).await;
    assert_eq!(status, 201, "{admitted}");
    let id = admitted["id"].as_str().unwrap();
    let yes = json!({"answer": "yes", "how": "system"});
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{id}/consent"), Some(yes)).await.0, 200);
    let place = format!("srtp://127.0.0.1:{}", admitted["streams"][0]["port"]);
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-f", "lavfi", "-i", "sine=440:sample_rate=8000:duration=5"])
        .args(["-c:a", "pcm_alaw", "-ac", "1", "-f", "rtp", "-srtp_out_suite", suite.name()])
        .args(["-srtp_out_params", &text(&key(suite, 5)), &place])
        .stdout(std::process::Stdio::null())
        .spawn();
    let Ok(mut ffmpeg) = ffmpeg else {
        println!("skipped: ffmpeg is not installed");
        return;
    };
    let sent = tokio::task::spawn_blocking(move || ffmpeg.wait()).await.unwrap().unwrap();
    assert!(sent.success());
    assert_eq!(server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await.0, 200);
    let recording = server.recording(id).await;
    assert!(recording["counts"][0]["received"].as_u64().unwrap() > 30, "{recording}");
    server.metric_reaches("optag_rtcp_total", 2.0).await;
    assert!(server.metric("optag_rtcp_total", "\"received\"").await >= 1.0);
    assert!(server.metric("optag_rtcp_total", "report_sent").await >= 1.0);
    for refused in ["unproved", "malformed"] {
        assert_eq!(server.metric("optag_rtcp_total", refused).await, 0.0, "{refused}");
        assert_eq!(server.metric("optag_rtp_packets_refused_total", refused).await, 0.0, "{refused}");
    }
}
