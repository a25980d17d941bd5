//! GSM 06.10 full rate encoder for simulated telephones. In: 8 kHz samples. Out: frames of 33 bytes.
//!
//! Source: ETSI EN 300 961 §5.2 (encoder), bit-exact.

use super::gsm::{
    FRAME_BYTES, FRAME_SAMPLES, GAINS, LONGEST_LAG, PULSES, RATIO_BITS, RATIO_LEAST, SIGNATURE, SUBFRAME,
    Subframe, exponent, interpolated, pulses, ratio, times,
};

// Source: EN 300 961 tables 5.1, 5.3, 5.4 and 5.5.
const RATIO_SCALE: [i16; 8] = [20_480, 20_480, 20_480, 20_480, 13_964, 15_360, 8_534, 9_036];
const RATIO_OFFSET: [i16; 8] = [0, 0, 2_048, -2_560, 94, -1_792, -341, -1_144];
const RATIO_MOST: [i16; 8] = [31, 31, 15, 15, 7, 7, 3, 3];
const GAIN_LEVELS: [i16; 3] = [6_554, 16_384, 26_214];
const WEIGHTS: [i32; 11] = [-134, -374, 0, 2_054, 5_741, 8_192, 5_741, 2_054, 0, -374, -134];
const INVERSE_MANTISSAS: [i16; 8] = [29_128, 26_215, 23_832, 21_846, 20_165, 18_725, 17_476, 16_384];
/// Pre-emphasis: −0.86. Offset compensation: 0.999.
const PRE_EMPHASIS: i16 = -28_180;
const OFFSET: i32 = 32_735;

/// The encoder of one stream.
pub struct GsmEncoder {
    before: i16,
    offset: i32,
    emphasis: i16,
    ratios: [i16; 8],
    analysis: [i16; 8],
    residual: [i16; LONGEST_LAG + SUBFRAME],
}

impl Default for GsmEncoder {
    fn default() -> Self {
        Self {
            before: 0,
            offset: 0,
            emphasis: 0,
            ratios: [0; 8],
            analysis: [0; 8],
            residual: [0; LONGEST_LAG + SUBFRAME],
        }
    }
}

/// Encodes whole frames; a remainder is dropped.
pub fn encode(samples: &[i16]) -> Vec<u8> {
    let mut encoder = GsmEncoder::default();
    let frames = samples.as_chunks::<FRAME_SAMPLES>().0.iter();
    frames.flat_map(|samples| encoder.frame(samples)).collect()
}

impl GsmEncoder {
    /// Encodes a frame.
    pub fn frame(&mut self, samples: &[i16; FRAME_SAMPLES]) -> [u8; FRAME_BYTES] {
        let mut signal = samples.map(|sample| self.prepare(sample));
        let codes = ratio_codes(reflections(correlations(&mut signal)));
        self.analyse(&codes, &mut signal);
        let mut bits = Bits { bytes: [0; FRAME_BYTES], at: 0 };
        bits.push(SIGNATURE, 4);
        for (code, length) in codes.into_iter().zip(RATIO_BITS) {
            bits.push(code as u16, length);
        }
        for signal in signal.as_chunks::<SUBFRAME>().0 {
            let subframe = self.subframe(signal);
            bits.push(subframe.lag as u16, 7);
            bits.push(subframe.gain as u16, 2);
            bits.push(subframe.grid as u16, 2);
            bits.push(subframe.block as u16, 6);
            subframe.pulses.iter().for_each(|&pulse| bits.push(pulse as u16, 3));
        }
        bits.bytes
    }

    /// Downscaling, offset compensation and pre-emphasis (§5.2.1 to §5.2.3).
    fn prepare(&mut self, sample: i16) -> i16 {
        let scaled = sample >> 3 << 2;
        let difference = i32::from(scaled.wrapping_sub(std::mem::replace(&mut self.before, scaled)));
        let (high, low) = (self.offset >> 15, self.offset & 32_767);
        let passed = (difference << 15) + ((low * OFFSET + 16_384) >> 15);
        self.offset = (high * OFFSET).saturating_add(passed);
        let flat = (self.offset.saturating_add(16_384) >> 15) as i16;
        flat.saturating_add(times(std::mem::replace(&mut self.emphasis, flat), PRE_EMPHASIS))
    }

