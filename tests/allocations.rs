//! Counts what the media chain allocates once it runs: nothing for a packet, and for a tick only
//! the block that it hands to the spool. A binary of its own, as the allocator is the program's.

#[path = "../crates/optag-media/benches/chain/mod.rs"]
mod chain;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use optag_core::clock::MonoTime;
use optag_media::rtp::srtp::{SrtpKey, SrtpPlan, SrtpReceiver, SrtpSender, Suite};

/// Allocations of a call's tick: the three lists of its block.
const PER_TICK: u64 = 3;
/// Every 10 s a tick writes down how the call stands.
const PER_SAVING: u64 = 40;
const TICKS_PER_SAVING: u64 = 100;
/// Ticks until every buffer has its size.
const WARM: usize = 200;
const TICKS: usize = 500;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts, and leaves the work to the system.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // Where a thread ends, its counter is gone already.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_packet_allocates_nothing_and_a_tick_only_its_block() {
    let voice = |seed: f64| -> Vec<i16> {
        let length = (WARM + TICKS) * 800;
        (0..length).map(|n| ((n as f64 * seed).sin() * 9_000.0 * (n / 12_000 % 2) as f64) as i16).collect()
    };
    let legs = [chain::packets(&voice(0.3), 1), chain::packets(&voice(0.2), 2)];
    let mut player = chain::Player::new(true);
    let (mut by_packets, mut by_ticks) = (0, 0);
    for tick in 0..WARM + TICKS {
        for (stream, packets) in legs.iter().enumerate() {
            for (n, packet) in packets.iter().enumerate().skip(tick * 5).take(5) {
                let made = allocations_of(|| player.hand(stream, n, packet));
                by_packets += if tick < WARM { 0 } else { made };
            }
        }
        let made = allocations_of(|| player.tick(tick));
        by_ticks += if tick < WARM { 0 } else { made };
    }
    assert!(player.stats.frames_coded > 0 && player.stats.frames_repeated > 0, "{:?}", player.stats);
    println!("{by_packets} allocations by {} packets, {by_ticks} by {TICKS} ticks", TICKS * 10);
    assert_eq!(by_packets, 0, "packets allocate");
    let ticks = TICKS as u64;
    let allowed = PER_TICK * ticks + PER_SAVING * (ticks / TICKS_PER_SAVING);
    assert!(by_ticks <= allowed, "{by_ticks} allocations by {TICKS} ticks");
}

#[test]
fn an_encrypted_packet_allocates_nothing_and_neither_does_one_that_is_not_proved() {
    for suite in Suite::ALL {
        let key = SrtpKey::new(suite, vec![7; suite.secret_bytes()], vec![0, 1]).expect("a key");
        let mut sender = SrtpSender::new(&key);
        let plan = SrtpPlan { receive: vec![key], send: None, required: true, roc: 0 };
        let mut receiver = SrtpReceiver::new(plan);
        let (mut sealed, mut clear) = ([0; 512], [0; 512]);
        let now = MonoTime::default();
        let mut made = 0;
        for (n, packet) in chain::packets(&[900; 160 * 300], 1).iter().enumerate() {
            let length = sender.protect(packet, &mut sealed).expect("it is a packet");
            let by_it = allocations_of(|| {
                assert_eq!(receiver.unprotect(now, &sealed[..length], &mut clear), Ok(packet.len()));
                sealed[40] ^= 1;
                assert!(receiver.unprotect(now, &sealed[..length], &mut clear).is_err());
            });
            made += if n < WARM { 0 } else { by_it };
        }
        assert_eq!(made, 0, "{}", suite.name());
    }
}
