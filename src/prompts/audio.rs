//! Audio files of prompts. In: a file in any format that imports read, with one or two channels. Out: mono samples at
//! 16 kHz; WAV.

use std::path::{Path, PathBuf};

use crate::import::decode::DecodeError;
use crate::import::decode::Decoder;
use crate::import::file::{AudioFile, FileError};
use optag_media::announce::audio::PROMPT_HZ;
use optag_storage::archive::resample::Resampler;

/// Longest audio that is read: a prompt has 60 s, and may have silence around it. Units: seconds.
const LONGEST_S: usize = 300;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// It cannot be opened.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: FileError,
    },
    /// It cannot be decoded.
    #[error("{}: {error}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: DecodeError,
    },
    /// It is damaged.
    #[error("{}: damaged in {places} places", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How many.
        places: u64,
    },
    /// It is far too long.
    #[error("{}: longer than 5 minutes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file; several channels are mixed.
///
/// Errors: it is no audio, damaged, or too long.
pub fn read(path: &Path) -> Result<Vec<i16>, AudioError> {
    let path = path.to_owned();
    let failed = |error| AudioError::File { path: path.clone(), error };
    let real = path.canonicalize().map_err(|error| failed(error.into()))?;
    let (dir, name) = match (real.parent(), real.file_name()) {
        (Some(dir), Some(name)) => (dir, Path::new(name)),
        _ => return Err(failed(FileError::Kind("a directory"))),
    };
    let file = AudioFile::open(dir, name).map_err(failed)?;
    let undecoded = |error| AudioError::Decode { path: path.clone(), error };
    let mut decoder = Decoder::open(&file, name).map_err(undecoded)?;
    let (mut samples, mut resampler) = (Vec::new(), None::<Resampler>);
    while let Some(block) = decoder.next_block().map_err(undecoded)? {
        let mix =
            |frame: &[i16]| (frame.iter().map(|&s| i32::from(s)).sum::<i32>() / frame.len() as i32) as i16;
        let mono: Vec<i16> = block.interleaved.chunks_exact(block.channels.max(1)).map(mix).collect();
        let resampler = resampler.get_or_insert_with(|| Resampler::new(block.rate_hz, PROMPT_HZ));
        resampler.push(&mono, &mut samples);
        if samples.len() > LONGEST_S * PROMPT_HZ as usize {
            return Err(AudioError::TooLong { path });
        }
    }
    if let Some(resampler) = &mut resampler {
        resampler.finish(&mut samples);
    }
    match decoder.damaged() {
        0 => Ok(samples),
        places => Err(AudioError::Damaged { path, places }),
    }
}

/// A WAV file of mono samples with 16 bits.
///
/// Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, `WAVE`).
pub fn wav(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2;
    let mut out = Vec::with_capacity(44 + bytes as usize);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + bytes).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    for field in [1_u16, 1] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&rate_hz.to_le_bytes());
    out.extend_from_slice(&(rate_hz * 2).to_le_bytes());
    for field in [2_u16, 16] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(b"data");
    out.extend_from_slice(&bytes.to_le_bytes());
    samples.iter().for_each(|sample| out.extend_from_slice(&sample.to_le_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_other_rates_become_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wav");
        let tone = |hz: u32| -> Vec<i16> {
            let sample = |n: u32| {
                ((f64::from(n) * 440.0 / f64::from(hz) * std::f64::consts::TAU).sin() * 9_000.0) as i16
            };
            (0..hz).map(sample).collect()
        };
        std::fs::write(&file, wav(&tone(PROMPT_HZ), PROMPT_HZ)).unwrap();
        assert_eq!(read(&file).unwrap(), tone(PROMPT_HZ));
        std::fs::write(&file, wav(&tone(44_100), 44_100)).unwrap();
        let resampled = read(&file).unwrap();
        let expected = tone(PROMPT_HZ);
        assert!(resampled.len().abs_diff(expected.len()) <= 2, "{}", resampled.len());
        let error = resampled.iter().zip(&expected).skip(100).take(15_000).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(error < Some(200), "{error:?}");
        std::fs::write(&file, "no audio").unwrap();
        assert!(read(&file).is_err());
        assert!(read(dir.path()).is_err());
    }
}
