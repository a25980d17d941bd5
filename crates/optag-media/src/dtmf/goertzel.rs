//! In-band DTMF detection. In: decoded samples as they arrive. Out: new key presses, and the spans that
//! contain tones.
//!
//! Eight Goertzel filters run over hops of 5 ms; three hops form a window, so a window ends every 5 ms, and
//! its 15 ms are enough to separate the tones of a group. A key press is a pair of tones that is constant in
//! level and frequency over four windows and makes up nearly all of the signal. Anything weaker that could be
//! a key press with speech over it is a span to cut, but not a key press.
//!
//! Between two packets only filter state of the last 25 ms in eight narrow bands is kept, and no sample.
//!
//! | | accepted | refused | source |
//! |---|---|---|---|
//! | frequency | ±1.5 % | ±3.5 % | Q.24 table A-1 (AT&T) |
//! | level of each tone | 0 to −25 dBm0 | −29 dBm0 | the same; refusal: NTT |
//! | high tone above low | −8 to +5 dB | −12, +9 dB | the same: AT&T, NTT; refusal: ours |
//! | length | 40 ms | 23 ms | the same |
//! | pause | 30 ms | 10 ms (an interruption) | the same: NTT |
//!
//! Source: ITU-T Q.23 (frequencies), Q.24 annex A, table A-1.

use std::f32::consts::TAU;

use crate::filters::energy;

/// Sampling rate of the filters. Units: Hz.
pub const RATE_HZ: u32 = 8_000;
/// Samples of a hop: 5 ms, of which every common packet time is a multiple.
const HOP: usize = 40;
/// Hops of a window.
const WINDOW_HOPS: usize = 3;
/// Samples of a window.
const WINDOW: f32 = (WINDOW_HOPS * HOP) as f32;
/// Hops covered by the state: a window, and one that began two hops earlier.
const KEPT_HOPS: usize = WINDOW_HOPS + 2;
/// Tones, low group first. Units: Hz. Source: Q.23 §2.
const TONES_HZ: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// Keys by low and high tone. Source: Q.23 §3.
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Power of a 0 dBm0 sine, 3.14 dB below the A-law maximum. Units: sample².
const DBM0: f32 = 2.605e8;
/// Minimum power of each tone of a key, −27 dBm0, once its frequency deviation is known.
const KEY_LEVEL: f32 = DBM0 * 0.002;
/// Maximum level of a key's high tone above and below the low one: 6.5 and 9.5 dB.
const KEY_TWIST: (f32, f32) = (4.47, 8.91);
/// Minimum share of the tones in the total power over all windows of the key. Speech that happens to be
/// constant stays below.
const KEY_SHARE: f32 = 0.85;
/// A window of a key press, from the filters' output: −30 dBm0, ±12 dB twist, tones 6 dB above the others of
/// their group, and this share of the total power.
const OF_KEY: Limits = Limits { level: DBM0 * 0.001, share: 0.6, twist: 15.8, margin: 4.0 };
/// A window of a span to cut: −33 dBm0.
const TO_CUT: Limits = Limits { level: DBM0 * 0.000_5, share: 0.5, twist: 15.8, margin: 2.5 };
/// Time between the two windows from which a tone's frequency is determined. Units: s.
const TURN_S: f32 = 2.0 * HOP as f32 / RATE_HZ as f32;
/// Maximum frequency deviation: halfway between what must be accepted and what must be rejected.
const OFF_FREQUENCY: f32 = 0.025;
/// Windows required for a key press: 40 ms contain at least five complete ones, 23 ms three.
const KEY_WINDOWS: u32 = 4;
/// Windows required for a span to cut.
const CUT_WINDOWS: u32 = 3;
/// Minimum power of a window relative to the loudest of its run.
const STEADY: f32 = 0.7;
/// Remaining share of a tone that still lasts while somebody talks over it.
const LASTING: f32 = 0.1;
/// Windows without the tone after which a key is released: an interruption of 10 ms affects at most one, a
/// pause of 30 ms at least four.
const RELEASE_WINDOWS: u32 = 4;

/// A detected pair of tones. Units: samples at [`RATE_HZ`] since the last restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// The key, if this is a new press.
    pub pressed: Option<char>,
    /// Start of the tone.
    pub from: i64,
    /// End of the tone so far.
    pub to: i64,
}

