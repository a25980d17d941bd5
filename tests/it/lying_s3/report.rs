//! The report on retention at a store that does not show what it has, and has what nobody knows.

use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_storage::store::names;
use serde_json::Value;

use super::double::{Double, Lie};
use crate::server::Server;

async fn compared(server: &Server) -> (bool, u64, String) {
    let (status, report) = server.ask("GET", "/api/v1/retention/report", None).await;
    assert_eq!(status, 200, "{report}");
    let part = report["parts"].as_array().unwrap().iter().find(|part| part["name"] == "compared").unwrap();
    (report["clean"] == true, part["amiss"].as_u64().unwrap(), part["notes"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_compares_index_and_store_both_ways_and_by_name() {
    let double = Double::start().await;
    let dir = tempfile::tempdir().unwrap();
    let server = super::recorder(&double, dir.path(), (22_650, 22_690)).await;
    let id = super::recorded(&server).await;
    assert_eq!(compared(&server).await, (true, 0, "[]".into()));
    // There, and no list shows it.
    double.lie(&[Lie::ListsAtMost(0)]);
    let (clean, amiss, notes) = compared(&server).await;
    assert!(
        !clean && amiss == 1 && notes.contains("missing from its listing") && notes.contains(&id),
        "{notes}"
    );
    // Not there at all: half of it, then all.
    double.lie(&[]);
    let stem = names::stem(id.parse().unwrap());
    let take = |end: &str| {
        let mut state = double.state.lock().unwrap();
        let name = state.objects.keys().find(|key| key.starts_with(&stem) && key.contains(end)).cloned();
        state.objects.remove_entry(&name.unwrap()).unwrap()
    };
    let audio = take(".opus");
    let (clean, amiss, notes) = compared(&server).await;
    assert!(!clean && amiss == 1 && notes.contains("its audio is not in the store"), "{notes}");
    let manifest = take(".json");
    let (_, amiss, notes) = compared(&server).await;
    assert!(amiss == 1 && notes.contains("it is not in the store"), "{notes}");
    double.state.lock().unwrap().objects.extend([audio, manifest]);
    assert_eq!(compared(&server).await, (true, 0, "[]".into()));
    // There, and nobody knows of it: before and after the one that is known.
    let at = WallTime::from_timestamp(jiff::Timestamp::now());
    for made in [at.plus_days(-3), at] {
        let name = names::name(CallId::new_at(made), made, names::Kind::Audio, true);
        double.state.lock().unwrap().objects.insert(name, "audio".into());
    }
    let (clean, amiss, notes) = compared(&server).await;
    assert!(!clean && amiss == 2 && notes.contains("neither index nor spool"), "{notes}");
    // What a rule of others does is part of the report.
    let week = "<LifecycleConfiguration><Rule><ID>tidy</ID><Filter/><Status>Enabled</Status><Expiration>\
                <Days>7</Days></Expiration></Rule></LifecycleConfiguration>";
    double.state.lock().unwrap().rules = Some((week.into(), String::new()));
    let (_, report): (_, Value) = server.ask("GET", "/api/v1/retention/report", None).await;
    let rules =
        report["parts"].as_array().unwrap().iter().find(|part| part["name"] == "bucket rules").unwrap();
    assert!(rules["amiss"] == 1 && rules["notes"].to_string().contains("after 7 days"), "{rules}");
    assert_eq!(server.terminate().code(), Some(0));
}
