//! The master key's file.
//!
//! In: a path. Out: the key, made on the first start. Not here: other sources of the key
//! (environment, command), which hand their bytes to [`MasterKey::from_bytes`].

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::error::SpoolError;
use super::key::MasterKey;

impl MasterKey {
    /// Reads the key at `path`, or makes one there where nothing is.
    ///
    /// A new key is durable before this returns; its file is readable by its owner alone.
    /// Whoever loses this file loses every recording that was not delivered yet.
    ///
    /// Errors: the file is readable by others, has another length, or the disk's.
    pub fn load_or_create(path: &Path) -> Result<Self, SpoolError> {
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => load(path, file),
            Err(error) if error.kind() == ErrorKind::NotFound => create(path),
            Err(error) => Err(SpoolError::disk("open", path, error)),
        }
    }
}

fn load(path: &Path, mut file: File) -> Result<MasterKey, SpoolError> {
    let facts = file.metadata().map_err(|e| SpoolError::disk("examine", path, e))?;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SpoolError::MasterKeyExposed { path: path.to_owned(), mode });
    }
    if facts.len() != 32 {
        return Err(SpoolError::MasterKeyForm { path: path.to_owned(), bytes: facts.len() });
    }
    let mut bytes = Zeroizing::new([0; 32]);
    file.read_exact(bytes.as_mut()).map_err(|e| SpoolError::disk("read", path, e))?;
    MasterKey::from_bytes(&bytes)
}

/// Writes a new key beside its place and links it in, so that a crash leaves the whole
/// key or none, and two starters at once end with the same one.
fn create(path: &Path) -> Result<MasterKey, SpoolError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut()).map_err(|_| SpoolError::Crypto)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes.as_ref())?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    })();
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = File::open(path).map_err(|e| SpoolError::disk("open", path, e))?;
            return load(path, file);
        }
        Err(error) => return Err(SpoolError::disk("create", path, error)),
    }
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| SpoolError::disk("sync", dir, e))?;
    MasterKey::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::CallId;
    use crate::spool::key::DataKey;

    #[test]
    fn a_master_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let call = CallId::from_bytes([1; 16]);
        let (_, file) = DataKey::draw(&first, call).unwrap();
        let again = MasterKey::load_or_create(&path).unwrap();
        assert!(DataKey::read(&again, call, &file).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the draft stays behind");
    }

    #[test]
    fn a_key_that_others_can_read_or_of_the_wrong_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = MasterKey::load_or_create(&path).unwrap_err();
        assert!(matches!(error, SpoolError::MasterKeyExposed { mode: 0o640, .. }), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        let error = MasterKey::load_or_create(&path).unwrap_err();
        assert!(matches!(error, SpoolError::MasterKeyForm { bytes: 5, .. }), "{error}");
    }
}
