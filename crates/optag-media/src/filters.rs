//! Filters that split a signal into bands. In: samples. Out: the lower band at half the rate, and the power
//! of the upper one.

/// Removes frequencies below the telephone band, such as hum.
#[derive(Clone, Debug)]
pub(crate) struct HighPass {
    pole: f32,
    last_in: f32,
    last_out: f32,
}

impl HighPass {
    /// A filter at rest; the closer its pole is to 1, the lower its cut-off.
    pub(crate) fn new(pole: f32) -> Self {
        Self { pole, last_in: 0.0, last_out: 0.0 }
    }

    /// Filters the next two samples.
    fn run(&mut self, pair: [f32; 2]) -> [f32; 2] {
        let (one, two) = (pair[0] - self.last_in, pair[1] - pair[0]);
        let first = one + self.pole * self.last_out;
        // The second output is computed directly from the last one, without waiting for the first.
        self.last_out = (two + self.pole * one) + self.pole * self.pole * self.last_out;
        self.last_in = pair[1];
        [first, self.last_out]
    }
}

/// Splits a band into two halves at half the rate: two all-pass branches with the coefficients of the filter
/// bank in SILK's voice activity detector (silk/ana_filt_bank_1.c).
#[derive(Clone, Debug, Default)]
pub(crate) struct Split {
    even: f32,
    odd: f32,
}

impl Split {
    const EVEN: f32 = 1.0 - 24_290.0 / 65_536.0;
    const ODD: f32 = 10_788.0 / 65_536.0;

    /// Splits the next two samples into one sample of the lower band and one of the upper.
    fn run(&mut self, pair: [f32; 2]) -> (f32, f32) {
        // Each branch is y = c (x - s) + s, with s becoming x + c (x - s), written so that each sample
        // depends only on the previous one's multiplication.
        let one = pair[0] * Self::EVEN + self.even * (1.0 - Self::EVEN);
        self.even = pair[0] * (1.0 + Self::EVEN) - self.even * Self::EVEN;
        let other = pair[1] * Self::ODD + self.odd * (1.0 - Self::ODD);
        self.odd = pair[1] * (1.0 + Self::ODD) - self.odd * Self::ODD;
        ((other + one) / 2.0, (other - one) / 2.0)
    }

    /// Splits an even number of samples: the lower band replaces the first half. Returns the mean square of
    /// the upper band.
    pub(crate) fn lower(&mut self, samples: &mut [f32]) -> f32 {
        let mut sum = 0.0;
        for n in 0..samples.len() / 2 {
            let (low, high) = self.run([samples[2 * n], samples[2 * n + 1]]);
            samples[n] = low;
            sum += high * high;
        }
        mean(sum, samples.len() / 2)
    }

    /// The same for the original samples, with a high-pass filter applied first.
    pub(crate) fn lower_passed(&mut self, pass: &mut HighPass, samples: &[i16], lower: &mut [f32]) -> f32 {
        let mut sum = 0.0;
        for (pair, lower) in samples.as_chunks::<2>().0.iter().zip(lower) {
            let (low, high) = self.run(pass.run(pair.map(f32::from)));
            *lower = low;
            sum += high * high;
        }
        mean(sum, samples.len() / 2)
    }
}

/// The sum divided by `count`.
pub(crate) fn mean(sum: f32, count: usize) -> f32 {
    sum / count.max(1) as f32
}

/// Sum of squares with eight accumulators, to shorten the dependency chain.
pub(crate) fn energy(samples: &[f32]) -> f32 {
    let (eights, rest) = samples.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, sample)| *sum += sample * sample);
    }
    sums.iter().sum::<f32>() + rest.iter().map(|sample| sample * sample).sum::<f32>()
}
