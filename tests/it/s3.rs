//! Against a real S3: a Ceph RADOS Gateway whose lifecycle days last a second.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, VersioningConfiguration,
};
use optag::config::StoreConfig;
use optag_storage::store::s3::rules::{Drift, RULE_ID};
use optag_storage::store::{Store, StoreError};

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};
use crate::stores::s3_at;

/// A gateway that ends with the test.
pub(crate) struct Gateway {
    dir: tempfile::TempDir,
    pub endpoint: String,
}

impl Gateway {
    /// Starts a gateway; `None`, with a note on the test's output, if Ceph is not installed.
    fn start(port: u16) -> Option<Self> {
        for program in ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph"] {
            let found = Command::new("which").arg(program).output().is_ok_and(|out| out.status.success());
            if !found {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/ceph-rgw-up");
        let up = Command::new(script).arg(dir.path()).args([&port.to_string(), "1"]).output().unwrap();
        let gateway = Self { dir, endpoint: format!("http://127.0.0.1:{port}") };
        let log = std::fs::read_to_string(gateway.dir.path().join("up.log")).unwrap_or_default();
        assert!(up.status.success(), "{}\n{log}", String::from_utf8_lossy(&up.stderr));
        Some(gateway)
    }

    fn client(&self) -> Client {
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .credentials_provider(Credentials::new("testkey", "testsecret", None, None, "test"));
        Client::from_conf(config.build())
    }

    pub(crate) fn store(&self, bucket: &str) -> Store {
        Store::open(&StoreConfig::S3(s3_at(&self.endpoint, bucket, ("testkey", "testsecret")))).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let Ok(files) = std::fs::read_dir(self.dir.path().join("run")) else { return };
        for file in files.flatten().filter(|file| file.path().extension().is_some_and(|ext| ext == "pid")) {
            if let Some(pid) =
                std::fs::read_to_string(file.path()).ok().and_then(|pid| pid.trim().parse::<i32>().ok())
            {
                // SAFETY: a plain system call; the process is one that this test started.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }
}

async fn versions(client: &Client, bucket: &str) -> usize {
    let listed = client.list_object_versions().bucket(bucket).send().await.unwrap();
    listed.versions.unwrap_or_default().len() + listed.delete_markers.unwrap_or_default().len()
}

async fn foreign_rule(client: &Client, bucket: &str) {
    let rule = LifecycleRule::builder()
        .id("somebody-elses")
        .filter(LifecycleRuleFilter::builder().prefix("backups/").build())
        .status(ExpirationStatus::Enabled)
        .expiration(LifecycleExpiration::builder().days(36_500).build())
        .build()
        .unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    client
        .put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .lifecycle_configuration(rules)
        .send()
        .await
        .unwrap();
}

/// One gateway for all tests below: it takes half a minute of processor time to start.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_s3_gets_recordings_expires_them_and_forgets_what_is_erased() {
    let Some(gateway) = Gateway::start(8_490) else { return };
    let client = gateway.client();
    recordings_arrive_and_are_erased_in_every_version(&gateway, &client).await;
    invariant_08_erasure_takes_every_version_marker_and_part(&gateway, &client).await;
    what_is_stored_is_verified_and_never_overwritten(&gateway, &client).await;
    crate::stores::takes_recordings_and_forgets_them(&gateway.store("plain"), &client, "plain").await;
    invariant_09_the_lifecycle_rule_ends_what_nobody_else_does(&gateway, &client).await;
    a_bucket_that_locks_objects_is_refused(&gateway, &client).await;
    invariant_15_the_stores_clock_is_a_second_source(&gateway).await;
    crate::promises_ceph::hold(&gateway, &client).await;
}

async fn invariant_15_the_stores_clock_is_a_second_source(gateway: &Gateway) {
    let now = jiff::Timestamp::now();
    for bucket in ["plain", "no-such-bucket"] {
        let store = gateway.store(bucket);
        let told = store.admin().unwrap().clock().await.unwrap().timestamp();
        let apart = told.as_second() - now.as_second();
        assert!((-2..60).contains(&apart), "{bucket}: {told} is {apart} s from {now}");
    }
}

async fn recordings_arrive_and_are_erased_in_every_version(gateway: &Gateway, client: &Client) {
    client.create_bucket().bucket("calls").send().await.unwrap();
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("calls").versioning_configuration(on).send().await.unwrap();
    foreign_rule(client, "calls").await;

    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((21_700, 21_740));
    settings.extra = format!(
        "[store]\nkind = \"s3\"\nbucket = \"calls\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\nallow_http = true\n",
        gateway.endpoint
    );
    let var = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    settings.env = vec![var("AWS_ACCESS_KEY_ID", "testkey"), var("AWS_SECRET_ACCESS_KEY", "testsecret")];
    let server = Server::start(dir.path(), &settings).await;
    let (_, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    let id = admitted["id"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, 1_500), &voice(2, 1_500)]);
    })
    .await
    .unwrap();
    server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    server.recording(&id).await;
    let opus = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training")).await;
    assert_eq!(&opus[..4], b"OggS");

