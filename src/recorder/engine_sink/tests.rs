//! A call through engine, sink, spool and delivery, with a panic during its processing.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::delivery::Delivery;
use crate::stores::durable::durable;
use optag_core::call::{
    Answer, CallFacts, ConsentHow, ConsentKeys, CutShort, Evidence, Question, StreamFacts, StreamRole,
};
use optag_core::clock::{Clock, OsClock};
use optag_media::call::fault::{Step, inject};
use optag_media::call::{CallRules, CallSettings, Command};
use optag_media::codec::{Encoding, PayloadFormat};
use optag_media::dtmf::tone_listener::ToneSettings;
use optag_media::engine::{CallPlan, Engine, EngineConfig};
use optag_media::fact::{EndedBy, GapReason};
use optag_media::net::port_pool::PortPool;
use optag_media::opus::encoder::OpusSettings;
use optag_media::stats::CallGauges;
use optag_media::stream::media::StreamMedia;
use optag_media::stream::plan::StreamPlan;
use optag_media::stream::settings::CaptureSettings;

fn engine(sink: EngineSink) -> Engine {
    let opus = OpusSettings {
        bitrate_bps: 16_000,
        wideband_bitrate_bps: 24_000,
        complexity: 0,
        saves_background: true,
    };
    let config = EngineConfig {
        workers: 1,
        tick: Duration::from_millis(20),
        max_calls: 4,
        call: CallSettings {
            capture: CaptureSettings {
                reorder: Duration::from_millis(60),
                opus,
                pass_through_max_bps: 0,
                encodes: Default::default(),
            },
            tones: ToneSettings::default(),
            rtp_timeout: Duration::from_secs(60),
            reports: false,
        },
        adaptive_complexity: false,
    };
    Engine::start(config, Arc::new(OsClock), Box::new(sink)).unwrap()
}

fn plan() -> StreamPlan {
    StreamPlan {
        withheld: false,
        role: StreamRole::Caller,
        media: StreamMedia {
            formats: vec![PayloadFormat { payload_type: 8, encoding: Encoding::Pcma }],
            ..StreamMedia::default()
        },
    }
}

fn facts(id: CallId) -> CallFacts {
    CallFacts {
        id,
        department: "demo".into(),
        started_at: id.admitted_at(),
        retention_days: 90,
        caller_number: String::new().into(),
        called_number: String::new().into(),
        caller_name: None,
        external_id: None,
        streams: vec![StreamFacts { label: "caller".into(), role: StreamRole::Caller }],
        context: Default::default(),
    }
}

/// Sends this many packets of 20 ms in real time.
fn talk(port: u16, packets: std::ops::Range<u16>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    for n in packets {
        let mut packet = vec![0x80, 8];
        packet.extend(n.to_be_bytes());
        packet.extend((u32::from(n) * 160).to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend((0..160).map(|i| if (i / 8) % 2 == 0 { 0x2a } else { 0xaa }));
        let _ = socket.send(&packet);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_06_what_was_durable_of_a_call_whose_processing_failed_is_stored_and_says_what_is_missing()
{
    let dir = tempfile::tempdir().unwrap();
    let erasure = Arc::new(crate::erasure::anchor::tests::erasure(dir.path()).await);
    let (live_calls, deliveries) = (Arc::<LiveCalls>::default(), Arc::<DeliveryQueue>::default());
    let spool = erasure.stores.spool.clone();
    let engine = engine(EngineSink { spool: spool.clone(), live_calls: live_calls.clone(), deliveries });
    let pool = PortPool::new(Ipv4Addr::LOCALHOST.into(), 47_900, 48_200, 65_536);
    let sockets = pool.bind([false], OsClock.mono()).unwrap();
    let port = sockets[0].port();
    let id = CallId::new_at(OsClock.wall());
    let (facts, gauges) = (facts(id), Arc::new(CallGauges::new(1)));
    live_calls.add(&facts, ConsentState::Asked, &[], gauges.clone());
    spool.append(vec![SpoolRecord { call: id, body: Body::Opened(facts) }]).unwrap();
    let question = Question::new("demo", true, ConsentKeys::default(), Duration::from_secs(30));
    let rules = CallRules { id, question, prompt_version: None };
    let streams = sockets.into_iter().map(|sockets| (plan(), sockets)).collect();
    engine.admit(
        CallPlan { rules, streams, may_spill: false, gauges },
        Box::new(|admitted| drop(admitted.unwrap())),
    );
    let yes = Command::Answer {
        answer: Answer::Yes,
        how: ConsentHow::System,
        prompt_version: None,
        evidence: Evidence::Clock,
    };
    engine.control(id, yes, Box::new(|answered| drop(answered.unwrap())));
    tokio::task::spawn_blocking(move || talk(port, 0..60)).await.unwrap();
    assert!(durable(&spool).await);
    inject::arm(id, Step::Frames);
    let ended = async {
        while live_calls.is_live(id) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the call never ends");
    let partly = Outcome::RecordedPartly(CutShort::Fault);
    assert_eq!(live_calls.get(id).unwrap().outcome, Some(partly));
    // The engine's thread continues.
    let (told, hears) = std::sync::mpsc::channel();
    engine.control(id, Command::Pause, Box::new(move |answer| drop(told.send(answer))));
    let gone = tokio::task::spawn_blocking(move || hears.recv().unwrap()).await.unwrap();
    assert!(gone.is_err(), "{gone:?}");
    assert!(durable(&spool).await);
    let closed = spool.read(id).unwrap().filter_map(Result::ok).find_map(|body| match body {
        Body::Closed(ended) => Some(ended),
        _ => None,
    });
    let ended = closed.expect("its end is durable");
    let deliveries = Arc::<DeliveryQueue>::default();
    deliveries.add(Closing { id, department: "demo".into(), ended, spooled: true, packed_frames: 0 });
    Delivery::new(deliveries, erasure.clone()).until_settled().await;
    let manifest = erasure.stores.vault.manifest(id).await.unwrap();
    assert_eq!((manifest.ended_by, manifest.ended_by.of_recorded()), (EndedBy::Fault, partly));
    assert!(manifest.duration_ms >= 1_000, "{} ms of 1,200", manifest.duration_ms);
    // Where the sender stalls on a busy machine, its silence lies between; the sound is there all the same.
    let loud = manifest.peaks_100ms[0].iter().filter(|&&peak| peak > 50).count();
    assert!(loud >= 10, "{:?}", manifest.peaks_100ms);
    let missing = manifest.gaps.iter().find(|gap| gap.reason == GapReason::Fault).expect("a marked gap");
    assert_eq!(u64::from(missing.to_frame) * 20, manifest.duration_ms);
    assert!(spool.calls().is_empty());
    assert!(erasure.stores.index.get(id).await.unwrap().is_some());
}
