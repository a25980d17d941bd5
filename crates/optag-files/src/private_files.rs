//! Owner-only files and directories, whatever the umask. In: paths. Out: modes 0700 and 0600, or why they
//! cannot be set. Nothing is written through a symbolic link: whoever can place one in the directory would
//! choose what is overwritten.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::durable_dir;

/// Mode bits of everyone except the owner.
const OTHERS: u32 = 0o077;
/// Mode bits of world-writable and sticky directories.
const SHARED: u32 = 0o1002;

/// Why a path is not private.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// The disk's error.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a symbolic link.
    #[error("{} is a symbolic link: nothing is written through one; put the file itself there, or configure its real path", path.display())]
    Link {
        /// Its path.
        path: PathBuf,
    },
    /// The directory is world-writable, and its mode cannot be changed.
    #[error("{} may be written to by everyone (mode {mode:04o}) and belongs to user {owner}: make it the recorder's own (chown, then chmod 700)", path.display())]
    Shared {
        /// Its path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// The directory has other content and may be read by others.
    #[error("{} may be read by others (mode {mode:04o}) and holds files that are not the recorder's: name a directory of its own, or run chmod 700 on it", path.display())]
    NotOurs {
        /// Its path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> NotPrivate {
    let path = path.to_owned();
    move |source| NotPrivate::Disk { path, source }
}

/// Creates a directory and its parents with mode 0700 and durable names, or changes the mode of an existing one.
/// The directory may be reached through a link. `ours`: a file that identifies an existing directory as the
/// recorder's; one with other files is not changed.
///
/// Errors: it can be read by others and that cannot be changed. A directory of another owner that others may
/// only list (a volume mounted by a cluster, mode 2775) is accepted; the files in it are private.
pub fn private_dir(dir: &Path, ours: &[&str]) -> Result<(), NotPrivate> {
    durable_dir::make(dir).map_err(disk(dir))?;
    let facts = fs::metadata(dir).map_err(disk(dir))?;
    let (mode, owner) = (facts.mode() & 0o7777, facts.uid());
    if mode & OTHERS == 0 {
        return Ok(());
    }
    // SAFETY: it takes nothing and cannot fail.
    let own = owner == unsafe { libc::geteuid() };
    match (own, mode & SHARED) {
        (false, 0) => return Ok(()),
        (false, _) => return Err(NotPrivate::Shared { path: dir.to_owned(), mode, owner }),
        (true, _) => {}
    }
    let is_empty = fs::read_dir(dir).map_err(disk(dir))?.next().is_none();
    if !is_empty && !ours.iter().any(|name| dir.join(name).symlink_metadata().is_ok()) {
        return Err(NotPrivate::NotOurs { path: dir.to_owned(), mode });
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(disk(dir))
}

/// Sets an existing file's mode to 0600; a missing one is not an error.
///
/// Errors: of the disk, or the path is a link.
pub fn private_file(path: &Path) -> Result<(), NotPrivate> {
    match no_follow(OpenOptions::new().read(true)).open(path) {
        Ok(file) => tighten(&file).map_err(disk(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused(path, error)),
    }
}

/// Creates an empty file of mode 0600 if there is none, before a library would create it with another mode.
///
/// Errors: of the disk, or the path is a link.
pub fn make_private_file(path: &Path) -> Result<(), NotPrivate> {
    let mut options = OpenOptions::new();
    let file = no_follow(options.create(true).truncate(false).write(true).mode(0o600)).open(path);
    file.map_err(|error| refused(path, error)).and_then(|file| tighten(&file).map_err(disk(path)))
}

/// Makes opening fail if the path is a symbolic link (ELOOP).
pub fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW)
}

fn tighten(file: &File) -> io::Result<()> {
    match file.metadata()?.mode() & OTHERS {
        0 => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(0o600)),
    }
}

fn refused(path: &Path, error: io::Error) -> NotPrivate {
    match error.raw_os_error() {
        Some(libc::ELOOP) => NotPrivate::Link { path: path.to_owned() },
        _ => disk(path)(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_is_made_private_or_kept_out_of_what_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("a/b"), dir.path().join("old"));
        private_dir(&new, &[]).unwrap();
        assert_eq!((mode(&new), mode(&dir.path().join("a"))), (0o700, 0o700));
        fs::create_dir(&old).unwrap();
        set(&old, 0o755);
        fs::write(old.join("letter"), "mine").unwrap();
        let refused = private_dir(&old, &["deletions.log"]);
        assert!(matches!(refused, Err(NotPrivate::NotOurs { mode: 0o755, .. })), "{refused:?}");
        assert_eq!(mode(&old), 0o755, "nothing was changed");
        fs::write(old.join("deletions.log"), "").unwrap();
        let link = dir.path().join("link");
        symlink(&old, &link).unwrap();
        private_dir(&link, &["deletions.log"]).unwrap();
        assert_eq!(mode(&old), 0o700);
    }

    #[test]
    fn a_file_is_made_private_and_never_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, absent) =
            (dir.path().join("file"), dir.path().join("link"), dir.path().join("absent"));
        fs::write(&file, "content").unwrap();
        set(&file, 0o644);
        symlink(&file, &link).unwrap();
        for refused in [private_file(&link), make_private_file(&link)] {
            assert!(matches!(refused, Err(NotPrivate::Link { .. })), "{refused:?}");
        }
        assert_eq!(mode(&file), 0o644);
        private_file(&file).unwrap();
        private_file(&absent).unwrap();
        assert!(!absent.exists());
        make_private_file(&absent).unwrap();
        make_private_file(&file).unwrap();
        assert_eq!((mode(&file), mode(&absent), fs::read(&file).unwrap()), (0o600, 0o600, b"content".into()));
        // A dangling link creates no file elsewhere.
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("elsewhere"), &dangling).unwrap();
        assert!(make_private_file(&dangling).is_err() && !dir.path().join("elsewhere").exists());
    }
}
