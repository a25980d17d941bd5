//! Distinguishes steady background noise from talk. In: every frame of a stream, slightly ahead of its
//! encoding. Out: whether the next frame to be encoded, with its surroundings, is background.
//!
//! Background is what does not change: in every band, each frame and each run of three stay close to the mean
//! of the surrounding 400 ms, well below the loudest talk of the stream. Talk never does that for so long;
//! changing noise (babble, music) is encoded like talk, and so is hum, whose waveform a repeated packet would
//! break. If in doubt, it is talk.
//!
//! Also determines how loud a frame, background or not, is relative to the talk around it.

use crate::filters::{HighPass, Split, energy, mean};
use crate::timebase::frame_samples;

/// Peaks up to this are silence: the lowest level of A-law.
pub const SILENT_PEAK: u16 = 8;
/// Look-ahead in frames: 60 ms. The encoder has that long to adapt to the sound before an onset.
pub const AHEAD_FRAMES: usize = 3;
/// Number of similar frames required for background: past, current and look-ahead.
const STEADY_FRAMES: usize = 17 + AHEAD_FRAMES;
/// Number required before packets of such frames are remembered.
const CALM_FRAMES: usize = 8;
/// Maximum deviation of a frame from the mean of its band: 5.1 dB. Units: log2 of power.
const FRAME_SPREAD: f32 = 1.7;
/// Maximum deviation of a run of three frames: 2.3 dB. Units: log2 of power.
const RUN_SPREAD: f32 = 0.75;
/// Frames of such a run.
const RUN_FRAMES: usize = 3;
/// Background is at least 31 dB below the loudest frame of talk, which is about 21 dB below its mean: closer
/// to the talk, PESQ detects the saving. Units: ratio of powers.
const BELOW_TALK: f32 = 1_250.0;
/// Soft frames are at least 10 dB below the loudest frame of talk. Units: ratio of powers.
const SOFT_BELOW_TALK: f32 = 10.0;
/// Masked frames are at least 20 dB below it. Units: ratio of powers.
const MASKED_BELOW_TALK: f32 = 100.0;
/// Loud talk that exceeds a frame by this much, 15 dB, within [`AHEAD_FRAMES`] begins a word there, and words
/// are encoded from their beginning. Units: ratio of powers.
const ONSET_RISE: f32 = 30.0;
/// Maximum level of background before any talk: −58 dBov. Units: mean square.
const QUIET: f32 = 40.0 * 40.0;
/// Maximum level of background in any case: −36 dBov. Units: mean square.
const LOUDEST: f32 = 500.0 * 500.0;
/// Decay of the loudest talk with each non-background frame: 2.6 dB a minute.
const FORGET: f32 = 0.9998;
/// Added to every power: below it there are only the quantisation steps of G.711.
const FLOOR: f32 = 10.0;
/// Lags at which hum is detected in the lowest band, at 1 kHz: 40 to 125 Hz. Units: samples.
const HUM_LAGS: std::ops::RangeInclusive<usize> = 8..=25;
/// Correlation that indicates hum.
const HUM: f32 = 0.6;
/// History of the lowest band: 100 ms. Units: samples at 1 kHz.
const LOW_SAMPLES: usize = 100;
/// Samples per frame there.
const LOW_FRAME: usize = 20;
/// Number of missing frames after which the history is discarded.
const MISSED_FRAMES: u32 = 10;
/// Bands at 8 kHz: up to 500 Hz, and three octaves above; one more octave at 16 kHz.
const BANDS: usize = 5;
/// Longest frame that is analysed, at 16 kHz. Units: samples.
const LONGEST: usize = frame_samples(16_000);

/// Class of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Talk, or possibly talk.
    Talk,
    /// Steady for a while, but not long enough to be certain.
    Calm,
    /// Steady background.
    Background,
}

/// Loudness of a frame relative to the talk around it, which determines how well it must be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudness {
    /// As loud as talk.
    Loud,
    /// So low that coarser encoding is hardly audible.
    Soft,
    /// So low that the quality of the encoding is inaudible.
    Masked,
}

