//! Memory of encoder states: pages of their own, of which those that the library leaves zero take
//! no memory. A state is 31,672 bytes with libopus 1.6.1, 14 KiB of them for an analysis that speech
//! at 8 kHz has no use for. Wiped states wait in a pool: a busy node opens and closes gates all the
//! time.

use std::ptr::{self, NonNull};
use std::sync::{Mutex, OnceLock, PoisonError};

use opus_lanes::sys;
use zeroize::Zeroize;

/// States kept: address space, 32 MiB, and no memory.
const KEPT: usize = 1_024;

static POOL: Mutex<Vec<Pages>> = Mutex::new(Vec::new());

/// Zeroed memory for one state, aligned to a page. It is wiped when it is dropped.
#[derive(Debug)]
pub struct EncoderMemory(Pages);

impl EncoderMemory {
    /// All zero, for a mono encoder. Waits for nobody: where another thread is at the pool, it maps
    /// new pages.
    ///
    /// Panics: the system has no address space left.
    pub fn take() -> Self {
        let pooled = POOL.try_lock().ok().and_then(|mut pool| pool.pop());
        Self(pooled.unwrap_or_else(Pages::map))
    }

    /// Where it begins.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.0.as_ptr()
    }

    /// Gives the memory of every page that is all zero back to the system: it reads as before, and
    /// takes memory again once something is written there.
    pub fn release_zero_pages(&mut self) {
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
            // To write into a page that holds nothing would take memory for it.
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
            // SAFETY: so many pages were mapped, and `self` was all that had them.
            unsafe { libc::munmap(self.0.0.as_ptr().cast(), mapped_bytes()) };
        }
    }
}

/// The mapped pages of a state, in its hands or in the pool's.
#[derive(Debug)]
struct Pages(NonNull<u8>);

// SAFETY: whoever has this value is the only one to have the pages.
unsafe impl Send for Pages {}

impl Pages {
    fn map() -> Self {
        let bytes = mapped_bytes();
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of no file, wherever there is room.
        let address = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        assert_ne!(address, libc::MAP_FAILED, "the system has no address space for an encoder");
        let start = NonNull::new(address.cast()).expect("a mapping is not at address 0");
        // Large pages would take memory for what is never written.
        // SAFETY: the pages were mapped just now; the advice changes nothing of their content.
        unsafe { libc::madvise(address, bytes, libc::MADV_NOHUGEPAGE) };
        Self(start)
    }

    /// Gives the memory of whole pages of zeros back.
    fn release(&mut self, from: usize, bytes: usize) {
        // SAFETY: the range lies inside the pages and holds zeros only, as it does afterwards: an
        // anonymous private page that is given back reads as zeros. Source: madvise(2).
        unsafe { libc::madvise(self.0.as_ptr().add(from).cast(), bytes, libc::MADV_DONTNEED) };
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.as_chunks::<32>().0.iter().all(|chunk| *chunk == [0; 32])
}

/// Pages of a state.
fn pages() -> usize {
    static PAGES: OnceLock<usize> = OnceLock::new();
    // SAFETY: a plain size query.
    *PAGES.get_or_init(|| (unsafe { sys::opus_encoder_get_size(1) } as usize).div_ceil(page_bytes()))
}

/// Their size together.
fn mapped_bytes() -> usize {
    pages() * page_bytes()
}

/// Size of the system's pages, a multiple of 32.
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
