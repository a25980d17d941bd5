//! A disk in memory that forgets. What was not synced may be there after a crash or not, whole
//! or in part; any operation can be made to fail. Deterministic from a seed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::spool::disk::{Access, Disk, DiskFile, Space};

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct CrashingDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What a program sees.
    names: BTreeMap<PathBuf, usize>,
    /// What is there after a crash.
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<FileState>,
    operations: u64,
    fail: Option<(u64, i32)>,
    dead: bool,
    random: u64,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// A sync of it failed: what was written before may never become durable.
    poisoned: bool,
}

impl CrashingDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.state().random = seed | 1;
        disk
    }

    /// Lets the `n`-th operation from now fail with this error number.
    pub fn fail(&self, n: u64, errno: i32) {
        let mut state = self.state();
        state.fail = Some((state.operations + n, errno));
    }

    /// From the `n`-th operation on nothing works any more, as after a power cut.
    pub fn die(&self, n: u64) {
        self.fail(n, 0);
    }

    /// Whether nothing works any more.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// What a restart finds: names and bytes that were synced, and of the rest whatever chance
    /// leaves, the last write perhaps torn.
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        let mut files = state.files.clone();
        for file in &mut files {
            let keep = state.next_random() % 3;
            let torn = state.next_random() as usize;
            file.bytes = match keep {
                0 => file.durable.clone(),
                1 if !file.poisoned => file.bytes.clone(),
                _ => mix(&file.durable, &file.bytes, torn),
            };
            file.durable = file.bytes.clone();
            file.poisoned = false;
        }
        let mut names = state.durable_names.clone();
        for (path, &file) in &state.names.clone() {
            if state.next_random().is_multiple_of(2) {
                names.entry(path.clone()).or_insert(file);
            }
        }
        let random = state.next_random() | 1;
        let restarted =
            State { names: names.clone(), durable_names: names, files, random, ..State::default() };
        Self { state: Arc::new(Mutex::new(restarted)) }
    }

    /// Turns one bit of a file over.
    pub fn flip(&self, path: &Path, byte: usize) {
        let mut state = self.state();
        if let Some(&file) = state.names.get(path) {
            let file = &mut state.files[file];
            file.bytes[byte] ^= 0x10;
            file.durable.clone_from(&file.bytes);
        }
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.names.get(path).map(|&file| state.files[file].bytes.clone()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is durable up to a place, then what was written: a torn write.
fn mix(durable: &[u8], written: &[u8], torn: usize) -> Vec<u8> {
    let same = durable.iter().zip(written).take_while(|(a, b)| a == b).count();
    let cut = same + torn % (written.len().saturating_sub(same) + 1);
    let mut bytes = written[..cut].to_vec();
    bytes.extend_from_slice(durable.get(cut..).unwrap_or_default());
    bytes
}

impl State {
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fail {
            _ if self.dead => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some((at, 0)) if at <= self.operations => {
                self.dead = true;
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            Some((at, errno)) if at == self.operations => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }
}

struct OpenFile {
    disk: CrashingDisk,
    file: usize,
}

impl Disk for CrashingDisk {
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(FileState { bytes: vec![0; reserve_bytes as usize], ..FileState::default() });
        state.names.insert(path.to_owned(), file);
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let within = |path: &Path| path.parent() == Some(dir);
        let mut durable = state.durable_names.clone();
        durable.retain(|path, _| !within(path));
        durable.extend(
            state.names.iter().filter(|(path, _)| within(path)).map(|(path, &file)| (path.clone(), file)),
        );
        state.durable_names = durable;
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.step()?;
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.state().step()
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { total_bytes: 1 << 40, free_bytes: 1 << 39 })
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.step()?;
        let bytes = &state.files[self.file].bytes;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.step()?;
        // Every other long write is a short one.
        let length = if bytes.len() > 100 && state.next_random().is_multiple_of(2) {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let end = offset as usize + length;
        let file = &mut state.files[self.file].bytes;
        file.resize(file.len().max(end), 0);
        file[offset as usize..end].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let stepped = state.step();
        let file = &mut state.files[self.file];
        match stepped {
            // As Linux does: the next sync of it may say Ok though nothing was written.
            Err(error) => {
                file.poisoned = true;
                Err(error)
            }
            Ok(()) if file.poisoned => Ok(()),
            Ok(()) => {
                file.durable = file.bytes.clone();
                Ok(())
            }
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        state.files[self.file].bytes.resize(bytes as usize, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.step()?;
        Ok(state.files[self.file].bytes.len() as u64)
    }
}
