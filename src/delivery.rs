//! Delivers ended calls: a recording goes to the store, then its row to the index, then the spool key is destroyed; of an
//! unrecorded call only the outcome goes to the index. Retries without limit, with exponential backoff; concurrency adapts
//! to the store. While the index is unavailable, recordings still go to the store and their rows wait.

pub mod encoding;
pub mod queue;
pub mod spool_forecast;
pub mod upload_limit;

#[cfg(test)]
mod outage_tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::delivery::encoding::{NoTurn, SpareTime};
use crate::delivery::queue::{Closing, DeliveryQueue, Unsettled};
use crate::delivery::upload_limit::{Turn, UploadLimit};
use crate::erasure::service::EraseService;
use crate::erasure::steps::EraseError;
use crate::index::{CallRow, IndexError};
use crate::metrics;
use crate::stores::Stores;
use crate::stores::durable::destroy_key;
use optag_core::call::Outcome;
use optag_core::call::outcome::LossCause;
use optag_core::id::CallId;
use optag_storage::archive::assemble::AssembleError;
use optag_storage::archive::deliver::{DeliverError, Deliverer, Records, Source, UploadNotes};
use optag_storage::archive::manifest::Manifest;
use optag_storage::archive::vault::VaultError;
use optag_storage::spool::{Spool, SpoolError};
use optag_storage::store::StoreError;
use optag_storage::store::remains::StoredObject;

/// Maximum number of concurrent deliveries; [`Deliverer`] bounds their memory.
const MOST: usize = 6;

/// Time limit for noting an upload in the index.
const NOTING: Duration = Duration::from_secs(5);

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Erase(#[from] EraseError),
    #[error("deletion log is missing erasures: delivery is suspended until `optag replay-deletions`")]
    OutOfStep,
    #[error("internal error while processing records")]
    Fault,
    #[error("task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl SettleError {
    /// Whether a retry is useless: records unreadable.
    fn is_final(&self) -> bool {
        matches!(self, Self::Deliver(DeliverError::Assemble(error)) if !matches!(error, AssembleError::Io(_)))
    }

    /// The newer format found in place of the recording, if that is the reason.
    fn newer(&self) -> Option<&'static str> {
        match self {
            Self::Deliver(DeliverError::Vault(error)) => error.newer(),
            _ => None,
        }
    }

    /// Whether the store failed.
    fn is_the_store(&self) -> bool {
        matches!(self, Self::Deliver(DeliverError::Store(_) | DeliverError::Vault(VaultError::Store(_))))
    }
}

/// Delivers calls.
pub struct Delivery {
    deliveries: Arc<DeliveryQueue>,
    stores: Stores,
    erasure: Arc<EraseService>,
    deliverer: Deliverer,
    upload_limit: UploadLimit,
    later: Later,
}

/// Delivers calls whose audio is encoded first, without delaying the others.
struct Later {
    deliverer: Deliverer,
    upload_limit: UploadLimit,
    spare: SpareTime,
    workers: usize,
}

impl Delivery {
    /// Delivers the calls of `deliveries`.
    pub fn new(deliveries: Arc<DeliveryQueue>, erasure: Arc<EraseService>) -> Self {
        let stores = erasure.stores.clone();
        let deliverer = deliverer(&stores);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (upload_limit, later) = (UploadLimit::new(MOST), later(&stores, SpareTime::all(), workers));
        Self { deliveries, stores, erasure, deliverer, upload_limit, later }
    }

    /// The same beside an engine: `workers` encode unencoded audio, in the time that the engine leaves.
    pub fn encoding_in(self, spare: SpareTime, workers: usize) -> Self {
        Self { later: later(&self.stores, spare, workers), ..self }
    }

    /// Starts one worker per concurrent delivery; they end with `tasks`.
    pub fn start(self, tasks: &mut JoinSet<()>) {
        let delivery = Arc::new(self);
        for _ in 0..MOST {
            let delivery = Arc::clone(&delivery);
            tasks.spawn(async move { delivery.work().await });
        }
        for _ in 0..delivery.later.workers {
            let delivery = Arc::clone(&delivery);
            tasks.spawn(async move { delivery.work_later().await });
        }
    }

    /// Delivers every waiting call, however long it takes.
    pub async fn until_settled(self) {
        let deliveries = Arc::clone(&self.deliveries);
        let mut tasks = JoinSet::new();
        self.start(&mut tasks);
        deliveries.until(|left| left == Unsettled::default()).await;
        tasks.shutdown().await;
    }