/// Filter results of a hop.
#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    re: [f32; 8],
    im: [f32; 8],
    energy: f32,
}

/// Consecutive windows with the same pair.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    pair: (u8, u8),
    windows: u32,
    from: i64,
    peak: f32,
    /// Sums of the power of each tone, and of the total.
    power: [f32; 2],
    energy: f32,
    /// Sums of each tone's phase advance between two windows, two hops apart.
    turned: [(f32, f32); 2],
}

/// A key that was reported and may still be held.
#[derive(Clone, Copy, Debug)]
struct Held {
    pair: (u8, u8),
    power: (f32, f32),
    missed: u32,
}

/// The detector of one stream.
#[derive(Clone, Debug, Default)]
pub struct ToneDetector {
    one_back: [f32; 8],
    two_back: [f32; 8],
    energy: f32,
    filled: usize,
    /// Sum of the samples that form the next one at [`RATE_HZ`], and their number.
    partial: (f32, u32),
    hops: [Hop; KEPT_HOPS],
    passed: i64,
    key_run: Run,
    cut_run: Run,
    held: Option<Held>,
}

impl ToneDetector {
    /// Processes samples at a multiple of [`RATE_HZ`]. Calls `each` with what is detected, a hop at a time; a
    /// press is reported once, its span for as long as it lasts.
    pub fn hear(&mut self, rate_hz: u32, samples: &[i16], mut each: impl FnMut(Tone)) {
        let step = (rate_hz / RATE_HZ).max(1);
        let mut rest = samples;
        let mut block = [0f32; HOP];
        while !rest.is_empty() {
            let length = self.next_samples(&mut rest, step, &mut block[..HOP - self.filled]);
            self.filter(&block[..length]);
            self.filled += length;
            if self.filled == HOP {
                self.end_hop(&mut each);
            }
        }
    }

    /// Restarts the filters: the following audio does not continue the previous. With `same_press`, a held
    /// key stays held.
    pub fn restart(&mut self, same_press: bool) {
        *self = Self { held: self.held.filter(|_| same_press), ..Self::default() };
    }

    /// Fills `block` with samples at [`RATE_HZ`] while there are any; returns their number.
    fn next_samples(&mut self, rest: &mut &[i16], step: u32, block: &mut [f32]) -> usize {
        if step == 1 {
            let (now, later) = rest.split_at(rest.len().min(block.len()));
            block.iter_mut().zip(now).for_each(|(sample, &came)| *sample = f32::from(came));
            *rest = later;
            return now.len();
        }
        let mut length = 0;
        while let (Some(next), Some((&first, left))) = (block.get_mut(length), rest.split_first()) {
            *rest = left;
            self.partial.0 += f32::from(first);
            self.partial.1 += 1;
            if self.partial.1 >= step {
                *next = self.partial.0 / step as f32;
                self.partial = (0.0, 0);
                length += 1;
            }
        }
        length
    }

    fn filter(&mut self, block: &[f32]) {
        let energy = energy(block);
        self.energy += energy;
        if block.len() == HOP && energy < TO_CUT.level * HOP as f32 {
            // Too quiet for any tone.
            return;
        }
        let double_cos = COEFFICIENTS.double_cos;
        let (mut one, mut two) = (self.one_back, self.two_back);
        for &sample in block {
            for tone in 0..8 {
                // In this order each sample depends only on the previous one's product and one addition.
                let next = double_cos[tone] * one[tone] + (sample - two[tone]);
                two[tone] = one[tone];
                one[tone] = next;
            }
        }
        (self.one_back, self.two_back) = (one, two);
    }

    fn end_hop(&mut self, each: &mut impl FnMut(Tone)) {
        let coefficients = &*COEFFICIENTS;
        let mut hop = Hop { energy: self.energy, ..Hop::default() };
        for tone in 0..8 {
            hop.re[tone] = self.one_back[tone] - coefficients.cos[tone] * self.two_back[tone];
            hop.im[tone] = coefficients.sin[tone] * self.two_back[tone];
        }
        self.hops.copy_within(1.., 0);
        self.hops[KEPT_HOPS - 1] = hop;
        (self.one_back, self.two_back) = ([0.0; 8], [0.0; 8]);
        (self.energy, self.filled) = (0.0, 0);
        self.passed += HOP as i64;
        self.judge(each);
    }

