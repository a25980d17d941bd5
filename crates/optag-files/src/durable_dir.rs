//! Directories whose names survive a power cut. In: paths. Out: directories, made where they are missing. What is synced
//! in a directory is lost with the directory's own name.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a directory and its parents, mode 0700, or takes the one that is there; its name, and those of the
/// parents that were made, are durable when it returns. The name of one that is there is made durable as well: an earlier
/// process may have ended before it was.
///
/// Errors: the disk's. A directory whose name could not be made durable is removed again, so that the next
/// call makes it anew.
pub fn make(dir: &Path) -> io::Result<()> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<&Path> = dir.ancestors().take_while(missing).collect();
    if missing.is_empty() {
        // Also where it is a file, which is an error.
        DirBuilder::new().recursive(true).create(dir)?;
        return sync_name(dir);
    }
    missing.into_iter().rev().try_for_each(|path| {
        match DirBuilder::new().mode(0o700).create(path) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
        sync_name(path).inspect_err(|_| drop(fs::remove_dir(path)))
    })
}

/// Makes the name of a directory durable.
fn sync_name(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        // The root of the file system has no name.
        None => return Ok(()),
    };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        // One that may be passed and not listed cannot be opened; its whole file system can be synced.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => sync_file_system(&File::open(dir)?),
        Err(error) => Err(error),
    }
}

fn sync_file_system(of: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `of` lives.
    match unsafe { libc::syncfs(of.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_made_with_its_parents_or_taken() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        make(&deep).unwrap();
        fs::write(deep.join("file"), "kept").unwrap();
        make(&deep).unwrap();
        assert_eq!(fs::read(deep.join("file")).unwrap(), b"kept");
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(make(&deep.join("file")).is_err(), "a file is no directory");
        make(Path::new("/")).unwrap();
        sync_file_system(&File::open(&deep).unwrap()).unwrap();
    }

    #[test]
    fn invariant_05_a_directory_whose_name_is_not_durable_is_an_error_until_it_is() {
        let faults: [&[&str]; 2] = [&["fsync:error=EIO:when=1"], &["fsync:error=EIO:when=2"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |fault| {
            let dir = tempfile::tempdir().unwrap();
            let deep = dir.path().join("a/b");
            assert!(make(&deep).is_err(), "who puts files there must know");
            let kept = fault.ends_with("when=2");
            assert_eq!((dir.path().join("a").exists(), deep.exists()), (kept, false));
            make(&deep).unwrap();
        });
    }

    #[test]
    fn invariant_05_a_directory_that_an_earlier_process_did_not_sync_is_synced_before_it_is_used() {
        let faults: [&[&str]; 1] = [&["fsync:error=EIO:when=1"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |_| {
            let dir = tempfile::tempdir().unwrap();
            assert!(make(dir.path()).is_err());
            make(dir.path()).unwrap();
        });
    }
}
