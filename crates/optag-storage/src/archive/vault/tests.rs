//! What newer programs, other nodes and strangers leave in the store.

use std::path::Path;

use super::*;
use crate::archive::manifest::ManifestError;
use crate::archive::seal::day_keys::end_of;
use crate::spool::MasterKey;
use crate::store::settings::StoreConfig;

fn vault(store: &Path, keys: &Path, escrow: Option<Escrow>) -> Vault {
    let store = Store::open(&StoreConfig::Local { dir: store.to_owned() }).unwrap();
    let keys = DayKeys::open(keys, MasterKey::from_bytes(&[5; 32]).unwrap()).unwrap();
    Vault::new(store, Arc::new(keys), escrow.is_some(), escrow)
}

#[tokio::test]
async fn what_a_newer_program_stored_is_told_apart_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(&dir.path().join("store"), &dir.path().join("keys"), None);
    let id = CallId::new_at(WallTime::from_unix_micros(1_795_500_000_000_000));
    let name = names::name(id, id.admitted_at(), Kind::Manifest, false);
    let newer = Bytes::from_static(b"{\"version\":2,\"call\":\"of another form\"}");
    vault.store().put_small(&name, newer.clone()).await.unwrap();
    let error = vault.manifest(id).await.unwrap_err();
    assert!(matches!(error, VaultError::Newer(ManifestError::Newer(2))), "{error}");
    assert_eq!(error.newer(), Some("manifest"));
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(vault.store().get_small(&name, 1 << 10).await.unwrap(), newer);
}

#[tokio::test]
async fn a_key_in_the_store_that_cannot_be_read_keeps_no_other_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let escrow = Some(Escrow { recipient: None, dir: None });
    let one = vault(&store, &dir.path().join("one"), escrow.clone());
    let day = jiff::civil::date(2026, 11, 24);
    let until = end_of(day).plus_days(90);
    let key = one.keys().recipient(day, until).unwrap();
    let own = one.keys().sealed_file(&key).unwrap();
    let mut newer: serde_json::Value = serde_json::from_slice(&own).unwrap();
    newer["version"] = 2.into();
    for (name, bytes) in [
        ("2026-11-24-aaaaaaaaaa", b"no key".to_vec()),
        ("2026-11-24-bbbbbbbbbb", newer.to_string().into_bytes()),
        ("2026-11-25-aaaaaaaaaa", own.clone()),
    ] {
        one.store().put_small(&format!("{}{name}.key", names::KEYS_PREFIX), bytes.into()).await.unwrap();
    }
    let other = vault(&store, &dir.path().join("other"), escrow.clone());
    let error = other.fetch_keys(day).await.unwrap_err();
    assert_eq!(error.newer(), Some("day_key"), "{error}");
    assert!(other.fetch_keys(jiff::civil::date(2026, 11, 25)).await.is_err(), "a key of another day");
    one.copy(&key).await.unwrap();
    assert_eq!(other.fetch_keys(day).await.unwrap(), 1);
    assert!(other.keys().identity(&key).is_ok());
    // And until when the last is needed.
    assert_eq!(other.store().list(names::KEYS_PREFIX).try_collect::<Vec<_>>().await.unwrap().len(), 5);
}

const IN_STORE: Option<Escrow> = Some(Escrow { recipient: None, dir: None });

async fn copies_left(vault: &Vault) -> Vec<String> {
    let listed: Vec<_> = vault.store().list(names::KEYS_PREFIX).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.key.trim_start_matches(names::KEYS_PREFIX).to_owned()).collect()
}

#[tokio::test]
async fn invariant_09_copies_of_keys_of_a_node_that_never_comes_back_end_when_its_recordings_are_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let lost = vault(&store, &dir.path().join("lost"), IN_STORE);
    let left = vault(&store, &dir.path().join("left"), IN_STORE);
    let (day, later) = (jiff::civil::date(2026, 11, 24), jiff::civil::date(2026, 11, 25));
    // Departments of seven days, and later one of eight; another key by an earlier version, which does not say.
    for days in [7, 8] {
        lost.recipient(day, end_of(day).plus_days(days).plus_micros(-1)).await.unwrap();
    }
    let silent = lost.keys().recipient(later, end_of(later)).unwrap();
    let file = lost.keys().sealed_file(&silent).unwrap();
    lost.store()
        .put_small(&format!("{}{}.key", names::KEYS_PREFIX, silent.name()), file.into())
        .await
        .unwrap();
    assert_eq!(copies_left(&left).await.len(), 4, "two keys, and twice until when the first is needed");
    // One of them was fetched by the node that is left.
    assert_eq!(left.fetch_keys(day).await.unwrap(), 1);

    let (none, over) = (HashSet::new(), end_of(day).plus_days(8));
    assert!(left.sweep_copies(over.plus_micros(-1), &none).await.unwrap().is_empty());
    assert!(left.destroy_due_keys(over.plus_micros(-1)).await.unwrap().is_empty());
    assert!(left.sweep_copies(over, &HashSet::from([day])).await.unwrap().is_empty(), "held");
    assert_eq!(left.sweep_copies(over, &none).await.unwrap().len(), 1);
    assert!(left.keys().of(day).unwrap().is_empty(), "what was fetched is gone as well");
    assert_eq!(copies_left(&left).await, [format!("{}.key", silent.name())]);
    let limit = end_of(later).plus_days(90);
    assert!(left.sweep_copies(limit.plus_micros(-1), &none).await.unwrap().is_empty());
    assert_eq!(left.sweep_copies(limit, &none).await.unwrap(), [silent.name()]);
    assert!(copies_left(&left).await.is_empty());
    // Its node comes back after all, and ends its own.
    assert_eq!(lost.destroy_due_keys(limit).await.unwrap().len(), 2);
    assert!(lost.keys().list().unwrap().is_empty() && lost.keys().destroyed().unwrap().is_empty());
}

#[tokio::test]
async fn a_fetched_key_stays_as_long_as_its_node_says_and_a_nodes_own_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let one = vault(&store, &dir.path().join("one"), IN_STORE);
    let other = vault(&store, &dir.path().join("other"), IN_STORE);
    let day = jiff::civil::date(2026, 11, 24);
    one.recipient(day, end_of(day).plus_days(7)).await.unwrap();
    assert_eq!(other.fetch_keys(day).await.unwrap(), 1);
    // A department that keeps longer: what the other node knows is not enough any more.
    let longer = end_of(day).plus_days(60);
    one.recipient(day, longer).await.unwrap();
    let now = end_of(day).plus_days(9);
    assert!(other.destroy_due_keys(now).await.unwrap().is_empty());
    assert_eq!(other.keys().of(day).unwrap().len(), 1);
    assert!(other.keys().due(now).unwrap().is_empty(), "it knows now");
    // A hold that only the node itself knows keeps its own key, whatever the time.
    one.keys().keep_until(day, end_of(day).plus_days(200)).unwrap();
    let ended = one.sweep_copies(end_of(day).plus_days(100), &HashSet::new()).await.unwrap();
    assert!(ended.is_empty() && !copies_left(&one).await.is_empty());
    // Its node ends it: no copy is left, nor what said until when it was needed.
    assert_eq!(one.destroy_due_keys(end_of(day).plus_days(200)).await.unwrap().len(), 1);
    assert!(copies_left(&one).await.is_empty());
    assert_eq!(other.destroy_due_keys(end_of(day).plus_days(200)).await.unwrap().len(), 1);
    assert!(other.keys().list().unwrap().is_empty());
}
