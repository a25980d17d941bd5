//! Settles calls that ended: recordings go to the store, then into the index, then the spool
//! lets go; of the others only the outcome is written down. Tries for ever, with growing pauses.

use std::sync::Arc;
use std::time::Instant;

use crate::app::backoff::Backoff;
use crate::app::durable::destroy_key;
use crate::app::erasing::Erasing;
use crate::app::settling::{Closing, Settling};
use crate::archive::deliver::{DeliverError, deliver};
use crate::archive::recording::AssembleError;
use crate::archive::store::StoreError;
use crate::call::Outcome;
use crate::call::outcome::LossCause;
use crate::index::{CallRow, IndexError};
use crate::metrics;
use crate::spool::SpoolError;

/// Why a call is not settled yet.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the deletion log has forgotten erasures: what it forgot must not be delivered again")]
    OutOfStep,
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl SettleError {
    /// Whether trying again is no use: the records themselves are no good.
    fn is_final(&self) -> bool {
        matches!(self, Self::Deliver(DeliverError::Assemble(error)) if !matches!(error, AssembleError::Io(_)))
    }
}

/// One worker: settles calls one after the other until it is dropped.
pub async fn work(settling: Arc<Settling>, erasing: Arc<Erasing>) {
    let mut backoff = Backoff::default();
    loop {
        let closing = settling.next().await;
        let id = closing.id;
        match settle(&closing, &erasing).await {
            Ok(()) => {
                settling.done(id);
                backoff.reset();
            }
            Err(error) if error.is_final() => {
                tracing::error!(call = %id, %error, "a recording is lost: its records are no good");
                let lost = Outcome::Lost(LossCause::Damaged);
                metrics::call_ended(lost);
                let written = put_outcome(&closing, lost, &erasing).await;
                // The records stay in the spool for whoever can mend them, until their time is up.
                if written.is_ok() { settling.done(id) } else { settling.retry(id) }
            }
            Err(error) => {
                metrics::upload_failed();
                tracing::warn!(call = %id, %error, "a call is not settled yet");
                settling.retry(id);
                tokio::time::sleep(backoff.next(random())).await;
            }
        }
    }
}

async fn settle(closing: &Closing, erasing: &Erasing) -> Result<(), SettleError> {
    let id = closing.id;
    let _turn = erasing.turns.lock(id).await;
    if !erasing.custody.in_step() {
        return Err(SettleError::OutOfStep);
    }
    if closing.ended.outcome == Outcome::Recorded && !erasing.log.is_erased(id) {
        let started = Instant::now();
        let reader = {
            let spool = erasing.spool.clone();
            tokio::task::spawn_blocking(move || spool.read(id)).await??
        };
        let bodies = reader.filter_map(|body| match body {
            Ok(body) => Some(Ok(body)),
            // What is damaged is missing: the recording is made of the rest, and says so.
            Err(error) if error.is_damage() => None,
            Err(error) => Some(Err(AssembleError::Io(error.to_string()))),
        });
        let manifest = deliver(bodies, &erasing.store).await.inspect_err(|error| {
            // Nothing is overwritten: a person must look.
            if matches!(error, DeliverError::Store(StoreError::Conflict)) {
                tracing::error!(call = %id, "the store has another object under this recording's name");
            }
        })?;
        erasing.index.put_recording(&manifest).await?;
        metrics::stored(manifest.audio_bytes, started.elapsed());
    }
    put_outcome(closing, closing.ended.outcome, erasing).await?;
    if closing.spooled {
        destroy_key(&erasing.spool, id).await?;
    }
    Ok(())
}

