//! Puts packets back in order. In: audio payloads with their sequence numbers. Out: the noun
//! `PlayoutItem`, in sequence, once in order or once the wait is over. Payload memory goes round
//! among the few packets that wait at a time, so a running stream allocates nothing.

use std::num::NonZero;
use std::time::Duration;

use zeroize::Zeroize;

/// Shortest packet time that the buffer is sized for.
const PACKET_MS: usize = 10;
/// What the buffer holds beyond the wait for late packets: some ticks and a burst.
const BEYOND_MS: usize = 440;
/// Largest audio payload: 120 ms of L16 at 8 kHz, 20 ms at 48 kHz. Units: bytes.
pub const PAYLOAD_BYTES: usize = 1_920;

/// A packet in its place.
#[derive(Debug, PartialEq, Eq)]
pub struct PlayoutItem<'a> {
    /// Timestamp, unwrapped. Units: of the axis.
    pub ticks: i64,
    /// Payload type.
    pub payload_type: u8,
    /// Coded audio.
    pub payload: &'a [u8],
    /// Packets missing right before it.
    pub lost_before: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// It waits for its turn.
    Kept,
    /// It is there already, or was.
    Duplicate,
    /// Its turn is over.
    Late,
    /// Its payload is too long to be audio.
    Oversized,
}

/// A place for one packet; 16 bytes, as there are many more places than packets that wait.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    ticks: i64,
    /// The low bits of its sequence number.
    sequence: u32,
    /// Which payload memory it has.
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
pub struct Jitter {
    size: usize,
    slots: Vec<Slot>,
    /// Payload memory, of packets that wait, that wait no more, and of the one handed out last.
    payloads: Payloads,
    last: Option<NonZero<u16>>,
    /// Next sequence number to hand out, unwrapped; `None` before the first packet.
    next: Option<u64>,
    highest: u64,
    /// Bit n: `next - 1 - n` was handed out. Tells a duplicate from a late packet.
    handed_out: u64,
    /// Whether any packet was handed out: before that, the first number is open.
    started: bool,
    /// Packets passed over since the last one handed out.
    passed_over: u64,
}

impl Jitter {
    /// A buffer that waits so long for late packets.
    pub fn new(wait: Duration) -> Self {
        let size = (wait.as_millis() as usize + BEYOND_MS).div_ceil(PACKET_MS).next_power_of_two();
        Self { size, ..Self::default() }
    }

    /// Takes a packet.
    pub fn insert(&mut self, sequence: u16, ticks: i64, payload_type: u8, payload: &[u8]) -> Insert {
        if payload.len() > PAYLOAD_BYTES {
            return Insert::Oversized;
        }
        if self.slots.is_empty() {
            self.slots.resize(self.size, Slot::default());
        }
        let Some(next) = self.next else {
            // Room below, so that a packet that was overtaken by the first still has a number.
            let first = (1 << 16) + u64::from(sequence);
            self.next = Some(first);
            self.highest = first;
            self.fill(first, ticks, payload_type, payload);
            return Insert::Kept;
        };
        let step = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let unwrapped = self.highest.saturating_add_signed(step);
        let overtaken = !self.started && self.highest - unwrapped.min(self.highest) < self.size as u64;
        if unwrapped < next && overtaken {
            self.next = Some(unwrapped);
        } else if unwrapped < next {
            let back = next - 1 - unwrapped;
            let was_handed_out = back < 64 && self.handed_out >> back & 1 == 1;
            return if was_handed_out { Insert::Duplicate } else { Insert::Late };
        }
        if self.slots[self.place(unwrapped)].holds(unwrapped) {
            return Insert::Duplicate;
        }
        self.highest = self.highest.max(unwrapped);
        if unwrapped >= next + self.size as u64 {
            // Too far ahead to wait for: what is between is lost, and the rest moves on.
            self.skip_to(unwrapped + 1 - self.size as u64);
        }
        self.fill(unwrapped, ticks, payload_type, payload);
        Insert::Kept
    }

