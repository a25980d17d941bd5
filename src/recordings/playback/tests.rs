//! What is served while index and store still contain it.

use std::path::Path;

use super::*;
use crate::audit::AuditLog;
use crate::delivery::{Delivery, recorded_at};
use crate::erasure::anchor::tests::erasure;
use crate::erasure::deletion_guard::DeletionGuard;
use crate::erasure::deletion_log::{Cause, Relation};
use crate::erasure::holds::{Hold, HoldPolicy, Holds};
use crate::http::requests::time_window::Window;
use crate::http::requests::{CandidateQuery, Requests};
use crate::recorder::settings::Departments;
use crate::recordings::requests::RequestService;
use crate::time::second_source::TimeKeeper;
use optag_core::clock::{Clock, MonoTime, WallTime};
use optag_core::signing::Signer;

/// A clock that stands still.
struct At(WallTime);

impl Clock for At {
    fn mono(&self) -> MonoTime {
        MonoTime::default()
    }

    fn wall(&self) -> WallTime {
        self.0
    }
}

/// A recording in store and index, this many days after its call.
async fn stored(dir: &Path, days: i64) -> (Recordings, CallId) {
    let mut erasure = erasure(dir).await;
    let policy = HoldPolicy { allowed: true, lawful_bases: vec!["court".into()], ends_anyway: false };
    let holds = Holds::open(&dir.join("holds.json"), policy).unwrap();
    erasure.guard = DeletionGuard::new(Signer::from_seed(&[7; 32]).unwrap(), holds);
    let closing = recorded_at(&erasure, WallTime::from_unix_micros(1_700_000_000_000_000)).await;
    let id = closing.id;
    erasure.clock = Arc::new(At(id.admitted_at().plus_days(days).plus_micros(1_000)));
    let (erasure, deliveries) = (Arc::new(erasure), Arc::<DeliveryQueue>::default());
    deliveries.add(closing);
    Delivery::new(Arc::clone(&deliveries), Arc::clone(&erasure)).until_settled().await;
    (Recordings { stores: erasure.stores.clone(), erasure, live_calls: Arc::default(), deliveries }, id)
}

async fn listed(recordings: &Recordings) -> Result<Vec<CallId>, LibraryError> {
    let all = SearchQuery { page: 1, page_size: 50, ..SearchQuery::default() };
    Ok(recordings.search(all).await?.recordings.into_iter().map(|one| one.id).collect())
}

async fn audio(recordings: &Recordings, id: CallId) -> Result<(), LibraryError> {
    let whole = AudioRequest { recording: id.into(), format: AudioFormat::Opus, channel: None, range: None };
    recordings.audio(whole).await.map(drop)
}

/// The results of a candidate search.
async fn candidates(recordings: &Recordings, id: CallId) -> Result<Vec<CallId>, LibraryError> {
    let dir = tempfile::tempdir().unwrap();
    let requests = RequestService {
        stores: recordings.stores.clone(),
        erasure: Arc::clone(&recordings.erasure),
        live_calls: Arc::clone(&recordings.live_calls),
        deliveries: Arc::clone(&recordings.deliveries),
        time: Arc::new(TimeKeeper::new(dir.path().join("clock.json"))),
        audit: AuditLog::new(dir.path().join("audit")),
        departments: Departments::new(Vec::new()),
        time_zone: "UTC".into(),
        grace_s: 0,
        keep_days: 90,
        reports: Default::default(),
    };
    let at = id.admitted_at();
    let window = Window { from: at.plus_days(-1), to: at.plus_days(1), around: None };
    let query = CandidateQuery { window: Some(window), most: 10, ..CandidateQuery::default() };
    Ok(requests.candidates(query).await?.candidates.into_iter().map(|one| one.recording.id).collect())
}

/// Checks that a recording is not listed, not a candidate, and that neither its details nor its audio are
/// served.
async fn is_gone(recordings: &Recordings, id: CallId) {
    assert_eq!((listed(recordings).await, candidates(recordings, id).await), (Ok(vec![]), Ok(vec![])));
    assert_eq!(recordings.get(id.into()).await.err(), Some(LibraryError::Erased));
    assert_eq!(audio(recordings, id).await, Err(LibraryError::Erased));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_what_is_to_be_erased_is_neither_listed_nor_served_while_the_store_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, id) = stored(dir.path(), 1).await;
    assert_eq!((listed(&recordings).await, audio(&recordings, id).await), (Ok(vec![id]), Ok(())));
    std::fs::rename(dir.path().join("store"), dir.path().join("away")).unwrap();
    std::fs::write(dir.path().join("store"), b"in the way").unwrap();
    recordings.erasure.order(id, Cause::Request).await.unwrap();
    assert_eq!(recordings.erasure.complete_open().await, 1);
    is_gone(&recordings, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_a_recording_whose_time_is_up_is_served_no_more_though_nothing_swept_it() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, id) = stored(dir.path(), 89).await;
    assert_eq!((listed(&recordings).await, audio(&recordings, id).await), (Ok(vec![id]), Ok(())));
    assert_eq!(candidates(&recordings, id).await, Ok(vec![id]));
    let dir = tempfile::tempdir().unwrap();
    let (recordings, id) = stored(dir.path(), 90).await;
    is_gone(&recordings, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_held_past_its_time_is_served_until_the_hold_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, id) = stored(dir.path(), 95).await;
    let made = id.admitted_at();
    let until = |days| Hold {
        id,
        until: made.plus_days(days),
        reason: "case".into(),
        lawful_basis: Some("court".into()),
        by: "ada".into(),
        at: made,
    };
    let (holds, index) = (&recordings.erasure.guard.holds, &recordings.stores.index);
    holds.place(index, until(96), made.plus_days(90), 0).await.unwrap();
    assert_eq!((listed(&recordings).await, audio(&recordings, id).await), (Ok(vec![id]), Ok(())));
    holds.place(index, until(95), made.plus_days(90), 0).await.unwrap();
    is_gone(&recordings, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_nothing_is_served_while_the_deletion_log_is_out_of_step() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, id) = stored(dir.path(), 1).await;
    recordings.erasure.guard.found(Relation::Behind);
    assert_eq!(listed(&recordings).await, Err(LibraryError::OutOfStep));
    assert_eq!(recordings.get(id.into()).await.err(), Some(LibraryError::OutOfStep));
    assert_eq!(audio(&recordings, id).await, Err(LibraryError::OutOfStep));
}
