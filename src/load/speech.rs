//! Real speech for the simulated callers: embedded, or from a user's files, cut into turns.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

/// Sampling rate of all audio here. Units: Hz.
pub const RATE_HZ: u32 = 8_000;
/// Length of a talk spurt with the following pause. Units: samples (4 s).
const TURN: usize = 32_000;
/// Voices are made a multiple of this length, so that they consist of complete packets of any packet time.
/// Units: samples (120 ms).
const WHOLE: usize = 960;

/// 40 s each; see README.md beside them for origin and licence.
const CALLER: &[u8] = include_bytes!("speech/caller.flac");
const EMPLOYEE: &[u8] = include_bytes!("speech/employee.flac");

/// The speech of the two parties of a call, looped for the duration of the call.
#[derive(Clone, Debug)]
pub struct Voices {
    /// The caller's samples.
    pub caller: Arc<Vec<i16>>,
    /// The employee's samples.
    pub employee: Arc<Vec<i16>>,
}

impl Voices {
    /// The embedded speech in turns: each party talks `activity` of the time (0 to 1), the employee starting
    /// when the caller stops.
    ///
    /// Errors: the embedded files cannot be decoded.
    pub fn embedded(activity: f64) -> anyhow::Result<Self> {
        Ok(Self::in_turns(decode_bytes(CALLER)?, decode_bytes(EMPLOYEE)?, activity))
    }

    /// The same from a directory: its audio files in alphabetical order, the first half for callers.
    ///
    /// Errors: fewer than two files, or one that is not 8 kHz audio.
    pub fn from_dir(dir: &Path, activity: f64) -> anyhow::Result<Self> {
        let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut files: Vec<_> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
        files.sort();
        if files.len() < 2 {
            bail!("{} needs two audio files at least: one a party", dir.display());
        }
        let (callers, employees) = files.split_at(files.len() / 2);
        let joined = |files: &[std::path::PathBuf]| -> anyhow::Result<Vec<i16>> {
            files.iter().map(|file| decode_file(file)).try_fold(Vec::new(), |mut all, one| {
                all.extend(one?);
                Ok(all)
            })
        };
        Ok(Self::in_turns(joined(callers)?, joined(employees)?, activity))
    }

    /// The same with line noise, as on analogue lines: no sample is completely silent. `peak` is the noise's
    /// peak sample.
    pub fn with_noise(self, peak: i16) -> Self {
        let noisy = |voice: &[i16], mut state: u32| {
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (((i64::from(state) - (1 << 31)) * i64::from(peak)) >> 31) as i16
            };
            Arc::new(voice.iter().map(|sample| sample.saturating_add(noise())).collect())
        };
        Self { caller: noisy(&self.caller, 1), employee: noisy(&self.employee, 2) }
    }

    fn in_turns(caller: Vec<i16>, employee: Vec<i16>, activity: f64) -> Self {
        Self {
            caller: Arc::new(turns(&caller, activity, 0)),
            employee: Arc::new(turns(&employee, activity, TURN / 2)),
        }
    }
}

/// Distributes speech over turns: `activity` of each turn is speech, the rest silence.
fn turns(speech: &[i16], activity: f64, shift: usize) -> Vec<i16> {
    let talk = ((TURN as f64 * activity.clamp(0.0, 1.0)) as usize).max(1);
    let mut spread: Vec<i16> = Vec::with_capacity(speech.len() / talk * TURN + TURN);
    for spurt in speech.chunks(talk) {
        spread.extend_from_slice(spurt);
        spread.resize(spread.len() + (TURN - talk), 0);
    }
    spread.resize(spread.len().next_multiple_of(WHOLE), 0);
    let shift = shift % spread.len().max(1);
    spread.rotate_right(shift);
    spread
}

/// Decodes a file supported by symphonia: WAV, FLAC, MP3, Ogg Vorbis.
///
/// Errors: it cannot be decoded, or its rate is not 8 kHz.
pub fn decode_file(path: &Path) -> anyhow::Result<Vec<i16>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    decode(Box::new(file)).with_context(|| format!("cannot decode {}", path.display()))
}

fn decode_bytes(bytes: &'static [u8]) -> anyhow::Result<Vec<i16>> {
    decode(Box::new(Cursor::new(bytes)))
}

fn decode(source: Box<dyn MediaSource>) -> anyhow::Result<Vec<i16>> {
    let stream = MediaSourceStream::new(source, Default::default());
    let mut format = symphonia::default::get_probe().probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )?;
    let track = format.default_track(TrackType::Audio).context("it has no audio track")?;
    let track_id = track.id;
    let parameters =
        track.codec_params.as_ref().and_then(|all| all.audio()).context("its coding is unknown")?;
    let mut decoder =
        symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default())?;
    let (mut mono, mut block) = (Vec::new(), Vec::<i16>::new());
    while let Some(packet) = format.next_packet()? {
        if packet.track_id != track_id {
            continue;
        }
        let decoded = decoder.decode(&packet)?;
        let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count().max(1));
        if rate != RATE_HZ {
            bail!("its rate is {rate} Hz; telephone speech has 8000 (ffmpeg -i IN -ar 8000 -ac 1 OUT.wav)");
        }
        decoded.copy_to_vec_interleaved(&mut block);
        mono.extend(block.iter().step_by(channels));
    }
    Ok(mono)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_speech_is_speech_in_turns() {
        let voices = Voices::embedded(0.45).unwrap();
        for voice in [&voices.caller, &voices.employee] {
            let loud = voice.iter().filter(|sample| sample.abs() > 200).count();
            let share = loud as f64 / voice.len() as f64;
            assert!((0.1..0.45).contains(&share), "{share}");
            assert!(voice.len() > 60 * 8_000);
        }
        assert_ne!(voices.caller[..8_000], voices.employee[..8_000]);
    }
}
