//! Lifecycle rules of a bucket that is not ours alone.

use optag_storage::store::StoreError;
use optag_storage::store::s3::rules::{Drift, RULE_ID};

use super::double::{Double, Lie};
use super::store;

const THEIRS: &str = "<Rule><ID>their-archive</ID><Status>Enabled</Status><Filter><Prefix>archive/</Prefix></Filter>\
    <Expiration><Days>30</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration></Rule>\n \
    <Rule><ID>their-markers</ID><Status>Enabled</Status><Filter><And><Prefix>db/</Prefix>\
    <ObjectSizeGreaterThan>500</ObjectSizeGreaterThan></And></Filter><DelMarkerExpiration><Days>7</Days>\
    </DelMarkerExpiration></Rule>";

fn document(rules: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{rules}</LifecycleConfiguration>"
    )
}

async fn bucket_with(rules: &str, beside: &str) -> Double {
    let double = Double::start().await;
    double.state.lock().unwrap().rules = Some((document(rules), beside.to_owned()));
    double
}

fn kept(double: &Double) -> (String, String) {
    double.state.lock().unwrap().rules.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_rules_of_others_and_what_travels_beside_them_come_back_byte_for_byte() {
    let double = bucket_with(THEIRS, "varies_by_storage_class").await;
    double.lie(&[Lie::WantsMd5]);
    let store = store(&double);
    let admin = store.admin().unwrap();
    assert_eq!(admin.install_lifecycle(90).await.unwrap(), Some(Drift::Missing));
    let (text, beside) = kept(&double);
    assert_eq!(beside, "varies_by_storage_class");
    let (before, rest) = text.split_once(THEIRS).expect("their rules as they were");
    assert!(document("").starts_with(before), "{text}");
    let (ours, end) = rest.split_once("</Rule>").unwrap();
    assert!(ours.contains(RULE_ID) && ours.contains("<Days>90</Days>"), "{text}");
    assert_eq!(end, "</LifecycleConfiguration>");
    // Nothing is written where nothing is wrong.
    assert_eq!(admin.install_lifecycle(90).await.unwrap(), None);
    assert_eq!(kept(&double).0, text);
    // Where the store wants one of the newer checksums, it gets it.
    let other = bucket_with(THEIRS, "").await;
    other.lie(&[Lie::WantsMd5, Lie::WantsChecksum]);
    super::store(&other).admin().unwrap().install_lifecycle(90).await.unwrap();
    assert!(kept(&other).0.contains(RULE_ID));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_what_cannot_be_read_for_certain_is_never_written() {
    for odd in ["<html>a page of a proxy</html>", "<LifecycleConfiguration><Rule>", "no XML", "<a>&b;</a>"] {
        let double = Double::start().await;
        double.state.lock().unwrap().rules = Some((odd.to_owned(), String::new()));
        let refused = store(&double).admin().unwrap().install_lifecycle(90).await;
        assert!(matches!(refused, Err(StoreError::Config(_))), "{odd}: {refused:?}");
        assert_eq!(kept(&double).0, odd);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_a_rule_that_the_store_does_not_keep_as_it_was_is_an_error() {
    let double = bucket_with(THEIRS, "").await;
    double.lie(&[Lie::DropsUnknownElements]);
    let said = store(&double).admin().unwrap().install_lifecycle(90).await.unwrap_err().to_string();
    assert!(said.contains("their-archive"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_a_change_by_others_at_the_same_time_is_not_overwritten() {
    let double = bucket_with(THEIRS, "").await;
    let newer = THEIRS.replace("<Days>30</Days>", "<Days>31</Days>");
    // Between our look and our write somebody writes.
    double.state.lock().unwrap().rules_change = vec![document(&newer)];
    store(&double).admin().unwrap().install_lifecycle(90).await.unwrap();
    let (text, _) = kept(&double);
    assert!(text.contains(&newer) && text.contains(RULE_ID), "{text}");
    // Who never stops is left alone.
    let changes = (0..9).map(|n| document(&THEIRS.replace("<Days>30", &format!("<Days>{n}")))).collect();
    double.state.lock().unwrap().rules = Some((document(THEIRS), String::new()));
    double.state.lock().unwrap().rules_change = changes;
    assert!(store(&double).admin().unwrap().install_lifecycle(90).await.is_err());
    assert!(!kept(&double).0.contains(RULE_ID));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_others_that_ends_recordings_early_is_told_of() {
    let week =
        "<Rule><ID>tidy</ID><Status>Enabled</Status><Filter/><Expiration><Days>7</Days></Expiration></Rule>";
    let double = bucket_with(week, "").await;
    let store = store(&double);
    let admin = store.admin().unwrap();
    admin.install_lifecycle(90).await.unwrap();
    let touching = admin.touching(30).await.unwrap();
    assert_eq!(touching.len(), 1);
    assert!(
        touching[0].harms && touching[0].rule == "tidy" && touching[0].does.contains("7 days"),
        "{touching:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_a_new_bucket_never_had_is_no_drift_and_one_that_is_gone_beside_recordings_is() {
    let double = Double::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ports = (17_100, 17_140);
    let server = super::recorder(&double, dir.path(), ports).await;
    server.metric_becomes("optag_store_lifecycle_ok", "", 1.0).await;
    assert!(kept(&double).0.contains(RULE_ID));
    assert_eq!(server.metric("optag_store_lifecycle_drifts_total", "").await, 0.0);
    super::recorded(&server).await;
    assert!(server.terminate().success());
    double.state.lock().unwrap().rules = None;
    let server = super::recorder(&double, dir.path(), ports).await;
    server.metric_reaches("optag_store_lifecycle_drifts_total", 1.0).await;
    assert!(kept(&double).0.contains(RULE_ID));
}
