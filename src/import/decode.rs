//! Decodes audio files block by block. In: WAV, RF64 and BW64 (G.711, ADPCM and MP3 among them), FLAC, MP3, Ogg
//! Vorbis and Opus, AAC in MP4 or ADTS, and the telephone codecs of `speech`. Out: samples of each channel.
//!
//! Declarations of a file are trusted only within bounds: its rate and channels, and no more audio than its bytes can
//! contain.

use std::path::Path;

use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

pub use super::decode_error::{DecodeError, LEAST_RATE_HZ, MOST_RATE_HZ};
use super::decode_error::{check_channels, check_rate};
use super::file::{AudioFile, Part};
use super::opus::{self, OpusPackets};
use super::speech::{Speech, SpeechFile};
use super::wave::{self, Coding, Wave};

/// Maximum memory for a tag or a picture in a file. Units: bytes.
const TAG_BYTES: usize = 1 << 20;
/// Tolerance by which packets may exceed the file's own bytes. Units: bytes.
const SPARE_BYTES: u64 = 1 << 20;

/// Decoder of packets.
enum Coder {
    /// One of symphonia's.
    Known(Box<dyn AudioDecoder>),
    /// libopus.
    Opus(Box<OpusPackets>),
}

/// A file being decoded.
pub struct Decoder {
    source: Source,
    damaged: u64,
    interleaved: Vec<i16>,
}

/// Source of the samples.
enum Source {
    Container(Container),
    Speech(SpeechFile),
}

/// A file demultiplexed by symphonia.
struct Container {
    format: Box<dyn FormatReader>,
    coder: Coder,
    track: u32,
    spec: Option<(u32, usize)>,
    /// The length does not fit the header that symphonia reads: the end of the bytes is the end.
    ends_anyhow: bool,
    /// Bytes of packets that may still follow. Units: bytes.
    left: u64,
}

/// Some samples of each channel.
pub struct Block<'a> {
    /// Sample rate. Units: Hz.
    pub rate_hz: u32,
    /// Number of channels, 1 to 8.
    pub channels: usize,
    /// Samples, interleaved.
    pub interleaved: &'a [i16],
}

impl Decoder {
    /// Opens `file`, whose name is `name`.
    ///
    /// Errors: unknown format, or unsupported parameters.
    pub fn open(file: &AudioFile, name: &Path) -> Result<Self, DecodeError> {
        let wave = wave::read(file)?;
        let is_cut = wave.as_ref().is_some_and(|wave| wave.is_cut);
        let ends_anyhow = wave.as_ref().is_some_and(|wave| wave.len >= u64::from(u32::MAX));
        let damaged = u64::from(is_cut);
        if let Some((speech, start, len)) = speech_of(file, name, wave.as_ref())? {
            let source = Source::Speech(SpeechFile::open(file, speech, start, len)?);
            return Ok(Self { source, damaged, interleaved: Vec::new() });
        }
        let (part, hint) = part(file, name, wave)?;
        let stream = MediaSourceStream::new(Box::new(part), Default::default());
        let tags = MetadataOptions::default()
            .limit_tag_bytes(Limit::Maximum(TAG_BYTES))
            .limit_visual_bytes(Limit::Maximum(TAG_BYTES));
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), tags)
            .map_err(form)?;
        let none = || DecodeError::Form("no audio track in a known format".into());
        let track = format.default_track(TrackType::Audio).ok_or_else(none)?;
        let parameters = track.codec_params.as_ref().and_then(|all| all.audio()).ok_or_else(none)?;
        parameters.sample_rate.map_or(Ok(()), check_rate)?;
        let coder = if parameters.codec == CODEC_ID_OPUS {
            Coder::Opus(Box::new(OpusPackets::new(parameters.extra_data.as_deref().unwrap_or_default())?))
        } else {
            let codecs = symphonia::default::get_codecs();
            Coder::Known(
                codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default()).map_err(form)?,
            )
        };
        let track = track.id;
        let left = file.len() + SPARE_BYTES;
        let source = Source::Container(Container { format, coder, track, spec: None, ends_anyhow, left });
        Ok(Self { source, damaged, interleaved: Vec::new() })
    }

    /// The next samples; `None` at the end.
    ///
    /// Errors: see [`DecodeError`]. A packet that cannot be decoded is skipped and counted.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, DecodeError> {
        let Self { source, damaged, interleaved } = self;
        let spec = match source {
            Source::Container(container) => container.next(damaged, interleaved)?,
            Source::Speech(speech) => loop {
                match speech.next(interleaved)? {
                    Some(false) => *damaged += 1,
                    Some(true) => break Some((speech.rate_hz(), 1)),
                    None => break None,
                }
            },
        };
        Ok(spec.map(|(rate_hz, channels)| Block { rate_hz, channels, interleaved }))
    }

    /// Number of places that could not be decoded.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