/// The classifier of one stream.
#[derive(Clone, Debug)]
pub struct NoiseClassifier {
    bands: usize,
    high_pass: HighPass,
    splits: [Split; BANDS - 1],
    /// Power of each band of the last frames, a ring buffer. Units: log2.
    levels: [[f32; BANDS]; STEADY_FRAMES],
    /// Power of the same frames. Units: mean square.
    powers: [f32; STEADY_FRAMES],
    next: usize,
    heard: usize,
    missed: u32,
    loudest: f32,
    /// The lowest band of the last frames.
    low: [f32; LOW_SAMPLES],
}

impl NoiseClassifier {
    /// A classifier for audio at `rate_hz`; `None` if the rate is not supported.
    pub fn new(rate_hz: u32) -> Option<Self> {
        let (bands, pole) = match rate_hz {
            8_000 => (BANDS - 1, 0.89),
            16_000 => (BANDS, 0.945),
            _ => return None,
        };
        Some(Self {
            bands,
            high_pass: HighPass::new(pole),
            splits: Default::default(),
            levels: [[0.0; BANDS]; STEADY_FRAMES],
            powers: [0.0; STEADY_FRAMES],
            next: 0,
            heard: 0,
            missed: 0,
            loudest: 0.0,
            low: [0.0; LOW_SAMPLES],
        })
    }

    /// Analyses the frame that is [`AHEAD_FRAMES`] after the next one to be encoded. Frames longer than 20 ms
    /// at 16 kHz are truncated.
    pub fn hear(&mut self, frame: &[i16]) {
        if is_silent(frame) {
            return self.note([0.0; BANDS]);
        }
        let frame = &frame[..frame.len().min(LONGEST)];
        let (mut rest, mut powers) = ([0.0; LONGEST / 2], [0.0; BANDS]);
        let mut length = frame.len() / 2;
        let [first, others @ ..] = &mut self.splits;
        powers[0] = first.lower_passed(&mut self.high_pass, frame, &mut rest);
        for (split, power) in others[..self.bands - 2].iter_mut().zip(&mut powers[1..]) {
            *power = split.lower(&mut rest[..length]);
            length /= 2;
        }
        powers[self.bands - 1] = mean(energy(&rest[..length]), length);
        self.low.copy_within(LOW_FRAME.., 0);
        self.low[LOW_SAMPLES - LOW_FRAME..].copy_from_slice(&rest[..LOW_FRAME]);
        self.note(powers);
    }

    fn note(&mut self, powers: [f32; BANDS]) {
        let total: f32 = powers.iter().sum();
        self.levels[self.next] = powers.map(|power| (power + FLOOR).log2());
        self.powers[self.next] = total;
        self.next = (self.next + 1) % STEADY_FRAMES;
        self.heard = (self.heard + 1).min(STEADY_FRAMES);
        self.missed = 0;
        self.loudest = self.loudest.max(total);
    }

    /// The next frame to analyse is missing.
    pub fn miss(&mut self) {
        self.missed += 1;
        if self.missed >= MISSED_FRAMES {
            self.heard = 0;
        }
    }

    /// The class of the next frame to be encoded.
    pub fn judge(&mut self) -> Sound {
        let sound = if self.missed > 0 || !self.is_steady(CALM_FRAMES) {
            Sound::Talk
        } else if self.is_steady(STEADY_FRAMES) && !self.hums() {
            Sound::Background
        } else {
            Sound::Calm
        };
        if sound != Sound::Background {
            self.loudest *= FORGET;
        }
        sound
    }