    // Invariant 10: our rule is installed with its 90 days, and the other one unchanged.
    let rules =
        client.get_bucket_lifecycle_configuration().bucket("calls").send().await.unwrap().rules.unwrap();
    let days = |id: &str| {
        rules.iter().find(|rule| rule.id.as_deref() == Some(id)).unwrap().expiration.as_ref().unwrap().days
    };
    assert_eq!((days(RULE_ID), days("somebody-elses"), rules.len()), (Some(90), Some(36_500), 2));
    server.metric_reaches("optag_store_lifecycle_ok", 1.0).await;

    let listed = client.list_objects_v2().bucket("calls").prefix("recordings/").send().await.unwrap();
    assert_eq!(listed.contents.unwrap_or_default().len(), 2);
    let (status, receipt) =
        server.ask("DELETE", &format!("/api/v1/recordings/{id}?reason=asked"), None).await;
    assert_eq!((status, &receipt["state"]), (200, &serde_json::json!("done")), "{receipt}");
    assert_eq!(versions(client, "calls").await, 0);
    assert_eq!(server.terminate().code(), Some(0));
}

async fn invariant_08_erasure_takes_every_version_marker_and_part(gateway: &Gateway, client: &Client) {
    client.create_bucket().bucket("versions").send().await.unwrap();
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("versions").versioning_configuration(on).send().await.unwrap();
    let (key, store) = ("recordings/2026/01/02/a.opus", gateway.store("versions"));
    for body in ["one", "two"] {
        client
            .put_object()
            .bucket("versions")
            .key(key)
            .body(body.as_bytes().to_vec().into())
            .send()
            .await
            .unwrap();
    }
    client.delete_object().bucket("versions").key(key).send().await.unwrap();
    client.create_multipart_upload().bucket("versions").key(key).send().await.unwrap();
    store.put_small("recordings/2026/01/02/a.opus.other", "stays".into()).await.unwrap();
    assert_eq!(versions(client, "versions").await, 4);
    assert_eq!(
        store.delete_all(key).await.unwrap().len(),
        5,
        "three versions, an upload and the name itself"
    );
    assert_eq!(versions(client, "versions").await, 1);
    let uploads = client.list_multipart_uploads().bucket("versions").send().await.unwrap();
    assert_eq!(uploads.uploads.unwrap_or_default().len(), 0);

    // Everything that a recording may have, by the prefix of its names; more than one page.
    let stem = "recordings/2026/01/02/b";
    for n in 0..12 {
        let key = format!("{stem}.{}", ["opus", "json", "opus.age"][n % 3]);
        client.put_object().bucket("versions").key(&key).body(vec![n as u8].into()).send().await.unwrap();
    }
    client.delete_object().bucket("versions").key(format!("{stem}.json")).send().await.unwrap();
    client.create_multipart_upload().bucket("versions").key(format!("{stem}.opus")).send().await.unwrap();
    assert_eq!(store.copies(stem).await.unwrap().len(), 14);
    let gone = store.copies(stem).await.unwrap();
    assert_eq!(gone.iter().filter(|copy| copy.name().contains("?versionId=")).count(), 13, "{gone:?}");
    for copy in &gone {
        store.delete(copy).await.unwrap();
    }
    assert_eq!(store.copies(stem).await.unwrap(), []);
    assert_eq!(versions(client, "versions").await, 1, "somebody else's object stays");
}

