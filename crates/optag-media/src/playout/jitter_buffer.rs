//! Reorders packets. In: audio payloads with extended sequence numbers. Out: [`PlayoutItem`]s in sequence, as
//! soon as they are in order or the waiting time is over. Payload memory is recycled among the few packets
//! that wait at a time, so a running stream allocates nothing.

use std::num::NonZero;
use std::time::Duration;

use zeroize::Zeroize;

use crate::playout::clock_mapping::Moved;

/// Shortest packet time for which the buffer is sized.
const PACKET_MS: usize = 10;
/// Capacity beyond the waiting time for late packets: some ticks and a burst.
const BEYOND_MS: usize = 440;
/// Maximum audio payload: 120 ms of L16 at 8 kHz, 20 ms at 48 kHz. Units: bytes.
pub const PAYLOAD_BYTES: usize = 1_920;

/// A packet in sequence.
#[derive(Debug, PartialEq, Eq)]
pub struct PlayoutItem<'a> {
    /// Timestamp, unwrapped. Units: of the axis.
    pub ticks: i64,
    /// Payload type.
    pub payload_type: u8,
    /// Encoded audio.
    pub payload: &'a [u8],
    /// Number of packets missing directly before it.
    pub lost_before: u64,
}

/// The result of inserting a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// It waits for playout.
    Kept,
    /// It is or was there already.
    Duplicate,
    /// Its playout time is over.
    Late,
    /// Its payload is too long for audio.
    Oversized,
}

/// A slot for one packet; 16 bytes, as there are many more slots than waiting packets.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    ticks: i64,
    /// The low bits of its sequence number.
    sequence: u32,
    /// Index of its payload memory.
    payload: Option<NonZero<u16>>,
    payload_type: u8,
}

impl Slot {
    fn holds(&self, sequence: u64) -> bool {
        self.payload.is_some() && self.sequence == sequence as u32
    }
}

/// The buffer of one stream.
#[derive(Debug, Default)]
pub struct JitterBuffer {
    size: usize,
    slots: Vec<Slot>,
    /// Payload memory of waiting packets, free memory, and that of the last packet returned.
    payloads: Payloads,
    last: Option<NonZero<u16>>,
    /// Next sequence number to return, unwrapped; `None` before the first packet.
    next: Option<u64>,
    highest: u64,
    /// Bit n: `next - 1 - n` was returned. Distinguishes duplicates from late packets.
    handed_out: u64,
    /// Whether any packet has been returned: before that, the first number is undetermined.
    started: bool,
    /// Packets skipped since the last one returned.
    passed_over: u64,
}

impl JitterBuffer {
    /// A buffer with this waiting time for late packets.
    pub fn new(wait: Duration) -> Self {
        let size = (wait.as_millis() as usize + BEYOND_MS).div_ceil(PACKET_MS).next_power_of_two();
        Self { size, ..Self::default() }
    }

    /// Inserts a packet.
    pub fn insert(&mut self, number: u64, ticks: i64, payload_type: u8, payload: &[u8]) -> Insert {
        if payload.len() > PAYLOAD_BYTES {
            return Insert::Oversized;
        }
        if self.slots.is_empty() {
            self.slots.resize(self.size, Slot::default());
        }
        let Some(next) = self.next else {
            (self.next, self.highest) = (Some(number), number);
            self.fill(number, ticks, payload_type, payload);
            return Insert::Kept;
        };
        let overtaken = !self.started && self.highest - number.min(self.highest) < self.size as u64;
        if number < next && overtaken {
            self.next = Some(number);
        } else if number < next {
            let back = next - 1 - number;
            let was_handed_out = back < 64 && self.handed_out >> back & 1 == 1;
            return if was_handed_out { Insert::Duplicate } else { Insert::Late };
        }
        if self.slots[self.place(number)].holds(number) {
            return Insert::Duplicate;
        }
        self.highest = self.highest.max(number);
        if number >= next + self.size as u64 {
            // Too far ahead to wait for: the packets in between are lost, and the rest moves on.
            self.skip_to(number + 1 - self.size as u64);
        }
        self.fill(number, ticks, payload_type, payload);
        Insert::Kept
    }

