//! Parses the headers of WAV, RF64 and BW64 by what the file contains instead of what it declares. In: an open file.
//! Out: position and format of its audio, or why it is rejected.
//!
//! A recorder that was stopped leaves a header without lengths (0 or the maximum): such a file is audio to its end.
//! Sources: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, `WAVE`); RFC 2361 (format tags); EBU
//! Tech 3306 and ITU-R BS.2088 (RF64, BW64, `ds64`).

use optag_core::limit;

use super::decode_error::{DecodeError, check_channels, check_rate};
use super::file::AudioFile;
use super::speech::Speech;
use optag_media::codec::gsm::PAIR_BYTES;

/// Maximum number of chunks before the audio; real files have a handful.
const MOST_CHUNKS: usize = 1_000;
/// Maximum length of a `fmt ` chunk; the longest in use has 50 bytes.
const MOST_FORMAT_BYTES: u64 = 1_024;
/// Lengths from here on mean "not known yet": writers that cannot seek use the largest multiple of their buffer.
const UNFINISHED: u64 = 0x7FFF_F000;

const PCM: u16 = 0x0001;
const ADPCM_MS: u16 = 0x0002;
const FLOAT: u16 = 0x0003;
const ALAW: u16 = 0x0006;
const ULAW: u16 = 0x0007;
const ADPCM_IMA: u16 = 0x0011;
const MP3: u16 = 0x0055;
const G722: u16 = 0x0065;
const G722_FFMPEG: u16 = 0x028F;
const GSM: u16 = 0x0031;
const EXTENSIBLE: u16 = 0xFFFE;

/// Position of the audio.
#[derive(Debug, PartialEq, Eq)]
pub struct Wave {
    /// Its format.
    pub coding: Coding,
    /// First byte. Units: bytes.
    pub start: u64,
    /// Length. Units: bytes.
    pub len: u64,
    /// The header declares more than the file contains: it was truncated.
    pub is_cut: bool,
}

/// Format of the audio.
#[derive(Debug, PartialEq, Eq)]
pub enum Coding {
    /// Read by symphonia from a WAV file with this header.
    Wave(Vec<u8>),
    /// MPEG audio.
    Mp3,
    /// A telephone codec with one channel.
    Speech(Speech),
}

/// Parses the header; `None` if the file has another format.
///
/// Errors: [`DecodeError`]: unsupported format, rate, number of channels or length.
pub fn read(file: &AudioFile) -> Result<Option<Wave>, DecodeError> {
    let mut head = [0; 12];
    if file.read_at(&mut head, 0)? < 12
        || !matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64")
        || &head[8..] != b"WAVE"
    {
        return Ok(None);
    }
    let riff_end = 8 + u64::from(u32_at(&head, 4));
    let (mut at, mut format, mut long_data) = (12, None, None);
    for _ in 0..MOST_CHUNKS {
        let mut chunk = [0; 8];
        if file.read_at(&mut chunk, at)? < 8 {
            break;
        }
        let (start, declared) = (at + 8, u64::from(u32_at(&chunk, 4)));
        match &chunk[..4] {
            b"ds64" => {
                let mut sizes = [0; 16];
                if declared >= 16 && file.read_at(&mut sizes, start)? == 16 {
                    long_data = Some(u64::from_le_bytes(sizes[8..].try_into().unwrap_or_default()));
                }
            }
            b"fmt " => format = Some(read_format(file, start, declared)?),
            b"data" => {
                let format = format.ok_or_else(|| wrong("audio chunk precedes the format chunk"))?;
                let declared = match long_data {
                    Some(long) if declared == u64::from(u32::MAX) => long,
                    _ => declared,
                };
                return wave(file, &format, start, declared, riff_end).map(Some);
            }
            _ => {}
        }
        // Chunks begin at even offsets.
        at = start + declared + declared % 2;
    }
    Err(wrong("no audio chunk"))
}

