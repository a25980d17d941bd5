//! The ways to a store: a certificate of the owner's own authority, and a proxy that must be gone
//! through. Both clients of the recorder take them, or nothing arrives.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use optag::config::{S3Config, StoreConfig};
use optag_storage::archive::deliver::Deliverer;
use optag_storage::store::Store;
use optag_storage::store::remains::Sought;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::double::Double;
use super::{call, config, is_whole, vault};

/// The store's name, which only the proxy can resolve.
const NAME: &str = "store.example";

/// Serves `double` over TLS under [`NAME`]; `folder` gets the authority's certificate, `ca.pem`.
async fn encrypted(double: &Double, folder: &Path) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let behind = double.endpoint.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

/// A proxy that leads to `store` whoever asks for [`NAME`], and counts them.
async fn proxy(store: SocketAddr, user: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut near = BufReader::new(near);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if near.read_line(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let knows = head.to_ascii_lowercase().contains(&user.to_ascii_lowercase());
                if !head.starts_with(&format!("CONNECT {NAME}:443 ")) || !knows {
                    let _ = near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let mut far = TcpStream::connect(store).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_a_proxy_with_an_own_authority_gets_its_recordings() {
    let (keys, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let double = Double::start().await;
    let store = encrypted(&double, folder.path()).await;
    // In base64: user:secret.
    let (proxy, asked) = proxy(store, "Basic dXNlcjpzZWNyZXQ=").await;
    let through = |password: &str, ca: bool| {
        Store::open(&StoreConfig::S3(S3Config {
            endpoint: Some(format!("https://{NAME}")),
            proxy: Some(format!("http://user:{password}@{proxy}").into()),
            ca_file: ca.then(|| folder.path().join("ca.pem")),
            allow_http: false,
            ..config(&double)
        }))
        .unwrap()
    };
    let (id, source) = call();
    for refused in [through("wrong", true), through("secret", false)] {
        assert!(Deliverer::new(vault(refused, keys.path())).deliver(&source).await.is_err());
        assert!(double.state.lock().unwrap().objects.is_empty());
    }
    asked.store(0, Ordering::Relaxed);
    let store = through("secret", true);
    let delivered = vault(store.clone(), keys.path());
    Deliverer::new(delivered.clone()).deliver(&source).await.unwrap();
    let (_, audio) = delivered.audio(id, None).await.unwrap();
    let audio: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(audio).await.unwrap();
    is_whole(&double, &delivered, id, &audio.concat()).await;
    assert!(asked.load(Ordering::Relaxed) > 0, "nothing goes around the proxy");
    // The other client, which lists and deletes.
    assert!(!store.copies("").await.unwrap().is_empty());
}

/// Whoever asks `proxy` for anything over plain HTTP is given `double`, with the host still named.
async fn plain_proxy(double: &Double) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let behind = double.endpoint.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let behind = behind.clone();
            tokio::spawn(async move {
                // A proxy is asked for whole URLs, which hyper takes as well as paths.
                let mut far = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_find_the_bucket_in_the_same_place() {
    let keys = tempfile::tempdir().unwrap();
    for (path_style, endpoint, wanted) in [
        (true, "http://s3.example.test", "s3.example.test/bucket"),
        (true, "http://s3.example.test/", "s3.example.test/bucket"),
        (true, "http://s3.example.test/gate/s3", "s3.example.test/gate/s3/bucket"),
        (true, "http://s3.example.test/gate/s3/", "s3.example.test/gate/s3/bucket"),
        (false, "http://s3.example.test", "bucket.s3.example.test"),
        (false, "http://s3.example.test:8080/", "bucket.s3.example.test:8080"),
        (false, "http://s3.example.test/gate/s3/", "bucket.s3.example.test/gate/s3"),
    ] {
        let double = Double::start().await;
        let store = Store::open(&StoreConfig::S3(S3Config {
            endpoint: Some(endpoint.into()),
            proxy: Some(plain_proxy(&double).await.into()),
            path_style,
            ..config(&double)
        }))
        .unwrap();
        let (id, source) = call();
        let delivered = Deliverer::new(vault(store.clone(), keys.path())).deliver(&source).await;
        assert!(
            delivered.is_ok(),
            "{endpoint}: {:?}, {:?}",
            delivered.err(),
            double.state.lock().unwrap().asked
        );
        let admin = store.admin().unwrap();
        admin.install_lifecycle(90).await.unwrap();
        admin.clock().await.unwrap();
        // What one client stored the other one sees and deletes.
        let stem = optag_storage::store::names::stem(id);
        assert_eq!(store.copies(&stem).await.unwrap().len(), 2, "{endpoint}");
        let look = store.look(&Sought::recording(id, None)).await.unwrap();
        assert_eq!((look.found.len(), look.unlisted.len()), (2, 0), "{endpoint}");
        for copy in &look.found {
            store.delete(copy).await.unwrap();
        }
        assert_eq!(store.look(&Sought::recording(id, None)).await.unwrap().found, [], "{endpoint}");
        let state = double.state.lock().unwrap();
        assert!(
            !state.objects.keys().any(|key| key.starts_with(&stem)) && state.rules.is_some(),
            "{endpoint}"
        );
        for asked in &state.asked {
            let (_, place) = asked.split_once(' ').unwrap();
            assert!(place.starts_with(wanted), "{endpoint}: {asked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_store_cannot_be_reached_is_told_to_the_end_of_the_chain() {
    let double = Double::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let encrypted = encrypted(&double, tempfile::tempdir().unwrap().path()).await;
    let port = encrypted.port();
    let of = |change: S3Config| Store::open(&StoreConfig::S3(change)).unwrap();
    let base = || config(&double);
    let nowhere = of(S3Config { endpoint: Some(format!("http://{free}")), ..base() });
    let no_proxy = of(S3Config { proxy: Some(format!("http://user:secret@{free}").into()), ..base() });
    let strange = of(S3Config { endpoint: Some(format!("https://localhost:{port}")), ..base() });
    for (store, why) in [(nowhere, "refused"), (no_proxy, "refused"), (strange, "certificate")] {
        let listed = store.copies("recordings/").await.unwrap_err().to_string();
        let stored = store.put_small("recordings/a", "x".into()).await.unwrap_err().to_string();
        for text in [listed, stored] {
            assert!(text.to_lowercase().contains(why), "{text}");
            assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
        }
    }
    double.lie(&[super::double::Lie::RefusesWrites, super::double::Lie::RefusesDeletes]);
    let refused = of(base()).put_small("recordings/a", "x".into()).await.unwrap_err().to_string();
    assert!(refused.contains("AccessDenied: ") && !refused.contains('<'), "{refused}");
    let wrong = tempfile::tempdir().unwrap();
    let no_certificate = wrong.path().join("ca.pem");
    std::fs::write(&no_certificate, "no certificate").unwrap();
    let error = Store::open(&StoreConfig::S3(S3Config { ca_file: Some(no_certificate), ..base() }));
    assert!(error.err().unwrap().to_string().contains("ca.pem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_environment_says_to_other_programs_steers_neither_client() {
    use crate::server::{Server, Settings};
    let (ours, other) = (Double::start().await, Double::start().await);
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let profile = format!(
        "[profile x]\nregion = eu-west-9\nendpoint_url = {0}\nservices = y\n[services y]\ns3 =\n  endpoint_url = {0}\n",
        other.endpoint
    );
    std::fs::write(home.path().join(".aws/config"), profile).unwrap();
    let mut settings = Settings::with_ports((22_560, 22_590));
    settings.extra = format!(
        "[store]\nkind = \"s3\"\nbucket = \"bucket\"\nendpoint = \"{}\"\nallow_http = true\n",
        ours.endpoint
    );
    let elsewhere = other.endpoint.as_str();
    settings.env = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_S3", elsewhere),
        ("AWS_ENDPOINT_URL", elsewhere),
        ("AWS_ENDPOINT", elsewhere),
        ("AWS_REGION", "eu-west-9"),
        ("AWS_DEFAULT_REGION", "eu-west-9"),
        ("AWS_PROFILE", "x"),
        ("AWS_BUCKET", "others"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_S3_EXPRESS", "true"),
        ("AWS_CA_BUNDLE", "/nowhere"),
        ("HOME", home.path().to_str().unwrap()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let server = Server::start(dir.path(), &settings).await;
    let id = super::recorded(&server).await;
    let stem = optag_storage::store::names::stem(id.parse().unwrap());
    let there = || ours.state.lock().unwrap().objects.keys().filter(|key| key.starts_with(&stem)).count();
    assert_eq!(there(), 2);
    let (status, receipt) =
        server.ask("DELETE", &format!("/api/v1/recordings/{id}?reason=asked"), None).await;
    assert_eq!((status, &receipt["state"]), (200, &serde_json::json!("done")), "{receipt}");
    assert_eq!(there(), 0);
    assert_eq!(other.state.lock().unwrap().requests, 0);
    assert_eq!(server.terminate().code(), Some(0));
}
