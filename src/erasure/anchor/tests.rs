use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::audit::path_in;
use crate::config::StoreConfig;
use crate::erasure::deletion_guard::DeletionGuard;
use crate::erasure::deletion_log::{Cause, DeletionLog};
use crate::erasure::replay::{Replayed, replay};
use crate::erasure::unfinished::UnderWay;
use crate::index::{Index, IndexPlace};
use crate::stores::Stores;
use optag_core::clock::OsClock;
use optag_core::id::CallId;
use optag_files::disk::OsDisk;
use optag_storage::archive::seal::day_keys::DayKeys;
use optag_storage::archive::vault::Vault;
use optag_storage::spool::{MasterKey, Spool, SpoolConfig};
use optag_storage::store::Store;
use optag_storage::store::names;

pub(crate) async fn erasure(dir: &Path) -> EraseService {
    let config = SpoolConfig {
        dir: dir.join("spool"),
        segment_bytes: 1 << 20,
        max_bytes: 1 << 30,
        queue_bytes: 1 << 20,
        min_free_bytes: 0,
        packed_max_bytes: 1 << 30,
    };
    let key = || MasterKey::from_bytes(&[3; 32]).unwrap();
    let (master, day_master) = (key(), key());
    let store = Store::open(&StoreConfig::Local { dir: dir.join("store") }).unwrap();
    let keys = Arc::new(DayKeys::open(&dir.join("keys"), day_master).unwrap());
    let (spool, _) = Spool::open(config, Arc::new(OsDisk), master, Box::new(|_| {})).unwrap();
    let stores = Stores {
        spool,
        vault: Vault::new(store.clone(), keys, true, None),
        store,
        index: Index::open(&IndexPlace::Sqlite(dir.join("index.sqlite")), "45").await.unwrap(),
    };
    let log = DeletionLog::open(&dir.join("deletions")).unwrap();
    let progress = UnderWay::open(&dir.join("erasing")).unwrap();
    EraseService::new(stores, log, DeletionGuard::default(), Arc::new(OsClock), progress)
}

/// Stores an object named as a recording of that day.
pub(crate) async fn object(erasure: &EraseService, day: i64) -> CallId {
    let id = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000).plus_days(day));
    let name = format!("{}.opus", names::stem(id));
    erasure.stores.store.put_small(&name, "audio".into()).await.unwrap();
    id
}

/// A node that has erased a recording, with a copy of its deletion log in the store.
async fn erased(dir: &Path) -> (EraseService, CallId) {
    let first = erasure(dir).await;
    let one = object(&first, 0).await;
    erase(&first, one).await;
    first.anchor_deletions().await.unwrap();
    (first, one)
}

async fn erase(erasure: &EraseService, id: CallId) {
    erasure.order(id, Cause::Request).await.unwrap();
    erasure.complete(id, Cause::Request).await.unwrap();
}

