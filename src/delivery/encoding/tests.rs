//! Calls whose audio waits in the spool to be encoded.

use std::sync::atomic::AtomicU32;

use tokio::task::JoinSet;

use super::*;
use crate::delivery::queue::{Closing, DeliveryQueue};
use crate::delivery::{Delivery, source};
use crate::erasure::anchor::tests::erasure;
use crate::erasure::deletion_log::Cause;
use crate::erasure::service::EraseService;
use crate::http::recordings::library::{AudioFormat, AudioRequest, Library, LibraryError, RecordingState};
use crate::recordings::playback::Recordings;
use crate::stores::durable::durable;
use futures::TryStreamExt;
use optag_core::call::Outcome;
use optag_core::clock::OsClock;
use optag_media::fact::{Ended, EndedBy};
use optag_media::opus::noise_classifier::{Loudness, Sound};
use optag_media::spill::DeferredSettings;
use optag_media::spill::packed_frame::{Content, Given, pack};
use optag_storage::archive::deliver::assemble;
use optag_storage::spool::record::SpoolRecord;
use optag_testing::fixtures;

const BLOCKS: u32 = 20;

fn tone(frame: u32) -> Vec<i16> {
    (0..160).map(|n| ((f64::from(frame * 160 + n) * 0.345).sin() * 8_000.0) as i16).collect()
}

/// A call of two seconds that ended just now and waits in the spool, packed.
pub(crate) async fn spilled(erasure: &EraseService) -> Closing {
    let at = OsClock.wall();
    let id = CallId::new_at(at);
    let facts = fixtures::call_facts(id, at);
    let granted = fixtures::granted(at);
    let settings = DeferredSettings { bitrate_bps: 16_000, wideband_bitrate_bps: 24_000, complexity: 5 };
    let block = |n: u32| {
        let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
        for frame in n * 5..n * 5 + 5 {
            let (samples, from) = (tone(frame), bytes.len());
            let content = Content::Samples(&samples, Sound::Talk, Loudness::Loud);
            pack(Given::Coded { rate_hz: 8_000, fresh: frame == 0, content }, &mut bytes);
            lengths.push((bytes.len() - from) as u16);
        }
        let (form, peaks) = (Form::Packed(settings), vec![60; 5]);
        Body::Media(MediaBlock { first_frame: n * 5, form, streams: 1, lengths, peaks, bytes })
    };
    let (by, outcome) = (EndedBy::Feed, Outcome::Recorded);
    let ended = Ended { at, by, outcome, frames: 5 * BLOCKS, streams: vec![] };
    let bodies = [Body::Opened(facts), Body::Consent(granted)].into_iter().chain((0..BLOCKS).map(block));
    let bodies = bodies.chain([Body::Closed(ended.clone())]);
    erasure.stores.spool.append(bodies.map(|body| SpoolRecord { call: id, body }).collect()).unwrap();
    assert!(durable(&erasure.stores.spool).await);
    let packed_frames = erasure.stores.spool.packed(id).frames;
    assert_eq!(packed_frames, u64::from(5 * BLOCKS));
    Closing { id, department: "demo".into(), ended, spooled: true, packed_frames }
}

/// The engine's load as the test sets it. Units: per cent.
fn load(percent: u32) -> (Arc<AtomicU32>, Load) {
    let shared = Arc::new(AtomicU32::new(percent));
    let read = Arc::clone(&shared);
    (shared, Arc::new(move || f64::from(read.load(Ordering::SeqCst)) / 100.0))
}

