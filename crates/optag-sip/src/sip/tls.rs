//! TLS listener certificates, reloaded when their files change.
//!
//! In: PEM files. Out: a [`TlsAcceptor`] whose certificate is the newest that could be read.
//! Connections that are open keep theirs. Not here: sockets.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities whose certificates clients must show; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// The certificate in use.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    current: RwLock<(Arc<CertifiedKey>, Option<SystemTime>)>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// Errors: a file is missing, is no PEM, or key and certificate do not fit.
    pub fn load(files: TlsFiles) -> io::Result<Arc<Self>> {
        let current = (read(&files)?, changed_at(&files));
        Ok(Arc::new(Self { files, current: RwLock::new(current) }))
    }

    /// Reads the files again if they have changed; whether they had.
    ///
    /// Errors: they cannot be read or do not fit; the old certificate stays in use, and the
    /// next call tries again.
    pub fn reload(&self) -> io::Result<bool> {
        let changed = changed_at(&self.files);
        if changed == self.current.read().unwrap_or_else(PoisonError::into_inner).1 {
            return Ok(false);
        }
        let fresh = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (fresh, changed);
        Ok(true)
    }

    /// An acceptor that uses the certificate.
    ///
    /// Errors: the authorities of clients cannot be read.
    pub fn acceptor(self: &Arc<Self>) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match &self.files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
                    roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
            }
        };
        let resolver: Arc<dyn ResolvesServerCert> = self.clone();
        Ok(TlsAcceptor::from(Arc::new(builder.with_cert_resolver(resolver))))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn read(files: &TlsFiles) -> io::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(io::Error::other)?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    key.map(Arc::new).map_err(io::Error::other)
}

/// The later of the two files' times.
fn changed_at(files: &TlsFiles) -> Option<SystemTime> {
    let time = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    time(&files.certificate).max(time(&files.key))
}
