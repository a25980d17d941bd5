//! Loudness and silence of a prompt. In: speech at 16 kHz. Out: the same without silence around it, at −23 LUFS.
//!
//! Source: EBU R 128 (target level), ITU-R BS.1770 (measurement, by the crate `ebur128`).

use ebur128::{EbuR128, Mode};

use optag_media::announce::audio::PROMPT_HZ;

/// Loudness of every prompt. Units: LUFS.
pub const TARGET_LUFS: f64 = -23.0;
/// Tolerated deviation. Units: LU.
pub const TOLERANCE_LU: f64 = 1.0;
/// Highest true peak after levelling. Units: dBTP. Source: EBU R 128 (−1 dBTP).
const PEAK_DBTP: f64 = -1.0;
/// Below this loudness a recording is taken for silence. Units: LUFS.
const FAINT_LUFS: f64 = -60.0;
/// Level below which a window is silent, relative to the loudest one. Units: dB.
const SILENT_DB: f64 = -40.0;
/// Length of a window. Units: samples (10 ms).
const WINDOW: usize = PROMPT_HZ as usize / 100;
/// Silence left before and after speech. Units: samples (50 ms, 200 ms).
const LEAD: usize = PROMPT_HZ as usize / 20;
const TAIL: usize = PROMPT_HZ as usize / 5;
/// Shortest and longest prompt. Units: seconds.
const SHORTEST_S: f64 = 0.5;
/// Longest prompt. Units: seconds.
const LONGEST_S: f64 = 60.0;

/// What was measured of a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Integrated loudness. Units: LUFS.
    pub lufs: f64,
    /// Units: dBTP.
    pub peak_dbtp: f64,
    /// Silence before and after the speech. Units: ms.
    pub silence_ms: (u64, u64),
    /// Length. Units: ms.
    pub length_ms: u64,
}

/// Why a recording is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// There is no speech.
    #[error("nothing but silence in it")]
    Silent,
    /// It is too short or too long.
    #[error("{0:.1} s long without the silence around it; 0.5 to 60 s are allowed")]
    Length(f64),
    /// At the target level its peaks would be cut off.
    #[error(
        "too dynamic: at -23 LUFS its peaks reach {0:+.1} dBTP, and -1 is allowed; compress the recording"
    )]
    Peaks(f64),
    /// The measurement failed.
    #[error("cannot measure the loudness: {0}")]
    Measure(#[from] ebur128::Error),
}

/// Measures a prompt.
///
/// Errors: it cannot be measured.
pub fn measure(samples: &[i16]) -> Result<Measured, LevelError> {
    let (lufs, peak_dbtp) = loudness(samples)?;
    let speech = speech(samples).unwrap_or((samples.len(), samples.len()));
    let ms = |samples: usize| samples as u64 * 1_000 / u64::from(PROMPT_HZ);
    Ok(Measured {
        lufs,
        peak_dbtp,
        silence_ms: (ms(speech.0), ms(samples.len() - speech.1)),
        length_ms: ms(samples.len()),
    })
}

/// Trims the silence around the speech, and levels it.
///
/// Errors: it is no prompt.
pub fn prepare(samples: &[i16]) -> Result<Vec<i16>, LevelError> {
    let (from, to) = speech(samples).ok_or(LevelError::Silent)?;
    let seconds = (to - from) as f64 / f64::from(PROMPT_HZ);
    if !(SHORTEST_S..=LONGEST_S).contains(&seconds) {
        return Err(LevelError::Length(seconds));
    }
    let mut kept = vec![0; LEAD.saturating_sub(from)];
    kept.extend_from_slice(&samples[from.saturating_sub(LEAD)..(to + TAIL).min(samples.len())]);
    kept.extend(std::iter::repeat_n(0, (to + TAIL).saturating_sub(samples.len())));
    let (lufs, peak_dbtp) = loudness(&kept)?;
    if lufs < FAINT_LUFS {
        return Err(LevelError::Silent);
    }
    let gain_db = TARGET_LUFS - lufs;
    if peak_dbtp + gain_db > PEAK_DBTP {
        return Err(LevelError::Peaks(peak_dbtp + gain_db));
    }
    let gain = 10_f64.powf(gain_db / 20.0);
    Ok(kept.into_iter().map(|sample| (f64::from(sample) * gain).round() as i16).collect())
}

