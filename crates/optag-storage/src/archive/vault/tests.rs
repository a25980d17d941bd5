//! What newer programs, other nodes and strangers leave in the store.

use std::path::Path;

use super::*;
use crate::archive::manifest::ManifestError;
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
    assert_eq!(other.store().list(names::KEYS_PREFIX).try_collect::<Vec<_>>().await.unwrap().len(), 4);
}
