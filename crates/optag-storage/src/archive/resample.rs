//! One sampling rate to another, for one channel, in a stream. In: samples at any rate. Out: samples at another.
//! Recordings of earlier systems come at any rate; where the streams of a waiting call have different rates, the
//! lower ones are raised for listening.
//!
//! A windowed sinc, one set of taps for each phase of the ratio; beyond 512 phases, sets in between are
//! interpolated. Source: J. O. Smith, *Digital Audio Resampling* (ccrma.stanford.edu/~jos/resample),
//! "Implementation".

use std::f64::consts::PI;
use std::sync::Arc;

/// Input samples that an output sample is made of.
const TAPS: usize = 64;
/// Share of the narrower band that is kept.
const KEPT: f64 = 0.92;
/// Phases that have taps of their own. Between so many, linear interpolation errs by less than a step of 16 bits.
const MOST_PHASES: usize = 512;

/// How far what comes out of a [`Resampler::delayed`] lies behind what went in. Units: samples that come out.
pub fn lag(from_hz: u32, to_hz: u32) -> usize {
    TAPS / 2 * to_hz as usize / from_hz.max(1) as usize
}

/// Converts one channel. A clone converts another from its beginning on.
#[derive(Clone)]
pub struct Resampler {
    from_hz: u32,
    /// Output samples for every `step` input samples.
    phases: usize,
    step: usize,
    /// Sets of taps: one for each phase, or [`MOST_PHASES`] and the one after. At most 128 KiB, which channels share.
    taps: Arc<[[f32; TAPS]]>,
    /// Input that is still needed.
    input: Vec<f32>,
    /// Place of the next output: a whole input sample and a phase.
    at: usize,
    phase: usize,
}

