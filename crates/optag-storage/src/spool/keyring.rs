//! Key files: durable before a call counts, overwritten and removed when it ends.

use std::io;
use std::path::{Path, PathBuf};

use super::error::SpoolError;
use super::key::{DataKey, KEY_FILE_BYTES, KeyFault, MasterKey};
use optag_core::id::CallId;
use optag_files::disk::{Access, Disk, write_all_at};

/// Suffix of a key file that is being written.
const DRAFT: &str = ".key.new";

/// Usable keys, and the number of key files without one.
pub(super) type Read = (Vec<(CallId, DataKey)>, u64);

/// Directory of key files, `<call>.key`. A call with a key file has not been delivered.
pub fn key_dir(spool: &Path) -> PathBuf {
    spool.join("keys")
}

/// The directory of key files.
#[derive(Clone, Debug)]
pub(super) struct Keyring {
    dir: PathBuf,
}

impl Keyring {
    /// The keyring of a spool; creates the directory if missing.
    ///
    /// Errors: disk.
    pub(super) fn open(disk: &dyn Disk, spool: &Path) -> Result<Self, SpoolError> {
        let dir = key_dir(spool);
        disk.create_dir(&dir).map_err(|error| SpoolError::disk("make", &dir, error))?;
        Ok(Self { dir })
    }

    /// Writes a key file; durable after [`Keyring::sync`]. Written under a temporary name and renamed, so it is
    /// always complete.
    ///
    /// Errors: disk; may be repeated.
    pub(super) fn write(
        &self,
        disk: &dyn Disk,
        call: CallId,
        bytes: &[u8; KEY_FILE_BYTES],
    ) -> Result<(), SpoolError> {
        let path = self.path(call);
        let draft = self.draft(call);
        let written = || -> io::Result<()> {
            // A draft of an earlier attempt cannot be used: its sync may have failed.
            unless_missing(disk.remove(&draft))?;
            let file = disk.create(&draft, 0)?;
            write_all_at(&*file, bytes, 0)?;
            file.sync()?;
            disk.rename(&draft, &path)
        };
        written().map_err(|error| SpoolError::disk("write", &path, error))
    }

    /// Makes the names of the key files durable.
    ///
    /// Errors: disk.
    pub(super) fn sync(&self, disk: &dyn Disk) -> Result<(), SpoolError> {
        disk.sync_dir(&self.dir).map_err(|error| SpoolError::disk("sync", &self.dir, error))
    }

    /// Overwrites and removes a key file, durably. A missing file is not an error.
    ///
    /// Errors: disk; the key may still exist.
    pub(super) fn destroy(&self, disk: &dyn Disk, call: CallId) -> Result<(), SpoolError> {
        let path = self.path(call);
        let destroyed = || -> io::Result<()> {
            for path in [&self.draft(call), &path] {
                let file = match disk.open(path, Access::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    other => other?,
                };
                write_all_at(&*file, &[0; KEY_FILE_BYTES], 0)?;
                file.sync()?;
                disk.remove(path)?;
            }
            disk.sync_dir(&self.dir)
        };
        destroyed().map_err(|error| SpoolError::disk("destroy", &path, error))
    }

    /// Reads every key. Files without a usable key are removed: half-destroyed keys, drafts that were never
    /// acknowledged, and damaged ones, which are counted.
    ///
    /// Errors: disk, or intact keys sealed with another master key.
    pub(super) fn read_all(&self, disk: &dyn Disk, master: &MasterKey) -> Result<Read, SpoolError> {
        let names = disk.list(&self.dir).map_err(|error| SpoolError::disk("list", &self.dir, error))?;
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for draft in names.iter().filter_map(|name| name.strip_suffix(DRAFT)?.parse::<CallId>().ok()) {
            let path = self.draft(draft);
            disk.remove(&path).map_err(|error| SpoolError::disk("remove", &path, error))?;
        }
        for call in names.iter().filter_map(|name| name.strip_suffix(".key")?.parse::<CallId>().ok()) {
            let path = self.path(call);
            let read = || -> io::Result<Vec<u8>> {
                let file = disk.open(&path, Access::Read)?;
                let mut bytes = vec![0; KEY_FILE_BYTES];
                let length = optag_files::disk::read_full_at(&*file, &mut bytes, 0)?;
                bytes.truncate(length);
                Ok(bytes)
            };
            let bytes = read().map_err(|error| SpoolError::disk("read", &path, error))?;
            match DataKey::read(master, call, &bytes) {
                Ok(key) => keys.push((call, key)),
                Err(fault) => faults.push((call, fault)),
            }
        }
        let wrong = faults.iter().filter(|(_, fault)| *fault == KeyFault::WrongMaster).count();
        if wrong > 0 {
            return Err(SpoolError::WrongMasterKey { calls: wrong });
        }
        for &(call, fault) in &faults {
            if fault == KeyFault::Damaged {
                tracing::error!(%call, "spool key of a call damaged; its records are lost");
            }
            self.destroy(disk, call)?;
        }
        let damaged = faults.iter().filter(|(_, fault)| *fault == KeyFault::Damaged).count();
        Ok((keys, damaged as u64))
    }

    fn path(&self, call: CallId) -> PathBuf {
        self.dir.join(format!("{call}.key"))
    }

    fn draft(&self, call: CallId) -> PathBuf {
        self.dir.join(format!("{call}{DRAFT}"))
    }
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_files::disk::OsDisk;

    #[test]
    fn invariant_07_a_destroyed_key_is_overwritten_before_its_name_goes() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(&OsDisk, dir.path()).unwrap();
        let call = CallId::from_bytes([1; 16]);
        keyring.write(&OsDisk, call, &[7; KEY_FILE_BYTES]).unwrap();
        let kept = dir.path().join("kept");
        std::fs::hard_link(keyring.path(call), &kept).unwrap();
        keyring.destroy(&OsDisk, call).unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), [0; KEY_FILE_BYTES]);
        assert!(!keyring.path(call).exists());
    }
}