    /// The loudness of the next frame to be encoded and the one after it; the louder one counts. What follows
    /// a loud sound is masked by it, what precedes it is not: at the beginning of a word the first sounds
    /// count as loud, however low they are.
    pub fn loudness(&self) -> Loudness {
        let power = |n: usize| self.powers[(self.next + STEADY_FRAMES - n) % STEADY_FRAMES];
        let is_loud = |power: f32| power * SOFT_BELOW_TALK >= self.loudest;
        let own = power(AHEAD_FRAMES + 1);
        let louder = own.max(power(AHEAD_FRAMES));
        let ahead = (1..=AHEAD_FRAMES).map(power).fold(0.0, f32::max);
        let begins_word = is_loud(ahead) && ahead > own * ONSET_RISE;
        if self.missed > 0 || self.heard <= AHEAD_FRAMES || begins_word || is_loud(louder) {
            Loudness::Loud
        } else if louder * MASKED_BELOW_TALK >= self.loudest {
            Loudness::Soft
        } else {
            Loudness::Masked
        }
    }

    /// Whether the last `frames` frames are similar, and low.
    fn is_steady(&self, frames: usize) -> bool {
        if self.heard < frames {
            return false;
        }
        let mut total = 0.0;
        for band in 0..self.bands {
            let level =
                |n: usize| self.levels[(self.next + STEADY_FRAMES - frames + n) % STEADY_FRAMES][band];
            let mean = (0..frames).map(level).sum::<f32>() / frames as f32;
            let mut run = 0.0;
            for n in 0..frames {
                run += level(n);
                if n >= RUN_FRAMES {
                    run -= level(n - RUN_FRAMES);
                }
                let whole = n + 1 >= RUN_FRAMES;
                if (level(n) - mean).abs() > FRAME_SPREAD
                    || (whole && (run / RUN_FRAMES as f32 - mean).abs() > RUN_SPREAD)
                {
                    return false;
                }
            }
            total += mean.exp2();
        }
        total < LOUDEST && (total < QUIET || total * BELOW_TALK < self.loudest)
    }

    /// Whether the lowest band is periodic.
    fn hums(&self) -> bool {
        let correlated = |lag: usize| {
            let pairs = self.low.iter().zip(&self.low[lag..]);
            let (mut product, mut one, mut other) = (0.0, 1.0, 1.0);
            for (a, b) in pairs {
                product += a * b;
                one += a * a;
                other += b * b;
            }
            product > HUM * f32::sqrt(one * other)
        };
        HUM_LAGS.into_iter().any(correlated)
    }
}

/// Whether no sample exceeds [`SILENT_PEAK`], with fewer instructions than [`peak`].
pub fn is_silent(samples: &[i16]) -> bool {
    let over = |&sample: &i16| {
        let from_least = sample.wrapping_add(SILENT_PEAK as i16) as u16;
        from_least.saturating_sub(2 * SILENT_PEAK)
    };
    samples.iter().fold(0, |any, sample| any | over(sample)) == 0
}