async fn put_outcome(closing: &Closing, outcome: Outcome, erasing: &Erasing) -> Result<(), SettleError> {
    let row = CallRow {
        id: closing.id,
        department: closing.department.clone(),
        ended_at: closing.ended.at,
        outcome,
    };
    Ok(erasing.index.put_call(&row).await?)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are only less spread.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::app::config::StoreConfig;
    use crate::app::keyed_lock::KeyedLock;
    use crate::archive::store::Store;
    use crate::base::clock::{OsClock, WallTime};
    use crate::base::id::CallId;
    use crate::call::{
        CallFacts, ConsentHow, ConsentRecord, ConsentState, Evidence, StreamFacts, StreamRole,
    };
    use crate::index::Index;
    use crate::media::encoder::silence_packet;
    use crate::media::output::{Ended, EndedBy, MediaBlock};
    use crate::retention::deletion_log::{Cause, DeletionLog};
    use crate::spool::disk::OsDisk;
    use crate::spool::record::{Body, SpoolRecord};
    use crate::spool::{MasterKey, Spool, SpoolConfig};

    async fn erasing(dir: &Path) -> Erasing {
        let config = SpoolConfig {
            dir: dir.join("spool"),
            segment_bytes: 1 << 20,
            max_bytes: 1 << 30,
            queue_bytes: 1 << 20,
        };
        let master = MasterKey::from_bytes(&[3; 32]).unwrap();
        let (spool, _) = Spool::open(config, Arc::new(OsDisk), master, Box::new(|_| {})).unwrap();
        Erasing {
            log: DeletionLog::open(&dir.join("deletions")).unwrap(),
            spool,
            store: Store::open(&StoreConfig::Local { dir: dir.join("store") }).unwrap(),
            index: Index::open(&dir.join("index.sqlite"), "45").await.unwrap(),
            turns: KeyedLock::default(),
            clock: Arc::new(OsClock),
            custody: Default::default(),
        }
    }

    /// A recorded call of 100 ms in the spool.
    async fn recorded(erasing: &Erasing) -> Closing {
        let started_at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let id = CallId::new_at(started_at);
        let facts = CallFacts {
            id,
            department: "demo".into(),
            started_at,
            retention_days: 90,
            caller_number: "12345678".to_owned().into(),
            called_number: "70101010".to_owned().into(),
            caller_name: None,
            external_id: None,
            streams: vec![StreamFacts { label: "a".into(), role: StreamRole::Mixed }],
            context: Default::default(),
        };
        let granted = ConsentRecord {
            state: ConsentState::Granted,
            how: ConsentHow::Key,
            at: started_at,
            prompt_version: None,
            evidence: Evidence::Clock,
        };
        let packet = silence_packet();
        let block = MediaBlock {
            first_frame: 0,
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
        erasing.spool.append(batch).unwrap();
        assert!(crate::app::durable::durable(&erasing.spool).await);
        Closing { id, department: "demo".into(), ended, spooled: true }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_04_the_spool_lets_go_only_of_what_the_store_has() {
        let dir = tempfile::tempdir().unwrap();
        let erasing = erasing(dir.path()).await;
        let closing = recorded(&erasing).await;
        // The store's directory is gone and cannot be made again: a file is in its place.
        std::fs::remove_dir_all(dir.path().join("store")).unwrap();
        std::fs::write(dir.path().join("store"), b"in the way").unwrap();
        for _ in 0..3 {
            assert!(settle(&closing, &erasing).await.is_err());
            assert_eq!(erasing.spool.calls(), [closing.id]);
            assert!(erasing.index.get(closing.id).await.unwrap().is_none(), "a row without its object");
        }
        std::fs::remove_file(dir.path().join("store")).unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        settle(&closing, &erasing).await.unwrap();
        assert!(erasing.spool.calls().is_empty());
        assert!(erasing.index.get(closing.id).await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_delivery_that_lost_its_row_is_done_again_with_the_same_objects() {
        let dir = tempfile::tempdir().unwrap();
        let erasing = erasing(dir.path()).await;
        let closing = recorded(&erasing).await;
        let reader = erasing.spool.read(closing.id).unwrap();
        let first =
            deliver(reader.map(|body| body.map_err(|e| AssembleError::Io(e.to_string()))), &erasing.store);
        let manifest = first.await.unwrap();
        // Here the process died: objects stored, no row, spool not released.
        settle(&closing, &erasing).await.unwrap();
        let row = erasing.index.get(closing.id).await.unwrap().unwrap();
        assert_eq!(row.object_sha256, manifest.audio_sha256);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_09_the_sweeper_ends_a_recording_at_its_limit_and_not_before() {
        use crate::app::sweeping::Sweeper;

        let dir = tempfile::tempdir().unwrap();
        let erasing = Arc::new(erasing(dir.path()).await);
        let closing = recorded(&erasing).await;
        settle(&closing, &erasing).await.unwrap();
        let sweeper = Sweeper {
            erasing: Arc::clone(&erasing),
            time: Arc::new(crate::app::timekeeping::TimeKeeper::new(dir.path().join("clock.json"))),
            interval: std::time::Duration::from_secs(60),
        };
        let over = closing.id.admitted_at().plus_days(90);
        sweeper.sweep(over.plus_micros(-1_000_000), true).await;
        assert_eq!(erasing.complete_open().await, 0);
        assert!(!erasing.log.is_erased(closing.id));
        sweeper.sweep(over.plus_micros(1_000_000), true).await;
        assert_eq!(erasing.complete_open().await, 0);
        let row = erasing.index.get(closing.id).await.unwrap().unwrap();
        assert!(row.erased_at.is_some() && row.caller_number.is_none());
        let name = crate::archive::key::audio(closing.id, closing.id.admitted_at());
        assert!(matches!(erasing.store.size(&name).await, Err(StoreError::Missing)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_07_what_was_ordered_to_be_erased_is_not_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let erasing = erasing(dir.path()).await;
        let closing = recorded(&erasing).await;
        erasing.order(closing.id, Cause::Request).await.unwrap();
        settle(&closing, &erasing).await.unwrap();
        assert!(erasing.index.get(closing.id).await.unwrap().is_none());
        assert_eq!(erasing.complete_open().await, 0);
        assert!(erasing.log.is_erased(closing.id));
        assert!(erasing.store.probe().await.is_ok());
    }
}
