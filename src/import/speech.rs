//! Telephone codecs in files: consecutive blocks of one length. In: a range of a file. Out: samples of one channel.
//!
//! Sources: RFC 2361 §A.29 for the format tag of GSM in WAV, Microsoft's `gsm610wavformat` for its blocks of two
//! frames; the others are the payloads of their RTP formats without headers.

use std::io::{self, Read};

use super::decode_error::DecodeError;
use super::file::{AudioFile, Part};
use optag_core::limit;
use optag_media::codec::Encoding;
use optag_media::codec::decoder::Decoder;
use optag_media::codec::gsm::{FRAME_BYTES, FRAME_SAMPLES, GsmDecoder, PAIR_BYTES};

/// Bytes and samples of 20 ms of G.722.
const G722_BYTES: usize = 160;
const G722_SAMPLES: usize = 320;

/// Codec of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// G.722 at 64 kbit/s.
    G722,
    /// GSM 06.10, frames of 33 bytes: `.gsm`.
    Gsm,
    /// GSM 06.10 in WAV, two frames in 65 bytes, played at this rate. Units: Hz.
    GsmPairs {
        /// 8 kHz, unless the sound card used another.
        rate_hz: u32,
    },
}

impl Speech {
    /// Codec of a headerless file by its extension.
    pub fn by_ending(ending: &str) -> Option<Self> {
        match ending.to_ascii_lowercase().as_str() {
            "g722" => Some(Speech::G722),
            "gsm" => Some(Speech::Gsm),
            _ => None,
        }
    }

    /// Sample rate. Units: Hz.
    pub const fn rate_hz(self) -> u32 {
        match self {
            Speech::G722 => Encoding::G722.audio_hz(),
            Speech::Gsm => Encoding::Gsm.audio_hz(),
            Speech::GsmPairs { rate_hz } => rate_hz,
        }
    }

    /// Bytes and samples of a block.
    const fn block(self) -> (usize, usize) {
        match self {
            Speech::G722 => (G722_BYTES, G722_SAMPLES),
            Speech::Gsm => (FRAME_BYTES, FRAME_SAMPLES),
            Speech::GsmPairs { .. } => (PAIR_BYTES, 2 * FRAME_SAMPLES),
        }
    }
}

enum Coder {
    ByPayload(Decoder),
    Pairs(Box<GsmDecoder>),
}

/// A range of a file being decoded.
pub struct SpeechFile {
    speech: Speech,
    part: Part,
    coder: Coder,
    block: Vec<u8>,
}

impl SpeechFile {
    /// Starts at `start`, with `len` bytes.
    ///
    /// Errors: longer than any call; or raw GSM that does not begin with a frame.
    pub fn open(file: &AudioFile, speech: Speech, start: u64, len: u64) -> Result<Self, DecodeError> {
        let (bytes, samples) = speech.block();
        let most = limit::CALL_HOURS * 3_600 * u64::from(speech.rate_hz());
        if len / bytes as u64 * samples as u64 >= most {
            return Err(DecodeError::TooLong);
        }
        let coder = match speech {
            Speech::G722 => Coder::ByPayload(Decoder::new(Encoding::G722)),
            Speech::Gsm => Coder::ByPayload(Decoder::new(Encoding::Gsm)),
            Speech::GsmPairs { .. } => Coder::Pairs(Box::default()),
        };
        let mut first = [0];
        if speech == Speech::Gsm && (file.read_at(&mut first, start)? == 0 || first[0] >> 4 != 0xD) {
            return Err(DecodeError::Form("does not begin with a GSM 06.10 frame".into()));
        }
        Ok(Self { speech, part: file.part(Vec::new(), start, len), coder, block: vec![0; bytes] })
    }

    /// Sample rate. Units: Hz.
    pub fn rate_hz(&self) -> u32 {
        self.speech.rate_hz()
    }

    /// Decodes the next block into `out`; returns whether it was intact, or `None` at the end. The last block of
    /// G.722, where every byte is two samples, may be shorter.
    ///
    /// Errors: read error.
    pub fn next(&mut self, out: &mut Vec<i16>) -> io::Result<Option<bool>> {
        let mut filled = 0;
        while filled < self.block.len() {
            match self.part.read(&mut self.block[filled..])? {
                0 => break,
                length => filled += length,
            }
        }
        if filled == 0 {
            return Ok(None);
        }
        let coded = &self.block[..filled];
        out.resize(self.speech.block().1, 0);
        let samples = match &mut self.coder {
            Coder::ByPayload(decoder) => decoder.decode(coded, out),
            Coder::Pairs(decoder) => decoder.decode_pairs(coded, out),
        };
        out.truncate(samples);
        Ok(Some(samples > 0))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::decode;
    use super::*;

    /// Samples, damaged places and rate of a file of this name.
    fn decoded(name: &str, bytes: &[u8]) -> Result<(usize, u64, u32), DecodeError> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().canonicalize()?;
        std::fs::write(path.join(name), bytes)?;
        let file = AudioFile::open(&path, Path::new(name)).unwrap();
        let mut decoder = decode::Decoder::open(&file, Path::new(name))?;
        let (mut samples, mut rate_hz) = (0, 0);
        while let Some(block) = decoder.next_block()? {
            assert_eq!(block.channels, 1);
            (samples, rate_hz) = (samples + block.interleaved.len(), block.rate_hz);
        }
        Ok((samples, decoder.damaged(), rate_hz))
    }

    fn gsm_frames(count: usize) -> Vec<u8> {
        (0..count * FRAME_BYTES).map(|n| if n % FRAME_BYTES == 0 { 0xd3 } else { (n * 37) as u8 }).collect()
    }

    #[test]
    fn raw_files_are_known_by_their_names() {
        assert_eq!(decoded("a.g722", &[7; 1_001]).unwrap(), (2_002, 0, 16_000));
        assert_eq!(decoded("a.GSM", &gsm_frames(50)).unwrap(), (8_000, 0, 8_000));
        let why = decoded("a.gsm", b"<html>404 Not Found</html>").unwrap_err().to_string();
        assert!(why.contains("GSM"), "{why}");
        assert!(decoded("a.raw", &gsm_frames(50)).is_err());
    }

    #[test]
    fn damaged_frames_of_gsm_are_counted_and_the_rest_is_read() {
        let mut frames = gsm_frames(10);
        frames[3 * FRAME_BYTES] = 0;
        assert_eq!(decoded("a.gsm", &frames).unwrap(), (9 * FRAME_SAMPLES, 1, 8_000));
        let cut = &gsm_frames(10)[..9 * FRAME_BYTES + 5];
        assert_eq!(decoded("a.gsm", cut).unwrap(), (9 * FRAME_SAMPLES, 1, 8_000));
    }

    #[test]
    fn a_file_of_more_than_twelve_hours_is_refused_by_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        for (name, bytes_per_s) in [("a.gsm", 1_650), ("a.g722", 8_000)] {
            std::fs::write(path.join(name), gsm_frames(1)).unwrap();
            let sparse = std::fs::OpenOptions::new().write(true).open(path.join(name)).unwrap();
            sparse.set_len(12 * 3_600 * bytes_per_s).unwrap();
            let file = AudioFile::open(&path, Path::new(name)).unwrap();
            let opened = decode::Decoder::open(&file, Path::new(name));
            assert!(matches!(opened, Err(DecodeError::TooLong)), "{name}");
        }
    }
}