    /// Evaluates the window that just ended.
    fn judge(&mut self, each: &mut impl FnMut(Tone)) {
        let energy = self.hops[2..].iter().map(|hop| hop.energy).sum::<f32>() / WINDOW;
        if energy < TO_CUT.level {
            (self.key_run, self.cut_run) = (Run::default(), Run::default());
            return self.release(None, each);
        }
        let power = self.powers();
        let (low, low_second) = loudest(&power[..4]);
        let (high, high_second) = loudest(&power[4..]);
        let pair = (low as u8, high as u8);
        let found = Found { pair, low: power[low], high: power[4 + high], low_second, high_second, energy };
        self.release(Some(&power), each);
        let begins = self.passed - WINDOW as i64;
        if found.is_within(&TO_CUT) {
            self.cut_run.goes_on(&found, begins, false);
            if self.cut_run.windows >= CUT_WINDOWS {
                each(Tone { pressed: None, from: self.cut_run.from, to: self.passed });
            }
        } else {
            self.cut_run = Run::default();
        }
        if !found.is_within(&OF_KEY) {
            self.key_run = Run::default();
            return;
        }
        self.key_run.goes_on(&found, begins, true);
        if self.key_run.windows > 2 {
            for (side, tone) in [low, 4 + high].into_iter().enumerate() {
                let turned = self.turned(tone);
                self.key_run.turned[side].0 += turned.0;
                self.key_run.turned[side].1 += turned.1;
            }
        }
        let is_held = self.held.is_some_and(|held| held.pair == pair);
        if self.key_run.windows >= KEY_WINDOWS && !is_held && self.key_run.is_key() {
            self.held = Some(Held { pair, power: (found.low, found.high), missed: 0 });
            let key = KEYS[low][high];
            each(Tone { pressed: Some(key), from: self.key_run.from, to: self.passed });
        }
    }

    /// Tracks the reported key until it is released.
    fn release(&mut self, power: Option<&[f32; 8]>, each: &mut impl FnMut(Tone)) {
        let Some(held) = &mut self.held else { return };
        let lasts = power.is_some_and(|power| {
            let (low, high) = (power[usize::from(held.pair.0)], power[4 + usize::from(held.pair.1)]);
            low >= held.power.0 * LASTING && high >= held.power.1 * LASTING
        });
        if lasts {
            held.missed = 0;
            each(Tone { pressed: None, from: self.passed - WINDOW as i64, to: self.passed });
            return;
        }
        held.missed += 1;
        if held.missed >= RELEASE_WINDOWS {
            self.held = None;
        }
    }

    /// Power of each tone in the window that just ended.
    fn powers(&self) -> [f32; 8] {
        let mut power = [0.0; 8];
        for (tone, power) in power.iter_mut().enumerate() {
            let (re, im) = self.window(tone, KEPT_HOPS - 1);
            *power = 2.0 * (re * re + im * im) / (WINDOW * WINDOW);
        }
        power
    }

    /// The filter's output over the window that ends with this hop, its phase as of the end of that hop.
    fn window(&self, tone: usize, last: usize) -> (f32, f32) {
        let (cos, sin) = COEFFICIENTS.hop[tone];
        let mut sum = (0.0, 0.0);
        for hop in &self.hops[last + 1 - WINDOW_HOPS..=last] {
            sum = (sum.0 * cos - sum.1 * sin + hop.re[tone], sum.0 * sin + sum.1 * cos + hop.im[tone]);
        }
        sum
    }

    /// A tone's phase advance over two hops, relative to its nominal frequency.
    fn turned(&self, tone: usize) -> (f32, f32) {
        let now = self.window(tone, KEPT_HOPS - 1);
        let before = self.window(tone, KEPT_HOPS - 3);
        let (cos, sin) = COEFFICIENTS.hop[tone];
        let turn = |(re, im): (f32, f32)| (re * cos - im * sin, re * sin + im * cos);
        let expected = turn(turn(before));
        (now.0 * expected.0 + now.1 * expected.1, now.1 * expected.0 - now.0 * expected.1)
    }
}