    /// One worker: delivers calls one after the other.
    async fn work(&self) {
        let mut backoff = Backoff::default();
        loop {
            let turn = self.upload_limit.turn().await;
            let closing = self.deliveries.next().await;
            self.try_to_settle(&closing, turn, &mut backoff).await;
        }
    }

    /// One worker for calls to be encoded first, in order of their end.
    async fn work_later(&self) {
        let mut backoff = Backoff::default();
        loop {
            let turn = self.later.upload_limit.turn().await;
            let closing = self.deliveries.next_packed().await;
            let turn_of_call = self.later.spare.wait(closing.id, closing.ended.at, &self.stores.spool).await;
            if turn_of_call == Err(NoTurn::Ending) {
                // The next process continues.
                return std::future::pending().await;
            }
            self.try_to_settle(&closing, turn, &mut backoff).await;
        }
    }

    async fn try_to_settle(&self, closing: &Closing, turn: Turn<'_>, backoff: &mut Backoff) {
        let id = closing.id;
        // A panic while processing a recording ends no worker: the recording waits in the spool.
        let settled = AssertUnwindSafe(self.settle(closing)).catch_unwind().await;
        match settled.unwrap_or(Err(SettleError::Fault)) {
            Ok(()) => {
                self.deliveries.done(id);
                turn.went_well();
                backoff.reset();
            }
            Err(error) if error.is_final() => {
                tracing::error!(call = %id, %error, "recording lost: records unreadable");
                let lost = Outcome::Lost(LossCause::Damaged);
                metrics::call_ended(lost);
                let written = self.put_outcome(closing, lost).await;
                // The records stay in the spool until they expire, in case they can be repaired.
                if written.is_ok() { self.deliveries.done(id) } else { self.deliveries.retry(id) }
            }
            Err(error) => {
                metrics::upload_failed();
                error.newer().into_iter().for_each(metrics::newer_format);
                tracing::warn!(call = %id, %error, "delivery failed, will retry");
                self.deliveries.note_failed(id, error.to_string());
                if error.is_the_store() {
                    turn.went_badly();
                } else {
                    drop(turn);
                }
                self.deliveries.retry(id);
                self.deliveries.pause(backoff.next(random())).await;
            }
        }
    }

    async fn settle(&self, closing: &Closing) -> Result<(), SettleError> {
        let (id, erasure) = (closing.id, &self.erasure);
        let _turn = erasure.locks.lock(id).await;
        if !erasure.guard.in_step() {
            return Err(SettleError::OutOfStep);
        }
        // An index that does not answer stops no delivery: the row, which comes last, does.
        let is_erased = matches!(erasure.is_ordered(id).await, Ok(true));
        if closing.ended.outcome.is_recorded() && !is_erased {
            let manifest = match self.deliveries.delivered(id) {
                Some(manifest) => manifest,
                None => {
                    let manifest = Arc::new(self.deliver(closing).await?);
                    self.deliveries.note_delivered(&manifest);
                    manifest
                }
            };
            self.stores.index.put_delivered(id, &manifest.stored).await?;
            // Where it was ordered on another node meanwhile, that node waits until this spool has nothing of it.
            if !erasure.is_ordered(id).await? {
                self.stores.index.put_recording(&manifest).await?;
            }
        }
        // Consent withdrawn after the end of the call: the outcome states only that.
        let outcome = if erasure.was_withdrawn(id)? { Outcome::Withdrawn } else { closing.ended.outcome };
        self.put_outcome(closing, outcome).await?;
        if closing.spooled {
            destroy_key(&self.stores.spool, id).await?;
        }
        Ok(())
    }

