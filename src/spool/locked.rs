//! Memory for keys: never swapped, never in a core dump, wiped when a key goes.
//!
//! In: a value. Out: the same in a slot of locked pages. Where the system locks no more memory
//! (`ulimit -l`), keys still work, and a warning says so once.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroize;

/// Size of a slot. Units: bytes.
const SLOT_BYTES: usize = 1_024;
/// Memory that is asked of the system at a time. Units: bytes.
const CHUNK_BYTES: usize = 64 * 1_024;

/// A value in locked memory.
pub struct Locked<T> {
    slot: NonNull<T>,
}

// SAFETY: a `Locked` owns its value as a box does; the slots are handed out under a lock.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above; shared access gives `&T` alone.
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// Moves a value into locked memory and wipes where it came from.
    ///
    /// Panics: the value is larger than a slot, or the system gives no memory at all.
    pub fn new(value: T) -> Self {
        assert!(size_of::<T>() <= SLOT_BYTES && align_of::<T>() <= SLOT_BYTES, "too large for a slot");
        let slot = slots().take().cast::<T>();
        let mut value = ManuallyDrop::new(value);
        // SAFETY: the slot is ours alone, large and aligned enough; the source is not used as a `T`
        // again, so its bytes may be overwritten.
        unsafe {
            std::ptr::copy_nonoverlapping(&raw const *value, slot.as_ptr(), 1);
            let bytes = (&raw mut value).cast::<u8>();
            std::slice::from_raw_parts_mut(bytes, size_of::<T>()).zeroize();
        }
        Self { slot }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the slot holds a value from `new` until `drop`.
        unsafe { self.slot.as_ref() }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        let slot = self.slot.cast::<u8>();
        // SAFETY: the value is dropped once; then the whole slot is plain bytes of ours.
        unsafe {
            std::ptr::drop_in_place(self.slot.as_ptr());
            std::slice::from_raw_parts_mut(slot.as_ptr(), SLOT_BYTES).zeroize();
        }
        slots().free.push(Slot(slot));
    }
}

/// A free slot.
struct Slot(NonNull<u8>);

// SAFETY: a free slot is plain memory that nobody else points to.
unsafe impl Send for Slot {}

/// Free slots; chunks are never given back.
struct Slots {
    free: Vec<Slot>,
    warned: bool,
}

impl Slots {
    fn take(&mut self) -> NonNull<u8> {
        if self.free.is_empty() {
            self.grow();
        }
        self.free.pop().expect("the system gave memory").0
    }

    fn grow(&mut self) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: plain system calls on memory that the first of them makes; every slot lies
        // within it and starts at a multiple of its size.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let chunk = libc::mmap(std::ptr::null_mut(), CHUNK_BYTES, access, flags, -1, 0);
            assert!(chunk != libc::MAP_FAILED, "no memory for keys");
            let locked = libc::mlock(chunk, CHUNK_BYTES) == 0;
            let undumped = libc::madvise(chunk, CHUNK_BYTES, libc::MADV_DONTDUMP) == 0;
            let safe = locked && undumped;
            if !safe && !self.warned {
                self.warned = true;
                let error = std::io::Error::last_os_error();
                tracing::warn!(%error, "keys may be swapped to disk: raise the limit of locked memory (ulimit -l)");
            }
            for offset in (0..CHUNK_BYTES).step_by(SLOT_BYTES) {
                self.free.extend(NonNull::new(chunk.cast::<u8>().add(offset)).map(Slot));
            }
        }
    }
}

fn slots() -> MutexGuard<'static, Slots> {
    static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: Vec::new(), warned: false });
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_live_in_their_own_slots_and_are_dropped_and_wiped() {
        let many: Vec<Locked<[u64; 100]>> = (0..200).map(|n| Locked::new([n; 100])).collect();
        for (n, one) in many.iter().enumerate() {
            assert_eq!(**one, [n as u64; 100]);
        }
        let dropped = std::sync::Arc::new(());
        let counted = Locked::new(dropped.clone());
        assert_eq!(std::sync::Arc::strong_count(&counted), 2);
        drop(counted);
        assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
        let place = many[7].slot.as_ptr();
        drop(many);
        // SAFETY: chunks are never given back, so the memory is still there; it may be in use
        // again by another test, but not with this pattern.
        assert_ne!(unsafe { place.read_volatile() }, [7; 100]);
    }

    #[test]
    fn the_system_counts_the_pages_as_locked() {
        let _key = Locked::new([1u8; 32]);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        let kib: u64 = locked.trim().trim_end_matches(" kB").trim().parse().unwrap();
        assert!(kib >= 64, "{locked}");
    }
}
