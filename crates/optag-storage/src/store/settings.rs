//! Where the store is and how it is reached. In: what the configuration says. Out: one value from which
//! every client of the store is built. Not here: how the configuration words it.

use std::path::PathBuf;

use optag_core::private::Private;

/// Where recordings are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreConfig {
    /// In a directory.
    Local {
        /// Which.
        dir: PathBuf,
    },
    /// In an S3 bucket.
    S3(S3Config),
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Config {
    /// Its name.
    pub bucket: String,
    /// The store's URL; none for AWS itself.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// From the environment; none: from `credentials_file`.
    pub credentials: Option<S3Credentials>,
    /// Read again when it changes; none: what the library finds by itself (instance role).
    pub credentials_file: Option<PathBuf>,
    /// Proxy to the store; none: `HTTPS_PROXY` and the like. May hold a password.
    pub proxy: Option<Private<String>>,
    /// `endpoint/bucket/key` rather than `bucket.endpoint/key`.
    pub path_style: bool,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// PEM file of the authority that signed the endpoint's certificate.
    pub ca_file: Option<PathBuf>,
    /// Install and watch the bucket's expiry rule.
    pub manage_lifecycle: bool,
}

/// A key pair for S3.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Credentials {
    /// Which key.
    pub access_key_id: Private<String>,
    /// Its secret.
    pub secret_access_key: Private<String>,
    /// With temporary credentials.
    pub session_token: Option<Private<String>>,
}