fn wave(
    file: &AudioFile,
    format: &[u8],
    start: u64,
    declared: u64,
    riff_end: u64,
) -> Result<Wave, DecodeError> {
    let there = file.len() - start;
    // No audio if another chunk follows at once; otherwise the length was never written.
    let is_unfinished = match declared {
        0 => !(riff_end > start && riff_end <= file.len() && chunk_follows(file, start)?),
        declared => declared >= UNFINISHED && declared > there,
    };
    let len = if is_unfinished { there } else { declared.min(there) };
    let (channels, rate_hz, bits) = (u16_at(format, 2), u32_at(format, 4), u16_at(format, 14));
    let block_bytes = u16_at(format, 12);
    let tag = match u16_at(format, 0) {
        // The first two bytes of the GUID of a format that has a tag.
        EXTENSIBLE if format.len() >= 40 => u16_at(format, 24),
        tag => tag,
    };
    check_channels(channels.into())?;
    check_rate(rate_hz)?;
    let frame_bytes = match tag {
        PCM | FLOAT => u64::from(channels) * u64::from(bits / 8),
        ALAW | ULAW => u64::from(channels),
        _ => 0,
    };
    let most = limit::CALL_HOURS * 3_600 * u64::from(rate_hz);
    if frame_bytes > 0 && len / frame_bytes >= most {
        return Err(DecodeError::TooLong);
    }
    let plain = |tag: u16, extra: &[u8]| {
        let mut plain = format[..16].to_vec();
        plain[..2].copy_from_slice(&tag.to_le_bytes());
        plain.extend_from_slice(extra);
        plain
    };
    let coding = match tag {
        PCM | FLOAT => Coding::Wave(head(&plain(tag, &[]), len)),
        ALAW | ULAW => Coding::Wave(head(&plain(tag, &[0, 0]), len)),
        ADPCM_MS | ADPCM_IMA => {
            let adpcm = Adpcm::of(tag, format)?;
            if len.div_ceil(adpcm.block_bytes.into()) * adpcm.block_samples >= most {
                return Err(DecodeError::TooLong);
            }
            Coding::Wave(head(&plain(tag, &adpcm.extra), len))
        }
        MP3 => Coding::Mp3,
        G722 | G722_FFMPEG if channels == 1 => Coding::Speech(Speech::G722),
        // Only blocks of two frames are in use.
        GSM if channels == 1 && usize::from(block_bytes) == PAIR_BYTES => {
            Coding::Speech(Speech::GsmPairs { rate_hz })
        }
        other => return Err(wrong(&format!("{} is not supported; convert the file first", name(other)))),
    };
    Ok(Wave { coding, start, len, is_cut: !is_unfinished && declared > there })
}

/// ADPCM blocks, four bits per sample.
struct Adpcm {
    block_bytes: u16,
    /// Samples of each channel in a block.
    block_samples: u64,
    /// The rest of the format chunk, for symphonia.
    extra: Vec<u8>,
}

/// The coefficients that every writer of Microsoft ADPCM uses; others are not supported.
const MS_COEFFICIENTS: [(i16, i16); 7] =
    [(256, 0), (512, -256), (0, 0), (192, 64), (240, 0), (460, -208), (392, -232)];

impl Adpcm {
    /// Parses the block parameters of a format chunk.
    ///
    /// Errors: other than four bits per sample, blocks without samples, other coefficients.
    fn of(tag: u16, format: &[u8]) -> Result<Self, DecodeError> {
        let (channels, block_bytes, bits) = (u16_at(format, 2), u16_at(format, 12), u16_at(format, 14));
        // Each channel begins a block with a header and its first samples.
        let (head_bytes, in_head) = if tag == ADPCM_MS { (7, 2) } else { (4, 1) };
        let Some(coded) = block_bytes.checked_sub(head_bytes * channels).filter(|_| bits == 4) else {
            return Err(wrong("ADPCM other than four bits per sample"));
        };
        let block_samples = u64::from(coded) * 2 / u64::from(channels) + in_head;
        let samples = u16::try_from(block_samples).unwrap_or(u16::MAX).to_le_bytes();
        let mut extra = Vec::new();
        if tag == ADPCM_MS {
            let all = MS_COEFFICIENTS.iter().flat_map(|(one, two)| [one.to_le_bytes(), two.to_le_bytes()]);
            let coefficients: Vec<u8> = all.flatten().collect();
            let theirs = format.get(22..).filter(|theirs| !theirs.is_empty());
            if theirs.is_some_and(|theirs| !theirs.starts_with(&coefficients)) {
                return Err(wrong("unsupported ADPCM coefficients"));
            }
            extra.extend_from_slice(&32_u16.to_le_bytes());
            extra.extend_from_slice(&samples);
            extra.extend_from_slice(&7_u16.to_le_bytes());
            extra.extend_from_slice(&coefficients);
        } else {
            extra.extend_from_slice(&2_u16.to_le_bytes());
            extra.extend_from_slice(&samples);
        }
        Ok(Self { block_bytes, block_samples, extra })
    }
}