async fn objects(erasure: &EraseService) -> usize {
    erasure.stores.store.copies(names::PREFIX).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_log_that_forgot_is_found_out_and_mended_from_its_copy() {
    let dir = tempfile::tempdir().unwrap();
    let first = erasure(dir.path()).await;
    let (one, two) = (object(&first, 0).await, object(&first, 1).await);
    erase(&first, one).await;
    first.anchor_deletions().await.unwrap();
    let backup = std::fs::read(dir.path().join("deletions")).unwrap();
    erase(&first, two).await;
    first.anchor_deletions().await.unwrap();
    assert!(first.compare_heads().await.is_ok() && first.guard.in_step());
    first.stores.spool.close();
    drop(first);

    // Restores an old deletion log, and an object that is erased but not in it.
    std::fs::write(dir.path().join("deletions"), backup).unwrap();
    let behind = erasure(dir.path()).await;
    let name = format!("{}.opus", names::stem(two));
    behind.stores.store.put_small(&name, "audio".into()).await.unwrap();
    let compared = behind.compare_heads().await.unwrap();
    assert_eq!((compared.index, compared.store), (Relation::Behind, Relation::Behind));
    assert!(!behind.guard.in_step() && !behind.log.is_erased(two));
    // The longer copy is not overwritten.
    behind.anchor_deletions().await.unwrap();
    let replayed = replay(&behind, false).await.unwrap();
    assert_eq!(replayed, Replayed { taken_over: 2, returned: 1, open: 0 });
    assert!(behind.guard.in_step() && behind.log.is_erased(two));
    assert_eq!(objects(&behind).await, 0);
    assert_eq!(behind.compare_heads().await.unwrap().store, Relation::InStep);
    assert_eq!(replay(&behind, false).await.unwrap(), Replayed::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_another_way_keeps_what_both_knew() {
    let dir = tempfile::tempdir().unwrap();
    let first = erasure(dir.path()).await;
    let (one, two) = (object(&first, 0).await, object(&first, 1).await);
    erase(&first, one).await;
    first.anchor_deletions().await.unwrap();
    first.stores.spool.close();
    drop(first);

    std::fs::remove_file(dir.path().join("deletions")).unwrap();
    let forked = erasure(dir.path()).await;
    erase(&forked, two).await;
    let compared = forked.compare_heads().await.unwrap();
    assert_eq!((compared.index, compared.store), (Relation::Forked, Relation::Forked));
    replay(&forked, false).await.unwrap();
    assert!(forked.log.is_erased(one) && forked.log.is_erased(two) && forked.guard.in_step());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_nobody_has_any_more_are_given_up_only_by_word() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = erased(dir.path()).await;
    first.stores.spool.close();
    drop(first);

    std::fs::remove_file(dir.path().join("deletions")).unwrap();
    std::fs::remove_dir_all(dir.path().join("store/anchors")).unwrap();
    let lost = erasure(dir.path()).await;
    assert!(replay(&lost, false).await.is_err());
    assert!(!lost.guard.in_step());
    replay(&lost, true).await.unwrap();
    assert!(lost.guard.in_step());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_log_that_forgot_is_found_out_by_the_store_alone() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _first = erased(dir.path()).await;
    // Log and index are new; the store is the old one.
    std::fs::rename(dir.path().join("store"), elsewhere.path().join("store")).unwrap();
    let lost = erasure(elsewhere.path()).await;
    let compared = lost.compare_heads().await.unwrap();
    assert_eq!((compared.index, compared.store), (Relation::InStep, Relation::Behind));
    assert!(!lost.guard.in_step());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_what_another_node_erased_is_taken_over_and_its_copy_stays() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, one) = erased(dir.path()).await;
    std::fs::rename(dir.path().join("store"), elsewhere.path().join("store")).unwrap();
    let mut other = erasure(elsewhere.path()).await;
    let signer = optag_core::signing::Signer::from_seed(&[8; 32]).unwrap();
    other.guard = crate::erasure::deletion_guard::DeletionGuard::new(signer, Default::default());
    let head = first.log.head();
    let node = first.guard.signer.node();
    other.stores.index.set_deletion_head(&node, head.entries, &head.hash).await.unwrap();
    // Entries of another node do not make this node's log incomplete.
    let compared = other.compare_heads().await.unwrap();
    assert_eq!((compared.index, compared.store), (Relation::InStep, Relation::InStep));
    assert_eq!(replay(&other, false).await.unwrap().taken_over, 2);
    assert!(other.log.is_erased(one));
    assert_eq!(other.stores.store.copies(&format!("{PREFIX}{node}/")).await.unwrap().len(), 1);
    assert_eq!(other.stores.store.copies(PREFIX).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_grows_over_its_blocks_and_is_read_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let erasure = erasure(dir.path()).await;
    for n in 0..BLOCK + 10 {
        let id = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000 + n as i64 * 1_000));
        let line =
            serde_json::json!({"entry": "ordered", "id": id, "at": id.admitted_at(), "cause": "expiry"});
        let json = line.to_string();
        erasure.log.take_over(&[format!("{:08x} {json}", crc32c::crc32c(json.as_bytes()))]).unwrap();
        if n == BLOCK - 3 {
            erasure.anchor_deletions().await.unwrap();
        }
    }
    erasure.anchor_deletions().await.unwrap();
    let copied: Vec<String> = [
        erasure.block(&block_name(&erasure.guard.signer.node(), 0)).await.unwrap(),
        erasure.block(&block_name(&erasure.guard.signer.node(), 1)).await.unwrap(),
    ]
    .concat();
    assert_eq!(copied, erasure.log.lines(0, u64::MAX).unwrap());
    assert_eq!(erasure.take_over_copies().await.unwrap(), 0);
    assert_eq!(erasure.compare_heads().await.unwrap().store_entries, BLOCK + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_did_not_reach_the_store_is_put_there_without_a_new_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (elsewhere, in_the_way) = (dir.path().join("elsewhere"), dir.path().join("file"));
    std::fs::write(&in_the_way, "").unwrap();
    let audit = AuditLog::new(path_in(dir.path()));
    for _ in 0..2 {
        audit.append(&serde_json::json!({"at": WallTime::default()})).unwrap();
    }
    let erasure = erasure(dir.path()).await;
    erasure.anchor_audit(&audit, WallTime::default(), Some(&in_the_way)).await.unwrap();
    assert_eq!(*erasure.guard.audit_anchored.lock().await, None, "the directory cannot be made");
    // Later, after pruning: the same checkpoint with the same signature.
    let later = WallTime::default().plus_days(1);
    assert_eq!(audit.prune(later, &erasure.guard.signer, later).unwrap(), 1);
    for _ in 0..2 {
        erasure.anchor_audit(&audit, later, Some(&elsewhere)).await.unwrap();
        assert!(erasure.guard.audit_anchored.lock().await.is_some());
    }
    assert_eq!(erasure.audit_anchors().await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audits_checkpoints_reach_the_store_and_a_directory_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let erasure = erasure(dir.path()).await;
    let audit = AuditLog::new(path_in(dir.path()));
    let elsewhere = dir.path().join("elsewhere");
    for n in 0..3 {
        audit.append(&serde_json::json!({"did": n})).unwrap();
        erasure.anchor_audit(&audit, WallTime::default(), Some(&elsewhere)).await.unwrap();
    }
    let anchors = erasure.audit_anchors().await.unwrap();
    assert_eq!((anchors.len(), std::fs::read_dir(&elsewhere).unwrap().count()), (3, 3));
    // The tail is cut off together with the local checkpoints: the store's checkpoint detects it.
    let text = std::fs::read_to_string(path_in(dir.path())).unwrap();
    let first = text.lines().next().unwrap().to_owned() + "\n";
    std::fs::write(path_in(dir.path()), first).unwrap();
    std::fs::remove_file(path_in(dir.path()).with_extension("checkpoints.jsonl")).unwrap();
    assert!(audit.verify().is_ok());
    assert!(matches!(audit.verify_against(&anchors, None), Err(AuditFault::CutOff { last: 1, signed: 3 })));
}