impl Run {
    fn goes_on(&mut self, found: &Found, begins: i64, steady: bool) {
        let power = found.low + found.high;
        let fits = !steady || (power >= self.peak * STEADY && power * STEADY <= self.peak);
        if self.windows == 0 || self.pair != found.pair || !fits {
            *self = Self { pair: found.pair, from: begins, ..Self::default() };
        }
        self.windows += 1;
        self.peak = self.peak.max(power);
        self.power[0] += found.low;
        self.power[1] += found.high;
        self.energy += found.energy;
    }

    /// Whether the tones have the frequencies and levels of a key. The filter's attenuation of an
    /// off-frequency tone is compensated.
    fn is_key(&self) -> bool {
        let [low_off, high_off] = self.turned.map(|(re, im)| im.atan2(re) / (TAU * TURN_S));
        let [low_hz, high_hz] = [usize::from(self.pair.0), 4 + usize::from(self.pair.1)].map(|n| TONES_HZ[n]);
        let (low, high) = (self.power[0] / passes(low_off), self.power[1] / passes(high_off));
        low_off.abs() <= OFF_FREQUENCY * low_hz
            && high_off.abs() <= OFF_FREQUENCY * high_hz
            && low.min(high) >= KEY_LEVEL * self.windows as f32
            && low + high >= KEY_SHARE * self.energy
            && high <= low * KEY_TWIST.0
            && low <= high * KEY_TWIST.1
    }
}

/// The filter's power gain at this frequency offset. Units: Hz.
fn passes(off_hz: f32) -> f32 {
    let angle = TAU / 2.0 * off_hz * WINDOW / RATE_HZ as f32;
    if angle.abs() < 0.01 { 1.0 } else { (angle.sin() / angle).powi(2) }
}

/// Criteria of a window.
struct Limits {
    /// Minimum power of each tone. Units: sample².
    level: f32,
    /// Minimum share of the pair in the total power.
    share: f32,
    /// Maximum ratio between the two tones.
    twist: f32,
    /// Minimum ratio of each tone to the second of its group.
    margin: f32,
}

/// The loudest pair of a window.
struct Found {
    pair: (u8, u8),
    low: f32,
    high: f32,
    low_second: f32,
    high_second: f32,
    energy: f32,
}

impl Found {
    fn is_within(&self, limits: &Limits) -> bool {
        self.low.min(self.high) >= limits.level
            && self.low + self.high >= limits.share * self.energy
            && self.low.max(self.high) <= self.low.min(self.high) * limits.twist
            && self.low >= self.low_second * limits.margin
            && self.high >= self.high_second * limits.margin
    }
}

/// Index of the loudest, and power of the second.
fn loudest(group: &[f32]) -> (usize, f32) {
    let mut first = 0;
    for (n, power) in group.iter().enumerate() {
        if *power > group[first] {
            first = n;
        }
    }
    let others = group.iter().enumerate().filter(|(n, _)| *n != first);
    (first, others.fold(0.0, |most: f32, (_, power)| most.max(*power)))
}

/// What the filters multiply with.
struct Coefficients {
    cos: [f32; 8],
    sin: [f32; 8],
    double_cos: [f32; 8],
    /// Phase advance of each tone per hop.
    hop: [(f32, f32); 8],
}

static COEFFICIENTS: std::sync::LazyLock<Coefficients> = std::sync::LazyLock::new(|| {
    let angle = |samples: f32| TONES_HZ.map(|tone| TAU * tone * samples / RATE_HZ as f32);
    Coefficients {
        cos: angle(1.0).map(f32::cos),
        sin: angle(1.0).map(f32::sin),
        double_cos: angle(1.0).map(|angle| 2.0 * angle.cos()),
        hop: angle(HOP as f32).map(|angle| (angle.cos(), angle.sin())),
    }
});

/// Feeds arbitrary bytes as samples to a detector; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let rate_hz = [8_000, 16_000, 24_000, 48_000][usize::from(first & 3)];
    let samples: Vec<i16> = rest.as_chunks::<2>().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect();
    let mut detector = ToneDetector::default();
    let mut heard = 0;
    for chunk in samples.chunks(usize::from(first >> 2) * 8 + 1) {
        heard += chunk.len() as i64;
        detector.hear(rate_hz, chunk, |tone| {
            let samples_8k = heard / i64::from(rate_hz / RATE_HZ);
            assert!(tone.from < tone.to && tone.to <= samples_8k, "{tone:?} of {samples_8k}");
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
