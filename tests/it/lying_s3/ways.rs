//! The ways to a store: a certificate of the owner's own authority, and a proxy that must be gone
//! through. Both clients of the recorder take them, or nothing arrives.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use optag::app::config::{S3Config, StoreConfig};
use optag::archive::deliver::Deliverer;
use optag::archive::store::Store;
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