fn chunk_follows(file: &AudioFile, at: u64) -> Result<bool, DecodeError> {
    let mut chunk = [0; 8];
    let is_whole = file.read_at(&mut chunk, at)? == 8;
    let is_named = chunk[..4].iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
    Ok(is_whole && is_named && at + 8 + u64::from(u32_at(&chunk, 4)) <= file.len())
}

fn read_format(file: &AudioFile, start: u64, declared: u64) -> Result<Vec<u8>, DecodeError> {
    if !(16..=MOST_FORMAT_BYTES).contains(&declared) {
        return Err(wrong("damaged format chunk"));
    }
    let mut format = vec![0; declared as usize];
    if file.read_at(&mut format, start)? < format.len() {
        return Err(wrong("truncated format chunk"));
    }
    Ok(format)
}

/// A header for `len` bytes of audio, as it should have been written.
fn head(format: &[u8], len: u64) -> Vec<u8> {
    let data = u32::try_from(len).unwrap_or(u32::MAX);
    let riff = u32::try_from(len + 20 + format.len() as u64).unwrap_or(u32::MAX);
    let mut head = b"RIFF".to_vec();
    head.extend_from_slice(&riff.to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&(format.len() as u32).to_le_bytes());
    head.extend_from_slice(format);
    head.extend_from_slice(b"data");
    head.extend_from_slice(&data.to_le_bytes());
    head
}

fn name(tag: u16) -> String {
    match tag {
        GSM => "GSM 06.10 with several channels or other blocks than 65 bytes".into(),
        G722 | G722_FFMPEG => "G.722 with several channels".into(),
        0x0040 | 0x0045 | 0x0064 | 0x0085 | 0x0014 => "G.72x ADPCM".into(),
        0x0022 => "TrueSpeech".into(),
        0x0042 | 0x0111 => "G.723.1".into(),
        0x0083 | 0x0133 => "G.729".into(),
        0x0160..=0x0163 => "Windows Media".into(),
        0x00FF | 0x1600..=0x1610 => "AAC in WAV".into(),
        other => format!("format tag 0x{other:04x}"),
    }
}