    /// Short-term analysis (§5.2.8 to §5.2.10).
    fn analyse(&mut self, codes: &[i16; 8], signal: &mut [i16; FRAME_SAMPLES]) {
        let ratios = std::array::from_fn(|n| ratio(n, codes[n]));
        let before = std::mem::replace(&mut self.ratios, ratios);
        for (span, reflections) in interpolated(&before, &ratios) {
            for sample in &mut signal[span] {
                let mut saved = *sample;
                for (state, reflection) in self.analysis.iter_mut().zip(reflections) {
                    let old = std::mem::replace(state, saved);
                    saved = old.saturating_add(times(reflection, *sample));
                    *sample = sample.saturating_add(times(reflection, old));
                }
            }
        }
    }

    fn subframe(&mut self, signal: &[i16; SUBFRAME]) -> Subframe {
        let (lag, gain) = self.long_term(signal);
        let before = |n: usize| self.residual[LONGEST_LAG + n - lag];
        let predicted: [i16; SUBFRAME] = std::array::from_fn(|n| times(GAINS[gain], before(n)));
        let rest: [i16; SUBFRAME] = std::array::from_fn(|n| signal[n].saturating_sub(predicted[n]));
        let (grid, chosen) = grid(&weighted(&rest));
        let (block, pulses_of) = quantised(&chosen);
        let subframe = Subframe { lag: lag as i16, gain, grid, block, pulses: pulses_of };
        for (n, pulse) in pulses(&subframe).into_iter().enumerate() {
            self.residual[LONGEST_LAG + n] = pulse.saturating_add(predicted[n]);
        }
        self.residual.copy_within(SUBFRAME.., 0);
        subframe
    }

    /// Lag and gain of the long-term prediction (§5.2.11).
    fn long_term(&self, signal: &[i16; SUBFRAME]) -> (usize, usize) {
        let loudest = signal.iter().map(|sample| sample.saturating_abs()).max().unwrap_or(0);
        let room = if loudest == 0 { 0 } else { norm(i32::from(loudest) << 16) };
        let down = 6u32.saturating_sub(room);
        let down = if room > 6 { 0 } else { down };
        let product = |lag: usize| -> i32 {
            let pairs = signal.iter().zip(&self.residual[LONGEST_LAG - lag..]);
            pairs.map(|(&sample, &before)| i32::from(sample >> down) * i32::from(before)).sum()
        };
        let (mut best, mut lag) = (0, SUBFRAME);
        for candidate in SUBFRAME..=LONGEST_LAG {
            let found = product(candidate);
            if found > best {
                (best, lag) = (found, candidate);
            }
        }
        let best = (best << 1) >> (6 - down);
        let before = &self.residual[LONGEST_LAG - lag..][..SUBFRAME];
        let power = before.iter().map(|&sample| i32::from(sample >> 3).pow(2)).sum::<i32>() << 1;
        if best <= 0 {
            return (lag, 0);
        }
        if best >= power {
            return (lag, 3);
        }
        let up = norm(power);
        let (best, power) = (((best << up) >> 16) as i16, ((power << up) >> 16) as i16);
        let gain = GAIN_LEVELS.iter().position(|&level| best <= cut(power, level)).unwrap_or(3);
        (lag, gain)
    }
}

/// Autocorrelation (§5.2.4); the signal is scaled down.
fn correlations(signal: &mut [i16; FRAME_SAMPLES]) -> [i32; 9] {
    let loudest = signal.iter().map(|sample| sample.saturating_abs()).max().unwrap_or(0);
    let down = if loudest == 0 { 0 } else { 4 - norm(i32::from(loudest) << 16) as i32 };
    if down > 0 {
        let by = 16_384 >> (down - 1);
        signal.iter_mut().for_each(|sample| *sample = times(*sample, by));
    }
    let correlations = std::array::from_fn(|lag| {
        let pairs = signal[lag..].iter().zip(signal.iter());
        pairs.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>() << 1
    });
    if down > 0 {
        signal.iter_mut().for_each(|sample| *sample <<= down);
    }
    correlations
}