    /// Stores a recording. Returns the part of its manifest that the index needs.
    async fn deliver(&self, closing: &Closing) -> Result<Manifest, SettleError> {
        let (started, id) = (Instant::now(), closing.id);
        let mut source = source(&self.stores.spool, id)?;
        let mut deliverer = &self.deliverer;
        if closing.packed_frames > 0 {
            let (spool, spare) = (self.stores.spool.clone(), self.later.spare.clone());
            source = encoding::encoding(source, spool, id, closing.ended.at, spare);
            deliverer = &self.later.deliverer;
        }
        let mut manifest = Box::pin(deliverer.deliver(&source)).await.inspect_err(|error| {
            // Nothing is overwritten: someone has to look into it.
            if matches!(error, DeliverError::Store(StoreError::Conflict)) {
                tracing::error!(call = %id, "store holds a different object under this recording's name");
            }
        })?;
        metrics::stored(manifest.audio_bytes, started.elapsed());
        manifest.verdicts.iter().for_each(|&verdict| metrics::stream_judged(verdict));
        metrics::audio_kept(&manifest.call.department, &manifest.stream_audio());
        // The waveform is the largest part, and the index may be unavailable for long.
        manifest.peaks_100ms = Vec::new();
        manifest.gaps = Vec::new();
        Ok(manifest)
    }

    /// Delivers one call, or fails the test.
    #[cfg(test)]
    pub(crate) async fn settle_now(&self, closing: &Closing) {
        self.settle(closing).await.unwrap();
    }

    async fn put_outcome(&self, closing: &Closing, outcome: Outcome) -> Result<(), SettleError> {
        let row = CallRow {
            id: closing.id,
            department: closing.department.clone(),
            ended_at: closing.ended.at,
            outcome,
        };
        Ok(self.stores.index.put_call(&row).await?)
    }
}

fn deliverer(stores: &Stores) -> Deliverer {
    Deliverer::new(stores.vault.clone()).noting(Arc::new(Notes(stores.clone())))
}

fn later(stores: &Stores, spare: SpareTime, workers: usize) -> Later {
    Later { deliverer: deliverer(stores), upload_limit: UploadLimit::new(workers), spare, workers }
}

/// Notes multipart uploads in the index.
pub struct Notes(pub Stores);

impl UploadNotes for Notes {
    fn begun(&self, id: CallId, name: String, upload: String) -> BoxFuture<'_, ()> {
        async move {
            let place = self.0.store.place();
            let object = StoredObject { name, version: None, upload: Some(upload) };
            let noted = tokio::time::timeout(NOTING, self.0.index.note_upload(id, &place, object)).await;
            if !matches!(noted, Ok(Ok(()))) {
                // Recordings are stored even while the index is unavailable.
                tracing::warn!(call = %id, "cannot note the upload in the index; uploading anyway");
            }
        }
        .boxed()
    }
}

