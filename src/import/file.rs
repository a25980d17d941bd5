//! Opens the file of a row so that only regular files of the directory are read. In: the directory and a row's path.
//! Out: a file of known length, and parts of it for symphonia.
//!
//! A table from elsewhere may name anything, and the directory may be a copy of a foreign disk: a FIFO would block
//! the run, a symbolic link could import `/etc/shadow` or another archive, a device never ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use symphonia::core::io::MediaSource;

/// Maximum file size: more than 12 hours of stereo at 48 kHz and 16 bits. Units: bytes.
pub const MOST_BYTES: u64 = 9 << 30;

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Read error.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The path leads out of the directory, by a link or otherwise.
    #[error("symbolic link points outside the directory")]
    Outside,
    /// A directory, FIFO, socket or device.
    #[error("not a regular file but {0}")]
    Kind(&'static str),
    /// Empty.
    #[error("empty file")]
    Empty,
    /// Larger than any call.
    #[error("{0} bytes; the limit is {MOST_BYTES}")]
    TooLarge(u64),
    /// The file was written to meanwhile.
    #[error("file changed while being read")]
    Changed,
}

/// An open regular file.
#[derive(Debug)]
pub struct AudioFile {
    file: Arc<File>,
    len: u64,
    written: (i64, i64),
}

impl AudioFile {
    /// Opens `path` below `dir`, which is canonical. Links are followed as long as they stay inside.
    ///
    /// Errors: see [`FileError`]; nothing was read, and nothing but a regular file was opened.
    pub fn open(dir: &Path, path: &Path) -> Result<Self, FileError> {
        let real = dir.join(path).canonicalize()?;
        if !real.starts_with(dir) {
            return Err(FileError::Outside);
        }
        // Opening a device can have effects, so its type is checked first; and again afterwards, because the name may
        // refer to another file by then.
        regular(&std::fs::symlink_metadata(&real)?)?;
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&real)?;
        let metadata = file.metadata()?;
        regular(&metadata)?;
        #[cfg(target_os = "linux")]
        if let Ok(opened) =
            std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)))
            && !opened.starts_with(dir)
        {
            return Err(FileError::Outside);
        }
        match metadata.len() {
            0 => Err(FileError::Empty),
            len if len > MOST_BYTES => Err(FileError::TooLarge(len)),
            len => Ok(Self { file: Arc::new(file), len, written: (metadata.mtime(), metadata.mtime_nsec()) }),
        }
    }

    /// Length when it was opened. Units: bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is empty; an empty file is not opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// SHA-256 of the file.
    ///
    /// Errors: read error, or the file became shorter.
    pub fn sha256(&self) -> Result<Vec<u8>, FileError> {
        let mut context = digest::Context::new(&digest::SHA256);
        let (mut at, mut buffer) = (0, vec![0; 64 * 1024]);
        while at < self.len {
            let wanted = buffer.len().min(usize::try_from(self.len - at).unwrap_or(usize::MAX));
            match self.file.read_at(&mut buffer[..wanted], at)? {
                0 => return Err(FileError::Changed),
                length => {
                    context.update(&buffer[..length]);
                    at += length as u64;
                }
            }
        }
        Ok(context.finish().as_ref().to_vec())
    }

    /// Checks that the file has not changed since it was opened.
    ///
    /// Errors: [`FileError::Changed`].
    pub fn unchanged(&self) -> Result<(), FileError> {
        let metadata = self.file.metadata()?;
        let same = metadata.len() == self.len && (metadata.mtime(), metadata.mtime_nsec()) == self.written;
        if same { Ok(()) } else { Err(FileError::Changed) }
    }

    /// Reads up to `buffer.len()` bytes from `at`; fewer at the end.
    ///
    /// Errors: read error.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], at + filled as u64)? {
                0 => break,
                length => filled += length,
            }
        }
        Ok(filled)
    }

    /// `len` bytes of the file from `start`, preceded by `head`.
    pub fn part(&self, head: Vec<u8>, start: u64, len: u64) -> Part {
        let len = len.min(self.len.saturating_sub(start));
        Part { head, file: Arc::clone(&self.file), start, len, at: 0 }
    }
}

