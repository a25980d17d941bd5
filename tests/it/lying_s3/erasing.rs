//! Erasures in a store that reports less than there is, or something else: either nothing is left, checked behind the
//! store's back, or nothing is certified.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use optag::erasure::deletion_guard::DeletionGuard;
use optag::erasure::deletion_log::{Cause, DeletionLog, Done, Order};
use optag::erasure::holds::{HoldPolicy, Holds};
use optag::erasure::steps::{EraseError, Eraser, Orders, SpoolKeys, Step};
use optag::erasure::unfinished::UnderWay;
use optag::index::{Index, IndexPlace};
use optag_core::id::CallId;
use optag_core::signing::Signer;
use optag_storage::archive::deliver::{Deliverer, UploadNotes};
use optag_storage::store::remains::{Sought, Stored, StoredObject};
use optag_storage::store::versions::CopyKind;
use optag_storage::store::{Store, StoreError};

use super::double::{Double, Lie};
use super::{call, long_call, store, vault};

/// No spool.
struct NoKeys;

impl SpoolKeys for NoKeys {
    fn destroy(&self, _: CallId) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    fn is_clear_elsewhere(&self, _: CallId, _: Cause) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }
}

/// A deletion log by itself.
struct LogAlone<'a>(&'a DeletionLog);

impl Orders for LogAlone<'_> {
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), EraseError>> {
        async move { Ok(self.0.order(order)?) }.boxed()
    }

    fn done(&self, done: Done) -> BoxFuture<'_, Result<(), EraseError>> {
        async move { Ok(self.0.completed(done)?) }.boxed()
    }
}

/// A recording delivered to a double, and what its erasure works on.
struct Delivered {
    double: Double,
    id: CallId,
    log: DeletionLog,
    guard: DeletionGuard,
    index: Index,
    under_way: UnderWay,
    dir: tempfile::TempDir,
}

impl Delivered {
    async fn to(double: Double) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (id, source) = call();
        let delivered =
            Deliverer::new(vault(store(&double), &dir.path().join("keys"))).deliver(&source).await;
        let manifest = delivered.unwrap();
        let index = Index::open(&place(dir.path()), "45").await.unwrap();
        index.put_delivered(id, &manifest.stored).await.unwrap();
        index.put_recording(&manifest).await.unwrap();
        Self::of(double, id, index, dir)
    }

    /// With an erasure ordered.
    fn of(double: Double, id: CallId, index: Index, dir: tempfile::TempDir) -> Self {
        let log = DeletionLog::open(&dir.path().join("deletions.log")).unwrap();
        let under_way = UnderWay::open(&dir.path().join("erasing")).unwrap();
        let policy = HoldPolicy { allowed: false, lawful_bases: vec![], ends_anyway: false };
        let holds = Holds::open(&dir.path().join("holds.json"), policy).unwrap();
        let guard =
            DeletionGuard::new(Signer::load_or_create(&dir.path().join("signing.key")).unwrap(), holds);
        let order = Order { id, at: id.admitted_at(), cause: Cause::Request, request: None };
        log.order(order).unwrap();
        Self { double, id, log, guard, index, under_way, dir }
    }

    async fn complete(&self, store: &Store) -> Result<Vec<String>, (Step, EraseError)> {
        let log = LogAlone(&self.log);
        let eraser =
            Eraser { log: &log, keys: &NoKeys, store, index: &self.index, progress: &self.under_way };
        eraser.complete(self.id, Cause::Request, self.id.admitted_at()).await
    }

    /// Versions and objects of the recording, behind the store's back.
    fn left(&self) -> usize {
        let stem = optag_storage::store::names::stem(self.id);
        let state = self.double.state.lock().unwrap();
        let versions = state.versions.iter().filter(|(key, _)| key.starts_with(&stem));
        let objects = state.objects.keys().filter(|key| key.starts_with(&stem)).count();
        versions.map(|(_, versions)| versions.len()).sum::<usize>() + objects
    }

    fn is_open(&self) -> bool {
        !self.log.open_orders().is_empty()
    }

    /// More versions and a delete marker, as a sync tool or a restore leaves them.
    fn copied_over(&self) {
        let stem = optag_storage::store::names::stem(self.id);
        let mut state = self.double.state.lock().unwrap();
        let keys: Vec<String> = state.objects.keys().filter(|key| key.starts_with(&stem)).cloned().collect();
        for key in keys {
            for _ in 0..4 {
                state.requests += 1;
                state.store(&key, "another version".into());
            }
        }
        let audio =
            state.versions.keys().find(|key| key.contains(".opus") && key.starts_with(&stem)).cloned();
        state.versions.get_mut(&audio.unwrap()).unwrap().push(("marker".into(), None));
    }
}

fn place(dir: &Path) -> IndexPlace {
    IndexPlace::Sqlite(dir.join("index.sqlite"))
}

