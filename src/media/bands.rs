//! Filters that part a signal into bands. In: samples. Out: samples without what lies below speech,
//! or the two halves of a band at half the rate.

/// Takes away what lies below the telephone band: hum says nothing about talk.
#[derive(Clone, Debug)]
pub struct HighPass {
    pole: f32,
    last_in: f32,
    last_out: f32,
}

impl HighPass {
    /// A filter at rest; the nearer its pole is to 1, the less it takes away.
    pub fn new(pole: f32) -> Self {
        Self { pole, last_in: 0.0, last_out: 0.0 }
    }

    /// Filters the next sample.
    pub fn run(&mut self, sample: f32) -> f32 {
        self.last_out = sample - self.last_in + self.pole * self.last_out;
        self.last_in = sample;
        self.last_out
    }
}

/// Splits a band into two halves at half the rate: two all-pass branches, with the coefficients
/// of the filter bank of SILK's own voice detector (silk/ana_filt_bank_1.c).
#[derive(Clone, Debug, Default)]
pub struct Split {
    even: f32,
    odd: f32,
}

impl Split {
    const EVEN: f32 = 1.0 - 24_290.0 / 65_536.0;
    const ODD: f32 = 10_788.0 / 65_536.0;

    /// Splits samples into half as many of each band.
    pub fn run(&mut self, input: &[f32], low: &mut [f32], high: &mut [f32]) {
        for ((pair, low), high) in input.as_chunks::<2>().0.iter().zip(low).zip(high) {
            // Each branch is y = c (x - s) + s, with s becoming x + c (x - s): written so that one
            // sample waits for the last one's multiplication alone.
            let one = pair[0] * Self::EVEN + self.even * (1.0 - Self::EVEN);
            self.even = pair[0] * (1.0 + Self::EVEN) - self.even * Self::EVEN;
            let other = pair[1] * Self::ODD + self.odd * (1.0 - Self::ODD);
            self.odd = pair[1] * (1.0 + Self::ODD) - self.odd * Self::ODD;
            *low = (other + one) / 2.0;
            *high = (other - one) / 2.0;
        }
    }
}
