//! From a stored file back to samples. In: Ogg Opus bytes. Out: 16-bit PCM, as WAV for people; or
//! one party's stream alone, as it was coded.
//! Decodes page by page; a range of a WAV is made by decoding what lies before and leaving it
//! out, for its positions are known beforehand.

use std::io::{Read, Seek};

use ogg::PacketReader;
use opus::MSDecoder;

use super::ogg::{OggError, OggOpusWriter, Tags};
use crate::archive::assemble::AssembleError;
use crate::archive::multistream;

/// Size of a plain WAV header. Units: bytes.
pub const WAV_HEADER_BYTES: u64 = 44;
/// Longest packet: 120 ms. Units: samples at 48 kHz.
const LONGEST_PACKET: usize = 5_760;

/// Why a file cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Not one of our files.
    #[error("not an Ogg Opus file of ours: {0}")]
    Form(&'static str),
    /// The container is damaged.
    #[error("the container is damaged: {0}")]
    Ogg(#[from] ogg::OggReadError),
    /// A packet cannot be decoded.
    #[error("a packet cannot be decoded: {0}")]
    Opus(String),
    /// A stream cannot be taken out.
    #[error("a stream cannot be taken out: {0}")]
    Stream(#[from] OggError),
    /// The records of a recording that waits cannot be read.
    #[error(transparent)]
    Records(AssembleError),
}

/// Samples, block by block.
pub trait Samples {
    /// Channels in each frame of samples.
    fn channels(&self) -> usize;

    /// The next samples, channels interleaved; `None` at the end.
    ///
    /// Errors: as [`RenderError`].
    fn next_block(&mut self) -> Result<Option<&[i16]>, RenderError>;
}

/// Decodes a file block by block.
pub struct Renderer<R: Read + Seek> {
    reader: PacketReader<R>,
    decoder: MSDecoder,
    channels: usize,
    /// Samples of 48 kHz in one of ours.
    decimation: usize,
    skip: usize,
    played: u64,
    buffer: Vec<i16>,
}

impl<R: Read + Seek> Renderer<R> {
    /// Reads the headers; samples come at `rate_hz`: 8,000, 16,000, 24,000 or 48,000.
    ///
    /// Errors: it is no Ogg Opus file of mono streams.
    pub fn new(file: R, rate_hz: u32) -> Result<Self, RenderError> {
        let mut reader = PacketReader::new(file);
        let (channels, pre_skip_48k, _) = headers(&mut reader)?;
        let mapping: Vec<u8> = (0..channels).collect();
        let decoder = MSDecoder::new(rate_hz, channels, 0, &mapping)
            .map_err(|error| RenderError::Opus(error.to_string()))?;
        let channels = usize::from(channels);
        let decimation = (48_000 / rate_hz) as usize;
        Ok(Self {
            reader,
            decoder,
            channels,
            decimation,
            skip: usize::from(pre_skip_48k) / decimation,
            played: 0,
            buffer: vec![0; LONGEST_PACKET / decimation * channels],
        })
    }
}

impl<R: Read + Seek> Samples for Renderer<R> {
    fn channels(&self) -> usize {
        self.channels
    }

    fn next_block(&mut self) -> Result<Option<&[i16]>, RenderError> {
        loop {
            let Some(packet) = self.reader.read_packet()? else { return Ok(None) };
            let decoded = self
                .decoder
                .decode(&packet.data, &mut self.buffer, false)
                .map_err(|error| RenderError::Opus(error.to_string()))?;
            let skipped = self.skip.min(decoded);
            self.skip -= skipped;
            let mut until = decoded;
            if packet.last_in_stream() {
                // The last position says where the end is (RFC 7845 §4.4); ours counts the pre-skip.
                let end = packet.absgp_page() / self.decimation as u64;
                let pre_skip = u64::from(optag_media::opus::encoder::PRE_SKIP_48K) / self.decimation as u64;
                let left = end.saturating_sub(pre_skip).saturating_sub(self.played) as usize;
                until = decoded.min(skipped + left);
            }
            self.played += (until - skipped) as u64;
            if until > skipped {
                return Ok(Some(&self.buffer[skipped * self.channels..until * self.channels]));
            }
        }
    }
}

/// Channels, pre-skip and serial number of one of our files.
fn headers<R: Read + Seek>(reader: &mut PacketReader<R>) -> Result<(u8, u16, u32), RenderError> {
    let packet = reader.read_packet()?.ok_or(RenderError::Form("it is empty"))?;
    let (head, serial) = (&packet.data, packet.stream_serial());
    if !head.starts_with(b"OpusHead") || head.len() < 19 {
        return Err(RenderError::Form("it has no OpusHead"));
    }
    let channels = head[9];
    let pre_skip_48k = u16::from_le_bytes([head[10], head[11]]);
    if head[18] > 1 || (head[18] == 1 && head.get(19..21) != Some(&[channels, 0])) {
        return Err(RenderError::Form("its channels are not one mono stream each"));
    }
    let tags = reader.read_packet()?.filter(|tags| tags.data.starts_with(b"OpusTags"));
    tags.ok_or(RenderError::Form("no OpusTags"))?;
    Ok((channels, pre_skip_48k, serial))
}

/// Gives `sink` a file of the stream of one channel, its packets as they are stored. `false` from
/// `sink` ends it.
///
/// Errors: as [`RenderError`]; a channel that is not there is a wrong form.
pub fn one_channel<R: Read + Seek>(
    file: R,
    channel: u8,
    mut sink: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), RenderError> {
    let mut reader = PacketReader::new(file);
    let (channels, pre_skip_48k, serial) = headers(&mut reader)?;
    if channel >= channels {
        return Err(RenderError::Form("it has no such channel"));
    }
    let tags = Tags { serial, comments: Vec::new() };
    let mut writer = OggOpusWriter::new(1, pre_skip_48k, &tags)?;
    while let Some(packet) = reader.read_packet()? {
        let one =
            multistream::split(&packet.data, channels.into(), channel.into()).map_err(OggError::from)?;
        match packet.last_in_stream() {
            true => writer.finish(std::iter::once(&one[..]))?,
            false => writer.frame(std::iter::once(&one[..]))?,
        }
        if writer.ready_bytes() > 0 && !sink(writer.take()) {
            break;
        }
    }
    Ok(())
}

/// The header of a 16-bit PCM WAV with this many samples in each channel, `rate_hz` a second.
///
/// Source: Microsoft/IBM Multimedia Programming Interface and Data Specifications 1.0, ch. 3.
pub fn wav_header(channels: u16, rate_hz: u32, samples: u64) -> [u8; WAV_HEADER_BYTES as usize] {
    let data = u32::try_from(samples * 2 * u64::from(channels)).unwrap_or(u32::MAX - 44);
    let mut header = [0; WAV_HEADER_BYTES as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&(data + 36).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16u32.to_le_bytes());
    put(&1u16.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&rate_hz.to_le_bytes());
    put(&(rate_hz * 2 * u32::from(channels)).to_le_bytes());
    put(&(channels * 2).to_le_bytes());
    put(&16u16.to_le_bytes());
    put(b"data");
    put(&data.to_le_bytes());
    header
}