fn spare(load: Load, draining: &Arc<AtomicBool>) -> SpareTime {
    SpareTime::of(load, Arc::new(OsClock), Duration::from_secs(12 * 3_600), Arc::clone(draining))
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The samples of its WAV.
async fn wav(recordings: &Recordings, id: CallId) -> Result<Vec<i16>, LibraryError> {
    let request = AudioRequest { recording: id.into(), format: AudioFormat::Wav, channel: None, range: None };
    let audio = recordings.audio(request).await?;
    let bytes: Vec<_> = audio.bytes.try_collect().await?;
    let bytes = bytes.concat();
    assert_eq!(bytes.len() as u64, audio.total_bytes);
    Ok(bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// Its file, and what of it a range gives.
async fn opus(recordings: &Recordings, id: CallId) -> Vec<u8> {
    let request =
        AudioRequest { recording: id.into(), format: AudioFormat::Opus, channel: None, range: None };
    let audio = recordings.audio(request).await.unwrap();
    let bytes: Vec<_> = audio.bytes.try_collect().await.unwrap();
    assert_eq!(bytes.concat().len() as u64, audio.total_bytes);
    bytes.concat()
}

#[test]
fn audio_is_encoded_when_there_is_time_or_it_becomes_due() {
    struct At(WallTime);
    impl Clock for At {
        fn mono(&self) -> optag_core::clock::MonoTime {
            Default::default()
        }
        fn wall(&self) -> WallTime {
            self.0
        }
    }
    let start = WallTime::from_unix_micros(1_700_000_000_000_000);
    let hours = |hours: i64| start.plus_micros(hours * 3_600_000_000);
    let id = CallId::new_at(start);
    let (share, load) = load(90);
    let draining = Arc::new(AtomicBool::new(false));
    let held = std::cell::Cell::new(true);
    let turn = |ended: i64, now: i64| {
        let within = Duration::from_secs(12 * 3_600);
        let clock = Arc::new(At(hours(now)));
        SpareTime::of(Arc::clone(&load), clock, within, Arc::clone(&draining))
            .turn(id, hours(ended), || held.get())
    };
    assert_eq!((turn(1, 6), turn(1, 7)), (Turn::Later, Turn::Now), "half of the limit after its end");
    assert_eq!((turn(10, 11), turn(10, 12)), (Turn::Later, Turn::Now), "before a day's retention is over");
    held.set(false);
    assert_eq!(
        (turn(1, 6), turn(1, 7)),
        (Turn::Gone, Turn::Now),
        "the spool is asked only where it is waited for"
    );
    held.set(true);
    share.store(40, Ordering::SeqCst);
    assert_eq!(turn(1, 2), Turn::Now);
    draining.store(true, Ordering::SeqCst);
    assert_eq!((turn(1, 2), turn(1, 20)), (Turn::Ending, Turn::Ending));
    held.set(false);
    assert_eq!(turn(1, 2), Turn::Gone, "whatever ends: nothing is left to do");
    assert_eq!(SpareTime::all().turn(id, start, || false), Turn::Now);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_04_what_waits_to_be_encoded_is_played_from_the_spool_and_let_go_only_once_stored() {
    let dir = tempfile::tempdir().unwrap();
    let erasure = Arc::new(erasure(dir.path()).await);
    let closing = spilled(&erasure).await;
    let (id, deliveries) = (closing.id, Arc::<DeliveryQueue>::default());
    deliveries.add(closing);
    let (share, load) = load(90);
    let draining = Arc::default();
    let mut workers = JoinSet::new();
    Delivery::new(Arc::clone(&deliveries), Arc::clone(&erasure))
        .encoding_in(spare(load, &draining), 2)
        .start(&mut workers);
    let (stores, live_calls) = (erasure.stores.clone(), Arc::default());
    let recordings = Recordings { stores, erasure: Arc::clone(&erasure), live_calls, deliveries };
    // Others are not held up.
    let other = crate::delivery::recorded_at(&erasure, OsClock.wall()).await;
    recordings.deliveries.add(other.clone());
    until(|| !recordings.deliveries.contains(other.id)).await;
    assert_eq!(erasure.stores.spool.calls(), [id]);

    let detail = recordings.get(id.into()).await.unwrap();
    assert_eq!((detail.summary.state, detail.object), (RecordingState::Spooled, None));
    assert_eq!((detail.summary.duration_ms, detail.consent.len()), (2_000, 1));
    let sent: Vec<i16> = (0..5 * BLOCKS).flat_map(tone).collect();
    assert_eq!(wav(&recordings, id).await.unwrap(), sent, "without any loss");
    let (early, verdicts) = (opus(&recordings, id).await, detail.summary.verdicts);

    share.store(10, Ordering::SeqCst);
    until(|| recordings.deliveries.is_empty()).await;
    assert!(erasure.stores.spool.calls().is_empty());
    let detail = recordings.get(id.into()).await.unwrap();
    assert_eq!((detail.summary.state, detail.summary.verdicts), (RecordingState::Stored, verdicts));
    assert_eq!(
        opus(&recordings, id).await,
        early,
        "the file that was played before is the one that is stored"
    );
    let coded = wav(&recordings, id).await.unwrap();
    assert!(coded.len() == sent.len() && coded != sent);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_that_was_cut_off_is_done_again_with_the_same_object() {
    let dir = tempfile::tempdir().unwrap();
    let erasure = Arc::new(erasure(dir.path()).await);
    let closing = spilled(&erasure).await;
    let whole = source(&erasure.stores.spool, closing.id).unwrap();
    let expected = assemble((whole.records)().unwrap(), |_| Ok(())).unwrap().audio_sha256;
    // The recorder begins to drain after some blocks: the delivery ends, and nothing is stored.
    let draining = Arc::new(AtomicBool::new(false));
    let looks = AtomicU32::new(0);
    let stop = Arc::clone(&draining);
    let load: Load = Arc::new(move || {
        stop.fetch_or(looks.fetch_add(1, Ordering::SeqCst) == 7, Ordering::SeqCst);
        0.0
    });
    let cut = Delivery::new(Arc::default(), Arc::clone(&erasure)).encoding_in(spare(load, &draining), 1);
    let failed = cut.settle(&closing).await.unwrap_err();
    assert!(!failed.is_final(), "{failed}");
    assert!(draining.load(Ordering::SeqCst));
    assert_eq!(erasure.stores.spool.calls(), [closing.id]);
    assert_eq!(erasure.stores.store.copies("recordings/").await.unwrap(), []);
    Delivery::new(Arc::default(), Arc::clone(&erasure)).settle_now(&closing).await;
    let row = erasure.stores.index.get(closing.id).await.unwrap().unwrap();
    assert_eq!(row.object_sha256, expected);
    assert!(erasure.stores.spool.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_what_is_erased_while_it_waits_or_is_encoded_is_neither_played_nor_stored() {
    for blocks_before in [0, 7] {
        let dir = tempfile::tempdir().unwrap();
        let erasure = Arc::new(erasure(dir.path()).await);
        let closing = spilled(&erasure).await;
        let (id, deliveries) = (closing.id, Arc::<DeliveryQueue>::default());
        // There is no time any more after some blocks: the encoding waits with the recording's lock held.
        let looks = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&looks);
        let load: Load =
            Arc::new(move || if seen.fetch_add(1, Ordering::SeqCst) < blocks_before { 0.0 } else { 0.9 });
        let mut workers = JoinSet::new();
        Delivery::new(Arc::clone(&deliveries), Arc::clone(&erasure))
            .encoding_in(spare(load, &Arc::default()), 1)
            .start(&mut workers);
        deliveries.add(closing);
        until(|| looks.load(Ordering::SeqCst) > blocks_before).await;
        let (stores, live_calls) = (erasure.stores.clone(), Arc::default());
        let recordings = Recordings { stores, erasure: Arc::clone(&erasure), live_calls, deliveries };
        assert!(wav(&recordings, id).await.is_ok());
        erasure.order(id, Cause::Withdrawal).await.unwrap();
        assert!(erasure.stores.spool.calls().is_empty(), "its key is gone at once");
        assert_eq!(wav(&recordings, id).await, Err(LibraryError::Erased));
        assert!(recordings.get(id.into()).await.is_err());
        assert_eq!(erasure.complete_open().await, 0, "the encoding gives way");
        until(|| recordings.deliveries.is_empty()).await;
        assert!(erasure.stores.index.get(id).await.unwrap().is_none());
        let left = erasure.stores.store.copies("recordings/").await.unwrap();
        assert!(left.is_empty(), "{left:?}");
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_what_waits_is_not_played_once_its_time_is_up() {
    struct Late;
    impl Clock for Late {
        fn mono(&self) -> optag_core::clock::MonoTime {
            OsClock.mono()
        }
        fn wall(&self) -> WallTime {
            OsClock.wall().plus_days(91)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut erasure = erasure(dir.path()).await;
    let closing = spilled(&erasure).await;
    erasure.clock = Arc::new(Late);
    let (id, deliveries, erasure) = (closing.id, Arc::<DeliveryQueue>::default(), Arc::new(erasure));
    deliveries.add(closing);
    let recordings =
        Recordings { stores: erasure.stores.clone(), erasure, live_calls: Arc::default(), deliveries };
    assert_eq!(wav(&recordings, id).await, Err(LibraryError::Erased));
}
