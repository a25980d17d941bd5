//! Raises the rate of samples, by windowed sinc interpolation: for listening where the streams of a call
//! have different rates.

/// Samples that one is made of.
const TAPS: usize = 16;

/// How far what comes out lies behind what went in. Units: samples that come out.
pub(super) fn upsampled_lag(from_hz: u32, to_hz: u32) -> usize {
    TAPS / 2 * to_hz as usize / from_hz as usize
}

/// Raises one stream's rate.
pub(super) struct Upsampler {
    from_hz: u32,
    /// Samples that come between two that went in, plus one; and how many of those one that comes out goes on.
    phases: usize,
    step: usize,
    taps: Vec<[f32; TAPS]>,
    /// The last samples that went in.
    before: [f32; TAPS],
}

impl Upsampler {
    /// From one rate to a higher one. Units: Hz.
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Self {
        let divides = |n: &u32| from_hz.is_multiple_of(*n) && to_hz.is_multiple_of(*n);
        let common = (1..=from_hz.min(to_hz)).rev().find(divides).unwrap_or(1);
        let (phases, step) = ((to_hz / common) as usize, (from_hz / common) as usize);
        let taps = (0..phases).map(|phase| taps(phase as f32 / phases as f32)).collect();
        Self { from_hz, phases, step, taps, before: [0.0; TAPS] }
    }

    /// The rate that goes in. Units: Hz.
    pub(super) fn input_hz(&self) -> u32 {
        self.from_hz
    }

    /// Fills `out` with as long a sound as `samples` are.
    pub(super) fn play(&mut self, samples: &[i16], out: &mut [i16]) {
        let mut all: Vec<f32> = self.before.to_vec();
        all.extend(samples.iter().map(|&sample| f32::from(sample)));
        for (n, out) in out.iter_mut().enumerate() {
            let (at, phase) = (n * self.step / self.phases, n * self.step % self.phases);
            let Some(around) = all.get(at + 1..at + 1 + TAPS) else {
                *out = 0;
                continue;
            };
            let sum: f32 = around.iter().zip(&self.taps[phase]).map(|(sample, tap)| sample * tap).sum();
            *out = sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
        }
        self.before.copy_from_slice(&all[all.len() - TAPS..]);
    }
}

/// What each sample weighs, for one that lies `phase` after the middle; in sum 1.
fn taps(phase: f32) -> [f32; TAPS] {
    let mut taps = [0.0; TAPS];
    for (n, tap) in taps.iter_mut().enumerate() {
        let off = n as f32 + 1.0 - (TAPS / 2) as f32 - phase;
        let turn = std::f32::consts::PI * off;
        let sinc = if off.abs() < 1e-6 { 1.0 } else { turn.sin() / turn };
        // Hann's window.
        *tap = sinc * (0.5 + 0.5 * (2.0 * turn / TAPS as f32).cos());
    }
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stays_the_same_tone_across_frames() {
        for (from_hz, to_hz) in [(8_000u32, 16_000u32), (16_000, 24_000), (8_000, 48_000)] {
            let tone = |n: usize, hz: u32| (n as f64 / f64::from(hz) * 440.0 * std::f64::consts::TAU).sin();
            let mut upsampler = Upsampler::new(from_hz, to_hz);
            let (length, wide) = ((from_hz / 50) as usize, (to_hz / 50) as usize);
            let mut heard = Vec::new();
            for frame in 0..5 {
                let samples: Vec<i16> =
                    (0..length).map(|n| (tone(frame * length + n, from_hz) * 10_000.0) as i16).collect();
                let mut out = vec![0; wide];
                upsampler.play(&samples, &mut out);
                heard.extend(out);
            }
            let delay = upsampled_lag(from_hz, to_hz);
            for (n, &heard) in heard.iter().enumerate().skip(wide) {
                let wanted = tone(n - delay, to_hz) * 10_000.0;
                assert!((f64::from(heard) - wanted).abs() < 150.0, "{from_hz}, {to_hz}, {n}");
            }
        }
    }
}
