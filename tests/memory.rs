//! Counts what a call takes while it runs: every byte that is allocated for it and stays, and what
//! becomes resident, the C encoders' states included, which lie in pages of their own. A binary of
//! its own, as the allocator is the program's. `ARCHITECTURE.md` has the parts in a table.

#[path = "../crates/optag-media/benches/chain/mod.rs"]
mod chain;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::mem::size_of;

use optag_media::call::Call;

/// What a two-leg call of G.711 may take, kernel buffers aside. Units: bytes.
const MOST: i64 = 128 * 1024;
/// Calls of which the mean is taken, and ticks that each runs.
const CALLS: usize = 100;
const TICKS: usize = 100;
/// What a call has beside this chain: seat, gauges, sockets, its place in the engine's maps, its
/// entry in the registry, its key in the spool. Measured as a whole by `recorder -- memory`.
const BESIDE: i64 = 6 * 1024;
/// Least that two encoders' states take: what they are written with when they are made.
const TWO_STATES: i64 = 2 * 16 * 1024;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// Counts what is held, and leaves the work to the system.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: i64) {
    // Where a thread ends, its counter is gone already.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

fn held() -> i64 {
    HELD.with(Cell::get)
}

/// Memory of the process that holds something. Units: bytes.
fn resident() -> i64 {
    of_process("smaps_rollup", "Anonymous:")
}

/// Address space of the process. Units: bytes.
fn mapped() -> i64 {
    of_process("status", "VmSize:")
}

fn of_process(file: &str, name: &str) -> i64 {
    let said = std::fs::read_to_string(format!("/proc/self/{file}")).expect("a Linux with /proc");
    let line = said.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.trim().trim_end_matches(" kB").parse::<i64>().expect("a number of KiB") * 1_024
}

/// A call that has run for ten seconds with talk, pauses, noise, and packets out of order.
fn run(legs: &[Vec<Vec<u8>>; 2]) -> chain::Player {
    let mut player = chain::Player::new(true);
    for tick in 0..TICKS {
        for (stream, packets) in legs.iter().enumerate() {
            for n in tick * 5..tick * 5 + 5 {
                // Once the sender has proved itself, neighbours change places.
                let n = if tick > 0 { tick * 5 + [1, 0, 3, 2, 4][n % 5] } else { n };
                player.hand(stream, n, &packets[n]);
            }
        }
        player.tick(tick);
    }
    player
}

#[test]
fn a_call_of_two_legs_takes_at_most_128_kib() {
    let voice = |seed: f64| -> Vec<i16> {
        let talk = |n: usize| (n as f64 * seed).sin() * 9_000.0 * (n / 12_000 % 2) as f64;
        (0..TICKS * 800).map(|n| (talk(n) + (n * 7_919 % 101) as f64 - 50.0) as i16).collect()
    };
    let legs = [chain::packets(&voice(0.3), 1), chain::packets(&voice(0.2), 2)];
    // The first call makes what all share.
    let first = run(&legs);
    let (before, resident_before) = (held(), resident());
    let calls: Vec<_> = (0..CALLS).map(|_| run(&legs)).collect();
    let each = (held() - before) / CALLS as i64;
    let resident_each = (resident() - resident_before) / CALLS as i64;
    assert!(calls.iter().all(|player| player.stats.frames_coded > 0));
    println!("{each} bytes a call allocated, of which {} are the call's own struct", size_of::<Call>());
    println!("{resident_each} bytes a call resident");
    assert!(resident_each > each / 2 + TWO_STATES, "{resident_each} bytes do not even hold two encoders");
    assert!(resident_each + BESIDE <= MOST, "{resident_each} bytes a call, {BESIDE} beside it");
    drop(calls);
    let left = (held() - before) / CALLS as i64;
    assert!(left < 1_024, "{left} bytes of each call stay");
    let kept = (resident() - resident_before) / CALLS as i64;
    assert!(kept < resident_each - TWO_STATES, "{kept} bytes of each stay resident: the pool's states do");
    let mapped_before = mapped();
    let again: Vec<_> = (0..CALLS).map(|_| run(&legs)).collect();
    let grown = (mapped() - mapped_before) / CALLS as i64;
    assert!(grown < TWO_STATES, "{grown} bytes mapped for each call: what is in the pool is used again");
    drop((first, again));
}