impl Resampler {
    /// From `from_hz` to `to_hz`, both at least 1. The first sample that comes out is at the time of the first that
    /// went in; some come only with [`Resampler::finish`].
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        Self::after(TAPS / 2 - 1, from_hz, to_hz)
    }

    /// The same for frames: as long a sound comes out as went in, [`lag`] behind it.
    pub fn delayed(from_hz: u32, to_hz: u32) -> Self {
        Self::after(TAPS - 1, from_hz, to_hz)
    }

    /// Begins with so many samples of silence.
    fn after(silent: usize, from_hz: u32, to_hz: u32) -> Self {
        let (from_hz, to_hz) = (from_hz.max(1), to_hz.max(1));
        let common = gcd(from_hz, to_hz);
        let (phases, step) = ((to_hz / common) as usize, (from_hz / common) as usize);
        let cutoff = KEPT * (f64::from(to_hz) / f64::from(from_hz)).min(1.0);
        let sets = if phases <= MOST_PHASES { phases } else { MOST_PHASES };
        // The last set is that of the next sample's first phase, for what lies between it and the one before.
        let last = usize::from(phases > MOST_PHASES);
        let taps = (0..sets + last).map(|set| taps(set as f64 / sets as f64, cutoff)).collect();
        let input = if phases == step { Vec::new() } else { vec![0.0; silent] };
        Self { from_hz, phases, step, taps, input, at: 0, phase: 0 }
    }

    /// The rate that goes in. Units: Hz.
    pub fn input_hz(&self) -> u32 {
        self.from_hz
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
            let sum = if self.phases <= MOST_PHASES {
                weigh(window, &self.taps[self.phase])
            } else {
                let place = self.phase * MOST_PHASES;
                let (set, rest) = (place / self.phases, (place % self.phases) as f32 / self.phases as f32);
                let (one, next) = (weigh(window, &self.taps[set]), weigh(window, &self.taps[set + 1]));
                one + (next - one) * rest
            };
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

fn weigh(window: &[f32], taps: &[f32; TAPS]) -> f32 {
    window.iter().zip(taps).map(|(sample, tap)| sample * tap).sum()
}

/// What each sample weighs, for one that lies `shift` after the middle; in sum 1, so that constant input stays
/// unchanged.
fn taps(shift: f64, cutoff: f64) -> [f32; TAPS] {
    let mut taps = [0.0_f64; TAPS];
    for (k, tap) in taps.iter_mut().enumerate() {
        let x = k as f64 - (TAPS / 2 - 1) as f64 - shift;
        // Hann's window.
        let window = 0.5 + 0.5 * (PI * x / (TAPS / 2) as f64).cos();
        let turn = PI * x * cutoff;
        let sinc = if x.abs() < 1e-9 { 1.0 } else { turn.sin() / turn };
        *tap = sinc * window.max(0.0);
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum) as f32)
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amplitude of the tones that go in.
    const LOUD: f64 = 10_000.0;

    fn tone(hz: f64, rate: u32, samples: usize) -> Vec<i16> {
        let at = |n: usize| (n as f64 * hz * 2.0 * PI / f64::from(rate)).sin();
        (0..samples).map(|n| (at(n) * LOUD).round() as i16).collect()
    }

    fn convert(input: &[i16], from: u32, to: u32) -> Vec<i16> {
        let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
        input.chunks(777).for_each(|chunk| resampler.push(chunk, &mut out));
        resampler.finish(&mut out);
        out
    }

    /// How loud `hz` is in the middle of `samples`, against a tone that went in. Units: dB.
    fn level_db(samples: &[i16], hz: f64, rate: u32) -> f64 {
        let middle = &samples[samples.len() / 8..samples.len() * 7 / 8];
        let length = middle.len() as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in middle.iter().enumerate() {
            let window = 0.5 - 0.5 * (2.0 * PI * n as f64 / length).cos();
            let turn = n as f64 * hz * 2.0 * PI / f64::from(rate);
            re += window * f64::from(sample) * turn.cos();
            im += window * f64::from(sample) * turn.sin();
        }
        20.0 * (re.hypot(im) * 4.0 / length / LOUD).max(1e-9).log10()
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
            // More phases than have taps of their own.
            (47_999, 48_000),
            (44_099, 48_000),
        ] {
            let out = convert(&tone(1_000.0, from, from as usize), from, to);
            let wanted = tone(1_000.0, to, to as usize);
            assert!(out.len().abs_diff(wanted.len()) <= 2, "{from} to {to}: {} samples", out.len());
            let middle = wanted.len() / 4..wanted.len() * 3 / 4;
            let error: f64 = middle.clone().map(|n| (f64::from(out[n]) - f64::from(wanted[n])).powi(2)).sum();
            let power: f64 = middle.map(|n| f64::from(wanted[n]).powi(2)).sum();
            let snr_db = 10.0 * (power / error).log10();
            assert!(snr_db > 60.0, "{from} to {to}: {snr_db:.1} dB");
        }
    }

    #[test]
    fn the_band_of_speech_stays_and_its_images_do_not_come() {
        for (from, to) in
            [(8_000, 16_000), (8_000, 24_000), (8_000, 48_000), (16_000, 24_000), (16_000, 48_000)]
        {
            // To 85 % of the band: 3.4 kHz of telephony.
            for share in 1..=17 {
                let hz = f64::from(from) / 2.0 * f64::from(share) / 20.0;
                let out = convert(&tone(hz, from, from as usize), from, to);
                let kept = level_db(&out, hz, to);
                assert!(kept.abs() < 0.1, "{from} to {to}, {hz} Hz: {kept:.2} dB");
                let images = (1..=to / from).flat_map(|n| {
                    let around = f64::from(n * from);
                    [around - hz, around + hz]
                });
                for image in images.filter(|image| *image < f64::from(to) / 2.0) {
                    let loud = level_db(&out, image, to);
                    assert!(loud < -60.0, "{from} to {to}, {hz} Hz: {loud:.1} dB at {image} Hz");
                }
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_left_out() {
        for (from, to, hz) in
            [(96_000, 48_000, 30_000.0), (48_000, 16_000, 10_500.0), (44_100, 24_000, 14_000.0)]
        {
            let out = convert(&tone(hz, from, from as usize), from, to);
            let alias = (f64::from(to) - hz).abs();
            let loud = level_db(&out, alias, to);
            assert!(loud < -60.0, "{from} to {to}, {hz} Hz: {loud:.1} dB at {alias} Hz");
        }
    }

    #[test]
    fn frames_come_out_as_long_as_they_went_in_and_behind_by_the_lag() {
        for (from, to) in [(8_000u32, 16_000u32), (16_000, 24_000), (8_000, 48_000), (24_000, 48_000)] {
            let sent = tone(440.0, from, from as usize / 10);
            let (mut resampler, mut heard) = (Resampler::delayed(from, to), Vec::new());
            for (n, frame) in sent.chunks(from as usize / 50).enumerate() {
                resampler.push(frame, &mut heard);
                assert_eq!(heard.len(), (n + 1) * to as usize / 50);
            }
            let (wanted, lag) = (tone(440.0, to, heard.len()), lag(from, to));
            for n in heard.len() / 2..heard.len() {
                let off = i32::from(heard[n]) - i32::from(wanted[n - lag]);
                assert!(off.abs() < 20, "{from} to {to}, {n}: {off}");
            }
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let input = tone(440.0, 8_000, 1_000);
        assert_eq!(convert(&input, 8_000, 8_000), input);
    }

    #[test]
    fn the_taps_of_any_ratio_are_few() {
        for (from, to, sets) in
            [(8_000, 16_000, 2), (44_100, 48_000, 160), (191_999, 48_000, 513), (4_001, 8_000, 513)]
        {
            assert_eq!(Resampler::new(from, to).taps.len(), sets, "{from} to {to}");
        }
    }
}
