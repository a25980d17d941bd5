//! Comparison of stored and sent audio: each channel with its own stream, at its position, and not with the
//! other's. Pure over samples.

/// Search range around the expected position. Units: samples (25 ms).
const SEARCH: i64 = 200;
/// Number of lags in the search.
const LAGS: usize = 2 * SEARCH as usize + 1;
/// Maximum offset of the match from where it was sent, if all packets were sent on time. Units: samples (5
/// ms).
const PLACE: i64 = 40;
/// Minimum correlation with the own stream.
const OWN: f64 = 0.90;
/// Maximum correlation with the other stream.
const OTHER: f64 = 0.30;
/// Length of the windows in which the offset is measured. Units: samples (2 s).
const WINDOW: usize = 16_000;
/// Mean square below which a window has too little speech.
const SPEECH: f64 = 10_000.0;
/// Time excluded around a loss, where concealment fades. Units: samples (10 ms).
const AROUND_LOSS: i64 = 80;

/// What a stream's party said, and when: `voice` is looped.
#[derive(Clone, Copy, Debug)]
pub struct Spoken<'a> {
    /// The samples.
    pub voice: &'a [i16],
    /// The sample with which the stream began.
    pub start: usize,
    /// How long it had been speaking at the first compared sample. Units: samples.
    pub late: i64,
    /// Clock drift, positive if slow. Units: ppm.
    pub drift_ppm: f64,
    /// Maximum lateness of its packets. Units: samples.
    pub sent_late: i64,
}

impl Spoken<'_> {
    /// The sample spoken at the `at`-th compared one, before looping.
    fn position(&self, at: i64) -> i64 {
        let passed = (at + self.late) as f64 / (1.0 + self.drift_ppm / 1e6);
        self.start as i64 + passed.round() as i64
    }

    /// The samples spoken around a span, with [`SEARCH`] more on both sides.
    fn around(&self, from: i64, length: usize) -> Vec<f32> {
        let size = self.voice.len() as i64;
        (from - SEARCH..from + length as i64 + SEARCH)
            .map(|at| f32::from(self.voice[self.position(at).rem_euclid(size) as usize]))
            .collect()
    }
}

/// Result of comparing a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Correlation with the own stream at the best offset.
    pub own: f64,
    /// Highest correlation with the other stream.
    pub other: f64,
    /// Largest offset of a window's match from where it was sent. Units: samples.
    pub off_samples: i64,
    /// Change of the offset from the first window to the last. Units: samples.
    pub axis_samples: i64,
    /// Permitted offset because the stream's packets were sent late. Units: samples.
    pub sent_late: i64,
}

impl Match {
    /// Whether it is as expected.
    pub fn is_good(&self) -> bool {
        self.own >= OWN && self.other <= OTHER && self.off_samples.abs() <= PLACE + self.sent_late
    }
}

/// Compares a stored channel with the speech of its own stream and of the other one. Spans of `lost`, in
/// samples of `stored`, are excluded.
pub fn compare(stored: &[i16], own: Spoken<'_>, other: Spoken<'_>, lost: &[(i64, i64)]) -> Match {
    let mut kept: Vec<f32> = stored.iter().map(|&sample| f32::from(sample)).collect();
    for &(from, to) in lost {
        blank(&mut kept, from - AROUND_LOSS, to + AROUND_LOSS);
    }
    let (mut own_sums, mut other_sums) = (Sums::default(), Sums::default());
    let mut places = Vec::new();
    for (n, window) in kept.chunks(WINDOW).enumerate() {
        let from = (n * WINDOW) as i64;
        let mut said = own.around(from, window.len());
        for &(first, last) in lost {
            let shift = SEARCH - from;
            blank(&mut said, first - AROUND_LOSS + shift, last + AROUND_LOSS + shift);
        }
        let sums = Sums::of(window, &said);
        if window.len() == WINDOW && sums.stored / WINDOW as f64 > SPEECH {
            places.push(sums.best().1);
        }
        own_sums.add(&sums);
        other_sums.add(&Sums::of(window, &other.around(from, window.len())));
    }
    let axis = places.first().zip(places.last()).map_or(0, |(first, last)| last - first);
    Match {
        own: own_sums.best().0,
        other: other_sums.best().0.abs(),
        off_samples: places.into_iter().max_by_key(|lag: &i64| lag.abs()).unwrap_or(0),
        axis_samples: axis,
        sent_late: own.sent_late,
    }
}

fn blank(samples: &mut [f32], from: i64, to: i64) {
    let clamp = |at: i64| at.clamp(0, samples.len() as i64) as usize;
    let (from, to) = (clamp(from), clamp(to));
    samples[from..to.max(from)].fill(0.0);
}

/// Products and energies over some windows, for each lag.
struct Sums {
    stored: f64,
    products: Vec<f64>,
    energies: Vec<f64>,
}

impl Default for Sums {
    fn default() -> Self {
        Self { stored: 0.0, products: vec![0.0; LAGS], energies: vec![0.0; LAGS] }
    }
}

