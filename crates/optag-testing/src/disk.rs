//! A disk in memory that forgets. What was not synced may be there after a crash or not, sector
//! by sector and in any order; any operation can be made to fail. Deterministic from a seed.
//!
//! In: the calls of [`Disk`] and a plan of faults. Out: what a machine would find after a power
//! cut. Not here: what the spool does about it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use optag_files::disk::{Access, Disk, DiskFile, Space};

/// What survives a crash or not as one. Small, so that records tear in every place.
const SECTOR_BYTES: usize = 64;

/// What an operation does, for faults that hit one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Making a file.
    Create,
    /// Opening one.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making a file's bytes durable.
    Sync,
    /// Making a directory's names durable.
    SyncDir,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Everything else: listing, lengths, directories.
    Other,
}

/// Operations that are to fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Only these; all where none is named.
    pub only: Option<Op>,
    /// The first to fail: the n-th from now, from 1.
    pub first: u64,
    /// How many in a row.
    pub times: u64,
    /// With which error number.
    pub errno: i32,
}

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct CrashingDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// What a program sees.
    names: BTreeMap<PathBuf, usize>,
    /// What is certain to be there after a crash.
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<FileState>,
    fault: Option<Fault>,
    /// Operations left until the power goes.
    die_in: Option<u64>,
    dead: bool,
    capacity: Option<usize>,
    random: u64,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Everything that was ever written, also what was cut off again.
    ever: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Sectors that no later sync writes unless they are written again; a crash may leave them or not.
    lost: BTreeSet<usize>,
    /// A sync of it failed: the next ones say Ok and write nothing, as Linux may do.
    poisoned: bool,
}

