//! Memory of encoder states: separate pages, of which those that the library leaves zero take no memory. A
//! state is 31,672 bytes with libopus 1.6.1, 14 KiB of them for an analysis that is not used for speech at 8
//! kHz. Wiped states are kept in a pool, since a busy node opens and closes gates all the time.

use std::ptr::{self, NonNull};
use std::sync::{Mutex, OnceLock, PoisonError};

use opus_lanes::sys;
use zeroize::Zeroize;

/// States kept: 32 MiB of address space, but no memory.
const KEPT: usize = 1_024;

static POOL: Mutex<Vec<Pages>> = Mutex::new(Vec::new());

/// Zeroed, page-aligned memory for one state. It is wiped when dropped.
#[derive(Debug)]
pub(crate) struct EncoderMemory(Pages);

impl EncoderMemory {
    /// All zero, for a mono encoder. Never blocks: if another thread is using the pool, it maps new pages.
    ///
    /// Panics: no address space left.
    pub(crate) fn take() -> Self {
        let pooled = POOL.try_lock().ok().and_then(|mut pool| pool.pop());
        Self(pooled.unwrap_or_else(Pages::map))
    }

    /// Its start.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.0.as_ptr()
    }

    /// Returns the memory of all-zero pages to the system: they still read as zeros, and take memory again
    /// once written.
    pub(crate) fn release_zero_pages(&mut self) {
        let size = page_bytes();
        for n in 0..pages() {
            if is_zero(self.page(n)) {
                self.0.release(n * size, size);
            }
        }
    }

    fn wipe(&mut self) {
        for n in 0..pages() {
            let page = self.page(n);
            // Writing to a page without content would allocate memory for it.
            if !is_zero(page) {
                page.zeroize();
            }
        }
        self.0.release(0, mapped_bytes());
    }

    fn page(&mut self, n: usize) -> &mut [u8] {
        let size = page_bytes();
        assert!(n < pages(), "page {n} of {}", pages());
        // SAFETY: the range lies inside the pages, which are mapped, readable and writable as long
        // as `self` is, and borrowed through `self`.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().add(n * size), size) }
    }
}

impl Drop for EncoderMemory {
    fn drop(&mut self) {
        self.wipe();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < KEPT {
            pool.push(Pages(self.0.0));
        } else {
            // SAFETY: this many pages were mapped, and only `self` had them.
            unsafe { libc::munmap(self.0.0.as_ptr().cast(), mapped_bytes()) };
        }
    }
}

/// The mapped pages of a state, in use or in the pool.
#[derive(Debug)]
struct Pages(NonNull<u8>);

// SAFETY: the value is the only owner of the pages.
unsafe impl Send for Pages {}

impl Pages {
    fn map() -> Self {
        let bytes = mapped_bytes();
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping at any address.
        let address = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        assert_ne!(address, libc::MAP_FAILED, "the system has no address space for an encoder");
        let start = NonNull::new(address.cast()).expect("a mapping is not at address 0");
        // Huge pages would take memory for data that is never written. SAFETY: the pages were just mapped;
        // the advice does not change their content.
        unsafe { libc::madvise(address, bytes, libc::MADV_NOHUGEPAGE) };
        Self(start)
    }

    /// Returns the memory of whole zero pages.
    fn release(&mut self, from: usize, bytes: usize) {
        // SAFETY: the range lies inside the pages and holds zeros only, as it does afterwards: an
        // anonymous private page that was released reads as zeros. Source: madvise(2).
        unsafe { libc::madvise(self.0.as_ptr().add(from).cast(), bytes, libc::MADV_DONTNEED) };
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.as_chunks::<32>().0.iter().all(|chunk| *chunk == [0; 32])
}

/// Number of pages of a state.
fn pages() -> usize {
    static PAGES: OnceLock<usize> = OnceLock::new();
    // SAFETY: a plain size query.
    *PAGES.get_or_init(|| (unsafe { sys::opus_encoder_get_size(1) } as usize).div_ceil(page_bytes()))
}

/// Their total size.
fn mapped_bytes() -> usize {
    pages() * page_bytes()
}

/// The system's page size, a multiple of 32.
fn page_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    // SAFETY: a plain query.
    *BYTES.get_or_init(|| usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped() -> EncoderMemory {
        EncoderMemory(Pages::map())
    }

    /// Whether each page takes memory.
    fn resident(state: &mut EncoderMemory) -> Vec<bool> {
        let mut resident = vec![0u8; pages()];
        // SAFETY: the pages are mapped, and the list has a byte for each.
        let status =
            unsafe { libc::mincore(state.as_mut_ptr().cast(), mapped_bytes(), resident.as_mut_ptr()) };
        assert_eq!(status, 0, "mincore");
        resident.iter().map(|page| page & 1 == 1).collect()
    }

    #[test]
    fn pages_of_zeros_take_no_memory_and_read_as_zeros() {
        let mut state = mapped();
        let count = pages();
        (0..count).for_each(|n| state.page(n).fill(0));
        state.page(1).fill(7);
        assert_eq!(resident(&mut state), vec![true; count]);
        state.release_zero_pages();
        assert_eq!(resident(&mut state), (0..count).map(|n| n == 1).collect::<Vec<_>>());
        assert!(is_zero(state.page(0)));
        assert!(state.page(1).iter().all(|&byte| byte == 7));
    }

    #[test]
    fn a_wiped_state_is_zero_and_takes_no_memory() {
        let mut state = mapped();
        (0..pages()).for_each(|n| state.page(n).fill(0xa5));
        state.wipe();
        assert_eq!(resident(&mut state), vec![false; pages()]);
        assert!((0..pages()).all(|n| is_zero(state.page(n))));
    }

    #[test]
    fn states_are_zero_whoever_had_them_before() {
        for _ in 0..3 {
            let mut states: Vec<_> = (0..4).map(|_| EncoderMemory::take()).collect();
            for state in &mut states {
                for n in 0..pages() {
                    assert!(is_zero(state.page(n)));
                    state.page(n).fill(0xa5);
                }
            }
        }
    }
}
