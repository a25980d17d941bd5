//! What must hold for any file that is given as a recording of an earlier system: it is refused, or gives blocks
//! of bounded size at a rate and with channels that a recording may have, and no more of them than its bytes hold.

use std::path::Path;

use optag::import::decode::{Decoder, LEAST_RATE_HZ, MOST_RATE_HZ};
use optag::import::encode::opus_rate;
use optag::import::file::AudioFile;
use optag_core::limit;
use optag_storage::archive::resample::Resampler;

/// Names that a file may have.
const NAMES: [&str; 10] =
    ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.opus", "a.m4a", "a.aac", "a.gsm", "a.g722", "a"];
/// Longest block of a known form: a frame of FLAC in eight channels. Units: samples.
const LONGEST_BLOCK: usize = 8 * 65_535;
/// Sound that is looked at: a minute of it. Longer files only take longer.
const SECONDS: u64 = 60;
/// Packets beyond the bytes of a file that the decoder allows.
const SPARE: usize = 1 << 20;

/// Decodes a file whose name the first byte chooses.
pub(super) fn run(data: &[u8]) {
    let Some((&name, bytes)) = data.split_first() else { return };
    if bytes.is_empty() {
        return;
    }
    thread_local!(static DIR: tempfile::TempDir = tempfile::tempdir().expect("a directory can be made"));
    DIR.with(|dir| {
        let dir = dir.path().canonicalize().expect("it is there");
        let name = Path::new(NAMES[usize::from(name) % NAMES.len()]);
        std::fs::write(dir.join(name), bytes).expect("a file can be written");
        decode(&dir, name, bytes.len());
    });
}

fn decode(dir: &Path, name: &Path, length: usize) {
    let file = AudioFile::open(dir, name).expect("a regular file of the directory is opened");
    let Ok(mut decoder) = Decoder::open(&file, name) else { return };
    let (mut spec, mut blocks, mut samples) = (None, 0, 0);
    while let Ok(Some(block)) = decoder.next_block() {
        assert!((1..=limit::STREAMS_PER_CALL).contains(&block.channels), "{} channels", block.channels);
        assert!((LEAST_RATE_HZ..=MOST_RATE_HZ).contains(&block.rate_hz), "{} Hz", block.rate_hz);
        assert!(!block.interleaved.is_empty() && block.interleaved.len().is_multiple_of(block.channels));
        assert!(block.interleaved.len() <= LONGEST_BLOCK, "{} samples in a block", block.interleaved.len());
        if *spec.get_or_insert((block.rate_hz, block.channels)) != (block.rate_hz, block.channels) {
            panic!("rate or channels changed");
        }
        if blocks == 0 {
            convert(block.rate_hz, block.interleaved);
        }
        blocks += 1;
        assert!(blocks <= length + SPARE, "more packets than bytes");
        samples += block.interleaved.len() / block.channels;
        if samples as u64 > SECONDS * u64::from(block.rate_hz) {
            break;
        }
    }
}

/// The first samples at the rate in which they would be coded: as many as their time needs.
fn convert(rate_hz: u32, samples: &[i16]) {
    let (samples, to_hz) = (&samples[..samples.len().min(1_000)], opus_rate(rate_hz));
    let (mut resampler, mut out) = (Resampler::new(rate_hz, to_hz), Vec::new());
    resampler.push(samples, &mut out);
    resampler.finish(&mut out);
    let wanted = (samples.len() as u64 * u64::from(to_hz)).div_ceil(rate_hz.into());
    assert!((out.len() as u64).abs_diff(wanted) <= 1, "{} samples of {wanted}", out.len());
}