    /// Packets from this number on are placed later by this much.
    pub fn move_by(&mut self, Moved { from, by }: Moved) {
        for number in from.max(self.next.unwrap_or(from))..=self.highest {
            let place = self.place(number);
            if self.slots[place].holds(number) {
                self.slots[place].ticks += by;
            }
        }
    }

    /// Returns the next packet: the one in sequence if its `ticks` are before `limit`, or the first one
    /// available before `due`.
    pub fn pop(&mut self, due: i64, limit: i64) -> Option<PlayoutItem<'_>> {
        self.pop_below(u64::MAX, due, limit)
    }

    /// The same, with packets from the number `open` on held back.
    pub fn pop_below(&mut self, open: u64, due: i64, limit: i64) -> Option<PlayoutItem<'_>> {
        let next = self.next?;
        let found =
            (next..=self.highest).find(|&sequence| self.slots[self.place(sequence)].holds(sequence))?;
        let place = self.place(found);
        let Slot { ticks, payload_type, payload, .. } = self.slots[place];
        if found >= open || ticks >= limit || (found != next && ticks >= due) {
            return None;
        }
        let lost_before = found - next + std::mem::take(&mut self.passed_over);
        self.started = true;
        self.advance(found + 1, true);
        self.slots[place].payload = None;
        self.payloads.give_back(std::mem::replace(&mut self.last, payload));
        Some(PlayoutItem { ticks, payload_type, payload: self.payloads.read(payload?), lost_before })
    }

    /// Discards everything; payload bytes are overwritten. Used when the gate closes.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.payloads.wipe();
        self.last = None;
        self.next = None;
        self.handed_out = 0;
        self.started = false;
        self.passed_over = 0;
    }

    fn place(&self, sequence: u64) -> usize {
        sequence as usize % self.size
    }

    fn skip_to(&mut self, next: u64) {
        let before = self.next.unwrap_or(next);
        for sequence in before..next.min(before + self.size as u64) {
            self.empty(sequence);
        }
        self.passed_over += next - before;
        self.advance(next, false);
    }

    fn empty(&mut self, sequence: u64) {
        let place = self.place(sequence);
        if self.slots[place].holds(sequence) {
            self.payloads.give_back(self.slots[place].payload.take());
        }
    }

    fn advance(&mut self, to: u64, last_was_there: bool) {
        let by = to - self.next.unwrap_or(to);
        self.handed_out = if by < 64 { self.handed_out << by } else { 0 };
        self.handed_out |= u64::from(last_was_there);
        self.next = Some(to);
    }

    fn fill(&mut self, sequence: u64, ticks: i64, payload_type: u8, payload: &[u8]) {
        let place = self.place(sequence);
        let payload = self.payloads.keep(payload);
        self.slots[place] = Slot { ticks, sequence: sequence as u32, payload, payload_type };
    }
}

/// Payload memory, numbered from 1.
#[derive(Debug, Default)]
struct Payloads {
    all: Vec<Payload>,
    free: Vec<NonZero<u16>>,
}

/// A payload: the front of memory that is as long as the longest payload stored there.
#[derive(Debug, Default)]
struct Payload {
    memory: Vec<u8>,
    length: usize,
}

impl Payloads {
    fn keep(&mut self, payload: &[u8]) -> Option<NonZero<u16>> {
        let number = self.free.pop().or_else(|| {
            self.all.push(Payload::default());
            NonZero::new(self.all.len() as u16)
        })?;
        let Payload { memory, length } = &mut self.all[usize::from(number.get()) - 1];
        *length = payload.len();
        match memory.get_mut(..payload.len()) {
            Some(front) => front.copy_from_slice(payload),
            None => {
                // Growing leaves the old memory behind.
                memory.zeroize();
                memory.extend_from_slice(payload);
            }
        }
        Some(number)
    }

    fn read(&self, number: NonZero<u16>) -> &[u8] {
        let Payload { memory, length } = &self.all[usize::from(number.get()) - 1];
        &memory[..*length]
    }

    fn give_back(&mut self, number: Option<NonZero<u16>>) {
        self.free.extend(number);
    }

