//! Audio files as samples, block by block. In: WAV (G.711 among it), FLAC, MP3, Ogg Vorbis,
//! AAC in MP4 or ADTS. Out: one list of samples a channel.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use crate::base::limit;

/// Why a file gives no samples.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// No known form of audio, or damaged.
    #[error("it cannot be decoded: {0}")]
    Form(String),
    /// More channels than a recording has.
    #[error("it has {0} channels; a recording has at most 8")]
    Channels(usize),
    /// Rate or channels change inside.
    #[error("its rate or channels change inside the file")]
    Changes,
}

/// A file being decoded.
pub struct Decoder {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    spec: Option<(u32, usize)>,
    damaged: u64,
    interleaved: Vec<i16>,
}

/// Some samples of each channel.
pub struct Block<'a> {
    /// Samples a second. Units: Hz.
    pub rate_hz: u32,
    /// Channels, 1 to 8.
    pub channels: usize,
    /// Samples, channel by channel within each instant.
    pub interleaved: &'a [i16],
}

impl Decoder {
    /// Opens a file.
    ///
    /// Errors: it is none that is known.
    pub fn open(path: &Path) -> Result<Self, DecodeError> {
        let stream = MediaSourceStream::new(Box::new(File::open(path)?), Default::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
            hint.with_extension(extension);
        }
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(form)?;
        let none = || DecodeError::Form("it has no audio track of a known coding".into());
        let track = format.default_track(TrackType::Audio).ok_or_else(none)?;
        let parameters = track.codec_params.as_ref().and_then(|all| all.audio()).ok_or_else(none)?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(form)?;
        let track = track.id;
        Ok(Self { format, decoder, track, spec: None, damaged: 0, interleaved: Vec::new() })
    }

    /// The next samples; `None` at the end.
    ///
    /// Errors: as [`DecodeError`]. A packet that cannot be decoded is left out and counted.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, DecodeError> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                // A file that was cut off ends where it was cut.
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.damaged += 1;
                    return Ok(None);
                }
                Err(error) => return Err(form(error)),
            };
            if packet.track_id != self.track {
                continue;
            }
            let decoded = match self.decoder.decode(&packet) {
                Ok(decoded) => decoded,
                Err(Error::DecodeError(_)) => {
                    self.damaged += 1;
                    continue;
                }
                Err(error) => return Err(form(error)),
            };
            let spec = (decoded.spec().rate(), decoded.spec().channels().count());
            if !(1..=limit::STREAMS_PER_CALL).contains(&spec.1) {
                return Err(DecodeError::Channels(spec.1));
            }
            if *self.spec.get_or_insert(spec) != spec {
                return Err(DecodeError::Changes);
            }
            decoded.copy_to_vec_interleaved(&mut self.interleaved);
            if self.interleaved.is_empty() {
                continue;
            }
            let (rate_hz, channels) = spec;
            return Ok(Some(Block { rate_hz, channels, interleaved: &self.interleaved }));
        }
    }

    /// Places that could not be decoded.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

fn form(error: Error) -> DecodeError {
    match error {
        Error::IoError(error) => DecodeError::Io(error),
        other => DecodeError::Form(other.to_string()),
    }
}
