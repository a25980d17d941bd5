//! A store outage of a day, in simulated time. Time advances by a minute at a step, and only while no delivery is under
//! way: disks and threads take real time, which must not count as hours.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};

use crate::delivery::queue::DeliveryQueue;
use crate::delivery::tests::recorded;
use crate::delivery::{Delivery, SettleError};
use crate::erasure::anchor::tests::erasure;
use crate::erasure::deletion_log::Relation;
use optag_core::id::CallId;

const MINUTES: u32 = 24 * 60;

/// Steps of real time after which a delivery counts as waiting for simulated time. Units: ms.
const PATIENCE_MS: u32 = 30_000;

/// A minute goes by, and what became due is done.
async fn minute(deliveries: &DeliveryQueue) {
    tokio::time::advance(Duration::from_secs(60)).await;
    for _ in 0..PATIENCE_MS {
        spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
        if deliveries.under_way() == 0 {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_day_gets_everything_once_it_is_back() {
    // While something is under way in a thread, the runtime takes no idleness for time to skip.
    let (over, until_over) = std::sync::mpsc::channel::<()>();
    let under_way = spawn_blocking(move || until_over.recv());
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let erasure = Arc::new(erasure(dir.path()).await);
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, b"in the way").unwrap();
    let deliveries = Arc::<DeliveryQueue>::default();
    let mut workers = JoinSet::new();
    Delivery::new(Arc::clone(&deliveries), Arc::clone(&erasure)).start(&mut workers);
    let mut calls: BTreeSet<CallId> = BTreeSet::new();
    for minute_of_day in 0..MINUTES {
        if minute_of_day % 10 == 0 {
            let closing = recorded(&erasure).await;
            calls.insert(closing.id);
            assert!(deliveries.add(closing));
        }
        minute(&deliveries).await;
    }
    assert_eq!(calls.len(), 144);
    assert_eq!(deliveries.len(), calls.len(), "none is given up");
    assert_eq!(
        erasure.stores.spool.calls().into_iter().collect::<BTreeSet<_>>(),
        calls,
        "the spool has them all"
    );
    std::fs::remove_file(&store).unwrap();
    std::fs::create_dir(&store).unwrap();
    let mut minutes = 0;
    while !deliveries.is_empty() {
        minute(&deliveries).await;
        minutes += 1;
        assert!(minutes < 600, "{} are still not delivered", deliveries.len());
    }
    for id in &calls {
        assert!(erasure.stores.index.get(*id).await.unwrap().is_some());
        assert_eq!(erasure.stores.vault.manifest(*id).await.unwrap().id(), *id);
    }
    assert!(erasure.stores.spool.calls().is_empty());
    workers.shutdown().await;
    drop(over);
    assert!(under_way.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_nothing_is_delivered_while_the_deletion_log_is_out_of_step() {
    let dir = tempfile::tempdir().unwrap();
    let erasure = Arc::new(erasure(dir.path()).await);
    let closing = recorded(&erasure).await;
    erasure.guard.found(Relation::Behind);
    let delivery = Delivery::new(Arc::default(), Arc::clone(&erasure));
    let waits = delivery.settle(&closing).await;
    assert!(matches!(waits, Err(SettleError::OutOfStep)), "{waits:?}");
    assert_eq!(erasure.stores.store.copies("recordings/").await.unwrap(), []);
    assert_eq!(erasure.stores.spool.calls(), [closing.id]);
    erasure.guard.repaired();
    delivery.settle(&closing).await.unwrap();
    assert!(erasure.stores.spool.calls().is_empty());
}