fn wrong(why: &str) -> DecodeError {
    DecodeError::Form(why.to_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::decode::Decoder;
    use super::*;

    /// A WAV file of `data`; `lengths` are those of the file and of the audio, as declared.
    fn wav(format: (u16, u16, u32, u16), lengths: (u32, u32), data: &[u8]) -> Vec<u8> {
        let (tag, channels, rate_hz, bits) = format;
        let mut file = b"RIFF".to_vec();
        file.extend_from_slice(&lengths.0.to_le_bytes());
        file.extend_from_slice(b"WAVEfmt \x10\0\0\0");
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&channels.to_le_bytes());
        file.extend_from_slice(&rate_hz.to_le_bytes());
        file.extend_from_slice(&rate_hz.wrapping_mul(2).to_le_bytes());
        file.extend_from_slice(&(channels.wrapping_mul(bits / 8)).to_le_bytes());
        file.extend_from_slice(&bits.to_le_bytes());
        file.extend_from_slice(b"data");
        file.extend_from_slice(&lengths.1.to_le_bytes());
        file.extend_from_slice(data);
        file
    }

    /// Samples of the first channel and damaged places.
    fn decoded(bytes: &[u8]) -> Result<(usize, u64), DecodeError> {
        let dir = tempfile::tempdir().unwrap();
        let dir_path = dir.path().canonicalize().unwrap();
        std::fs::write(dir_path.join("a.wav"), bytes).unwrap();
        let file = AudioFile::open(&dir_path, Path::new("a.wav")).unwrap();
        let mut decoder = Decoder::open(&file, Path::new("a.wav"))?;
        let mut samples = 0;
        while let Some(block) = decoder.next_block()? {
            samples += block.interleaved.len() / block.channels;
        }
        Ok((samples, decoder.damaged()))
    }

    const USUAL: (u16, u16, u32, u16) = (PCM, 2, 8_000, 16);
    const BYTES: u32 = 32_000;

    #[test]
    fn a_header_without_lengths_is_read_to_the_end_of_the_file() {
        let data = vec![7; BYTES as usize];
        for lengths in [
            (36 + BYTES, BYTES),
            (0, 0),
            (36, 0),
            (u32::MAX, u32::MAX),
            (u32::MAX, u32::MAX - 36),
            (0x7FFF_F024, 0x7FFF_F000),
            (4, BYTES),
            (36 + BYTES, 0),
            (u32::MAX, 0),
        ] {
            assert_eq!(decoded(&wav(USUAL, lengths, &data)).unwrap(), (8_000, 0), "{lengths:?}");
        }
        // Truncated, and its header has the original length.
        assert_eq!(decoded(&wav(USUAL, (36 + 4 * BYTES, 4 * BYTES), &data)).unwrap(), (8_000, 1));
        // No audio according to the header, followed by other chunks.
        let list = b"LIST\x04\0\0\0INFO";
        assert_eq!(decoded(&wav(USUAL, (36 + list.len() as u32, 0), list)).unwrap().0, 0);
    }

    #[test]
    fn rates_and_channels_that_no_recording_has_are_refused() {
        let data = vec![7; BYTES as usize];
        let one = |channels, rate_hz| decoded(&wav((PCM, channels, rate_hz, 16), (36 + BYTES, BYTES), &data));
        for rate_hz in [0, 1, 3_999, 192_001, 4_000_000_000] {
            assert!(
                matches!(one(1, rate_hz), Err(DecodeError::Rate(found)) if found == rate_hz),
                "{rate_hz}"
            );
        }
        for channels in [0, 9, 255, u16::MAX] {
            assert!(matches!(one(channels, 8_000), Err(DecodeError::Channels(_))), "{channels}");
        }
        for (channels, rate_hz) in [(1, 4_000), (8, 192_000), (2, 44_100)] {
            assert!(one(channels, rate_hz).unwrap().0 > 0, "{channels} channels at {rate_hz} Hz");
        }
    }

    #[test]
    fn a_file_of_more_than_twelve_hours_is_refused_by_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        std::fs::write(path.join("a.wav"), wav((ULAW, 1, 4_000, 8), (u32::MAX, u32::MAX), b"")).unwrap();
        let sparse = std::fs::OpenOptions::new().write(true).open(path.join("a.wav")).unwrap();
        sparse.set_len(44 + 12 * 3_600 * 4_000).unwrap();
        let file = AudioFile::open(&path, Path::new("a.wav")).unwrap();
        assert!(matches!(read(&file), Err(DecodeError::TooLong)));
    }

    #[test]
    fn damaged_headers_are_refused() {
        let mut files = vec![
            b"RIFF".to_vec(),
            b"RIFF\0\0\0\0WAVE".to_vec(),
            [&b"RIFF\xff\xff\xff\x7fWAVEfmt \xf0\xff\xff\x7f"[..], &[0_u8; 100][..]].concat(),
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec(),
            b"RIFF\0\0\0\0WAVEdata\0\0\0\0audio".to_vec(),
            [&b"RIFF\0\0\0\0WAVE"[..], &b"junk\0\0\0\0".repeat(5_000)[..]].concat(),
            b"<html>404 Not Found</html>".to_vec(),
            vec![0; 50_000],
        ];
        // A file cut anywhere in its header, and one with each byte of its header changed.
        let whole = wav(USUAL, (36 + 400, 400), &[7; 400]);
        files.extend((1..44).map(|length| whole[..length].to_vec()));
        for file in &files {
            assert!(decoded(file).map_or(true, |(samples, _)| samples == 0), "{file:?}");
        }
        for at in 0..44 {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = decoded(&changed);
            }
        }
    }

    #[test]
    fn a_file_over_four_gigabytes_in_form_is_read_by_its_long_length() {
        for form in [b"RF64", b"BW64"] {
            let mut file = form.to_vec();
            file.extend_from_slice(b"\xff\xff\xff\xffWAVEds64\x1c\0\0\0");
            file.extend_from_slice(&(72 + u64::from(BYTES)).to_le_bytes());
            file.extend_from_slice(&u64::from(BYTES).to_le_bytes());
            file.extend_from_slice(&[0; 12]);
            file.extend_from_slice(&wav(USUAL, (0, u32::MAX), &vec![7; BYTES as usize])[12..]);
            // What comes after the audio is not played.
            file.extend_from_slice(b"LIST\x04\0\0\0INFO");
            assert_eq!(decoded(&file).unwrap(), (8_000, 0));
        }
    }

    #[test]
    fn a_coding_that_is_not_read_is_named() {
        let data = vec![7; BYTES as usize];
        let why = decoded(&wav((0x31, 1, 8_000, 0), (36 + BYTES, BYTES), &data)).unwrap_err().to_string();
        assert!(why.contains("GSM 06.10"), "{why}");
        assert!(decoded(b"#!AMR\n and frames").unwrap_err().to_string().contains("AMR"));
    }

    #[test]
    fn gsm_in_wav_is_two_frames_in_65_bytes() {
        let mut file = wav((GSM, 1, 8_000, 0), (36 + 650, 650), &[0x5a; 650]);
        file[32..34].copy_from_slice(&65u16.to_le_bytes());
        assert_eq!(decoded(&file).unwrap(), (3_200, 0));
        file[24..28].copy_from_slice(&11_025u32.to_le_bytes());
        assert_eq!(decoded(&file).unwrap(), (3_200, 0), "what a sound card recorded at its own rate");
        let cut = &file[..file.len() - 20];
        assert_eq!(decoded(cut).unwrap().0, 9 * 320);
        file[22] = 2;
        assert!(decoded(&file).is_err());
    }

    #[test]
    fn g722_in_wav_gives_two_samples_a_byte() {
        for tag in [G722, G722_FFMPEG] {
            assert_eq!(decoded(&wav((tag, 1, 16_000, 4), (36 + 800, 800), &[7; 800])).unwrap(), (1_600, 0));
            assert!(decoded(&wav((tag, 2, 16_000, 4), (36 + 800, 800), &[7; 800])).is_err());
        }
    }

    #[test]
    fn adpcm_is_read_by_its_blocks_and_what_is_none_is_refused() {
        // Each byte is two samples, after a head of four or seven bytes a channel with one or two.
        for (tag, channels, block, samples) in [
            (ADPCM_IMA, 1, 256, 505),
            (ADPCM_IMA, 2, 256, 249),
            (ADPCM_MS, 1, 256, 500),
            (ADPCM_MS, 2, 256, 244),
        ] {
            let mut file = wav((tag, channels, 8_000, 4), (36 + 2_560, 2_560), &[0; 2_560]);
            file[32..34].copy_from_slice(&(block as u16).to_le_bytes());
            assert_eq!(decoded(&file).unwrap(), (10 * samples, 0), "{tag} {channels}");
            for (at, value) in [(32, 3), (34, 16), (34, 0)] {
                let mut bad = file.clone();
                bad[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
                assert!(decoded(&bad).is_err(), "{tag} {channels}: {value} at {at}");
            }
            for length in 1..file.len().min(400) {
                let _ = decoded(&file[..length]);
            }
        }
    }

    #[test]
    fn g711_is_read_with_a_short_format_chunk_too() {
        for tag in [ALAW, ULAW] {
            assert_eq!(decoded(&wav((tag, 1, 8_000, 8), (36 + 800, 800), &[7; 800])).unwrap(), (800, 0));
        }
    }
}
