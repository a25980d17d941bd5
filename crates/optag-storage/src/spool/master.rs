//! The master key before use, and its file.
//!
//! In: a path. Out: the key, created on the first start. Not here: other sources of the key (environment, command),
//! which pass their bytes to [`MasterSecret::from_bytes`].

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;

use super::error::SpoolError;
use super::key::MasterKey;
use optag_core::locked::Secret;

/// Bytes of a master key, in locked memory. Each user creates its own [`MasterKey`] from them.
pub struct MasterSecret(Secret);

impl MasterSecret {
    /// A key from another source than a file.
    pub fn from_bytes(bytes: Secret) -> Self {
        Self(bytes)
    }

    /// The key for sealing.
    ///
    /// Errors: cryptography failure.
    pub fn key(&self) -> Result<MasterKey, SpoolError> {
        MasterKey::from_bytes(&self.0)
    }

    /// Another key, for the purpose that `label` names: the same wherever the master key is the same, and it tells
    /// nothing of the master key.
    ///
    /// Errors: the system's cryptography.
    ///
    /// Source: RFC 5869.
    pub fn derive(&self, label: &str) -> Result<Secret, SpoolError> {
        let extracted = Salt::new(HKDF_SHA256, b"optag derived keys v1").extract(&*self.0);
        let info = [label.as_bytes()];
        let expanded = extracted.expand(&info, HKDF_SHA256).map_err(|_| SpoolError::Crypto)?;
        let mut derived = Secret::zeroed();
        expanded.fill(&mut *derived).map_err(|_| SpoolError::Crypto)?;
        Ok(derived)
    }

    /// Reads the key at `path`, or creates one if there is no file.
    ///
    /// A new key is durable on return; its file is readable by its owner only. Losing this file means losing every
    /// recording sealed with it. True: newly created.
    ///
    /// Errors: the file is accessible to others or has another length, or disk.
    pub fn load_or_create(path: &Path) -> Result<(Self, bool), SpoolError> {
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => Ok((load(path, file)?, false)),
            Err(error) if error.kind() == ErrorKind::NotFound => create(path),
            Err(error) => Err(SpoolError::disk("open", path, error)),
        }
    }
}

impl std::fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterSecret(‹private›)")
    }
}

fn load(path: &Path, mut file: File) -> Result<MasterSecret, SpoolError> {
    let facts = file.metadata().map_err(|e| SpoolError::disk("examine", path, e))?;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SpoolError::MasterKeyExposed { path: path.to_owned(), mode });
    }
    if facts.len() != 32 {
        return Err(SpoolError::MasterKeyForm { path: path.to_owned(), bytes: facts.len() });
    }
    let mut bytes = Secret::zeroed();
    file.read_exact(&mut *bytes).map_err(|e| SpoolError::disk("read", path, e))?;
    Ok(MasterSecret(bytes))
}

/// Writes a new key to a temporary file and links it in, so that a crash leaves the whole key or none, and two
/// concurrent starts use the same one.
fn create(path: &Path) -> Result<(MasterSecret, bool), SpoolError> {
    let mut bytes = Secret::zeroed();
    rand::fill(&mut *bytes).map_err(|_| SpoolError::Crypto)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&*bytes)?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    })();
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = File::open(path).map_err(|e| SpoolError::disk("open", path, e))?;
            return Ok((load(path, file)?, false));
        }
        Err(error) => return Err(SpoolError::disk("create", path, error)),
    }
    if let Err(error) = File::open(dir).and_then(|d| d.sync_all()) {
        // A key whose name may be lost in a power cut must not be used, by this start or the next.
        let _ = fs::remove_file(path);
        return Err(SpoolError::disk("sync", dir, error));
    }
    Ok((MasterSecret(bytes), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::key::DataKey;
    use optag_core::id::CallId;

    #[test]
    fn a_master_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let (first, made) = MasterSecret::load_or_create(&path).unwrap();
        assert!(made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let call = CallId::from_bytes([1; 16]);
        let (_, file) = DataKey::draw(&first.key().unwrap(), call).unwrap();
        let (again, made) = MasterSecret::load_or_create(&path).unwrap();
        assert!(!made && DataKey::read(&again.key().unwrap(), call, &file).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the draft is removed");
    }

    #[test]
    fn a_key_that_others_can_read_or_of_the_wrong_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterSecret::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = MasterSecret::load_or_create(&path).unwrap_err();
        assert!(matches!(error, SpoolError::MasterKeyExposed { mode: 0o640, .. }), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        let error = MasterSecret::load_or_create(&path).unwrap_err();
        assert!(matches!(error, SpoolError::MasterKeyForm { bytes: 5, .. }), "{error}");
    }

    #[test]
    fn invariant_05_a_master_key_that_is_not_durable_is_not_used() {
        let faults: [&[&str]; 2] = [&["fsync:error=EIO:when=1"], &["fsync:error=EIO:when=2"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |_| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("master.key");
            assert!(matches!(MasterSecret::load_or_create(&path), Err(SpoolError::Disk { .. })));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of it");
            assert!(MasterSecret::load_or_create(&path).unwrap().1);
        });
    }
}