fn regular(metadata: &std::fs::Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(FileError::Kind(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    }))
}

/// A range of a file, preceded by other bytes.
pub struct Part {
    head: Vec<u8>,
    file: Arc<File>,
    start: u64,
    len: u64,
    at: u64,
}

impl Part {
    fn whole(&self) -> u64 {
        self.head.len() as u64 + self.len
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let head = self.head.len() as u64;
        let length = if self.at < head {
            (&self.head[self.at as usize..]).read(buffer)?
        } else {
            let wanted =
                buffer.len().min(usize::try_from(self.whole().saturating_sub(self.at)).unwrap_or(usize::MAX));
            self.file.read_at(&mut buffer[..wanted], self.start + self.at - head)?
        };
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.whole().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.whole())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn why(dir: &Path, name: &str) -> String {
        AudioFile::open(dir, Path::new(name)).unwrap_err().to_string()
    }

    #[test]
    fn only_regular_files_inside_the_directory_are_opened() {
        let all = tempfile::tempdir().unwrap();
        let outside = all.path().canonicalize().unwrap();
        let dir = outside.join("old");
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::create_dir(outside.join("old-too")).unwrap();
        std::fs::write(outside.join("secret.wav"), b"secret").unwrap();
        std::fs::write(outside.join("old-too/secret.wav"), b"secret").unwrap();
        std::fs::write(dir.join("a.wav"), b"audio").unwrap();
        std::fs::write(dir.join("empty.wav"), b"").unwrap();
        symlink("../a.wav", dir.join("sub/inside.wav")).unwrap();
        symlink("../secret.wav", dir.join("out.wav")).unwrap();
        symlink("../old-too/secret.wav", dir.join("sibling.wav")).unwrap();
        symlink(&outside, dir.join("up")).unwrap();
        symlink("/dev/zero", dir.join("zero.wav")).unwrap();
        symlink("loop.wav", dir.join("loop.wav")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket.wav")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(dir.join("fifo.wav")).status().unwrap().success());
        let sparse = File::create(dir.join("sparse.wav")).unwrap();
        sparse.set_len(1 << 40).unwrap();

        for name in ["a.wav", "sub/inside.wav"] {
            assert_eq!(AudioFile::open(&dir, Path::new(name)).unwrap().len(), 5, "{name}");
        }
        for name in ["out.wav", "sibling.wav", "up/secret.wav", "../secret.wav", "/etc/passwd", "zero.wav"] {
            assert!(why(&dir, name).contains("outside"), "{name}: {}", why(&dir, name));
        }
        assert!(why(&dir, "fifo.wav").contains("FIFO"));
        assert!(why(&dir, "socket.wav").contains("socket"));
        assert!(why(&dir, "sub").contains("directory"));
        assert!(why(&dir, "empty.wav").contains("empty"));
        assert!(why(&dir, "sparse.wav").contains("1099511627776 bytes"));
        assert!(why(&dir, "loop.wav").contains("cannot read"));
        assert!(why(&dir, "missing.wav").contains("cannot read"));
    }

    #[test]
    fn a_file_that_is_written_to_meanwhile_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::write(real.join("a"), b"audio").unwrap();
        let file = AudioFile::open(&real, Path::new("a")).unwrap();
        file.unchanged().unwrap();
        std::fs::write(real.join("a"), b"audio and more").unwrap();
        assert!(matches!(file.unchanged(), Err(FileError::Changed)));
        std::fs::write(real.join("a"), b"").unwrap();
        assert!(matches!(file.sha256(), Err(FileError::Changed)));
    }

    #[test]
    fn a_part_reads_its_head_and_then_the_file_up_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::write(real.join("a"), b"0123456789").unwrap();
        let file = AudioFile::open(&real, Path::new("a")).unwrap();
        let mut part = file.part(b"head".to_vec(), 3, 4);
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        assert_eq!(text, "head3456");
        part.seek(SeekFrom::End(-2)).unwrap();
        text.clear();
        part.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), part.byte_len()), ("56", Some(8)));
    }
}
