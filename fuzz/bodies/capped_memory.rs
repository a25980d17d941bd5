//! An allocator for targets whose memory must stay bounded: a single piece, or all of them together, beyond
//! the cap is a finding.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most that all live pieces may take. Units: bytes.
const TOGETHER: usize = 512 << 20;
/// Most that one piece may take. Units: bytes.
const PIECE: usize = 128 << 20;

struct Capped;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; the count touches no memory of its callers.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        if layout.size() > PIECE || live > TOGETHER {
            // libFuzzer keeps the input of a process that aborts.
            std::process::abort();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static MEMORY: Capped = Capped;
