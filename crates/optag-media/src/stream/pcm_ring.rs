//! A window of decoded samples on a call's time axis. In: runs of samples with positions.
//! Out: 20 ms frames, each with its number of received samples.
//!
//! Positions are on the [`axis`](crate::timebase); internally everything counts samples at the window's own
//! rate.

use crate::timebase::{frame_samples, per_sample};

/// The window, starting at the next frame.
#[derive(Debug)]
pub struct PcmRing {
    rate_hz: u32,
    samples: Vec<i16>,
    /// Bit n: sample n was placed.
    present: Vec<u64>,
    /// Index of the first sample, not wrapped.
    start: i64,
}

impl PcmRing {
    /// A window at `rate_hz` that begins with the frame at `start` and extends at least `ahead` beyond it.
    /// Units: of the axis.
    pub fn new(rate_hz: u32, start: i64, ahead: i64) -> Self {
        let size = ((ahead / per_sample(rate_hz)) as usize).next_power_of_two().max(64);
        let start = start / per_sample(rate_hz);
        Self { rate_hz, samples: vec![0; size], present: vec![0; size / 64], start }
    }

    /// Rate of the samples. Units: Hz.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Samples of a frame.
    pub fn frame_samples(&self) -> usize {
        frame_samples(self.rate_hz)
    }

    /// Places samples starting at the axis position `at`; those outside the window are dropped. Returns the
    /// number placed.
    pub fn place(&mut self, at: i64, samples: &[i16]) -> usize {
        let at = at.div_euclid(per_sample(self.rate_hz));
        let size = self.samples.len();
        let from = (self.start - at).clamp(0, samples.len() as i64) as usize;
        let to = (self.start + size as i64 - at).clamp(from as i64, samples.len() as i64) as usize;
        if from == to {
            return 0;
        }
        let index = self.index(at + from as i64);
        let first = (size - index).min(to - from);
        self.samples[index..index + first].copy_from_slice(&samples[from..from + first]);
        self.samples[..to - from - first].copy_from_slice(&samples[from + first..to]);
        self.mark(index, to - from);
        to - from
    }

    /// Silences what was placed between two axis positions, including samples that cross them.
    pub fn silence(&mut self, from: i64, to: i64) {
        let size = self.samples.len() as i64;
        let unit = per_sample(self.rate_hz);
        let from = from.div_euclid(unit).max(self.start);
        let to = (to + unit - 1).div_euclid(unit).min(self.start + size);
        for at in from..to {
            let index = self.index(at);
            self.samples[index] = 0;
        }
    }

    /// Whether anything was placed in the next frame.
    pub fn has_frame(&self) -> bool {
        let mut any = 0;
        words(self.samples.len(), self.index(self.start), self.frame_samples(), |word, mask| {
            any |= self.present[word] & mask;
        });
        any != 0
    }

    /// The samples of the next frame, in two runs.
    pub fn next(&self) -> [&[i16]; 2] {
        self.runs(self.index(self.start), self.frame_samples())
    }

    /// Copies the frame `frames` after the next one; returns whether it is complete.
    pub fn peek(&self, frames: usize, frame: &mut [i16]) -> bool {
        let size = self.samples.len();
        let length = frame.len();
        let index = self.index(self.start + (frames * length) as i64);
        self.copy(index, frame);
        let mut whole = true;
        words(size, index, length, |word, mask| whole &= self.present[word] & mask == mask);
        whole
    }

    /// Takes the next frame, of length [`PcmRing::frame_samples`]; returns how many of its samples were
    /// placed. The rest is zero, and the samples taken are wiped.
    pub fn take(&mut self, frame: &mut [i16]) -> usize {
        let size = self.samples.len();
        let index = self.index(self.start);
        let length = frame.len();
        let first = self.copy(index, frame);
        self.samples[index..index + first].fill(0);
        self.samples[..length - first].fill(0);
        self.start += length as i64;
        let mut placed = 0;
        words(size, index, length, |word, mask| {
            placed += (self.present[word] & mask).count_ones();
            self.present[word] &= !mask;
        });
        placed as usize
    }

    /// Skips the next frame.
    pub fn skip(&mut self) {
        let mut frame = [0; crate::timebase::LONGEST_FRAME];
        let length = self.frame_samples();
        self.take(&mut frame[..length]);
    }