impl CrashingDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.state().random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        disk
    }

    /// Lets the `n`-th operation from now fail with this error number.
    pub fn fail(&self, n: u64, errno: i32) {
        self.plan(Fault { only: None, first: n, times: 1, errno });
    }

    /// Lets operations fail as planned, instead of any earlier plan.
    pub fn plan(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Ends all planned faults.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// From the `n`-th operation on nothing works any more, as after a power cut.
    pub fn die(&self, n: u64) {
        self.state().die_in = Some(n);
    }

    /// Whether nothing works any more.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Limits what all files together may take; none lifts the limit. Units: bytes.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// What a restart finds: names and bytes that were synced, and of the rest whatever chance
    /// leaves.
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        let mut files = state.files.clone();
        for file in &mut files {
            let all = state.next_random() % 4;
            let mut after = file.durable.clone();
            if all == 0 || (all > 1 && state.next_random().is_multiple_of(2)) {
                after.resize(after.len().max(file.bytes.len()), 0);
            }
            for &sector in file.dirty.union(&file.lost) {
                let keep = all == 0 || (all > 1 && state.next_random().is_multiple_of(2));
                if keep {
                    copy_sector(&mut after, &file.bytes, sector);
                }
            }
            *file = FileState { bytes: after.clone(), durable: after, ..FileState::default() };
        }
        let mut names = BTreeMap::new();
        let paths: BTreeSet<PathBuf> =
            state.names.keys().chain(state.durable_names.keys()).cloned().collect();
        for path in paths {
            let (new, old) = (state.names.get(&path).copied(), state.durable_names.get(&path).copied());
            let survivor = if state.next_random().is_multiple_of(2) { new } else { old };
            names.extend(survivor.map(|file| (path, file)));
        }
        let random = state.next_random() | 1;
        let capacity = state.capacity;
        let restarted =
            State { names: names.clone(), durable_names: names, files, random, capacity, ..State::default() };
        Self { state: Arc::new(Mutex::new(restarted)) }
    }

    /// What the next process finds where the machine goes on: all that was written, synced or not. What a failed sync
    /// did not write is taken for written; what is written again is synced.
    pub fn kill(&self) -> Self {
        let mut state = State { fault: None, die_in: None, dead: false, ..self.state().clone() };
        state.files.iter_mut().for_each(|file| file.poisoned = false);
        Self { state: Arc::new(Mutex::new(state)) }
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

    /// Copies a file under another name, durably.
    pub fn copy(&self, from: &Path, to: &Path) {
        let mut state = self.state();
        let Some(&file) = state.names.get(from) else { return };
        let copy = state.files[file].clone();
        state.files.push(copy);
        let copied = state.files.len() - 1;
        state.names.insert(to.to_owned(), copied);
        state.durable_names.insert(to.to_owned(), copied);
    }

    /// Takes a file away, durably.
    pub fn lose(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
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

    /// All that was written since the last crash, file by file, removed ones included.
    pub fn ever_written(&self) -> Vec<Vec<u8>> {
        self.state().files.iter().map(|file| file.ever.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn copy_sector(to: &mut Vec<u8>, from: &[u8], sector: usize) {
    let start = (sector * SECTOR_BYTES).min(from.len());
    let end = (start + SECTOR_BYTES).min(from.len());
    to.resize(to.len().max(end), 0);
    to[start..end].copy_from_slice(&from[start..end]);
}

impl State {
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // The low bits of a xorshift are its weakest.
        self.random >> 16
    }

    fn step(&mut self, op: Op) -> io::Result<()> {
        match &mut self.die_in {
            Some(0 | 1) => self.dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if self.dead {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let Some(fault) = self.fault.as_mut().filter(|fault| fault.only.is_none_or(|only| only == op)) else {
            return Ok(());
        };
        fault.first = fault.first.saturating_sub(1);
        if fault.first > 0 || fault.times == 0 {
            return Ok(());
        }
        fault.times -= 1;
        Err(io::Error::from_raw_os_error(fault.errno))
    }

    /// Whether files may grow by so many bytes in all.
    fn has_room(&self, more: usize) -> bool {
        let used: usize = self.names.values().map(|&file| self.files[file].bytes.len()).sum();
        self.capacity.is_none_or(|capacity| used + more <= capacity)
    }
}

struct OpenFile {
    disk: CrashingDisk,
    file: usize,
}

impl Disk for CrashingDisk {
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step(Op::Create)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        let reserved = if state.has_room(reserve_bytes as usize) { reserve_bytes as usize } else { 0 };
        state.files.push(FileState { bytes: vec![0; reserved], ..FileState::default() });
        state.names.insert(path.to_owned(), file);
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step(Op::Open)?;
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Rename)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::Remove)?;
        state.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step(Op::SyncDir)?;
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
        state.step(Op::Other)?;
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.state().step(Op::Other)
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let state = self.state();
        let used: usize = state.names.values().map(|&file| state.files[file].bytes.len()).sum();
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(Space { total_bytes: total as u64, free_bytes: total.saturating_sub(used) as u64 })
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.step(Op::Read)?;
        let bytes = &state.files[self.file].bytes;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let mut stepped = state.step(Op::Write);
        if state.dead {
            return stepped.map(|()| 0);
        }
        let offset = offset as usize;
        let growth = (offset + bytes.len()).saturating_sub(state.files[self.file].bytes.len());
        if stepped.is_ok() && growth > 0 && !state.has_room(growth) {
            stepped = Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        // A write that fails has written some of it; every other long one that works is short.
        let length = match stepped {
            Err(_) => (state.next_random() as usize) % bytes.len().max(1),
            Ok(()) if bytes.len() > 100 && state.next_random().is_multiple_of(2) => bytes.len() / 2,
            Ok(()) => bytes.len(),
        };
        if stepped.is_ok() || state.has_room(growth) {
            state.files[self.file].put(&bytes[..length], offset);
        }
        stepped.map(|()| length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let stepped = state.step(Op::Sync);
        let dead = state.dead;
        let file = &mut state.files[self.file];
        match &stepped {
            Ok(()) if !file.poisoned => {
                file.durable.resize(file.bytes.len(), 0);
                for sector in std::mem::take(&mut file.dirty) {
                    copy_sector(&mut file.durable, &file.bytes, sector);
                    file.lost.remove(&sector);
                }
            }
            Err(_) if dead => {}
            _ => {
                let dirty = std::mem::take(&mut file.dirty);
                file.lost.extend(dirty);
                file.poisoned = true;
            }
        }
        stepped
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step(Op::Other)?;
        state.files[self.file].bytes.resize(bytes as usize, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.step(Op::Other)?;
        Ok(state.files[self.file].bytes.len() as u64)
    }
}

impl FileState {
    fn put(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        for image in [&mut self.bytes, &mut self.ever] {
            image.resize(image.len().max(end), 0);
            image[offset..end].copy_from_slice(bytes);
        }
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        }
    }
}