/// A recording in the spool. Damaged records are missing in it, which the recording states.
///
/// Errors: the spool has no such call.
pub fn source(spool: &Spool, id: CallId) -> Result<Source, SpoolError> {
    let secret = spool.derive(id, b"stored objects")?;
    let spool = spool.clone();
    let records = move || {
        let reader = spool.read(id).map_err(|error| AssembleError::Io(error.to_string()))?;
        let joined = reader.joined_streams();
        let bodies = reader.filter_map(|body| match body {
            Ok(body) => Some(Ok(body)),
            Err(error) if error.is_damage() => None,
            Err(error) => Some(Err(AssembleError::Io(error.to_string()))),
        });
        Ok(Records::new(joined, bodies))
    };
    Ok(Source { records: Arc::new(records), secret })
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are only spread less.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
pub(crate) use tests::recorded_at;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    use optag_core::clock::WallTime;
    use optag_core::id::CallId;
    use optag_testing::fixtures;

    use crate::erasure::deletion_log::Cause;
    use optag_media::fact::{Ended, EndedBy, MediaBlock};
    use optag_media::opus::encoder::silence_packet;

    use optag_storage::spool::record::{Body, SpoolRecord};

    async fn erasure(dir: &Path) -> Arc<EraseService> {
        Arc::new(crate::erasure::anchor::tests::erasure(dir).await)
    }

    async fn settle(closing: &Closing, erasure: &Arc<EraseService>) -> Result<(), SettleError> {
        Delivery::new(Arc::default(), Arc::clone(erasure)).settle(closing).await
    }

    /// A recorded call of 100 ms in the spool.
    pub(crate) async fn recorded(erasure: &EraseService) -> Closing {
        recorded_at(erasure, WallTime::from_unix_micros(1_700_000_000_000_000)).await
    }

    /// As [`recorded`], at another time.
    pub(crate) async fn recorded_at(erasure: &EraseService, started_at: WallTime) -> Closing {
        let id = CallId::new_at(started_at);
        let facts = fixtures::call_facts(id, started_at);
        let granted = fixtures::granted(started_at);
        let packet = silence_packet();
        let block = MediaBlock {
            first_frame: 0,
            form: Default::default(),
            streams: 1,
            lengths: vec![packet.len() as u16; 5],
            peaks: vec![0; 5],
            bytes: packet.repeat(5),
        };
        let ended = Ended {
            at: started_at,
            by: EndedBy::Feed,
            outcome: Outcome::Recorded,
            frames: 5,
            streams: vec![],
        };
        let bodies =
            [Body::Opened(facts), Body::Consent(granted), Body::Media(block), Body::Closed(ended.clone())];
        let batch = bodies.into_iter().map(|body| SpoolRecord { call: id, body }).collect();
        erasure.stores.spool.append(batch).unwrap();
        assert!(crate::stores::durable::durable(&erasure.stores.spool).await);
        Closing { id, department: "demo".into(), ended, spooled: true, packed_frames: 0 }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_04_the_spool_lets_go_only_of_what_the_store_has() {
        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        // The store's directory is gone and cannot be recreated: a file is in its place.
        std::fs::remove_dir_all(dir.path().join("store")).unwrap();
        std::fs::write(dir.path().join("store"), b"in the way").unwrap();
        for _ in 0..3 {
            assert!(settle(&closing, &erasure).await.is_err());
            assert_eq!(erasure.stores.spool.calls(), [closing.id]);
            assert!(
                erasure.stores.index.get(closing.id).await.unwrap().is_none(),
                "a row without its object"
            );
        }
        std::fs::remove_file(dir.path().join("store")).unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        settle(&closing, &erasure).await.unwrap();
        assert!(erasure.stores.spool.calls().is_empty());
        assert!(erasure.stores.index.get(closing.id).await.unwrap().is_some());
    }

    /// Two nodes with one master key and one store that has copies of their keys.
    async fn two_nodes(dir: &Path) -> [Arc<EraseService>; 2] {
        let store = crate::config::StoreConfig::Local { dir: dir.join("shared") };
        let store = optag_storage::store::Store::open(&store).unwrap();
        let mut nodes = Vec::new();
        for name in ["a", "b"] {
            std::fs::create_dir(dir.join(name)).unwrap();
            let mut node = crate::erasure::anchor::tests::erasure(&dir.join(name)).await;
            let keys = Arc::clone(node.stores.vault.keys());
            let escrow = optag_storage::archive::vault::Escrow { recipient: None, dir: None };
            node.stores.vault =
                optag_storage::archive::vault::Vault::new(store.clone(), keys, true, Some(escrow));
            node.stores.store = store.clone();
            nodes.push(Arc::new(node));
        }
        nodes.try_into().unwrap_or_else(|_| unreachable!())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_played_anothers_recording_of_the_day_still_delivers_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = two_nodes(dir.path()).await;
        let theirs = recorded(&one).await;
        settle(&theirs, &one).await.unwrap();
        // Before its own first delivery of that day.
        two.stores.vault.manifest(theirs.id).await.unwrap();
        let own = recorded(&two).await;
        settle(&own, &two).await.unwrap();
        assert!(two.stores.spool.calls().is_empty());
        for node in [&one, &two] {
            for id in [theirs.id, own.id] {
                assert_eq!(node.stores.vault.manifest(id).await.unwrap().id(), id);
            }
        }
        let sealed_for: std::collections::HashSet<_> = [&one, &two]
            .iter()
            .flat_map(|node| node.stores.vault.keys().list().unwrap())
            .filter(|key| key.is_own())
            .map(|key| key.name())
            .collect();
        assert_eq!(sealed_for.len(), 2, "each seals with a key of its own");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_delivery_that_lost_its_row_is_done_again_with_the_same_objects() {
        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        let first = Deliverer::new(erasure.stores.vault.clone());
        let manifest = first.deliver(&source(&erasure.stores.spool, closing.id).unwrap()).await.unwrap();
        // Here the process died: objects stored, no row, spool not released.
        settle(&closing, &erasure).await.unwrap();
        let row = erasure.stores.index.get(closing.id).await.unwrap().unwrap();
        assert_eq!(row.object_sha256, manifest.audio_sha256);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_records_of_a_short_recording_are_read_once() {
        use std::sync::atomic::{AtomicU32, Ordering};

        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        let Source { records, secret } = source(&erasure.stores.spool, closing.id).unwrap();
        let opened = Arc::new(AtomicU32::new(0));
        let counted = {
            let opened = Arc::clone(&opened);
            move || {
                opened.fetch_add(1, Ordering::Relaxed);
                records()
            }
        };
        let source = Source { records: Arc::new(counted), secret };
        let manifest = Deliverer::new(erasure.stores.vault.clone()).deliver(&source).await.unwrap();
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        assert_eq!(
            erasure.stores.vault.manifest(closing.id).await.unwrap().audio_sha256,
            manifest.audio_sha256
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_the_index_is_locked_recordings_reach_the_store_and_their_rows_follow() {
        use sqlx::{ConnectOptions, Connection};

        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("index.sqlite"));
        let mut other = options.connect().await.unwrap();
        let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let deliveries = Arc::<DeliveryQueue>::default();
        let delivery = Delivery::new(Arc::clone(&deliveries), Arc::clone(&erasure));
        let waits = delivery.settle(&closing).await;
        assert!(matches!(waits, Err(SettleError::Index(_))), "{waits:?}");
        assert!(erasure.stores.index.probe().await.is_err());
        // In the store, and in the spool until its row is written.
        assert_eq!(erasure.stores.vault.manifest(closing.id).await.unwrap().id(), closing.id);
        assert_eq!(erasure.stores.spool.calls(), [closing.id]);
        assert!(deliveries.delivered(closing.id).is_some());
        lock.rollback().await.unwrap();
        delivery.settle(&closing).await.unwrap();
        assert!(erasure.stores.spool.calls().is_empty());
        assert!(erasure.stores.index.get(closing.id).await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_04_a_recording_whose_row_is_refused_stays_in_the_spool() {
        use sqlx::{ConnectOptions, Connection, Executor};

        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("index.sqlite"));
        let mut other = options.connect().await.unwrap();
        let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON recordings BEGIN SELECT RAISE(ABORT, 'no'); END";
        other.execute(refuse).await.unwrap();
        assert!(settle(&closing, &erasure).await.is_err());
        assert_eq!(erasure.stores.spool.calls(), [closing.id], "its key is there still");
        other.execute("DROP TRIGGER refuse").await.unwrap();
        other.close().await.unwrap();
        settle(&closing, &erasure).await.unwrap();
        assert!(erasure.stores.spool.calls().is_empty());
        assert!(erasure.stores.index.get(closing.id).await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_09_the_sweeper_ends_a_recording_at_its_limit_and_not_before() {
        use crate::erasure::sweeper::Sweeper;

        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        settle(&closing, &erasure).await.unwrap();
        let sweeper = Sweeper {
            erasure: Arc::clone(&erasure),
            time: Arc::new(crate::time::second_source::TimeKeeper::new(dir.path().join("clock.json"))),
            interval: std::time::Duration::from_secs(60),
            limits: crate::erasure::sweep_horizon::SweepLimits { percent: 10, days: 1 },
            rounds: Default::default(),
        };
        let over = closing.id.admitted_at().plus_days(90);
        sweeper.sweep(over.plus_micros(-1_000_000), true).await;
        assert_eq!(erasure.complete_open().await, 0);
        assert!(!erasure.log.is_erased(closing.id));
        assert_eq!(erasure.stores.vault.keys().list().unwrap().len(), 1);
        sweeper.sweep(over.plus_micros(1_000_000), true).await;
        assert_eq!(erasure.complete_open().await, 0);
        let row = erasure.stores.index.get(closing.id).await.unwrap().unwrap();
        assert!(row.erased_at.is_some() && row.caller_number.is_none());
        assert!(matches!(erasure.stores.vault.audio(closing.id, None).await, Err(VaultError::Missing)));
        // The day's key was destroyed with its last recording.
        assert!(erasure.stores.vault.keys().list().unwrap().is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_07_what_was_ordered_to_be_erased_is_not_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let erasure = erasure(dir.path()).await;
        let closing = recorded(&erasure).await;
        erasure.order(closing.id, Cause::Request).await.unwrap();
        settle(&closing, &erasure).await.unwrap();
        assert!(erasure.stores.index.get(closing.id).await.unwrap().is_none());
        assert_eq!(erasure.complete_open().await, 0);
        assert!(erasure.log.is_erased(closing.id));
        assert!(erasure.stores.store.probe().await.is_ok());
    }
}
