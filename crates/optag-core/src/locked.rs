//! Secret keys in memory that is neither swapped nor included in core dumps, and wiped when dropped.
//!
//! In: 32 bytes. Out: the same in a slot of anonymous pages with `mlock`, `MADV_DONTDUMP` and
//! `MADV_WIPEONFORK`. If no more memory can be locked (`RLIMIT_MEMLOCK`), keys still work; a warning is
//! logged once, and [`usage`] returns the amount affected.
//!
//! A [`Secret`] is a pointer: moving it leaves no copy behind. Code that computes with the key (key schedules
//! of aws-lc) has copies while it computes; therefore a key is expanded for one operation and nothing is
//! kept.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroize;

/// Length of a secret. Units: bytes.
pub const SECRET_BYTES: usize = 32;
/// Memory requested from the system at a time: 512 keys. Units: bytes.
const CHUNK_BYTES: usize = 16 * 1_024;

static POOL: Pool = Pool::new();

/// 32 secret bytes in locked memory, initially zero; overwritten when dropped.
pub struct Secret {
    slot: NonNull<[u8; SECRET_BYTES]>,
    pool: &'static Pool,
}

// SAFETY: a `Secret` owns its slot as a box does; the slots are handed out under a lock.
unsafe impl Send for Secret {}
// SAFETY: as above; shared access yields only `&[u8; 32]`.
unsafe impl Sync for Secret {}

impl Secret {
    /// Zeros, to be filled in place.
    pub fn zeroed() -> Self {
        Self::within(&POOL)
    }

    /// A copy. The caller must erase the original.
    pub fn copy_of(bytes: &[u8; SECRET_BYTES]) -> Self {
        let mut secret = Self::zeroed();
        secret.copy_from_slice(bytes);
        secret
    }

    fn within(pool: &'static Pool) -> Self {
        Self { slot: pool.slots().take().cast(), pool }
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl Deref for Secret {
    type Target = [u8; SECRET_BYTES];

    fn deref(&self) -> &Self::Target {
        // SAFETY: the slot is ours, initialised and in place until `drop`.
        unsafe { self.slot.as_ref() }
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: as above, and `&mut self` is the only access.
        unsafe { self.slot.as_mut() }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(‹private›)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.zeroize();
        self.pool.slots().free.push(Slot(self.slot.cast()));
    }
}

/// Memory for keys in this process. Units: bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requested from the system in total; never returned.
    pub total: usize,
    /// The part that may be swapped or dumped because the system refused protection.
    pub unprotected: usize,
}

/// How much memory is reserved for keys, and how much of it is unprotected.
pub fn usage() -> Usage {
    POOL.slots().usage
}

/// A free slot.
struct Slot(NonNull<u8>);

// SAFETY: a free slot is plain memory to which nothing else points.
unsafe impl Send for Slot {}

struct Pool(Mutex<Slots>);

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(Slots { free: Vec::new(), usage: Usage { total: 0, unprotected: 0 } }))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Free slots; chunks are never returned. Their number is that of the most secrets held at once, which the
/// limits on calls and open files bound.
struct Slots {
    free: Vec<Slot>,
    usage: Usage,
}

impl Slots {
    fn take(&mut self) -> NonNull<u8> {
        if self.free.is_empty() {
            self.grow();
        }
        self.free.pop().expect("a chunk has slots").0
    }

    fn grow(&mut self) {
        let chunk = map();
        let refused = protect(chunk).err();
        if let Some(error) = &refused
            && self.usage.unprotected == 0
        {
            tracing::warn!(
                %error,
                "memory for keys cannot be locked: keys may be swapped to disk; raise RLIMIT_MEMLOCK (LimitMEMLOCK=, ulimit -l)"
            );
        }
        self.usage.total += CHUNK_BYTES;
        self.usage.unprotected += if refused.is_some() { CHUNK_BYTES } else { 0 };
        for offset in (0..CHUNK_BYTES).step_by(SECRET_BYTES) {
            // SAFETY: within the chunk, at a multiple of the slot's size.
            self.free.push(Slot(unsafe { chunk.add(offset) }));
        }
    }
}

/// New zeroed pages. Aborts like any allocation if there are none.
fn map() -> NonNull<u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a plain system call; it touches no memory of ours.
    let chunk = unsafe { libc::mmap(std::ptr::null_mut(), CHUNK_BYTES, access, flags, -1, 0) };
    let layout = std::alloc::Layout::new::<[u8; CHUNK_BYTES]>();
    match NonNull::new(chunk.cast()) {
        Some(chunk) if chunk.as_ptr() != libc::MAP_FAILED.cast() => chunk,
        _ => std::alloc::handle_alloc_error(layout),
    }
}

/// Excludes a chunk from swap, core dumps and child processes.
fn protect(chunk: NonNull<u8>) -> std::io::Result<()> {
    let chunk = chunk.as_ptr().cast();
    let checked = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: the chunk is mapped, ours, and of this size; none of the calls unmaps pages.
    unsafe {
        let dump = checked(libc::madvise(chunk, CHUNK_BYTES, libc::MADV_DONTDUMP));
        let fork = checked(libc::madvise(chunk, CHUNK_BYTES, libc::MADV_WIPEONFORK));
        let lock = checked(libc::mlock(chunk, CHUNK_BYTES)).or_else(|_| {
            raise_limit();
            checked(libc::mlock(chunk, CHUNK_BYTES))
        });
        dump.and(fork).and(lock)
    }
}

/// Raises the soft limit of locked memory to the hard one, which needs no privilege.
fn raise_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a pointer to a local of the right type.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit);
        }
    }
}

#[cfg(test)]
mod tests;
