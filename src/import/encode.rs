//! Encodes a file as the spool records of a call: admission, consent, media, end. In: a decoded file and its row.
//! Out: bodies in order. The encoded recording is kept in memory (7 MB per hour and channel at 16 kbit/s), the
//! samples are not.

use super::decode::{Block, DecodeError, Decoder};
use super::table::Row;
use optag_core::call::{
    CallFacts, ConsentHow, ConsentRecord, ConsentState, Department, Evidence, Outcome, StreamFacts,
    StreamRole, Terms,
};
use optag_core::id::CallId;
use optag_core::limit;
use optag_media::fact::{Ended, EndedBy, MediaBlock, StreamCounts};
use optag_media::opus::encoder::{Encoder, OpusSettings};
use optag_media::opus::noise_classifier::{Sound, is_silent, peak};
use optag_media::timebase::FRAME_MS;
use optag_storage::archive::resample::Resampler;
use optag_storage::spool::record::Body;

/// Frames in a block: 1 s.
const BLOCK_FRAMES: usize = 50;
/// Maximum size of an encoded recording in memory: 12 hours of two channels at 40 kbit/s. Units: bytes.
const MOST_CODED_BYTES: usize = 512 << 20;
/// Frames of the longest call.
const MOST_FRAMES: u32 = (limit::CALL_HOURS * 3_600 * 1_000 / FRAME_MS as u64) as u32;

/// Origin of an import, and how it is encoded.
#[derive(Clone, Debug)]
pub struct Import {
    /// The earlier system, as named in the consent record.
    pub source: String,
    /// Who imports.
    pub actor: String,
    /// Whether the left channel is the employee.
    pub employee_first: bool,
    /// Opus settings.
    pub opus: OpusSettings,
}

/// A call ready for delivery.
pub struct Call {
    /// Its records, in order.
    pub bodies: Vec<Body>,
    /// Length. Units: ms.
    pub duration_ms: u64,
    /// Number of places of the file that could not be decoded.
    pub damaged: u64,
}

/// Why a file cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Decoding failed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No samples.
    #[error("no audio")]
    Empty,
    /// All channels together exceed the memory limit.
    #[error("larger than {} MiB after encoding", MOST_CODED_BYTES >> 20)]
    TooLarge,
}

/// Encodes a file as a call.
///
/// Errors: see [`EncodeError`].
pub fn call(
    id: CallId,
    row: &Row,
    department: &Department,
    import: &Import,
    file: Decoder,
) -> Result<Call, EncodeError> {
    call_within(MOST_CODED_BYTES, id, row, department, import, file)
}

fn call_within(
    most_bytes: usize,
    id: CallId,
    row: &Row,
    department: &Department,
    import: &Import,
    mut file: Decoder,
) -> Result<Call, EncodeError> {
    let mut legs: Vec<Leg> = Vec::new();
    let mut media = Media::default();
    while let Some(block) = file.next_block()? {
        if legs.is_empty() {
            legs = legs_of(&block, import.opus);
        }
        let channels = block.channels;
        for (n, leg) in legs.iter_mut().enumerate() {
            let samples: Vec<i16> = block.interleaved.iter().skip(n).step_by(channels).copied().collect();
            leg.resampler.push(&samples, &mut leg.waiting);
        }
        media.take(&mut legs);
        if media.frames > MOST_FRAMES {
            return Err(DecodeError::TooLong.into());
        }
        if media.bytes > most_bytes {
            return Err(EncodeError::TooLarge);
        }
    }
    for leg in &mut legs {
        leg.resampler.finish(&mut leg.waiting);
        let frame = leg.encoder.frame_samples();
        leg.waiting.resize(leg.waiting.len().next_multiple_of(frame), 0);
    }
    media.take(&mut legs);
    media.close_block(legs.len());
    if media.frames == 0 {
        return Err(EncodeError::Empty);
    }
    let duration_ms = u64::from(media.frames) * u64::from(FRAME_MS);
    let bodies = bodies(id, row, department, import, legs.len(), media);
    Ok(Call { bodies, duration_ms, damaged: file.damaged() })
}

/// The Opus sample rate that preserves the bandwidth of `rate_hz`. Units: Hz.
pub const fn opus_rate(rate_hz: u32) -> u32 {
    match rate_hz {
        0..=8_000 => 8_000,
        8_001..=16_000 => 16_000,
        16_001..=24_000 => 24_000,
        _ => 48_000,
    }
}

/// A channel being encoded.
struct Leg {
    resampler: Resampler,
    encoder: Encoder,
    waiting: Vec<i16>,
}

fn legs_of(block: &Block<'_>, opus: OpusSettings) -> Vec<Leg> {
    let to_hz = opus_rate(block.rate_hz);
    let resampler = Resampler::new(block.rate_hz, to_hz);
    let leg =
        |_| Leg { resampler: resampler.clone(), encoder: Encoder::new(opus, to_hz), waiting: Vec::new() };
    (0..block.channels).map(leg).collect()
}

/// Encoded frames, in blocks.
#[derive(Default)]
struct Media {
    blocks: Vec<MediaBlock>,
    open: MediaBlock,
    frames: u32,
    bytes: usize,
}

