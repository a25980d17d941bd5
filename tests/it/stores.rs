//! Other stores that implement S3: moto and Garage, each started if installed; `docs/guide/stores.md` says what each
//! lacks.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation};
use bytes::Bytes;
use futures::TryStreamExt;
use optag::config::{S3Config, S3Credentials, StoreConfig};
use optag_storage::store::verified_put::{PART_BYTES, Part};
use optag_storage::store::{Store, StoreError};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program; `None`, with a note on the test's output, if not installed.
fn start(command: &mut Command) -> Option<Running> {
    match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            println!("skipped: {} is not installed ({error})", command.get_program().display());
            None
        }
    }
}

struct Bucket {
    endpoint: String,
    region: &'static str,
    key: String,
    secret: String,
}

impl Bucket {
    fn client(&self) -> Client {
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .credentials_provider(Credentials::new(&self.key, &self.secret, None, None, "test"));
        Client::from_conf(config.build())
    }

    fn store(&self) -> Store {
        let config = s3_at(&self.endpoint, "calls", (&self.key, &self.secret));
        Store::open(&StoreConfig::S3(S3Config { region: self.region.into(), ..config })).unwrap()
    }

    /// Waits until it answers.
    async fn ready(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while let Err(error) = reqwest::get(&self.endpoint).await {
            assert!(Instant::now() < until, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A bucket behind an endpoint, path-style, with a key and its secret; our rule is installed.
pub(crate) fn s3_at(endpoint: &str, bucket: &str, (key, secret): (&str, &str)) -> S3Config {
    S3Config {
        bucket: bucket.into(),
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".into(),
        credentials: Some(S3Credentials {
            access_key_id: key.to_owned().into(),
            secret_access_key: secret.to_owned().into(),
            session_token: None,
        }),
        credentials_file: None,
        proxy: None,
        path_style: true,
        allow_http: true,
        ca_file: None,
        manage_lifecycle: true,
    }
}

fn parts(content: &Bytes) -> tokio::sync::mpsc::Receiver<Part> {
    let (to, parts) = tokio::sync::mpsc::channel(1);
    let content = content.clone();
    tokio::spawn(async move {
        for from in (0..content.len()).step_by(PART_BYTES) {
            let bytes = content.slice(from..content.len().min(from + PART_BYTES));
            let _ = to.send(Part { bytes, room: None }).await;
        }
    });
    parts
}

/// What every store must support: create-only writes, resumed uploads, ranges, deletion.
pub(crate) async fn takes_recordings_and_forgets_them(store: &Store, client: &Client, bucket: &str) {
    println!("refuses to overwrite: {}", store.creates().await.unwrap());
    let name = "recordings/2026/11/24/small";
    let one = store.put_small(name, "one".into()).await.unwrap();
    assert_eq!(store.put_small(name, "one".into()).await.unwrap(), one);
    assert!(matches!(store.put_small(name, "two".into()).await, Err(StoreError::Conflict)));

    // An upload begun by an earlier process: its first part is stored.
    let name = "recordings/2026/11/24/long";
    let content = Bytes::from((0..PART_BYTES + 70_000).map(|n| (n / 991) as u8).collect::<Vec<_>>());
    let begun = client.create_multipart_upload().bucket(bucket).key(name).send().await.unwrap();
    let first = content.slice(..PART_BYTES);
    client
        .upload_part()
        .bucket(bucket)
        .key(name)
        .upload_id(begun.upload_id.unwrap())
        .part_number(1)
        .body(first.into())
        .send()
        .await
        .unwrap();
    let stored = store.put_parts(name, parts(&content)).await.unwrap();
    assert_eq!(store.put_parts(name, parts(&content)).await.unwrap(), stored);
    let left = client.list_multipart_uploads().bucket(bucket).send().await.unwrap();
    assert!(left.uploads.unwrap_or_default().is_empty(), "another upload was made");
    let range = PART_BYTES as u64 - 3..PART_BYTES as u64 + 3;
    let (size, bytes) = store.get(name, Some(range.clone())).await.unwrap();
    let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
    let wanted = &content[range.start as usize..range.end as usize];
    assert_eq!((size, &bytes.concat()[..]), (content.len() as u64, wanted));

    for name in ["recordings/2026/11/24/small", "recordings/2026/11/24/long"] {
        store.delete_all(name).await.unwrap();
        assert!(matches!(store.size(name).await, Err(StoreError::Missing)));
    }
    assert!(store.list("recordings/").try_next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_takes_recordings_and_forgets_them() {
    let Some(_running) = start(Command::new("moto_server").args(["-H", "127.0.0.1", "-p", "8590"])) else {
        return;
    };
    let bucket = Bucket {
        endpoint: "http://127.0.0.1:8590".into(),
        region: "us-east-1",
        key: "test".into(),
        secret: "test".into(),
    };
    bucket.ready().await;
    let client = bucket.client();
    client.create_bucket().bucket("calls").send().await.unwrap();
    let store = bucket.store();
    takes_recordings_and_forgets_them(&store, &client, "calls").await;
    let admin = store.admin().unwrap();
    assert!(admin.install_lifecycle(90).await.unwrap().is_some());
    assert_eq!(admin.lifecycle_drift(90).await.unwrap(), None);
    admin.refuse_long_lock(90).await.unwrap();
}

/// A Garage node with one bucket, with all data in `dir`. `./dev garage` builds the program.
fn garage(dir: &std::path::Path, bucket: &Bucket) -> Option<Running> {
    let config = dir.join("garage.toml");
    let port = bucket.endpoint.rsplit(':').next().unwrap();
    let text = format!(
        "metadata_dir = \"{dir}/meta\"\ndata_dir = \"{dir}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:8601\"\nrpc_public_addr = \"127.0.0.1:8601\"\nrpc_secret = \"{secret}\"\n\
         [s3_api]\ns3_region = \"{region}\"\napi_bind_addr = \"127.0.0.1:{port}\"\n",
        dir = dir.display(),
        secret = "07".repeat(32),
        region = bucket.region,
    );
    std::fs::write(&config, text).unwrap();
    let mut server = Command::new("garage");
    server.arg("-c").arg(&config).args(["server", "--single-node", "--default-bucket"]);
    server.env("GARAGE_DEFAULT_ACCESS_KEY", &bucket.key).env("GARAGE_DEFAULT_SECRET_KEY", &bucket.secret);
    server.env("GARAGE_DEFAULT_BUCKET", "calls");
    start(&mut server)
}

#[tokio::test(flavor = "multi_thread")]
async fn garage_takes_recordings_and_forgets_them() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket {
        endpoint: "http://127.0.0.1:8600".into(),
        region: "garage",
        key: format!("GK{}", "a1".repeat(12)),
        secret: "b2".repeat(32),
    };
    let Some(_running) = garage(dir.path(), &bucket) else { return };
    bucket.ready().await;
    let (client, store) = (bucket.client(), bucket.store());
    let until = Instant::now() + Duration::from_secs(30);
    while let Err(error) = client.head_bucket().bucket("calls").send().await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    takes_recordings_and_forgets_them(&store, &client, "calls").await;
    let admin = store.admin().unwrap();
    println!("keeps of our rule: {:?}", admin.install_lifecycle(90).await);
    println!("drift: {:?}", admin.lifecycle_drift(90).await);
    println!("lock: {:?}", admin.refuse_long_lock(90).await);
}
