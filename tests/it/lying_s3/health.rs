//! Whether a store works is what it did, not that it lists.

use std::time::{Duration, Instant};

use optag_storage::store::names::PROBE_PREFIX;

use super::double::{Double, Lie};
use super::{recorder, store};
use crate::server::PATIENCE;

fn probes(double: &Double) -> usize {
    let state = double.state.lock().unwrap();
    let versions = state.versions.iter().filter(|(key, _)| key.starts_with(PROBE_PREFIX));
    let objects = state.objects.keys().filter(|key| key.starts_with(PROBE_PREFIX)).count();
    versions.map(|(_, versions)| versions.len()).sum::<usize>() + objects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_says_what_does_not_work_in_the_stores_own_words_and_leaves_nothing() {
    for versioned in [false, true] {
        let double = Double::start().await;
        double.state.lock().unwrap().versioned = versioned;
        let store = store(&double);
        for (lies, why) in [
            (&[][..], ""),
            (&[Lie::RefusesWrites], "writing: AccessDenied"),
            (&[Lie::ListsAtMost(0)], "listing omits"),
            (&[Lie::HeadSeesNothing], ""),
            (&[Lie::KeepsObjects], "still present"),
            (&[Lie::RefusesDeletes], "deleting: AccessDenied"),
            (&[Lie::RefusesDeletes], "deleting: AccessDenied"),
            (&[], ""),
        ] {
            double.lie(lies);
            let tried = store.try_out().await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(if why.is_empty() { tried.is_empty() } else { tried.contains(why) }, "{lies:?}: {tried}");
            // What is not deleted is one object, however often it is tried.
            let kept = lies.iter().any(|lie| matches!(lie, Lie::RefusesDeletes | Lie::KeepsObjects));
            assert!(probes(&double) <= if kept { 2 * (1 + usize::from(versioned)) } else { 0 }, "{lies:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lists_and_refuses_writes_does_not_work_until_it_takes_them() {
    let double = Double::start().await;
    let dir = tempfile::tempdir().unwrap();
    let server = recorder(&double, dir.path(), (22_600, 22_640)).await;
    server.metric_reaches("optag_store_up", 1.0).await;
    double.lie(&[Lie::RefusesWrites]);
    let id = super::admitted_and_ended(&server).await;
    let deadline = Instant::now() + PATIENCE;
    while server.metric("optag_store_up", "").await != 0.0 {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ready: serde_json::Value =
        reqwest::get(format!("{}/readyz", server.metrics)).await.unwrap().json().await.unwrap();
    let store =
        ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "store").unwrap().clone();
    assert_eq!(
        (store["ok"].as_bool(), ready["status"].as_str()),
        (Some(false), Some("degraded")),
        "{ready:#}"
    );
    assert!(store["detail"].as_str().unwrap().contains("AccessDenied"), "{store}");
    assert_eq!(probes(&double), 0);
    double.lie(&[]);
    server.metric_reaches("optag_store_up", 1.0).await;
    server.stored(&id).await;
    assert_eq!(probes(&double), 0);
    assert_eq!(server.terminate().code(), Some(0));
}