async fn what_is_stored_is_verified_and_never_overwritten(gateway: &Gateway, client: &Client) {
    client.create_bucket().bucket("plain").send().await.unwrap();
    let store = gateway.store("plain");
    let one = store.put_small("recordings/a", "one".into()).await.unwrap();
    assert_eq!(store.put_small("recordings/a", "one".into()).await.unwrap(), one);
    assert!(matches!(store.put_small("recordings/a", "two".into()).await, Err(StoreError::Conflict)));
    assert_eq!(
        store.delete_all("recordings/a").await.unwrap().last().map(String::as_str),
        Some("recordings/a")
    );
    assert!(matches!(store.size("recordings/a").await, Err(StoreError::Missing)));
    let missing = gateway.store("no-such-bucket").put_small("recordings/a", "one".into()).await;
    assert!(missing.is_err());
}

async fn invariant_09_the_lifecycle_rule_ends_what_nobody_else_does(gateway: &Gateway, client: &Client) {
    client.create_bucket().bucket("short").send().await.unwrap();
    let store = gateway.store("short");
    store.put_small("recordings/old", "audio".into()).await.unwrap();
    store.put_small("elsewhere/kept", "not ours".into()).await.unwrap();
    // Three days are three seconds here.
    assert!(store.admin().unwrap().install_lifecycle(3).await.unwrap().is_some());
    assert_eq!(store.admin().unwrap().lifecycle_drift(3).await.unwrap(), None);
    // Someone replaces all rules: that is detected, and ours is added again.
    foreign_rule(client, "short").await;
    assert_eq!(store.admin().unwrap().lifecycle_drift(3).await.unwrap(), Some(Drift::Missing));
    assert_eq!(store.admin().unwrap().install_lifecycle(3).await.unwrap(), Some(Drift::Missing));
    let rules = client.get_bucket_lifecycle_configuration().bucket("short").send().await.unwrap();
    assert_eq!(rules.rules.unwrap_or_default().len(), 2);
    let until = Instant::now() + Duration::from_secs(90);
    while store.size("recordings/old").await.is_ok() {
        assert!(Instant::now() < until, "the object is still there");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(store.size("elsewhere/kept").await.unwrap(), 8);
}

async fn a_bucket_that_locks_objects_is_refused(gateway: &Gateway, client: &Client) {
    use aws_sdk_s3::types::{
        DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    };
    client.create_bucket().bucket("locked").object_lock_enabled_for_bucket(true).send().await.unwrap();
    gateway.store("locked").admin().unwrap().refuse_long_lock(90).await.unwrap();
    // Longer than the limit, and too long for a caller who requests erasure today.
    for (days, why) in [(91, "longer than 90 days"), (10, "at once")] {
        let retention =
            DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(days).build();
        let lock = ObjectLockConfiguration::builder()
            .object_lock_enabled(ObjectLockEnabled::Enabled)
            .rule(ObjectLockRule::builder().default_retention(retention).build())
            .build();
        client
            .put_object_lock_configuration()
            .bucket("locked")
            .object_lock_configuration(lock)
            .send()
            .await
            .unwrap();
        let refused = gateway.store("locked").admin().unwrap().refuse_long_lock(90).await;
        assert!(matches!(&refused, Err(StoreError::Config(said)) if said.contains(why)), "{refused:?}");
    }
    gateway.store("plain").admin().unwrap().refuse_long_lock(90).await.unwrap();
}
