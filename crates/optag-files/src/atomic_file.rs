//! Atomic replacement of a small file. In: its path and new content. Out: the file with the new content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Replaces the content of a file, durable on return, readable only by the owner. A crash leaves the old file
/// or the new one. The caller must serialise concurrent calls for one path.
///
/// Errors: of the disk; the file then has its old content.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = beside(path);
    // A file left by an earlier crash may have another owner's mode, or be a link.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(dir)?.sync_all()
}

/// The same for a value as JSON.
///
/// Errors: of the disk, or the value cannot be serialised.
pub fn replace_json(path: &Path, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    replace(path, &serde_json::to_vec_pretty(value)?)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_and_no_draft_is_left_or_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a.json"), dir.path().join("other"));
        fs::write(&other, "untouched").unwrap();
        replace(&path, b"one").unwrap();
        symlink(&other, dir.path().join("a.json.new")).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(&other).unwrap(), b"untouched");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn where_it_cannot_be_written_the_old_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        replace(&path, b"one").unwrap();
        fs::create_dir(dir.path().join("a.json.new")).unwrap();
        assert!(replace(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn invariant_05_a_file_that_is_not_durable_does_not_take_the_old_ones_place() {
        // The third and fourth sync are those of the second file and of its directory entry.
        let faults: [&[&str]; 3] =
            [&["fsync:error=EIO:when=3"], &["fsync:error=EIO:when=4"], &["rename:error=EIO:when=2"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |fault| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.json");
            replace(&path, b"one").unwrap();
            assert!(replace(&path, b"two").is_err(), "the caller must know");
            let kept = if fault.ends_with("when=4") { b"two" } else { b"one" };
            assert_eq!(fs::read(&path).unwrap(), kept);
            replace(&path, b"three").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"three");
        });
    }
}
