//! One sampling rate to another, for one channel, in a stream. In: samples at any rate. Out:
//! samples at a rate that Opus takes.
//!
//! A windowed sinc, one set of taps for each phase of the ratio. Source: J. O. Smith, *Digital
//! Audio Resampling* (ccrma.stanford.edu/~jos/resample), "Implementation".

use std::f64::consts::PI;
use std::sync::Arc;

/// Input samples that an output sample is made of.
const TAPS: usize = 64;
/// Share of the narrower band that is kept.
const KEPT: f64 = 0.92;

/// The rate of Opus that holds everything of `rate_hz`. Units: Hz.
pub const fn opus_rate(rate_hz: u32) -> u32 {
    match rate_hz {
        0..=8_000 => 8_000,
        8_001..=16_000 => 16_000,
        16_001..=24_000 => 24_000,
        _ => 48_000,
    }
}

/// Converts one channel. A clone converts another from its beginning on.
#[derive(Clone)]
pub struct Resampler {
    /// Output samples for every `step` input samples.
    phases: usize,
    step: usize,
    /// `TAPS` coefficients for each phase: up to 12 MB, so channels share them.
    taps: Arc<[f32]>,
    /// Input that is still needed, `TAPS / 2` of silence before the first.
    input: Vec<f32>,
    /// Place of the next output: a whole input sample and a phase.
    at: usize,
    phase: usize,
}

impl Resampler {
    /// From `from_hz` to `to_hz`, both at least 1.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let common = gcd(from_hz.max(1), to_hz.max(1));
        let (phases, step) = ((to_hz.max(1) / common) as usize, (from_hz.max(1) / common) as usize);
        let cutoff = KEPT * (f64::from(to_hz) / f64::from(from_hz)).min(1.0);
        let mut taps = Vec::with_capacity(phases * TAPS);
        for phase in 0..phases {
            let shift = phase as f64 / phases as f64;
            let raw = (0..TAPS).map(|k| {
                let x = k as f64 - (TAPS / 2 - 1) as f64 - shift;
                let window = 0.5 + 0.5 * (PI * x / (TAPS / 2) as f64).cos();
                let sinc = if x.abs() < 1e-9 { 1.0 } else { (PI * x * cutoff).sin() / (PI * x * cutoff) };
                cutoff * sinc * window.max(0.0)
            });
            let raw: Vec<f64> = raw.collect();
            // Every phase lets constant input through unchanged.
            let sum: f64 = raw.iter().sum();
            taps.extend(raw.iter().map(|tap| (tap / sum) as f32));
        }
        Self { phases, step, taps: taps.into(), input: vec![0.0; TAPS / 2 - 1], at: 0, phase: 0 }
    }

    /// Takes samples and appends what can be made of them.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        if self.phases == self.step {
            out.extend_from_slice(samples);
            return;
        }
        self.input.extend(samples.iter().map(|&sample| f32::from(sample)));
        self.make(out);
    }

    /// The input is over: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        if self.phases != self.step {
            self.input.extend([0.0; TAPS / 2]);
            self.make(out);
        }
    }

    fn make(&mut self, out: &mut Vec<i16>) {
        while let Some(window) = self.input.get(self.at..self.at + TAPS) {
            let taps = &self.taps[self.phase * TAPS..][..TAPS];
            let sum: f32 = window.iter().zip(taps).map(|(sample, tap)| sample * tap).sum();
            out.push(sum.round().clamp(-32_768.0, 32_767.0) as i16);
            self.phase += self.step;
            self.at += self.phase / self.phases;
            self.phase %= self.phases;
        }
        let used = self.at.min(self.input.len());
        self.input.drain(..used);
        self.at -= used;
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((n as f64 * hz * 2.0 * PI / f64::from(rate)).sin() * 10_000.0) as i16).collect()
    }

    fn convert(input: &[i16], from: u32, to: u32) -> Vec<i16> {
        let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
        input.chunks(777).for_each(|chunk| resampler.push(chunk, &mut out));
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn a_tone_keeps_its_pitch_level_and_place_at_every_rate() {
        for (from, to) in [
            (44_100, 48_000),
            (11_025, 16_000),
            (22_050, 24_000),
            (32_000, 48_000),
            (96_000, 48_000),
            (6_000, 8_000),
        ] {
            let seconds = 1;
            let out = convert(&tone(1_000.0, from, from as usize * seconds), from, to);
            let wanted = tone(1_000.0, to, to as usize * seconds);
            assert!(out.len().abs_diff(wanted.len()) <= 2, "{from} to {to}: {} samples", out.len());
            let middle = wanted.len() / 4..wanted.len() * 3 / 4;
            let error: f64 = middle.clone().map(|n| f64::from(out[n] - wanted[n]).powi(2)).sum();
            let power: f64 = middle.map(|n| f64::from(wanted[n]).powi(2)).sum();
            let snr_db = 10.0 * (power / error).log10();
            assert!(snr_db > 45.0, "{from} to {to}: {snr_db:.1} dB");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_left_out() {
        let out = convert(&tone(30_000.0, 96_000, 96_000), 96_000, 48_000);
        let rms = (out.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / out.len() as f64).sqrt();
        assert!(rms < 20.0, "an alias of {rms:.0}");
    }

    #[test]
    fn equal_rates_change_nothing() {
        let input = tone(440.0, 8_000, 1_000);
        assert_eq!(convert(&input, 8_000, 8_000), input);
    }
}
