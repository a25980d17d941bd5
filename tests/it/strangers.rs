//! Strangers flood every RTP port while calls begin: no call is granted, withdrawn or left without audio.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};

/// Packets of the flood per second, of all kinds and over the whole range.
const PER_S: u64 = 20_000;
const CALLS: u32 = 6;

/// Sends in turn to every port of the range: a press of 1, one of * and 9, and audio in order.
struct Flood {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn begin((first, last): (u16, u16)) -> Self {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, count) = (Arc::clone(&over), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.9:0").unwrap();
            let start = Instant::now();
            // Bounded, whatever happens to the test.
            for n in 0..PER_S * 60 {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let due = start + Duration::from_micros(n * 1_000_000 / PER_S);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let round = n / u64::from(last - first + 1);
                let port = first + (n % u64::from(last - first + 1)) as u16;
                // An undeliverable packet is reported as an error of the next one.
                let _ = socket.send_to(&packet(round as u32), ("127.0.0.1", port));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { over, sent, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// The packet that a round sends to each port: its numbers follow those of the previous round.
fn packet(round: u32) -> Vec<u8> {
    let press = |key: u8, part: u32| {
        let ticks = ((part + 1) * 160).to_be_bytes();
        (101, round / 4 * 4 * 160, vec![key, if part > 1 { 0x8a } else { 10 }, ticks[2], ticks[3]])
    };
    let (payload_type, timestamp, payload) = match round / 4 % 4 {
        0 => press(1, round % 4),
        1 => press(10, round % 4),
        2 => press(9, round % 4),
        _ => (0, round * 160, vec![0x10; 160]),
    };
    let mut packet = vec![0x80, payload_type];
    packet.extend((round as u16).to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(9u32.to_be_bytes());
    packet.extend(payload);
    packet
}

async fn consent(server: &Server, id: &str) -> Value {
    server.ask("GET", &format!("/api/v1/calls/{id}"), None).await.1["consent"].clone()
}

async fn with_legs(legs: Vec<Leg>, work: impl FnOnce(&mut Vec<Leg>) + Send + 'static) -> Vec<Leg> {
    let mut legs = legs;
    tokio::task::spawn_blocking(move || {
        work(&mut legs);
        legs
    })
    .await
    .unwrap()
}

/// A call that begins in the flood. Its answer comes after a second, with audio before and after it; then both sides are
/// silent, as on hold, for longer than anyone else needs to become the sender.
async fn one_call(server: &Server, request: Value, n: u32) {
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(request)).await;
    assert_eq!(status, 201, "{admitted}");
    let id = admitted["id"].as_str().unwrap().to_owned();
    let ssrc = |stream: usize| admitted["streams"][stream]["ssrc"].as_u64().unwrap() as u32;
    let legs = vec![Leg::new(&admitted, 0, 0, ssrc(0)), Leg::new(&admitted, 1, 0, ssrc(1))];
    let voices = (voice(n, 1_000), voice(n + 1, 1_000));
    let legs = with_legs(legs, move |legs| talk(legs, &[&voices.0, &voices.1])).await;
    assert_eq!(consent(server, &id).await, "asked", "a stranger said yes");
    let voices = (voice(n, 2_000), voice(n + 1, 2_000));
    let legs = with_legs(legs, move |legs| {
        legs[0].key('1');
        talk(legs, &[&voices.0, &voices.1]);
    })
    .await;
    assert_eq!(consent(server, &id).await, "granted", "the caller's own yes is heard, and no stranger's *9");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(consent(server, &id).await, "granted", "nobody speaks for a caller on hold");
    drop(legs);
    let (_, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!(view["outcome"]["outcome"], "recorded", "{view}");
    server.recording(&id).await;
    let path = format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training");
    let wav = server.bytes(&path).await;
    let channels = crate::conversation::wav_channels(&wav);
    for channel in channels {
        let loud = channel.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        assert!(loud > 4_000, "{loud} loud samples: no audio");
    }
}

async fn calls_begin_in_a_flood(range: (u16, u16), open: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports(range);
    settings.env = vec![("OPTAG_API_LEARN_RTP_SOURCE".into(), open.to_string())];
    let server = Server::start(dir.path(), &settings).await;
    let flood = Flood::begin(range);
    let request = |n: u32| {
        let mut request = call_request("demo", "pcmu");
        request["external_id"] = json!(format!("call {n}"));
        if open {
            for stream in request["streams"].as_array_mut().unwrap() {
                stream.as_object_mut().unwrap().remove("source");
            }
        }
        request
    };
    futures::future::join_all((0..CALLS).map(|n| one_call(&server, request(n), n))).await;
    let sent = flood.end();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let refused = server.metric("optag_rtp_packets_refused_total", "").await;
    println!("{sent} packets of strangers, {refused} refused and counted, {CALLS} calls recorded");
    assert!(sent > PER_S && refused > 100.0, "{sent} sent, {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_flood_over_all_ports_says_nothing_in_calls_that_name_their_source() {
    calls_begin_in_a_flood((22_600, 22_699), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_flood_over_all_ports_says_nothing_in_calls_that_use_the_ssrc_offered() {
    calls_begin_in_a_flood((22_700, 22_799), true).await;
}