async fn versioned() -> Double {
    let double = Double::start().await;
    double.state.lock().unwrap().versioned = true;
    double
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_every_version_goes_though_no_list_shows_it() {
    for lies in [
        &[][..],
        &[Lie::ListsAtMost(0)],
        &[Lie::ListsAtMost(3)],
        &[Lie::BreaksOffAfter(2)],
        &[Lie::ListsAtMost(0), Lie::HeadSeesNothing],
        &[Lie::ListsAtMost(1), Lie::GetSeesNothing],
    ] {
        let delivered = Delivered::to(versioned().await).await;
        if !lies.contains(&Lie::HeadSeesNothing) {
            delivered.copied_over();
        }
        delivered.double.lie(lies);
        let gone = delivered.complete(&store(&delivered.double)).await;
        assert!(gone.is_ok(), "{lies:?}: {gone:?}");
        assert_eq!(delivered.left(), 0, "{lies:?}: {gone:?}");
        assert!(gone.unwrap().len() >= 2 && !delivered.is_open());
    }
    // The same without versions.
    for lies in
        [&[Lie::ListsAtMost(0), Lie::HeadSeesNothing][..], &[Lie::ListsAtMost(0), Lie::GetSeesNothing]]
    {
        let delivered = Delivered::to(Double::start().await).await;
        delivered.double.lie(lies);
        assert_eq!(delivered.complete(&store(&delivered.double)).await.unwrap().len(), 2);
        assert_eq!(delivered.left(), 0, "{lies:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_what_cannot_be_proved_gone_is_never_certified() {
    for (is_versioned, lies, why) in [
        (false, &[Lie::KeepsObjects][..], "still present"),
        (true, &[Lie::KeepsObjects], "still present"),
        (false, &[Lie::KeepsObjects, Lie::ListsAtMost(0)], "still present"),
        (false, &[Lie::KeepsObjects, Lie::ListsAtMost(0), Lie::HeadSeesNothing], "still present"),
        (true, &[Lie::NoVersions], "does not list them"),
        (true, &[Lie::NoVersions, Lie::NoVersioning], "does not list them"),
        (true, &[Lie::NoVersions, Lie::NoVersioning, Lie::NamesNoVersions], "does not list them"),
        (true, &[Lie::BreaksOffAfter(0)], "truncated"),
        (false, &[Lie::RefusesDeletes], "AccessDenied"),
        (false, &[Lie::ListsAtMost(0), Lie::HeadSeesNothing, Lie::GetSeesNothing], "may lie elsewhere"),
    ] {
        let double = if is_versioned { versioned().await } else { Double::start().await };
        let delivered = Delivered::to(double).await;
        delivered.double.lie(lies);
        let (step, error) = delivered.complete(&store(&delivered.double)).await.unwrap_err();
        assert!(step == Step::Store && error.to_string().contains(why), "{lies:?}: {error}");
        assert!(delivered.is_open(), "{lies:?}");
        assert_eq!(error.is_unproven(), !lies.contains(&Lie::RefusesDeletes), "{lies:?}: {error}");
        // Once the store reports correctly, the erasure completes, and the receipt lists what was deleted before.
        delivered.double.lie(&[]);
        let gone = delivered.complete(&store(&delivered.double)).await.unwrap();
        assert!(gone.len() >= 2 && delivered.left() == 0 && !delivered.is_open(), "{lies:?}: {gone:?}");
    }
    // A store that neither lists nor keeps versions is no reason for doubt.
    let delivered = Delivered::to(Double::start().await).await;
    delivered.double.lie(&[Lie::NoVersions, Lie::NoVersioning]);
    assert_eq!(delivered.complete(&store(&delivered.double)).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_an_erasure_in_another_store_finds_nothing_and_certifies_nothing() {
    let delivered = Delivered::to(Double::start().await).await;
    let other = Double::start().await;
    let (_, error) = delivered.complete(&store(&other)).await.unwrap_err();
    let EraseError::NothingFound { delivered_to, looked_in } = &error else { panic!("{error}") };
    assert!(delivered_to.starts_with(&delivered.double.endpoint), "{delivered_to}");
    assert!(looked_in.starts_with(&other.endpoint), "{looked_in}");
    assert!(delivered.is_open() && delivered.left() == 2);
    delivered.complete(&store(&delivered.double)).await.unwrap();
    assert!(!delivered.is_open() && delivered.left() == 0);
    // A completed erasure may be repeated: an index that lost its row knows of no delivery.
    delivered.complete(&store(&other)).await.unwrap();
    drop(delivered.dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_an_upload_is_looked_for_by_its_number_where_no_list_shows_it() {
    let double = Double::start().await;
    let name = "recordings/2026/01/02/a.opus".to_owned();
    double.state.lock().unwrap().uploads.insert("u-7".into(), (name.clone(), Default::default()));
    double.lie(&[Lie::HidesUploads, Lie::KeepsUploads]);
    let stored = Stored {
        place: String::new(),
        objects: vec![StoredObject { name, version: None, upload: Some("u-7".into()) }],
    };
    let store = store(&double);
    let sought = Sought::recording(CallId::from_bytes([1; 16]), Some(&stored));
    for lies in [&[Lie::HidesUploads, Lie::KeepsUploads][..], &[Lie::HidesUploads]] {
        double.lie(lies);
        let look = store.look(&sought).await.unwrap();
        assert_eq!((look.found.len(), look.found[0].kind), (1, CopyKind::Upload));
        store.delete(&look.found[0]).await.unwrap();
    }
    assert_eq!(store.look(&sought).await.unwrap().found, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_copies_of_keys_and_torn_objects_are_looked_for_by_name() {
    let double = versioned().await;
    let store = store(&double);
    store.put_small("recordings/keys/a.key", "key".into()).await.unwrap();
    double.lie(&[Lie::ListsAtMost(0), Lie::KeepsObjects]);
    let kept = store.delete_all("recordings/keys/a.key").await;
    assert!(matches!(kept, Err(StoreError::Unverified(_))), "{kept:?}");
    double.lie(&[Lie::ListsAtMost(0)]);
    store.delete_all("recordings/keys/a.key").await.unwrap();
    let state = double.state.lock().unwrap();
    assert!(state.versions.get("recordings/keys/a.key").is_none_or(Vec::is_empty));
}

/// Notes uploads in an index.
struct Noting(Index, String);

impl UploadNotes for Noting {
    fn begun(&self, id: CallId, name: String, upload: String) -> BoxFuture<'_, ()> {
        let object = StoredObject { name, version: None, upload: Some(upload) };
        async move { self.0.note_upload(id, &self.1, object).await.unwrap() }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_an_upload_of_a_delivery_that_died_goes_though_no_list_shows_it() {
    let double = Double::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = store(&double);
    let (id, source) = long_call();
    let index = Index::open(&place(dir.path()), "45").await.unwrap();
    let notes = Arc::new(Noting(index.clone(), store.place()));
    let deliverer = Deliverer::new(vault(store.clone(), &dir.path().join("keys"))).noting(notes);
    // The process dies once a part has arrived.
    double.lie(&[Lie::LeavesPartsUnanswered]);
    let delivery = tokio::spawn(async move { deliverer.deliver(&source).await });
    let deadline = Instant::now() + crate::server::PATIENCE;
    while double.state.lock().unwrap().parts == 0 {
        assert!(Instant::now() < deadline && !delivery.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    delivery.abort();
    let _ = delivery.await;
    assert_eq!(double.state.lock().unwrap().uploads.len(), 1);
    // The caller requests an erasure, and the listing of uploads omits the upload.
    double.lie(&[Lie::HidesUploads]);
    let delivered = Delivered::of(double, id, index, dir);
    let gone = delivered.complete(&store).await.unwrap();
    assert!(gone.iter().any(|name| name.contains("?uploadId=upload-")), "{gone:?}");
    assert!(delivered.double.state.lock().unwrap().uploads.is_empty());
    assert!(!delivered.is_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_by_hand_is_erased_once_someone_accepts_it_and_the_receipt_says_so() {
    let delivered = Delivered::to(Double::start().await).await;
    let stem = optag_storage::store::names::stem(delivered.id);
    let store = store(&delivered.double);
    let removed = {
        let mut state = delivered.double.state.lock().unwrap();
        let ours: Vec<String> = state.objects.keys().filter(|key| key.starts_with(&stem)).cloned().collect();
        ours.into_iter().map(|key| state.objects.remove_entry(&key).unwrap()).collect::<Vec<_>>()
    };
    let refused = delivered.complete(&store).await.unwrap_err();
    assert!(matches!(refused, (Step::Store, EraseError::NothingFound { .. })), "{refused:?}");
    delivered.under_way.accept_missing(delivered.id).unwrap();
    // Accepted or not: existing objects are deleted, and then nothing counts as missing.
    delivered.double.state.lock().unwrap().objects.extend(removed[..1].to_vec());
    let refused = {
        delivered.double.lie(&[Lie::RefusesDeletes]);
        delivered.complete(&store).await
    };
    assert!(refused.is_err() && delivered.left() == 1 && delivered.is_open());
    delivered.double.lie(&[]);
    assert_eq!(delivered.complete(&store).await.unwrap().len(), 1);
    assert!(!delivered.log.history(delivered.id).unwrap().unwrap().1.unwrap().accepted_missing);

    let missing = Delivered::to(Double::start().await).await;
    let stem = optag_storage::store::names::stem(missing.id);
    missing.double.state.lock().unwrap().objects.retain(|key, _| !key.starts_with(&stem));
    missing.under_way.accept_missing(missing.id).unwrap();
    let gone = missing.complete(&super::store(&missing.double)).await.unwrap();
    assert!(gone.is_empty() && !missing.is_open());
    let (order, done) = missing.log.history(missing.id).unwrap().unwrap();
    let receipt = optag::erasure::receipt::sign(&missing.guard.signer, order, done.unwrap()).unwrap();
    let receipt: optag::erasure::receipt::Receipt = receipt.read().unwrap();
    assert!(receipt.accepted_missing && receipt.deleted.is_empty());
    assert!(missing.index.get(missing.id).await.unwrap().unwrap().caller_number.is_none());
    assert!(!missing.under_way.accepts_missing(missing.id).unwrap());
}
