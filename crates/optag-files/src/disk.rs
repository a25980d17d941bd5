//! The file system operations that the spool needs, and their implementation by the operating system.
//!
//! In: paths, bytes. Out: bytes and the system's errors. Not here: the meaning of the bytes; the crashing
//! disk for tests (`testing::disk`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::durable_dir;
use crate::private_files::no_follow;

/// The access mode of an opened file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Read and overwrite.
    Write,
    /// Read, and append at the end whatever offset a write gives.
    Append,
}

/// Space on a file system. Units: bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Total available to this process.
    pub total_bytes: u64,
    /// Free for this process.
    pub free_bytes: u64,
}

/// A file system. Nothing is durable before a `sync`.
pub trait Disk: Send + Sync {
    /// Creates a file, owner-only, and reserves `reserve_bytes` of zeros for it if the file system supports
    /// that; otherwise the file starts empty.
    ///
    /// Errors: also if the path exists.
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, replacing an existing one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's entries durable. Each call uses a new descriptor.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names of the files in a directory, unordered.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents, owner-only, if it does not exist; its name is durable.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Space on the directory's file system.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Takes a lock that lasts as long as the returned value.
    ///
    /// Errors: `WouldBlock` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads at an offset; may return fewer bytes, and none at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset; may write fewer bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes written data durable.
    fn sync(&self) -> io::Result<()>;
    /// Truncates or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// The file's length. Units: bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|bytes| bytes == 0)
    }
}

/// Writes all of `bytes`, continuing after short writes.
///
/// Errors: of the disk; `WriteZero` if nothing is written.
pub fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `into` is full or the file ends. Returns the bytes read.
pub fn read_full_at(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The operating system's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        if reserve_bytes > 0 {
            reserve(&file, reserve_bytes)?;
        }
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write).append(access == Access::Append);
        if access != Access::Read {
            no_follow(&mut options);
        }
        let file = options.open(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        durable_dir::make(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
        let mut facts = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: `path` is a NUL-terminated string and `facts` is valid for writes.
        let status = unsafe { libc::statvfs(path.as_ptr(), facts.as_mut_ptr()) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zeroed bytes are a valid statvfs, and the call above filled it in.
        let facts = unsafe { facts.assume_init() };
        // Blocks reserved for root count as used: this process may not always run as root.
        let reserved = facts.f_bfree.saturating_sub(facts.f_bavail);
        Ok(Space {
            total_bytes: facts.f_blocks.saturating_sub(reserved) * facts.f_frsize,
            free_bytes: facts.f_bavail * facts.f_frsize,
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = no_follow(&mut options).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Reserves space. A failed reservation is undone and not an error: the writes themselves show whether there
/// is space.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for writing as long as `file` lives.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } {
        0 => Ok(()),
        _ => file.set_len(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = OsDisk.lock(&path).unwrap();
        assert_eq!(OsDisk.lock(&path).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(OsDisk.lock(&path).is_ok());
    }

    #[test]
    fn a_reserved_file_reads_as_zeros_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = OsDisk.create(&path, 8_192).unwrap();
        write_all_at(&*file, b"abc", 0).unwrap();
        let mut bytes = [1; 6];
        assert!(read_full_at(&*file, &mut bytes, 0).unwrap() >= 3);
        assert_eq!(&bytes[..3], b"abc");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(OsDisk.create(&path, 0).is_err(), "a second file of the same name");
        assert!(OsDisk.space(dir.path()).unwrap().total_bytes > 0);
    }
}