impl Media {
    /// Encodes every frame that all channels have.
    fn take(&mut self, legs: &mut [Leg]) {
        let streams = legs.len();
        let whole = legs.iter().map(|leg| leg.waiting.len() / leg.encoder.frame_samples()).min().unwrap_or(0);
        for frame in 0..whole {
            for leg in legs.iter_mut() {
                let size = leg.encoder.frame_samples();
                let (samples, next) = leg.waiting[frame * size..].split_at(size);
                let (packet, loudest) = if is_silent(samples) {
                    // Samples not read yet may be audible.
                    let follows = next.get(..size).is_none_or(|next| !is_silent(next));
                    (leg.encoder.silence(follows), 0)
                } else {
                    (leg.encoder.encode(samples, Sound::Talk), peak(samples))
                };
                self.open.lengths.push(packet.len() as u16);
                self.open.peaks.push((loudest >> 7).min(255) as u8);
                self.open.bytes.extend_from_slice(packet);
                self.bytes += packet.len();
            }
            self.frames += 1;
            if self.open.lengths.len() == BLOCK_FRAMES * streams {
                self.close_block(streams);
            }
        }
        for leg in legs {
            leg.waiting.drain(..whole * leg.encoder.frame_samples());
        }
    }

    fn close_block(&mut self, streams: usize) {
        if self.open.lengths.is_empty() {
            return;
        }
        let mut block = std::mem::take(&mut self.open);
        block.streams = streams as u8;
        block.first_frame = self.frames - block.frames();
        self.blocks.push(block);
    }
}

fn bodies(
    id: CallId,
    row: &Row,
    department: &Department,
    import: &Import,
    channels: usize,
    media: Media,
) -> Vec<Body> {
    let role = |n: usize| match (n, channels, import.employee_first) {
        (0, 1, _) => StreamRole::Mixed,
        (0, _, false) | (1, _, true) => StreamRole::Caller,
        (0, _, true) | (1, _, false) => StreamRole::Employee,
        _ => StreamRole::Other,
    };
    let streams = (0..channels).map(|n| StreamFacts { label: format!("channel {n}"), role: role(n) });
    let facts = CallFacts {
        id,
        department: department.id.clone(),
        started_at: row.started_at,
        retention_days: department.retention_days,
        caller_number: row.caller_number.clone(),
        called_number: row.called_number.clone(),
        caller_name: row.caller_name.clone(),
        external_id: row.external_id.clone(),
        streams: streams.collect(),
        context: Default::default(),
    };
    let consent = ConsentRecord {
        state: ConsentState::Granted,
        how: ConsentHow::Imported,
        at: row.consent_at,
        prompt_version: None,
        evidence: Evidence::Import { source: import.source.clone(), actor: import.actor.clone() },
        terms: Some(Terms {
            department: department.id.clone(),
            retention_days: department.retention_days,
            ..Terms::default()
        }),
    };
    let length_us = i64::from(media.frames) * i64::from(FRAME_MS) * 1_000;
    let ended = Ended {
        at: row.started_at.plus_micros(length_us),
        by: EndedBy::Imported,
        outcome: Outcome::Recorded,
        frames: media.frames,
        streams: vec![StreamCounts::default(); channels],
    };
    let mut bodies = vec![Body::Opened(facts), Body::Consent(consent)];
    bodies.extend(media.blocks.into_iter().map(Body::Media));
    bodies.push(Body::Closed(ended));
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::import::file::AudioFile;
    use crate::import::table;

    #[test]
    fn what_grows_beyond_its_memory_is_given_up_as_it_is_coded() {
        let dir = tempfile::tempdir().unwrap();
        // 20 s of noise: no frame counts as silence.
        let mut seed = 1_u32;
        let noise = (0..160_000).flat_map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((seed >> 18) as i16 - 8_192).to_le_bytes()
        });
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend(8_000_u32.to_le_bytes().into_iter().chain(16_000_u32.to_le_bytes()));
        wav.extend_from_slice(b"\x02\0\x10\0data");
        wav.extend(320_000_u32.to_le_bytes().into_iter().chain(noise));
        std::fs::write(dir.path().join("a.wav"), wav).unwrap();
        let lines =
            "file,started_at,department,caller_number,consent\na.wav,2026-11-24T10:00:00Z,demo,1,yes\n";
        let lines = table::read(lines, None).unwrap();
        let row = lines[0].1.as_ref().unwrap();
        let config = Config::parse("data_dir = 'x'", []).unwrap();
        let opus = OpusSettings {
            bitrate_bps: 16_000,
            wideband_bitrate_bps: 24_000,
            complexity: 1,
            saves_background: false,
        };
        let import = Import { source: "old".into(), actor: "me".into(), employee_first: false, opus };
        let dir = dir.path().canonicalize().unwrap();
        let coded = |most| {
            let file = AudioFile::open(&dir, "a.wav".as_ref()).unwrap();
            let decoder = Decoder::open(&file, "a.wav".as_ref()).unwrap();
            let id = CallId::from_bytes([1; 16]);
            call_within(most, id, row, &config.departments[0], &import, decoder)
        };
        assert_eq!(coded(MOST_CODED_BYTES).unwrap().duration_ms, 20_000);
        let error = coded(16 << 10).map(drop).unwrap_err();
        assert!(matches!(error, EncodeError::TooLarge), "{error}");
        assert!(error.to_string().contains("512 MiB"));
    }
}
