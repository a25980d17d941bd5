//! Linear prediction of a frame from its own samples. In: a frame, or reflection coefficients of six
//! bits. Out: the coefficients that pay, and what they predict; in whole numbers, so that both sides
//! predict the same on every machine.
//!
//! Source: the recursions of Levinson and Durbin, as in RFC 9639 (FLAC) §9.2.6 and its references.

/// The most coefficients.
pub(super) const MOST: usize = 15;
/// Bits of a coefficient.
pub(super) const COEFFICIENT_BITS: u32 = 6;
/// Largest step of a coefficient.
const STEPS: i32 = 31;
/// One, as coefficients count.
const ONE: i64 = 1 << 14;

/// A predictor: reflection coefficients, −31 to 31.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    steps: [i8; MOST],
    order: usize,
}

impl Steps {
    /// Those of `steps`; `None` where there are too many, or one is too large.
    pub(super) fn new(steps: &[i8]) -> Option<Self> {
        let mut own = Self { steps: [0; MOST], order: steps.len() };
        own.steps.get_mut(..steps.len())?.copy_from_slice(steps);
        steps.iter().all(|step| i32::from(*step).abs() <= STEPS).then_some(own)
    }

    /// The steps.
    pub(super) fn as_slice(&self) -> &[i8] {
        &self.steps[..self.order]
    }

    /// Those that make the frame shortest, so far as its spectrum tells; `most` at most.
    pub(super) fn of(frame: &[i16], most: usize) -> Self {
        let products = autocorrelation(frame, most.min(MOST));
        let mut best = Self::default();
        if products[0] <= 0.0 {
            return best;
        }
        let (mut own, mut direct, mut error) = (Self::default(), [0f64; MOST], products[0]);
        let cost = |error: f64, order: usize| {
            frame.len() as f64 / 2.0 * error.max(1.0).log2() + f64::from(COEFFICIENT_BITS) * order as f64
        };
        let mut least = cost(error, 0);
        for n in 0..most.min(MOST) {
            let found: f64 = (0..n).map(|i| direct[i] * products[n - i]).sum();
            let step = quantised((products[n + 1] - found) / error);
            own.steps[n] = step;
            own.order = n + 1;
            let reflection = coefficient(step) as f64 / ONE as f64;
            let before = direct;
            for i in 0..n {
                direct[i] -= reflection * before[n - 1 - i];
            }
            direct[n] = reflection;
            error *= 1.0 - reflection * reflection;
            let now = cost(error, n + 1);
            if now < least {
                (least, best) = (now, own.clone());
            }
        }
        best
    }

    /// What is predicted from the samples before.
    pub(super) fn predictor(&self) -> Predictor {
        let mut rows = [[0i64; MOST]; MOST];
        let mut row = [0i64; MOST];
        for (n, &step) in self.as_slice().iter().enumerate() {
            let reflection = coefficient(step);
            let before = row;
            for i in 0..n {
                row[i] = before[i] - ((reflection * before[n - 1 - i] + ONE / 2) >> 14);
            }
            row[n] = reflection;
            rows[n] = row;
        }
        Predictor { rows, order: self.order }
    }
}

/// Predicts one sample after the other.
pub(super) struct Predictor {
    /// Coefficients by how many samples there are: the first samples of a frame have few before them.
    rows: [[i64; MOST]; MOST],
    order: usize,
}

impl Predictor {
    /// What follows on `before`, the frame's samples so far.
    pub(super) fn next(&self, before: &[i16]) -> i16 {
        let order = self.order.min(before.len());
        let Some(row) = order.checked_sub(1).map(|n| &self.rows[n]) else { return 0 };
        let recent = before[before.len() - order..].iter().rev();
        let sum: i64 = row.iter().zip(recent).map(|(a, &sample)| a * i64::from(sample)).sum();
        ((sum + ONE / 2) >> 14).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

/// What a step stands for: fine near ±1, where voices have theirs. Units: of [`ONE`].
fn coefficient(step: i8) -> i64 {
    let left = ONE - i64::from(step.unsigned_abs()) * (ONE / 32);
    let size = ONE - ((left * left) >> 14);
    if step < 0 { -size } else { size }
}

fn quantised(reflection: f64) -> i8 {
    let size = 32.0 * (1.0 - (1.0 - reflection.abs().min(1.0)).sqrt());
    let step = size.round().min(f64::from(STEPS)) as i8;
    if reflection < 0.0 { -step } else { step }
}

/// Products of the frame with itself, `most` samples apart at most, its ends faded.
fn autocorrelation(frame: &[i16], most: usize) -> [f64; MOST + 1] {
    const LONGEST: usize = crate::timebase::LONGEST_FRAME;
    let mut faded = [0f32; LONGEST];
    let length = frame.len().min(LONGEST);
    let fade = (length / 8).max(1);
    for (n, (out, &sample)) in faded.iter_mut().zip(frame).enumerate() {
        let from_end = n.min(length - 1 - n);
        let share = if from_end >= fade { 1.0 } else { (from_end as f32 + 0.5) / fade as f32 };
        *out = f32::from(sample) * share;
    }
    let faded = &faded[..length];
    let mut products = [0f64; MOST + 1];
    for (lag, product) in products.iter_mut().enumerate().take(most + 1).take(length) {
        // Eight sums at a time: one instruction of most machines.
        let mut sums = [0f32; 8];
        for (one, other) in faded.chunks(8).zip(faded[lag..].chunks(8)) {
            for (sum, (a, b)) in sums.iter_mut().zip(one.iter().zip(other)) {
                *sum += a * b;
            }
        }
        *product = f64::from(sums.iter().sum::<f32>());
    }
    // What the steps of G.711 add, at least, and what rounding hides.
    products[0] = products[0] * 1.000_1 + length as f64;
    products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_predicted_and_noise_is_not_worth_a_coefficient() {
        let tone: Vec<i16> = (0..160).map(|n| ((n as f64 * 0.3).sin() * 8_000.0) as i16).collect();
        let steps = Steps::of(&tone, 8);
        assert!(steps.as_slice().len() >= 2);
        let predictor = steps.predictor();
        let left = |n: usize| f64::from(tone[n]) - f64::from(predictor.next(&tone[..n]));
        let error = (20..160).map(|n| left(n).powi(2)).sum::<f64>();
        let power = tone[20..].iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
        assert!(error * 30.0 < power, "{error} of {power}");
        let mut state = 1u32;
        let noise: Vec<i16> = (0..160)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16
            })
            .collect();
        let noise: Vec<i16> = noise.iter().map(|sample| sample - 8_192).collect();
        assert!(Steps::of(&noise, 8).as_slice().len() <= 2);
        assert_eq!(Steps::of(&[0; 160], 8), Steps::default());
    }

    #[test]
    fn extreme_coefficients_and_samples_stay_in_range() {
        for step in [31i8, -31] {
            let predictor = Steps::new(&[step; MOST]).unwrap().predictor();
            for sample in [i16::MIN, i16::MAX] {
                predictor.next(&[sample; 40]);
                predictor.next(&[sample; 3]);
            }
        }
        assert_eq!(Steps::new(&[32]), None);
        assert_eq!(Steps::new(&[0; MOST + 1]), None);
    }
}