/// Integrated loudness and true peak.
fn loudness(samples: &[i16]) -> Result<(f64, f64), LevelError> {
    let mut meter = EbuR128::new(1, PROMPT_HZ, Mode::I | Mode::TRUE_PEAK)?;
    meter.add_frames_i16(samples)?;
    let peak = meter.true_peak(0)?;
    Ok((meter.loudness_global()?, 20.0 * peak.max(1e-9).log10()))
}

/// Where speech begins and ends; `None` if there is none.
fn speech(samples: &[i16]) -> Option<(usize, usize)> {
    let power = |window: &[i16]| window.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>();
    let powers: Vec<f64> = samples.chunks(WINDOW).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f64::max);
    let least = loudest * 10_f64.powf(SILENT_DB / 10.0);
    let loud = |power: &f64| *power > 0.0 && *power >= least;
    let first = powers.iter().position(loud)?;
    let last = powers.iter().rposition(loud)?;
    Some((first * WINDOW, ((last + 1) * WINDOW).min(samples.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like speech: bursts of a tone with a slowly changing level, at this amplitude.
    fn bursts(seconds: f64, amplitude: f64) -> Vec<i16> {
        let count = (seconds * f64::from(PROMPT_HZ)) as usize;
        let sample = |n: usize| {
            let at = n as f64 / f64::from(PROMPT_HZ);
            let level = 0.3 + 0.7 * (at * 3.0 * std::f64::consts::PI).sin().abs();
            ((at * 700.0 * std::f64::consts::TAU).sin() * level * amplitude) as i16
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn a_prompt_of_any_level_comes_out_at_the_same_and_without_silence_around_it() {
        for amplitude in [300.0, 3_000.0, 30_000.0] {
            let silence = vec![0; PROMPT_HZ as usize * 2];
            let raw = [&silence[..], &bursts(3.0, amplitude), &silence].concat();
            let prepared = prepare(&raw).unwrap();
            let measured = measure(&prepared).unwrap();
            assert!((measured.lufs - TARGET_LUFS).abs() <= 0.2, "{measured:?}");
            assert!((3_240..=3_260).contains(&measured.length_ms), "{measured:?}");
            assert!((40..=60).contains(&measured.silence_ms.0), "{measured:?}");
            assert!((190..=210).contains(&measured.silence_ms.1), "{measured:?}");
        }
    }

    #[test]
    fn speech_to_the_very_edges_gets_its_silence() {
        let measured = measure(&prepare(&bursts(1.0, 9_000.0)).unwrap()).unwrap();
        assert_eq!(measured.length_ms, 1_250);
    }

    #[test]
    fn what_is_no_prompt_is_refused_with_the_reason() {
        assert!(matches!(prepare(&[]), Err(LevelError::Silent)));
        assert!(matches!(prepare(&vec![0; 32_000]), Err(LevelError::Silent)));
        assert!(matches!(prepare(&bursts(0.3, 9_000.0)), Err(LevelError::Length(_))));
        assert!(matches!(prepare(&bursts(61.0, 9_000.0)), Err(LevelError::Length(_))));
        // A click that is far louder than the speech.
        let mut clicks = bursts(4.0, 300.0);
        clicks[20_000..20_160]
            .iter_mut()
            .enumerate()
            .for_each(|(n, s)| *s = if n % 16 < 8 { 24_000 } else { -24_000 });
        clicks.iter_mut().for_each(|s| *s = (*s).max(-24_000));
        let done = prepare(&clicks);
        assert!(
            matches!(done, Err(LevelError::Peaks(_) | LevelError::Length(_))),
            "{:?}",
            done.map(|s| s.len())
        );
    }
}