impl Sums {
    fn of(window: &[f32], said: &[f32]) -> Self {
        let energy = |samples: &[f32]| samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>();
        let mut sums = Self { stored: energy(window), ..Self::default() };
        let mut moving = energy(&said[..window.len()]);
        for lag in 0..LAGS {
            let here = &said[lag..lag + window.len()];
            // Eight accumulators, so that the compiler can vectorise.
            let mut parts = [0.0f32; 8];
            for (a, b) in here.chunks_exact(8).zip(window.chunks_exact(8)) {
                for n in 0..8 {
                    parts[n] += a[n] * b[n];
                }
            }
            sums.products[lag] = parts.iter().map(|&part| f64::from(part)).sum();
            sums.energies[lag] = moving.max(0.0);
            let (gone, come) = (said[lag], said.get(lag + window.len()).copied().unwrap_or(0.0));
            moving += f64::from(come).powi(2) - f64::from(gone).powi(2);
        }
        sums
    }

    fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        for (sum, more) in self.products.iter_mut().zip(&other.products) {
            *sum += more;
        }
        for (sum, more) in self.energies.iter_mut().zip(&other.energies) {
            *sum += more;
        }
    }

    /// Highest normalised correlation, and its lag.
    fn best(&self) -> (f64, i64) {
        let correlation =
            |lag: usize| self.products[lag] / (self.stored * self.energies[lag]).sqrt().max(1.0);
        (0..LAGS)
            .map(|lag| (correlation(lag), lag as i64 - SEARCH))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((0.0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(seed: u32) -> Vec<i16> {
        let mut state = seed;
        let mut low = 0.0f64;
        (0..40_000)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low += (f64::from(state >> 16) - 32_768.0 - low) * 0.2;
                (low * f64::from(n / 4_000 % 2) * 0.5) as i16
            })
            .collect()
    }

    fn spoken(voice: &[i16], start: usize) -> Spoken<'_> {
        Spoken { voice, start, late: 0, drift_ppm: 0.0, sent_late: 0 }
    }

    #[test]
    fn the_same_audio_matches_in_its_place() {
        let (own, other) = (voice(1), voice(2));
        let found = compare(&own[1_234..33_234], spoken(&own, 1_234), spoken(&other, 1_234), &[]);
        assert!(found.is_good() && found.off_samples == 0 && found.own > 0.99, "{found:?}");
    }

    #[test]
    fn shifts_swaps_holes_and_leaks_are_found() {
        let (own, other) = (voice(1), voice(2));
        let (own_said, other_said) = (spoken(&own, 1_234), spoken(&other, 1_234));
        let stored: Vec<i16> = own[1_234..33_234].to_vec();
        let late = Spoken { late: 160, ..own_said };
        assert!(!compare(&stored, late, other_said, &[]).is_good(), "20 ms off");
        let sent_so = Spoken { sent_late: 120, ..late };
        assert!(compare(&stored, sent_so, other_said, &[]).is_good(), "20 ms off, by a sender 15 ms late");
        assert!(!compare(&stored, other_said, own_said, &[]).is_good(), "swapped");
        let mut holey = stored.clone();
        holey.drain(16_000..16_160);
        assert!(!compare(&holey, own_said, other_said, &[]).is_good(), "20 ms missing in the middle");
        let leaky: Vec<i16> = stored.iter().zip(&other[1_234..]).map(|(a, b)| a / 2 + b / 2).collect();
        assert!(!compare(&leaky, own_said, other_said, &[]).is_good(), "the other party is heard");
    }

    #[test]
    fn what_was_lost_is_not_held_against_the_rest() {
        let (own, other) = (voice(1), voice(2));
        let mut stored: Vec<i16> = own[1_234..33_234].to_vec();
        let lost: Vec<(i64, i64)> = (0..60).map(|n| (n * 500, n * 500 + 160)).collect();
        for &(from, to) in &lost {
            stored[from as usize..to as usize].fill(0);
        }
        let (own, other) = (spoken(&own, 1_234), spoken(&other, 1_234));
        assert!(!compare(&stored, own, other, &[]).is_good());
        let found = compare(&stored, own, other, &lost);
        assert!(found.is_good() && found.own > 0.98, "{found:?}");
    }

    #[test]
    fn a_slow_clock_is_told_from_a_wrong_axis() {
        let (own, other) = (voice(1), voice(2));
        let stored: Vec<i16> =
            (0..90_000).map(|n| own[(f64::from(n) / 1.0002).round() as usize % own.len()]).collect();
        let said = spoken(&own, 0);
        let slow = Spoken { drift_ppm: 200.0, ..said };
        let found = compare(&stored, slow, spoken(&other, 0), &[]);
        assert!(found.is_good() && found.off_samples == 0 && found.axis_samples == 0, "{found:?}");
        let found = compare(&stored, said, spoken(&other, 0), &[]);
        assert!(found.axis_samples.abs() > 8, "{found:?}");
    }
}
