//! Settings of the store. In: the checked configuration. Out: one value from which every client of the store is
//! built. Not here: how the configuration is written.

use std::path::PathBuf;

use optag_core::private::Private;

/// Where recordings are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreConfig {
    /// A directory.
    Local {
        /// Path.
        dir: PathBuf,
    },
    /// An S3 bucket.
    S3(S3Config),
}

impl StoreConfig {
    /// The directory of a local store.
    pub fn directory_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Local { dir } => Some(dir),
            _ => None,
        }
    }
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Config {
    /// Name.
    pub bucket: String,
    /// URL of the store; none for AWS.
    pub endpoint: Option<String>,
    /// Region.
    pub region: String,
    /// From the environment; none: `credentials_file`.
    pub credentials: Option<S3Credentials>,
    /// Reloaded when it changes; none: the instance role.
    pub credentials_file: Option<PathBuf>,
    /// Proxy to the store; none: `HTTPS_PROXY` and the like. May contain a password.
    pub proxy: Option<Private<String>>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// PEM file of the certificate authority of the endpoint.
    pub ca_file: Option<PathBuf>,
    /// Install and monitor the bucket's expiry rule.
    pub manage_lifecycle: bool,
}

/// An S3 key pair.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Credentials {
    /// Access key id.
    pub access_key_id: Private<String>,
    /// Secret access key.
    pub secret_access_key: Private<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<Private<String>>,
}
