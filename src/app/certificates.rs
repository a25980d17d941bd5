//! When certificates in use expire.
//!
//! In: the PEM files that the configuration names. Out: for each use the earliest end of validity, as a metric, and a log
//! line when it is near. Not here: use and reloading of the files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::config::{Config, StoreConfig};
use crate::index::IndexPlace;
use crate::metrics;
use crate::pem;
use optag_core::clock::WallTime;

/// Interval between looks; files are replaced while the recorder runs.
const INTERVAL: Duration = Duration::from_secs(60);
/// Remaining validity at which the log warns.
pub const SOON: Duration = Duration::from_secs(14 * 86_400);
/// Looks between two warnings: a day.
const WARN_EVERY: u32 = 1_440;

/// A file of certificates, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// Label of the metric.
    pub of: &'static str,
    /// Key of the configuration.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
}

impl CertificateFile {
    /// The earliest end of validity of the certificates in the file.
    ///
    /// Errors: the file cannot be read, or holds no certificate.
    pub fn expires_at(&self) -> io::Result<WallTime> {
        earliest(&self.path)
    }
}

/// Every file of certificates that the configuration names.
pub fn in_use(config: &Config) -> Vec<CertificateFile> {
    let mut files = Vec::new();
    let mut add = |of, key, path: &Path| files.push(CertificateFile { of, key, path: path.to_owned() });
    if let Some(tls) = &config.sip.listen.tls_files {
        add("sip", "sip.certificate_file", &tls.certificate);
        tls.client_ca.iter().for_each(|path| add("sip_client_ca", "sip.client_ca_file", path));
    }
    if let Some(cluster) = &config.cluster {
        add("node", "cluster.certificate_file", &cluster.files.certificate);
        add("node_ca", "cluster.ca_file", &cluster.files.ca);
    }
    if let StoreConfig::S3(s3) = &config.store {
        s3.ca_file.iter().for_each(|path| add("store_ca", "store.ca_file", path));
    }
    if let IndexPlace::Postgres(address) = &config.index
        && let Ok(address) = url::Url::parse(address.reveal())
    {
        for (name, path) in address.query_pairs() {
            match &*name {
                "sslrootcert" => add("index_ca", "index.postgres (sslrootcert)", Path::new(&*path)),
                "sslcert" => add("index_client", "index.postgres (sslcert)", Path::new(&*path)),
                _ => {}
            }
        }
    }
    files
}

fn earliest(path: &Path) -> io::Result<WallTime> {
    let mut found = None;
    for certificate in pem::certificates(path)? {
        let certificate = Certificate::from_der(&certificate).map_err(io::Error::other)?;
        let at = certificate.tbs_certificate().validity().not_after.to_unix_duration();
        let at = WallTime::from_unix_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
        found = Some(found.map_or(at, |before: WallTime| before.min(at)));
    }
    found.ok_or_else(|| io::Error::other("it holds no certificate"))
}

/// Looks at the files until dropped.
pub async fn watch(files: Vec<CertificateFile>, now: impl Fn() -> WallTime) {
    let mut told: BTreeMap<&'static str, u32> = BTreeMap::new();
    loop {
        for file in &files {
            let found = file.expires_at();
            let left_s = found.as_ref().ok().map(|at| at.micros_since(now()) / 1_000_000);
            if let Ok(at) = &found {
                metrics::certificate_expires(file.of, *at);
            }
            let is_fine = left_s.is_some_and(|left_s| left_s > SOON.as_secs() as i64);
            let looks = told.entry(file.of).or_default();
            match (is_fine, &found, *looks) {
                (true, ..) => *looks = 0,
                (false, Ok(at), 0) => {
                    tracing::warn!(key = file.key, file = %file.path.display(), expires_at = %at, "certificate expires soon");
                }
                (false, Err(error), 0) => {
                    tracing::error!(key = file.key, file = %file.path.display(), %error, "cannot read certificate");
                }
                _ => {}
            }
            if !is_fine {
                *looks = (*looks + 1) % WARN_EVERY;
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of this validity, PEM.
    fn made(not_after_year: i32) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["srs.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(not_after_year, 2, 3);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn of_several_certificates_the_one_that_ends_first_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chain.pem");
        std::fs::write(&path, made(2_041) + &made(2_039) + &made(2_055)).unwrap();
        let file = CertificateFile { of: "sip", key: "sip.certificate_file", path };
        assert_eq!(
            file.expires_at().unwrap(),
            "2039-02-03T00:00:00Z".parse().map(WallTime::from_timestamp).unwrap()
        );
        std::fs::write(&file.path, "no certificate").unwrap();
        assert!(file.expires_at().is_err());
    }

    #[test]
    fn every_key_that_names_certificates_is_looked_at() {
        let text = "[sip]\nlisten_tls = '127.0.0.1:5061'\ncertificate_file = '/a'\nkey_file = '/k'\nclient_ca_file = '/b'\n\
                    [store]\nkind = 's3'\nbucket = 'calls'\nca_file = '/c'\n\
                    [cluster]\nlisten = '127.0.0.1:1'\naddress = 'a:1'\ncertificate_file = '/f'\nkey_file = '/k'\nca_file = '/g'\n\
                    [index]\npostgres = 'postgres://db/optag?sslmode=verify-full&sslrootcert=/d&sslcert=/e'\n";
        let config = Config::parse(text, []).unwrap();
        let files = in_use(&config).into_iter().map(|file| (file.of, file.path.display().to_string()));
        let expected = [
            ("sip", "/a"),
            ("sip_client_ca", "/b"),
            ("node", "/f"),
            ("node_ca", "/g"),
            ("store_ca", "/c"),
            ("index_ca", "/d"),
            ("index_client", "/e"),
        ];
        assert!(files.eq(expected.map(|(of, path)| (of, path.to_owned()))));
        assert!(in_use(&Config::default()).is_empty());
    }
}