    /// The same window at another rate: waiting samples are resampled by interpolation.
    pub fn at_rate(&self, rate_hz: u32) -> Self {
        let unit = per_sample(self.rate_hz);
        let mut other = Self::new(rate_hz, self.start * unit, self.samples.len() as i64 * unit);
        let new_unit = per_sample(rate_hz);
        for n in 0..other.samples.len() as i64 {
            let position = (other.start + n) * new_unit;
            let (left, rest) = (position.div_euclid(unit), position.rem_euclid(unit));
            if left >= self.start + self.samples.len() as i64 || !self.is_present(left) {
                continue;
            }
            let here = i64::from(self.samples[self.index(left)]);
            let next = i64::from(self.samples[self.index(left + 1)]);
            let next = if self.is_present(left + 1) { next } else { here };
            let index = other.index(other.start + n);
            other.samples[index] = (here + (next - here) * rest / unit) as i16;
            other.mark(index, 1);
        }
        other
    }

    /// This many samples from an index on, in two runs.
    fn runs(&self, index: usize, length: usize) -> [&[i16]; 2] {
        let first = (self.samples.len() - index).min(length);
        [&self.samples[index..index + first], &self.samples[..length - first]]
    }

    /// Copies the samples from an index on; returns the length of the first run.
    fn copy(&self, index: usize, frame: &mut [i16]) -> usize {
        let [one, other] = self.runs(index, frame.len());
        frame[..one.len()].copy_from_slice(one);
        frame[one.len()..].copy_from_slice(other);
        one.len()
    }

    fn index(&self, at: i64) -> usize {
        at as usize & (self.samples.len() - 1)
    }

    fn is_present(&self, at: i64) -> bool {
        let index = self.index(at);
        self.present[index / 64] >> (index % 64) & 1 == 1
    }

    fn mark(&mut self, index: usize, length: usize) {
        words(self.samples.len(), index, length, |word, mask| self.present[word] |= mask);
    }
}

impl Drop for PcmRing {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.samples);
    }
}

/// Calls `each` with every word and mask of a run of bits that may wrap at `size`, a power of two of at least
/// 64.
fn words(size: usize, index: usize, length: usize, mut each: impl FnMut(usize, u64)) {
    let (mut at, mut left) = (index, length);
    while left > 0 {
        let bit = at % 64;
        let count = (64 - bit).min(left);
        each(at / 64, (u64::MAX >> (64 - count)) << bit);
        at = (at + count) & (size - 1);
        left -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sample at 8 kHz on the axis.
    const UNIT: i64 = 6;

    #[test]
    fn samples_come_back_at_their_places_and_once() {
        let mut window = PcmRing::new(8_000, 0, 1_000 * UNIT);
        assert_eq!(window.place(-80 * UNIT, &[7; 160]), 80);
        assert_eq!(window.place(240 * UNIT, &[9; 100]), 100);
        assert_eq!(window.place(2_000 * UNIT, &[1; 10]), 0);
        let mut frame = [0; 160];
        assert!(window.has_frame());
        assert_eq!(window.next().concat()[78..82], [7, 7, 0, 0]);
        assert_eq!(window.take(&mut frame), 80);
        assert_eq!((frame[79], frame[80]), (7, 0));
        assert_eq!(window.take(&mut frame), 80);
        assert_eq!((frame[79], frame[80]), (0, 9));
        assert_eq!(window.take(&mut frame), 20);
        for _ in 0..20 {
            assert!(!window.has_frame());
            assert_eq!(window.take(&mut frame), 0);
            assert_eq!(frame, [0; 160]);
        }
    }

    #[test]
    fn what_is_placed_twice_counts_once() {
        let mut window = PcmRing::new(16_000, 0, 4_000);
        assert_eq!(window.place(0, &[1; 200]), 200);
        assert_eq!(window.place(300, &[2; 200]), 200);
        let mut frame = [0; 320];
        assert_eq!(window.take(&mut frame), 300);
    }

    #[test]
    fn silenced_spans_are_silent_but_present() {
        let mut window = PcmRing::new(8_000, 0, 6_000);
        window.place(0, &[5; 320]);
        window.silence(100 * UNIT + 1, 199 * UNIT + 1);
        let mut frame = [0; 160];
        assert_eq!(window.take(&mut frame), 160);
        assert_eq!((frame[99], frame[100]), (5, 0));
        window.take(&mut frame);
        assert_eq!((frame[39], frame[40]), (0, 5));
    }

    #[test]
    fn another_rate_keeps_what_waits_where_it_was() {
        let mut window = PcmRing::new(8_000, 0, 6_000);
        let ramp: Vec<i16> = (0..320).map(|n| n * 10).collect();
        window.place(160 * UNIT, &ramp);
        let mut wide = window.at_rate(16_000);
        let mut frame = [0; 320];
        assert_eq!(wide.take(&mut frame), 0);
        assert_eq!(wide.take(&mut frame), 320);
        assert_eq!((frame[0], frame[1], frame[318]), (0, 5, 1_590));
    }
}
