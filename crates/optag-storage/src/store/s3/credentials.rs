//! The S3 key pair in a file, reloaded when the file changes: an owner rotates it, or an agent renews it, while the
//! recorder runs.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use serde::Deserialize;

use crate::store::error::StoreError;
use crate::store::settings::S3Config;

/// The file's content: TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// Provides the file's current content. If the file cannot be read, the previous content stays in use.
pub struct FileCredentials {
    path: PathBuf,
    last: Mutex<Option<(Stamp, Arc<AwsCredential>)>>,
}

/// Changes with the file.
pub type Stamp = (SystemTime, u64);

/// The stamp of a file; `None` if it cannot be accessed.
pub fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().as_ref().map(stamp_of)
}

fn stamp_of(facts: &Metadata) -> Stamp {
    (facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), facts.len())
}

impl FileCredentials {
    /// Credentials in `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), last: Mutex::new(None) }
    }

    /// Reads the file once.
    ///
    /// Errors: unreadable or invalid.
    pub fn check(&self) -> Result<(), StoreError> {
        self.read().map(|_| ())
    }

    fn read(&self) -> Result<Arc<AwsCredential>, StoreError> {
        let wrong =
            |why: &dyn std::fmt::Display| StoreError::Config(format!("{}: {why}", self.path.display()));
        let facts = std::fs::metadata(&self.path).map_err(|error| wrong(&error))?;
        let stamp = stamp_of(&facts);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, keys)) = &*last
            && *read == stamp
        {
            return Ok(Arc::clone(keys));
        }
        let text = std::fs::read_to_string(&self.path).map_err(|error| wrong(&error))?;
        let keys: Keys = toml::from_str(&text)
            .map_err(|_| wrong(&"TOML with access_key_id, secret_access_key and optionally session_token"))?;
        let keys = Arc::new(AwsCredential {
            key_id: keys.access_key_id,
            secret_key: keys.secret_access_key,
            token: keys.session_token,
        });
        *last = Some((stamp, Arc::clone(&keys)));
        Ok(keys)
    }
}

impl std::fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileCredentials({})", self.path.display())
    }
}

#[async_trait::async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.read().or_else(|error| {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let before = last.as_ref().map(|(_, keys)| Arc::clone(keys));
            before.ok_or(object_store::Error::Generic { store: "S3", source: Box::new(error) })
        })
    }
}

/// Credentials from the settings; without any, from the machine's role. Of the environment's `AWS_…` variables only
/// those for roles are used: the others are meant for other programs.
pub(super) fn provide(config: &S3Config, builder: AmazonS3Builder) -> AmazonS3Builder {
    if let Some(keys) = &config.credentials {
        let builder = builder
            .with_access_key_id(keys.access_key_id.reveal())
            .with_secret_access_key(keys.secret_access_key.reveal());
        return match &keys.session_token {
            Some(token) => builder.with_token(token.reveal()),
            None => builder,
        };
    }
    if let Some(file) = &config.credentials_file {
        return builder.with_credentials(Arc::new(FileCredentials::new(file)));
    }
    GIVEN.into_iter().fold(builder, |builder, (variable, key)| match std::env::var(variable) {
        Ok(value) if !value.is_empty() => builder.with_config(key, value),
        _ => builder,
    })
}

/// Variables by which a machine provides role credentials.
const GIVEN: [(&str, AmazonS3ConfigKey); 6] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_file_counts_at_once_and_a_broken_one_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s3.toml");
        let credentials = FileCredentials::new(&path);
        assert!(credentials.get_credential().await.is_err());
        std::fs::write(&path, "access_key_id = \"a\"\nsecret_access_key = \"one\"\n").unwrap();
        assert_eq!(credentials.get_credential().await.unwrap().secret_key, "one");
        std::fs::write(&path, "access_key_id = \"a\"\nsecret_access_key = \"second\"\n").unwrap();
        assert_eq!(credentials.get_credential().await.unwrap().secret_key, "second");
        std::fs::write(&path, "access_key_id = ").unwrap();
        assert_eq!(credentials.get_credential().await.unwrap().secret_key, "second");
        assert!(!format!("{credentials:?}").contains("second"));
    }
}