impl Container {
    /// Decodes the next packet with samples into `interleaved`; returns rate and channels, or `None` at the end.
    fn next(
        &mut self,
        damaged: &mut u64,
        interleaved: &mut Vec<i16>,
    ) -> Result<Option<(u32, usize)>, DecodeError> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                // A truncated file ends where it is truncated.
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    *damaged += u64::from(!self.ends_anyhow);
                    return Ok(None);
                }
                Err(error) => return Err(form(error)),
            };
            let cost = packet.data.len().max(1) as u64;
            self.left = self.left.checked_sub(cost).ok_or(DecodeError::Overlaps)?;
            if packet.track_id != self.track {
                continue;
            }
            let Some(spec) = self.decode(&packet, interleaved)? else {
                *damaged += 1;
                continue;
            };
            check_channels(spec.1)?;
            check_rate(spec.0)?;
            if *self.spec.get_or_insert(spec) != spec {
                return Err(DecodeError::Changes);
            }
            if !interleaved.is_empty() {
                return Ok(Some(spec));
            }
        }
    }

    /// Decodes a packet; returns its rate and channels, or `None` if it is damaged.
    fn decode(&mut self, packet: &Packet, out: &mut Vec<i16>) -> Result<Option<(u32, usize)>, DecodeError> {
        match &mut self.coder {
            Coder::Known(decoder) => match decoder.decode(packet) {
                Ok(decoded) => {
                    let spec = (decoded.spec().rate(), decoded.spec().channels().count());
                    decoded.copy_to_vec_interleaved(out);
                    Ok(Some(spec))
                }
                Err(Error::DecodeError(_)) => Ok(None),
                Err(error) => Err(form(error)),
            },
            Coder::Opus(coder) => {
                let is_whole = coder.decode(&packet.data, packet.trim_end.get(), out);
                Ok(is_whole.then_some((opus::RATE_HZ, coder.channels)))
            }
        }
    }
}

/// The telephone codec of a file, and its position; `None` for other formats.
fn speech_of(
    file: &AudioFile,
    name: &Path,
    wave: Option<&Wave>,
) -> Result<Option<(Speech, u64, u64)>, DecodeError> {
    match wave {
        Some(Wave { coding: Coding::Speech(speech), start, len, .. }) => Ok(Some((*speech, *start, *len))),
        Some(_) => Ok(None),
        None => {
            foreign(file)?;
            let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            Ok(Speech::by_ending(ending).map(|speech| (speech, 0, file.len())))
        }
    }
}

/// The part of a file that symphonia reads, and the extension that identifies its format.
fn part(file: &AudioFile, name: &Path, wave: Option<Wave>) -> Result<(Part, Hint), DecodeError> {
    let mut hint = Hint::new();
    let part = match wave {
        Some(Wave { coding: Coding::Wave(head), start, len, .. }) => {
            hint.with_extension("wav");
            file.part(head, start, len)
        }
        Some(Wave { coding: Coding::Mp3, start, len, .. }) => {
            hint.with_extension("mp3");
            file.part(Vec::new(), start, len)
        }
        Some(Wave { coding: Coding::Speech(_), .. }) | None => {
            if let Some(extension) = name.extension().and_then(|extension| extension.to_str()) {
                hint.with_extension(extension);
            }
            file.part(Vec::new(), 0, file.len())
        }
    };
    Ok((part, hint))
}

/// Detects common formats that are not supported.
fn foreign(file: &AudioFile) -> Result<(), DecodeError> {
    let mut start = [0; 16];
    let length = file.read_at(&mut start, 0)?;
    let known: [(&[u8], &str); 6] = [
        (b"#!AMR", "AMR"),
        (b".snd", "AU"),
        (b"FORM", "AIFF"),
        (b"riff\x2E\x91\xCF\x11", "Wave64"),
        (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "Windows Media"),
        (b"\x1A\x45\xDF\xA3", "Matroska"),
    ];
    match known.iter().find(|(magic, _)| start[..length].starts_with(magic)) {
        Some((_, name)) => Err(DecodeError::Form(format!("{name} is not supported; convert the file first"))),
        None => Ok(()),
    }
}

fn form(error: Error) -> DecodeError {
    match error {
        Error::IoError(error) => DecodeError::Io(error),
        other => DecodeError::Form(other.to_string()),
    }
}
