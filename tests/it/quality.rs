//! How real 8 kHz speech sounds once it was stored: PESQ-NB over the whole chain at 16 kbit/s.
//!
//! `cargo test --test it -- quality --nocapture` prints the scores; the longer test beside it
//! takes every recording of Asterisk's sounds that has ten seconds.

use std::path::Path;
use std::process::Command as Process;

use optag::load::speech::{Voices, decode_file};
use optag_media::codec::coded::Codec;
use optag_media::codec::{Encoding, g711};
use optag_media::opus::encoder::PRE_SKIP_48K;

use crate::chain::Chain;
use crate::codecs::rendered;
use crate::sounds::FRAME;

/// What must be reached at 16 kbit/s and complexity 5, as a mean.
const LEAST: f64 = 4.35;
/// Sentences that are scored: PESQ is made for 8 to 12 s. Units: samples.
const PART: usize = 80_000;
/// Silence before and after. Units: samples.
const LEAD: usize = 4_000;

/// Scores of pairs of what was said and what is heard; `None` where the tool is missing.
pub(crate) fn pesq_nb(pairs: &[(&[i16], &[i16])]) -> Option<Vec<f64>> {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::new("python3");
    process.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/pesq-nb"));
    let mut written = 0;
    for (said, heard) in pairs {
        for samples in [said, heard] {
            let path = dir.path().join(written.to_string());
            written += 1;
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            std::fs::write(&path, bytes).unwrap();
            process.arg(path);
        }
    }
    let Ok(ran) = process.output() else {
        println!("skipped: python3 is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.code() == Some(77) {
        println!("skipped: {}", said.trim());
        return None;
    }
    assert!(ran.status.success(), "{said}");
    let scores: Vec<f64> =
        String::from_utf8(ran.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(scores.len(), pairs.len());
    Some(scores)
}

/// Speech as it arrives, and as it is heard from the stored file. A call is up before it is
/// spoken in: the first packets prove the sender and are not kept.
fn through_the_chain(speech: &[i16], complexity: u8, saves: bool) -> (Vec<i16>, Vec<i16>) {
    let speech = [&[0; LEAD][..], speech, &[0; LEAD]].concat();
    let coded = Codec::Pcma.encode(&speech);
    let mut said = vec![0; speech.len()];
    g711::decode_alaw(&coded, &mut said);
    let mut chain = Chain::coded(&[&[(8, Encoding::Pcma)]], 0, saves, complexity);
    for (n, payload) in coded.chunks_exact(FRAME).enumerate() {
        chain.hear(0, n as u64 * 20, 8, n as u16, (n * FRAME) as u32, payload);
    }
    let (file, _, _) = chain.end((speech.len() / 8) as u64);
    (said, rendered(&file, 8_000))
}

/// The mean score of these recordings at a complexity, coded savingly or every frame in full.
fn mean(parts: &[Vec<i16>], complexity: u8, saves: bool) -> Option<f64> {
    let played: Vec<_> = parts.iter().map(|part| through_the_chain(part, complexity, saves)).collect();
    let pairs: Vec<_> = played.iter().map(|(said, heard)| (said.as_slice(), heard.as_slice())).collect();
    let scores = pesq_nb(&pairs)?;
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let worst = scores.iter().copied().fold(f64::MAX, f64::min);
    println!(
        "complexity {complexity:>2}{}: PESQ-NB mean {mean:.3}, worst {worst:.3} of {} recordings",
        if saves { "" } else { ", every frame in full" },
        scores.len()
    );
    Some(mean)
}

/// Speech in spurts, cut wherever, with pauses of digital silence between; where each spurt begins.
fn spurts(speech: &[i16]) -> (Vec<i16>, Vec<usize>) {
    let (mut all, mut onsets, mut from) = (vec![0; LEAD], Vec::new(), 0);
    for n in 0.. {
        let length = FRAME * (20 + n * 7 % 21);
        let Some(spurt) = speech.get(from..from + length) else { break };
        from += length;
        // What begins softly has no onset to compare.
        if spurt[..3 * FRAME].iter().any(|sample| sample.unsigned_abs() > 1_000) {
            all.resize(all.len() + FRAME * (6 + n % 12), 0);
            onsets.push(all.len());
            all.extend_from_slice(spurt);
        }
    }
    all.resize(all.len() + LEAD, 0);
    (all, onsets)
}

/// What libopus makes of every frame, silent or not, aligned with what was said.
fn in_full(said: &[i16]) -> Vec<i16> {
    let mut encoder = opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
    encoder.set_bitrate(opus::Bitrate::Bits(16_000)).unwrap();
    encoder.set_complexity(5).unwrap();
    encoder.set_signal(opus::Signal::Voice).unwrap();
    let mut decoder = opus::Decoder::new(8_000, opus::Channels::Mono).unwrap();
    let (mut packet, mut frame, mut heard) = ([0; 1_275], [0; FRAME], Vec::new());
    for samples in said.chunks_exact(FRAME) {
        let length = encoder.encode(samples, &mut packet).unwrap();
        decoder.decode(&packet[..length], &mut frame, false).unwrap();
        heard.extend_from_slice(&frame);
    }
    heard.split_off(usize::from(PRE_SKIP_48K) / 6)
}

/// Mean ratio of signal to error of the first 20 ms of each spurt. Units: dB.
fn onset_snr_db(said: &[i16], heard: &[i16], onsets: &[usize]) -> f64 {
    let snr = |&onset: &usize| {
        let pairs = said[onset..].iter().zip(&heard[onset..]).take(FRAME);
        let (signal, error) = pairs.fold((1.0, 1.0), |(signal, error), (&said, &heard)| {
            let (said, heard) = (f64::from(said), f64::from(heard));
            (signal + said * said, error + (said - heard).powi(2))
        });
        10.0 * f64::log10(signal / error)
    };
    onsets.iter().map(snr).sum::<f64>() / onsets.len() as f64
}

#[test]
fn words_after_repeated_silence_begin_as_if_it_had_been_coded() {
    let (speech, onsets) = spurts(&Voices::embedded(1.0).unwrap().caller);
    let (said, heard) = through_the_chain(&speech, 5, false);
    let full = in_full(&said);
    let onsets: Vec<usize> = onsets.iter().map(|onset| onset + LEAD).collect();
    let [ours, theirs] = [&heard, &full].map(|heard| onset_snr_db(&said, heard, &onsets));
    println!("{} onsets: {ours:.2} dB, every frame in full {theirs:.2} dB", onsets.len());
    assert!(onsets.len() > 40 && theirs > 6.0 && ours > theirs - 0.3);
    let pause = onsets.iter().flat_map(|&onset| &heard[onset - 4 * FRAME..onset - FRAME]);
    let loudest = pause.map(|sample| sample.unsigned_abs()).max();
    assert!(loudest < Some(100), "{loudest:?} in pauses");
}

#[test]
fn stored_speech_scores_at_least_4_35() {
    let voices = Voices::embedded(1.0).unwrap();
    let parts: Vec<Vec<i16>> = [&voices.caller, &voices.employee]
        .iter()
        .flat_map(|voice| voice.chunks_exact(PART).take(3).map(<[i16]>::to_vec))
        .collect();
    for complexity in [0, 5, 10] {
        let Some(mean) = mean(&parts, complexity, true) else { return };
        assert!(complexity != 5 || mean >= LEAST, "{mean:.3} is under {LEAST}");
    }
}

#[test]
#[ignore = "takes minutes: every long recording of Asterisk's sounds"]
fn every_long_recording_scores_as_if_each_frame_were_coded_in_full() {
    let Ok(dir) = std::fs::read_dir("/usr/share/asterisk/sounds/en_US_f_Allison") else {
        return println!("skipped: Debian's asterisk-core-sounds-en-wav is not installed");
    };
    let mut files: Vec<_> = dir.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let parts: Vec<Vec<i16>> = files
        .iter()
        .filter_map(|path| decode_file(path).ok())
        .filter(|speech| speech.len() >= PART)
        .map(|speech| speech[..PART].to_vec())
        .collect();
    let [Some(always), Some(saving)] = [false, true].map(|saves| mean(&parts, 5, saves)) else { return };
    assert!(saving > always - 0.02, "{saving:.3} after {always:.3}");
}
