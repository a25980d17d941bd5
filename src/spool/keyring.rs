//! The key files: made durable before a call counts, overwritten and removed when it ends.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Access, Disk, write_all_at};
use super::error::SpoolError;
use super::key::{DataKey, KEY_FILE_BYTES, KeyFault, MasterKey};
use crate::base::id::CallId;

/// Keys that open, and key files that give none.
pub type Read = (Vec<(CallId, DataKey)>, Vec<(CallId, KeyFault)>);

/// The directory of key files.
#[derive(Clone, Debug)]
pub struct Keyring {
    dir: PathBuf,
}

impl Keyring {
    /// The keyring of a spool, its directory made where missing.
    ///
    /// Errors: the disk's.
    pub fn open(disk: &dyn Disk, spool: &Path) -> Result<Self, SpoolError> {
        let dir = spool.join("keys");
        disk.create_dir(&dir).map_err(|error| SpoolError::disk("make", &dir, error))?;
        Ok(Self { dir })
    }

    /// Writes a key file; durable once [`Keyring::sync`] was called as well.
    ///
    /// Errors: the disk's; doing it again is fine.
    pub fn write(
        &self,
        disk: &dyn Disk,
        call: CallId,
        bytes: &[u8; KEY_FILE_BYTES],
    ) -> Result<(), SpoolError> {
        let path = self.path(call);
        let written = || -> io::Result<()> {
            let file = match disk.create(&path, 0) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    disk.open(&path, Access::Write)?
                }
                other => other?,
            };
            write_all_at(&*file, bytes, 0)?;
            file.sync()
        };
        written().map_err(|error| SpoolError::disk("write", &path, error))
    }

    /// Makes the names of the key files durable.
    ///
    /// Errors: the disk's.
    pub fn sync(&self, disk: &dyn Disk) -> Result<(), SpoolError> {
        disk.sync_dir(&self.dir).map_err(|error| SpoolError::disk("sync", &self.dir, error))
    }

    /// Overwrites and removes a key file, durably. A missing one is fine.
    ///
    /// Errors: the disk's; the key may still be there.
    pub fn destroy(&self, disk: &dyn Disk, call: CallId) -> Result<(), SpoolError> {
        let path = self.path(call);
        let destroyed = || -> io::Result<()> {
            let file = match disk.open(&path, Access::Write) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return disk.sync_dir(&self.dir),
                other => other?,
            };
            write_all_at(&*file, &[0; KEY_FILE_BYTES], 0)?;
            file.sync()?;
            disk.remove(&path)?;
            disk.sync_dir(&self.dir)
        };
        destroyed().map_err(|error| SpoolError::disk("destroy", &path, error))
    }

    /// Reads every key. Those that are destroyed or damaged are told apart in the second list.
    ///
    /// Errors: the disk's, or intact keys that another master key sealed.
    pub fn read_all(&self, disk: &dyn Disk, master: &MasterKey) -> Result<Read, SpoolError> {
        let names = disk.list(&self.dir).map_err(|error| SpoolError::disk("list", &self.dir, error))?;
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for call in names.iter().filter_map(|name| name.strip_suffix(".key")?.parse::<CallId>().ok()) {
            let path = self.path(call);
            let read = || -> io::Result<Vec<u8>> {
                let file = disk.open(&path, Access::Read)?;
                let mut bytes = vec![0; KEY_FILE_BYTES];
                let length = super::disk::read_full_at(&*file, &mut bytes, 0)?;
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
        Ok((keys, faults))
    }

    fn path(&self, call: CallId) -> PathBuf {
        self.dir.join(format!("{call}.key"))
    }
}
