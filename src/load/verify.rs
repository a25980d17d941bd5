//! Whether what was stored is what was sent: each channel its own leg, in its place, and not
//! the other's. Pure over samples.

/// How far around the expected place the match is looked for. Units: samples (25 ms).
const SEARCH: i64 = 200;
/// Farthest that the match may lie from where it was sent. Units: samples (5 ms).
const PLACE: i64 = 40;
/// Least correlation with the own leg.
const OWN: f64 = 0.90;
/// Largest correlation with the other leg.
const OTHER: f64 = 0.30;
/// Windows in which the place is looked at. Units: samples (2 s).
const WINDOW: usize = 16_000;
/// Mean square under which a window has too little speech to tell.
const SPEECH: f64 = 10_000.0;

/// What a channel's comparison found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Correlation with the own leg at the best place.
    pub own: f64,
    /// Largest correlation with the other leg.
    pub other: f64,
    /// Largest distance of a window's match from where it was sent. Units: samples.
    pub off_samples: i64,
}

impl Match {
    /// Whether it is as it must be.
    pub fn is_good(&self) -> bool {
        self.own >= OWN && self.other <= OTHER && self.off_samples.abs() <= PLACE
    }
}

/// Compares a stored channel with what its leg and the other one sent. Sample `i` of `stored`
/// was spoken when sample `i + own_shift` of `own` was, or `i + other_shift` of `other`; both
/// are looped.
pub fn compare(stored: &[i16], own: (&[i16], i64), other: (&[i16], i64)) -> Match {
    let (own_correlation, _) = best(stored, 0, own.0, own.1);
    let (other_correlation, _) = best(stored, 0, other.0, other.1);
    let windows = stored.chunks(WINDOW).enumerate().filter(|(_, window)| window.len() == WINDOW);
    let off_samples = windows
        .filter(|(_, window)| {
            window.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / WINDOW as f64 > SPEECH
        })
        .map(|(n, window)| best(window, (n * WINDOW) as i64, own.0, own.1).1)
        .max_by_key(|lag| lag.abs())
        .unwrap_or(0);
    Match { own: own_correlation, other: other_correlation.abs(), off_samples }
}

/// Largest normalised correlation around the expected place, and how far from it.
fn best(stored: &[i16], from: i64, sent: &[i16], shift: i64) -> (f64, i64) {
    let at = |position: i64| f32::from(sent[position.rem_euclid(sent.len() as i64) as usize]);
    let stored: Vec<f32> = stored.iter().map(|&sample| f32::from(sample)).collect();
    let reach: Vec<f32> =
        (0..stored.len() as i64 + 2 * SEARCH).map(|n| at(from + shift - SEARCH + n)).collect();
    let energy = |samples: &[f32]| samples.iter().map(|s| f64::from(s * s)).sum::<f64>();
    let own_energy = energy(&stored);
    let correlation = |lag: i64| {
        let sent = &reach[(SEARCH + lag) as usize..][..stored.len()];
        let product = sent.iter().zip(&stored).map(|(a, b)| a * b).fold(0.0f64, |sum, p| sum + f64::from(p));
        product / (own_energy * energy(sent)).sqrt().max(1.0)
    };
    (-SEARCH..=SEARCH)
        .map(|lag| (correlation(lag), lag))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((0.0, 0))
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

    #[test]
    fn the_same_audio_matches_in_its_place() {
        let (own, other) = (voice(1), voice(2));
        let stored: Vec<i16> = own[1_234..33_234].to_vec();
        let found = compare(&stored, (&own, 1_234), (&other, 1_234));
        assert!(found.is_good() && found.off_samples == 0 && found.own > 0.99, "{found:?}");
    }

    #[test]
    fn shifts_swaps_holes_and_leaks_are_found() {
        let (own, other) = (voice(1), voice(2));
        let stored: Vec<i16> = own[1_234..33_234].to_vec();
        assert!(!compare(&stored, (&own, 1_234 + 160), (&other, 0)).is_good(), "20 ms off");
        assert!(!compare(&stored, (&other, 1_234), (&own, 1_234)).is_good(), "swapped");
        let mut holey = stored.clone();
        holey.drain(16_000..16_160);
        assert!(!compare(&holey, (&own, 1_234), (&other, 0)).is_good(), "20 ms missing in the middle");
        let leaky: Vec<i16> = stored.iter().zip(&other[1_234..]).map(|(a, b)| a / 2 + b / 2).collect();
        assert!(!compare(&leaky, (&own, 1_234), (&other, 1_234)).is_good(), "the other party is heard");
    }
}
