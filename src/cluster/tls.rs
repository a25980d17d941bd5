//! Mutually authenticated TLS between nodes. In: this node's certificate and key, and the authority that signs nodes and
//! nothing else. Out: both ends of a connection. Files that change are read again; open connections keep theirs.
//!
//! Whoever has a certificate of the authority is a node, and is believed who asks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::pem;

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTlsFiles {
    /// The certificate chain of this node, PEM. It names the host by which other nodes reach it.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authority of all nodes, PEM.
    pub ca: PathBuf,
}

struct Loaded {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    changed: Option<SystemTime>,
}

/// Both ends, with the newest certificates that could be read.
pub struct NodeTls {
    files: NodeTlsFiles,
    loaded: RwLock<Loaded>,
}

impl NodeTls {
    /// Reads the files.
    ///
    /// Errors: a file is missing or is no PEM, or key and certificate do not fit.
    pub fn load(files: NodeTlsFiles) -> io::Result<Self> {
        let loaded = RwLock::new(files.load()?);
        Ok(Self { files, loaded })
    }

    /// Reads the files again if they have changed; whether they had.
    ///
    /// Errors: they cannot be read or do not fit; the old ones stay in use.
    pub fn reload(&self) -> io::Result<bool> {
        let changed = self.files.changed_at();
        if changed == self.loaded.read().unwrap_or_else(PoisonError::into_inner).changed {
            return Ok(false);
        }
        let fresh = self.files.load()?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// For connections that other nodes make.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// For connections to other nodes.
    pub fn connector(&self) -> TlsConnector {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).connector.clone()
    }
}

impl NodeTlsFiles {
    fn load(&self) -> io::Result<Loaded> {
        let changed = self.changed_at();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(io::Error::other)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(io::Error::other)?;
        let nodes = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(nodes.build().map_err(io::Error::other)?)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(io::Error::other)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(io::Error::other)?;
        let (acceptor, connector) =
            (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
        Ok(Loaded { acceptor, connector, changed })
    }

    /// The latest of the files' times.
    fn changed_at(&self) -> Option<SystemTime> {
        let time = |path: &PathBuf| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
        time(&self.certificate).max(time(&self.key)).max(time(&self.ca))
    }
}

/// Errors: no certificate in the file, or it is not PEM.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    pem::certificates(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

impl std::fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeTls({:?})", self.files)
    }
}
