//! Stacks of tasks: pages of their own below which nothing may be touched.

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use corosensei::stack::{Stack, StackPointer};
use zeroize::Zeroize;

/// Usable bytes. A task touches few of them, and only those take memory.
const USABLE: usize = 512 << 10;
/// Bytes below, which end the process when they are touched: more than any function of libopus
/// takes at once.
const GUARD: usize = 128 << 10;
/// Bytes at the top that are overwritten after use; what lies below is given back to the system.
const HOT: usize = 64 << 10;

/// A stack of one task at a time.
pub(crate) struct TaskStack(NonNull<u8>);

// SAFETY: the pages belong to whoever has this value.
unsafe impl Send for TaskStack {}

impl TaskStack {
    /// Errors: the system has no address space left.
    pub(crate) fn new() -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of no file, wherever there is room.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), GUARD + USABLE, access, kind, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self(NonNull::new(address.cast()).expect("a mapping is not at address 0"));
        // SAFETY: both ranges lie inside what was mapped just now.
        let guarded = unsafe {
            libc::madvise(address, GUARD + USABLE, libc::MADV_NOHUGEPAGE);
            libc::mprotect(address, GUARD, libc::PROT_NONE)
        };
        if guarded != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Overwrites what a task that has ended left.
    pub(crate) fn wipe(&mut self) {
        // SAFETY: the upper range is mapped, readable and writable, and borrowed through `self`; the
        // range below reads as zeros afterwards. Source: madvise(2).
        unsafe {
            let top = self.0.as_ptr().add(GUARD + USABLE - HOT);
            std::slice::from_raw_parts_mut(top, HOT).zeroize();
            libc::madvise(self.0.as_ptr().add(GUARD).cast(), USABLE - HOT, libc::MADV_DONTNEED);
        }
    }

    /// Bytes at the top that hold something other than zero.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        // SAFETY: the range is mapped and readable.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(GUARD), USABLE) };
        USABLE - bytes.iter().position(|&byte| byte != 0).unwrap_or(USABLE)
    }
}

impl Drop for TaskStack {
    fn drop(&mut self) {
        self.wipe();
        // SAFETY: so many bytes were mapped, and `self` was all that had them.
        unsafe { libc::munmap(self.0.as_ptr().cast(), GUARD + USABLE) };
    }
}

// SAFETY: the lowest bytes may not be touched; what is usable is more than the least.
unsafe impl Stack for TaskStack {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.0.as_ptr() as usize + GUARD + USABLE).expect("a mapping is not at address 0")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.0.as_ptr() as usize).expect("a mapping is not at address 0")
    }
}
