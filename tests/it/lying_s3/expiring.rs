//! Expiry at a store with many days: only the days whose time is up are listed in full, what is deleted together is
//! looked for one by one, and a store that says less than there is hides nothing for good.

use std::path::Path;
use std::sync::Arc;

use optag::erasure::deletion_guard::DeletionGuard;
use optag::erasure::deletion_log::{Cause, DeletionLog, Order};
use optag::erasure::expired::Rounds;
use optag::erasure::holds::{HoldPolicy, Holds};
use optag::erasure::service::EraseService;
use optag::erasure::unfinished::UnderWay;
use optag::index::{Index, IndexPlace};
use optag::stores::Stores;
use optag_core::clock::{OsClock, WallTime};
use optag_core::id::CallId;
use optag_core::signing::Signer;
use optag_files::disk::OsDisk;
use optag_storage::archive::deliver::Deliverer;
use optag_storage::spool::{MasterKey, Spool, SpoolConfig};
use optag_storage::store::names::{self, Kind};
use optag_storage::store::versions::{CopyKind, StoredCopy};

use super::double::{Double, Lie};
use super::{call, store, vault};

/// Paths asked for, without those of the test of the store itself.
fn asked(double: &Double, of: &str) -> usize {
    double.state.lock().unwrap().asked.iter().filter(|asked| asked.starts_with(of)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_of_a_hundred_days_those_whose_time_is_up_are_listed_and_the_others_in_turn() {
    let double = Double::start().await;
    let store = store(&double);
    let first = WallTime::from_unix_micros(1_700_000_000_000_000);
    let ids: Vec<CallId> = (0..100).map(|day| CallId::new_at(first.plus_days(day))).collect();
    {
        let mut state = double.state.lock().unwrap();
        for id in &ids {
            state.store(&names::name(*id, id.admitted_at(), Kind::Audio, true), "x".into());
        }
    }
    let now = first.plus_days(91).plus_micros(1_000_000);
    assert_eq!(store.days().await.unwrap().len(), 100);
    let rounds = Rounds::default();
    let look = async |lies: &[Lie]| {
        double.lie(lies);
        let before = asked(&double, "GET");
        let found = rounds.look(&store, now, 3, |_| false).await.unwrap();
        (found.due.len(), asked(&double, "GET") - before)
    };
    let (due, requests) = look(&[]).await;
    assert_eq!(due, 2, "what no index knows is found by its day");
    // Two years, five months, the two days that are due, and three others.
    assert!(requests < 16, "{requests}");
    assert_eq!(
        look(&[Lie::HidesFolders]).await.0,
        2,
        "a list of folders that is empty hides no day that is due"
    );
}

/// What an expiry works on: recordings of some days ago, delivered to a double.
async fn delivered(double: &Double, dir: &Path, recordings: usize) -> (EraseService, Vec<CallId>) {
    let vault = vault(store(double), &dir.join("keys"));
    let index = Index::open(&IndexPlace::Sqlite(dir.join("index.sqlite")), "45").await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..recordings {
        let (id, source) = call();
        let manifest = Deliverer::new(vault.clone()).deliver(&source).await.unwrap();
        index.put_delivered(id, &manifest.stored).await.unwrap();
        index.put_recording(&manifest).await.unwrap();
        ids.push(id);
    }
    let config = SpoolConfig {
        dir: dir.join("spool"),
        segment_bytes: 1 << 20,
        max_bytes: 1 << 30,
        queue_bytes: 1 << 20,
        min_free_bytes: 0,
        packed_max_bytes: 1 << 30,
    };
    let master = MasterKey::from_bytes(&[3; 32]).unwrap();
    let (spool, _) = Spool::open(config, Arc::new(OsDisk), master, Box::new(|_| {})).unwrap();
    let policy = HoldPolicy { allowed: false, lawful_bases: vec![], ends_anyway: false };
    let holds = Holds::open(&dir.join("holds.json"), policy).unwrap();
    let stores = Stores { spool, store: store(double), vault, index };
    let log = DeletionLog::open(&dir.join("deletions.log")).unwrap();
    let guard = DeletionGuard::new(Signer::load_or_create(&dir.join("signing.key")).unwrap(), holds);
    let progress = UnderWay::open(&dir.join("erasing")).unwrap();
    let erasure = EraseService::new(stores, log, guard, Arc::new(OsClock), progress);
    for id in &ids {
        let order =
            Order { id: *id, at: id.admitted_at().plus_days(90), cause: Cause::Expiry, request: None };
        erasure.log.order(order).unwrap();
    }
    (erasure, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_what_expires_is_deleted_together_and_looked_for_one_by_one() {
    for (versioned, lies, left, singly) in [
        (false, &[][..], 0, false),
        (true, &[], 0, false),
        (false, &[Lie::DeletesSingly], 0, true),
        (true, &[Lie::DeletesSingly], 0, true),
        // Acknowledged and not done: nothing is certified.
        (false, &[Lie::KeepsObjects], 3, true),
        (false, &[Lie::ListsAtMost(0)], 0, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let double = Double::start().await;
        double.state.lock().unwrap().versioned = versioned;
        let (erasure, ids) = delivered(&double, dir.path(), 3).await;
        double.lie(lies);
        let (deletes, posts) = (asked(&double, "DELETE"), asked(&double, "POST"));
        assert_eq!(erasure.complete_open().await, left, "{lies:?}");
        let (deletes, posts) = (asked(&double, "DELETE") - deletes, asked(&double, "POST") - posts);
        assert_eq!((deletes > 0, posts), (singly, 1), "{versioned} {lies:?}: {deletes} deletions of one");
        for id in &ids {
            let done = erasure.log.history(*id).unwrap().unwrap().1;
            assert_eq!(done.map(|done| done.gone.len()), (left == 0).then_some(2), "{versioned} {lies:?}");
        }
        double.lie(&[]);
        assert_eq!(erasure.complete_open().await, 0);
        let state = double.state.lock().unwrap();
        let kept = state.objects.keys().filter(|name| !name.starts_with(names::PROBE_PREFIX)).count();
        assert_eq!(kept, 0, "{versioned} {lies:?}");
        let versions = state.versions.iter().filter(|(name, _)| !name.starts_with(names::PROBE_PREFIX));
        assert!(versions.into_iter().all(|(_, versions)| versions.is_empty()), "{lies:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_what_was_not_there_is_in_no_receipt_of_an_expiry() {
    let dir = tempfile::tempdir().unwrap();
    let double = Double::start().await;
    let (erasure, ids) = delivered(&double, dir.path(), 2).await;
    // The bucket's rule has ended it.
    double.state.lock().unwrap().objects.retain(|name, _| !name.starts_with(&names::stem(ids[0])));
    assert_eq!(erasure.complete_open().await, 0);
    let gone = |id| erasure.log.history(id).unwrap().unwrap().1.unwrap().gone.len();
    assert_eq!((gone(ids[0]), gone(ids[1])), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_request_takes_go_by_several() {
    let double = Double::start().await;
    let store = store(&double);
    let names: Vec<String> = (0..2_100).map(|n| format!("recordings/2026/01/02/{n}")).collect();
    {
        let mut state = double.state.lock().unwrap();
        names.iter().for_each(|name| state.store(name, "x".into()));
    }
    let copy = |key: &String| StoredCopy {
        key: key.clone(),
        version: None,
        kind: CopyKind::Object,
        bytes: 0,
        stored_at: None,
    };
    let copies: Vec<StoredCopy> = names.iter().map(copy).collect();
    assert!(store.delete_many(&copies).await.unwrap());
    assert_eq!((asked(&double, "POST"), double.state.lock().unwrap().objects.len()), (3, 0));
    double.lie(&[Lie::RefusesDeletes]);
    assert!(store.delete_many(&copies[..2]).await.is_err());
}