/// The peak sample.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White noise with peaks of `peak`.
    fn noise(frame: u32, peak: f32) -> Vec<i16> {
        let mut state = frame.wrapping_mul(2_654_435_761) | 1;
        let mut one = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32 - 0.5) * 2.0 * peak
        };
        (0..160).map(|_| one() as i16).collect()
    }

    fn tone(frame: u32, peak: f32) -> Vec<i16> {
        (0..160).map(|n| (((frame * 160 + n) as f32 * 0.8).sin() * peak) as i16).collect()
    }

    /// The classes of the frames from `from` on.
    fn sounds(frames: impl Iterator<Item = Vec<i16>>) -> Vec<Sound> {
        let mut judge = NoiseClassifier::new(8_000).unwrap();
        frames
            .map(|frame| {
                judge.hear(&frame);
                judge.judge()
            })
            .collect()
    }

    #[test]
    fn silence_is_what_has_no_sample_above_its_peak() {
        for sample in i16::MIN..=i16::MAX {
            let mut samples = [0; 20];
            samples[13] = sample;
            assert_eq!(is_silent(&samples), peak(&samples) <= SILENT_PEAK, "{sample}");
        }
        assert!(is_silent(&[]));
    }

    #[test]
    fn noise_after_talk_is_background_and_the_next_onset_is_seen_ahead() {
        let frames = (0..100).map(|n| match n {
            20..60 | 90.. => noise(n, 200.0)
                .iter()
                .zip(tone(n, 6_000.0 * f32::from(n as u8 % 5)))
                .map(|(a, b)| a + b)
                .collect(),
            _ => noise(n, 100.0),
        });
        let sounds = sounds(frames);
        assert!(sounds[20..60 + 15].iter().all(|sound| *sound != Sound::Background), "{sounds:?}");
        assert!(
            sounds[82..90].iter().filter(|sound| **sound == Sound::Background).count() >= 6,
            "{sounds:?}"
        );
        assert_eq!(sounds[90], Sound::Talk, "the onset itself is heard three frames before it is coded");
    }

    #[test]
    fn what_is_far_below_talk_is_masked_but_not_right_before_an_onset() {
        let mut judge = NoiseClassifier::new(8_000).unwrap();
        let masked: Vec<bool> = (0..60)
            .map(|n| {
                let loud = !(20..40).contains(&n);
                judge.hear(&if loud { tone(n, 8_000.0) } else { noise(n, 100.0) });
                judge.loudness() == Loudness::Masked
            })
            .collect();
        // Frame n is classified after frame n + 3.
        assert_eq!(masked[..23], [false; 23], "talk");
        assert!(masked[24..40].iter().all(|masked| *masked), "the pause, but for its last 60 ms");
        assert_eq!(masked[40..], [false; 20], "what comes right before the onset, and talk");
    }

    #[test]
    fn loudness_is_told_beside_the_loudest_talk() {
        let mut judge = NoiseClassifier::new(8_000).unwrap();
        let mut loudness_of = |peak: f32| {
            (0..10).for_each(|n| judge.hear(&tone(n, peak)));
            judge.loudness()
        };
        assert_eq!(loudness_of(8_000.0), Loudness::Loud);
        assert_eq!(loudness_of(3_000.0), Loudness::Loud, "8.5 dB below");
        assert_eq!(loudness_of(2_000.0), Loudness::Soft, "12 dB below");
        assert_eq!(loudness_of(1_000.0), Loudness::Soft, "18 dB below");
        assert_eq!(loudness_of(600.0), Loudness::Masked, "22.5 dB below");
    }

    #[test]
    fn a_steady_sound_as_loud_as_talk_is_talk() {
        assert!(sounds((0..200).map(|n| tone(n, 3_000.0))).iter().all(|sound| *sound == Sound::Talk));
        let noisy_line = (0..200).map(|n| if n < 20 { tone(n, 900.0) } else { noise(n, 300.0) });
        assert!(sounds(noisy_line).iter().all(|sound| *sound == Sound::Talk), "15 dB below talk");
    }

    #[test]
    fn hum_is_coded_however_steady_it_is() {
        let hum = |n: u32| -> Vec<i16> {
            let wave =
                |i: u32| (f64::from(n * 160 + i) / 8_000.0 * 180.0 * std::f64::consts::TAU).sin() * 80.0;
            (0..160).map(wave).zip(noise(n, 10.0)).map(|(wave, noise)| wave as i16 + noise).collect()
        };
        assert!(sounds((0..200).map(hum)).iter().all(|sound| *sound != Sound::Background));
    }

    #[test]
    fn missing_frames_are_talk_and_a_long_silence_begins_anew() {
        let mut judge = NoiseClassifier::new(8_000).unwrap();
        for n in 0..40 {
            judge.hear(&noise(n, 50.0));
        }
        assert_eq!(judge.judge(), Sound::Background);
        judge.miss();
        assert_eq!(judge.judge(), Sound::Talk);
        judge.hear(&noise(41, 50.0));
        assert_eq!(judge.judge(), Sound::Background);
        (0..10).for_each(|_| judge.miss());
        judge.hear(&noise(52, 50.0));
        assert_eq!(judge.judge(), Sound::Talk);
    }

    #[test]
    fn rates_without_a_judge_have_none() {
        assert!(NoiseClassifier::new(16_000).is_some() && NoiseClassifier::new(48_000).is_none());
    }
}
