//! Checks that the files named by a configuration exist and are usable (`optag serve --check`).
//!
//! In: a checked [`Config`]. Out: the first file that is missing or unreadable, with its key. Creates and changes nothing.

use std::path::Path;

use crate::cluster::tls::NodeTls;
use crate::config::error::ConfigError;
use crate::config::settings::{Config, MasterKeySource, StoreConfig};
use crate::pem;
use optag_sip::sip::tls::Certificate;
use optag_storage::store::s3::credentials::FileCredentials;

impl Config {
    /// Reads every file that the configuration names and parses it as its reader would.
    ///
    /// Errors: [`ConfigError::Unusable`] for the first that does not serve.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        if let Some(files) = &self.sip.listen.tls_files {
            let loaded = Certificate::load(files.clone()).and_then(|loaded| loaded.acceptor().map(|_| ()));
            loaded.map_err(|reason| unusable("sip.certificate_file", &files.certificate, &reason))?;
        }
        if let StoreConfig::S3(s3) = &self.store {
            if let Some(path) = &s3.ca_file {
                pem::certificates(path).map_err(|reason| unusable("store.ca_file", path, &reason))?;
            }
            if let Some(path) = &s3.credentials_file {
                let read = FileCredentials::new(path).check();
                read.map_err(|reason| unusable("store.credentials_file", path, &reason))?;
            }
        }
        if let Some(cluster) = &self.cluster {
            let loaded = NodeTls::load(cluster.files.clone()).map(drop);
            let path = &cluster.files.certificate;
            loaded.map_err(|reason| unusable("cluster.certificate_file", path, &reason))?;
        }
        for target in &self.webhooks {
            let path = &target.secret_file;
            target.keys().map_err(|reason| unusable("webhook.secret_file", path, &reason))?;
            if let Some(path) = &target.ca_file {
                pem::certificates(path).map_err(|reason| unusable("webhook.ca_file", path, &reason))?;
            }
        }
        if let Some(provider) = &self.sign_in.provider {
            if let Some(path) = &provider.client_secret_file {
                let read = provider.client_secret();
                read.map_err(|reason| unusable("sign_in.oidc.client_secret_file", path, &reason))?;
            }
            if let Some(path) = &provider.ca_file {
                pem::certificates(path).map_err(|reason| unusable("sign_in.oidc.ca_file", path, &reason))?;
            }
        }
        if let MasterKeySource::File(path) = &self.spool.master_key
            && path.exists()
        {
            std::fs::read(path).map_err(|reason| unusable("spool.master_key_file", path, &reason))?;
        }
        let directories = [
            ("audit.anchor_dir", self.audit.anchor_dir.as_deref()),
            ("seal.escrow_to", self.seal.escrow.as_ref().and_then(|escrow| escrow.dir.as_deref())),
        ];
        for (key, dir) in directories {
            if let Some(dir) = dir {
                std::fs::read_dir(dir).map_err(|reason| unusable(key, dir, &reason))?;
            }
        }
        Ok(())
    }
}

fn unusable(key: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Unusable { key, path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        Config::parse(text, []).unwrap().check_files().unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_a_key_names_and_that_does_not_serve_is_an_error_with_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("odd.pem");
        std::fs::write(&odd, "not a certificate").unwrap();
        std::fs::set_permissions(&odd, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let odd = odd.display();
        let provider = "[sign_in]\nurl = 'https://optag.example'\n[[sign_in.oidc.mapping]]\ngroup = 'a'\nroles = 'auditor'\n\
                        [sign_in.oidc]\nissuer = 'https://login.example'\nclient_id = 'optag'\n";
        let s3 = "[store]\nkind = 's3'\nbucket = 'calls'\n";
        for (text, key) in [
            (
                format!(
                    "[sip]\nlisten_tls = '127.0.0.1:5061'\ncertificate_file = '{odd}'\nkey_file = '{odd}'"
                ),
                "sip.certificate_file",
            ),
            (
                "[sip]\nlisten_tls = '127.0.0.1:5061'\ncertificate_file = '/none'\nkey_file = '/none'".into(),
                "sip.certificate_file",
            ),
            (format!("{s3}ca_file = '{odd}'"), "store.ca_file"),
            (format!("{s3}ca_file = '/none'"), "store.ca_file"),
            (format!("{s3}credentials_file = '{odd}'"), "store.credentials_file"),
            ("[audit]\nanchor_dir = '/none'".into(), "audit.anchor_dir"),
            (
                format!("[[webhook]]\nid = 'a'\nurl = 'https://a.example'\nsecret_file = '{odd}'"),
                "webhook.secret_file",
            ),
            (format!("{provider}client_secret_file = '/none'"), "sign_in.oidc.client_secret_file"),
            (format!("{provider}client_secret_file = '{odd}'"), "sign_in.oidc.client_secret_file"),
            (format!("{provider}ca_file = '{odd}'"), "sign_in.oidc.ca_file"),
        ] {
            let error = check(&text);
            assert!(error.starts_with(key), "{text}: {error}");
        }
        Config::default().check_files().unwrap();
    }
}