    /// Overwrites every byte ever used; the memory is kept.
    fn wipe(&mut self) {
        self.all.iter_mut().for_each(|payload| payload.memory.as_mut_slice().zeroize());
        self.free.clear();
        self.free.extend((1..=self.all.len() as u16).filter_map(NonZero::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(200);

    fn drain(jitter: &mut JitterBuffer, due: i64) -> Vec<(i64, u64)> {
        std::iter::from_fn(|| jitter.pop(due, i64::MAX).map(|item| (item.ticks / 160, item.lost_before)))
            .collect()
    }

    fn insert(jitter: &mut JitterBuffer, n: u16) -> Insert {
        jitter.insert(65_530 + u64::from(n), i64::from(n) * 160, 0, &[n as u8])
    }

    #[test]
    fn packets_come_out_in_order_and_once() {
        let mut jitter = JitterBuffer::new(WAIT);
        for n in [0, 2, 1, 1, 5, 3, 4, 9, 8] {
            insert(&mut jitter, n);
        }
        let order: Vec<_> = drain(&mut jitter, 0).into_iter().map(|(n, _)| n).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert_eq!(insert(&mut jitter, 3), Insert::Duplicate);
        assert_eq!(insert(&mut jitter, 8), Insert::Duplicate);
        insert(&mut jitter, 6);
        insert(&mut jitter, 7);
        assert_eq!(drain(&mut jitter, 0), [(6, 0), (7, 0), (8, 0), (9, 0)]);
    }

    #[test]
    fn a_hole_is_waited_for_until_it_is_due() {
        let mut jitter = JitterBuffer::new(WAIT);
        insert(&mut jitter, 0);
        insert(&mut jitter, 3);
        assert_eq!(drain(&mut jitter, 3 * 160), [(0, 0)]);
        assert_eq!(drain(&mut jitter, 3 * 160 + 1), [(3, 2)]);
        assert_eq!(insert(&mut jitter, 2), Insert::Late);
        assert_eq!(insert(&mut jitter, 3), Insert::Duplicate);
    }

    #[test]
    fn a_leap_beyond_the_buffer_loses_what_is_between() {
        let mut jitter = JitterBuffer::new(WAIT);
        insert(&mut jitter, 0);
        insert(&mut jitter, 1_000);
        assert_eq!(drain(&mut jitter, i64::MAX), [(1_000, 1_000)]);
    }

    #[test]
    fn packets_that_wait_are_moved_and_those_that_went_are_not() {
        let mut jitter = JitterBuffer::new(WAIT);
        assert!((0..5).all(|n| insert(&mut jitter, n) == Insert::Kept));
        let open = 65_532;
        let waits = std::iter::from_fn(|| jitter.pop_below(open, i64::MAX, i64::MAX).map(|item| item.ticks));
        assert_eq!(waits.collect::<Vec<_>>(), [0, 160], "from the third on they wait");
        jitter.move_by(Moved { from: 65_531, by: 1_600 });
        assert_eq!(drain(&mut jitter, 0), [(12, 0), (13, 0), (14, 0)]);
        jitter.move_by(Moved { from: 0, by: 160 });
        insert(&mut jitter, 5);
        assert_eq!(drain(&mut jitter, 0), [(5, 0)]);
    }

    #[test]
    fn clearing_overwrites_what_waits_what_went_and_what_was_longer() {
        let mut jitter = JitterBuffer::new(WAIT);
        let payload = |n: u64| vec![0x55; 200 - n as usize];
        for n in 0..20 {
            jitter.insert(n, n as i64 * 160, 0, &payload(n));
            if n < 10 {
                assert_eq!(jitter.pop(0, i64::MAX).map(|item| item.payload.to_vec()), Some(payload(n)));
            }
        }
        let held = |jitter: &JitterBuffer| -> Vec<u8> {
            jitter.payloads.all.iter().flat_map(|payload| payload.memory.clone()).collect()
        };
        let before = held(&jitter);
        assert!(before.len() > 10 * 180 && before.iter().all(|&byte| byte == 0x55));
        jitter.clear();
        // All of the memory is still there for inspection.
        assert_eq!(held(&jitter), vec![0; before.len()]);
        assert!(jitter.slots.iter().all(|slot| slot.payload.is_none()));
        assert_eq!(drain(&mut jitter, i64::MAX), []);
        assert_eq!(jitter.insert(3, 0, 0, &[1]), Insert::Kept, "and is used again");
        assert_eq!(drain(&mut jitter, i64::MAX), [(0, 0)]);
    }
}