    /// Hands out the next packet: the one in sequence if its `ticks` are before `limit`, or, for
    /// those before `due`, the first there is.
    pub fn pop(&mut self, due: i64, limit: i64) -> Option<PlayoutItem<'_>> {
        let next = self.next?;
        let found =
            (next..=self.highest).find(|&sequence| self.slots[self.place(sequence)].holds(sequence))?;
        let place = self.place(found);
        let Slot { ticks, payload_type, payload, .. } = self.slots[place];
        if ticks >= limit || (found != next && ticks >= due) {
            return None;
        }
        let lost_before = found - next + std::mem::take(&mut self.passed_over);
        self.started = true;
        self.advance(found + 1, true);
        self.slots[place].payload = None;
        self.payloads.give_back(std::mem::replace(&mut self.last, payload));
        Some(PlayoutItem { ticks, payload_type, payload: self.payloads.read(payload?), lost_before })
    }

    /// Forgets everything; payload bytes are overwritten. Used when the gate closes and when
    /// another sender takes over.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.payloads.clear();
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

/// Memory of payloads, numbered from 1.
#[derive(Debug, Default)]
struct Payloads {
    all: Vec<Vec<u8>>,
    free: Vec<NonZero<u16>>,
}

impl Payloads {
    fn keep(&mut self, payload: &[u8]) -> Option<NonZero<u16>> {
        let number = self.free.pop().or_else(|| {
            self.all.push(Vec::new());
            NonZero::new(self.all.len() as u16)
        })?;
        let memory = &mut self.all[usize::from(number.get()) - 1];
        memory.clear();
        memory.extend_from_slice(payload);
        Some(number)
    }

    fn read(&self, number: NonZero<u16>) -> &[u8] {
        &self.all[usize::from(number.get()) - 1]
    }

    fn give_back(&mut self, number: Option<NonZero<u16>>) {
        self.free.extend(number);
    }

    fn clear(&mut self) {
        self.all.zeroize();
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(200);

    fn drain(jitter: &mut Jitter, due: i64) -> Vec<(i64, u64)> {
        std::iter::from_fn(|| jitter.pop(due, i64::MAX).map(|item| (item.ticks / 160, item.lost_before)))
            .collect()
    }

    fn insert(jitter: &mut Jitter, n: u16) -> Insert {
        jitter.insert(65_530u16.wrapping_add(n), i64::from(n) * 160, 0, &[n as u8])
    }

    #[test]
    fn packets_come_out_in_order_and_once() {
        let mut jitter = Jitter::new(WAIT);
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
        let mut jitter = Jitter::new(WAIT);
        insert(&mut jitter, 0);
        insert(&mut jitter, 3);
        assert_eq!(drain(&mut jitter, 3 * 160), [(0, 0)]);
        assert_eq!(drain(&mut jitter, 3 * 160 + 1), [(3, 2)]);
        assert_eq!(insert(&mut jitter, 2), Insert::Late);
        assert_eq!(insert(&mut jitter, 3), Insert::Duplicate);
    }

    #[test]
    fn a_leap_beyond_the_buffer_loses_what_is_between() {
        let mut jitter = Jitter::new(WAIT);
        insert(&mut jitter, 0);
        insert(&mut jitter, 1_000);
        assert_eq!(drain(&mut jitter, i64::MAX), [(1_000, 1_000)]);
    }

    #[test]
    fn clearing_leaves_no_payload_behind() {
        let mut jitter = Jitter::new(WAIT);
        insert(&mut jitter, 0);
        insert(&mut jitter, 1);
        assert_eq!(jitter.pop(0, 160).map(|item| item.ticks), Some(0));
        jitter.clear();
        assert!(jitter.slots.iter().all(|slot| slot.payload.is_none()));
        assert!(jitter.payloads.all.iter().all(Vec::is_empty));
        assert_eq!(drain(&mut jitter, i64::MAX), []);
    }
}