/// Reflection coefficients by Schur's recursion (§5.2.5).
fn reflections(correlations: [i32; 9]) -> [i16; 8] {
    let mut found = [0; 8];
    if correlations[0] == 0 {
        return found;
    }
    let up = norm(correlations[0]);
    let mut p = correlations.map(|value| ((value << up) >> 16) as i16);
    let mut k = p;
    for (n, found) in found.iter_mut().enumerate() {
        let magnitude = p[1].saturating_abs();
        if p[0] < magnitude {
            break;
        }
        let quotient = divide(magnitude, p[0]);
        *found = if p[1] > 0 { -quotient } else { quotient };
        if n == 7 {
            break;
        }
        p[0] = p[0].saturating_add(times(p[1], *found));
        for m in 1..8 - n {
            let next = p[m + 1];
            p[m] = next.saturating_add(times(k[m], *found));
            k[m] = k[m].saturating_add(times(next, *found));
        }
    }
    found
}

/// Codes of the logarithmic area ratios (§5.2.6 and §5.2.7).
fn ratio_codes(reflections: [i16; 8]) -> [i16; 8] {
    std::array::from_fn(|n| {
        let magnitude = reflections[n].saturating_abs();
        let ratio = match magnitude {
            ..22_118 => magnitude >> 1,
            22_118..31_130 => magnitude - 11_059,
            _ => (magnitude - 26_112) << 2,
        };
        let ratio = if reflections[n] < 0 { -ratio } else { ratio };
        let scaled = cut(RATIO_SCALE[n], ratio).saturating_add(RATIO_OFFSET[n]).saturating_add(256) >> 9;
        scaled.clamp(RATIO_LEAST[n], RATIO_MOST[n]) - RATIO_LEAST[n]
    })
}

/// The residual through the weighting filter (§5.2.13).
fn weighted(rest: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    std::array::from_fn(|n| {
        let at = |k: usize| (n + k).checked_sub(5).and_then(|at| rest.get(at)).copied().unwrap_or(0);
        let sum: i32 = WEIGHTS.iter().enumerate().map(|(k, weight)| weight * i32::from(at(k))).sum();
        ((sum + 4_096) >> 13).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    })
}

/// The grid with the most energy (§5.2.14), and its samples.
fn grid(weighted: &[i16; SUBFRAME]) -> (usize, [i16; PULSES]) {
    let on = |grid: usize| -> [i16; PULSES] { std::array::from_fn(|n| weighted[grid + 3 * n]) };
    let energy = |grid: usize| on(grid).iter().map(|&sample| i32::from(sample >> 2).pow(2)).sum::<i32>();
    let best = (1..4).fold(0, |best, grid| if energy(grid) > energy(best) { grid } else { best });
    (best, on(best))
}

/// Codes of block maximum and pulses (§5.2.15).
fn quantised(chosen: &[i16; PULSES]) -> (i16, [i16; PULSES]) {
    let loudest = chosen.iter().map(|sample| sample.saturating_abs()).max().unwrap_or(0);
    let size = (0..6).take_while(|by| loudest >> 9 >> by > 0).count() as i16;
    let block = (loudest >> (size + 5)) + (size << 3);
    let (exponent, mantissa) = exponent(block);
    let pulses = chosen.map(|sample| {
        let scaled = ((i32::from(sample) << (6 - exponent)) as i16, INVERSE_MANTISSAS[mantissa]);
        (cut(scaled.0, scaled.1) >> 12) + 4
    });
    (block, pulses)
}

/// Left shifts until the most significant bit below the sign is set.
const fn norm(value: i32) -> u32 {
    (if value < 0 { !value } else { value }).leading_zeros() - 1
}

/// Truncated product of two fractions.
fn cut(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 15).min(i16::MAX.into()) as i16
}

/// Quotient of two fractions, the first not greater than the second (§5.1).
fn divide(part: i16, whole: i16) -> i16 {
    if part == 0 {
        return 0;
    }
    ((i32::from(part) << 15) / i32::from(whole)).min(i16::MAX.into()) as i16
}

struct Bits {
    bytes: [u8; FRAME_BYTES],
    at: usize,
}

impl Bits {
    fn push(&mut self, value: u16, length: u32) {
        for bit in (0..length).rev() {
            self.bytes[self.at / 8] |= ((value >> bit & 1) as u8) << (7 - self.at % 8);
            self.at += 1;
        }
    }
}
