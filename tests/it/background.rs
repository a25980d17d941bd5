//! Steady background noise is encoded only occasionally, inaudibly: real speech at several levels over several
//! noises, the saving chain beside one that encodes every frame.

use optag_media::codec::Encoding;
use optag_media::codec::coded::Codec;

use crate::chain::{Chain, correlation};
use crate::codecs::{packets, rendered, three_decoders_agree};
use crate::quality::pesq_nb;
use crate::sounds::{self, FRAME, NOISES, Noise};

/// Frames around talk that count as talk: 60 ms before, 200 ms after.
const BEFORE: usize = 3;
const AFTER: usize = 10;
/// Frames from talk on in which the background is not looked at.
const APART: usize = 30;

struct Heard {
    file: Vec<u8>,
    samples: Vec<i16>,
    background: u64,
}

fn record(samples: &[i16], saves: bool) -> Heard {
    let mut chain = Chain::saving(&[&[(8, Encoding::Pcma)]], 0, saves);
    for (n, payload) in Codec::Pcma.encode(samples).chunks_exact(FRAME).enumerate() {
        chain.hear(0, n as u64 * 20, 8, n as u16, (n * FRAME) as u32, payload);
    }
    let (file, manifest, stats) = chain.end((samples.len() / 8) as u64);
    assert_eq!(manifest.duration_ms as usize, samples.len() / 8);
    Heard { samples: rendered(&file, 8_000), background: stats.frames_background, file }
}

fn widened(talk: &[bool], before: usize, after: usize) -> Vec<bool> {
    let near = |n: usize| talk[n.saturating_sub(after)..(n + before + 1).min(talk.len())].contains(&true);
    (0..talk.len()).map(near).collect()
}

fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

fn db(one: f64, other: f64) -> f64 {
    20.0 * ((one + 1.0) / (other + 1.0)).log10()
}

fn picked(samples: &[i16], wanted: &[bool]) -> Vec<i16> {
    let frames = samples.chunks_exact(FRAME).zip(wanted);
    frames.filter(|(_, wanted)| **wanted).flat_map(|(frame, _)| frame).copied().collect()
}

/// Compares both chains on one sound; returns the share of the frames without talk that cost nothing.
fn compare(
    name: &str,
    clean: (&[i16], &[bool]),
    mixed: &[i16],
    scores: &mut Vec<Scored>,
    faults: &mut Vec<String>,
) -> f64 {
    let (always, saving) = (record(mixed, false), record(mixed, true));
    assert_eq!((always.background, always.samples.len()), (0, saving.samples.len()), "{name}");
    assert!(packets(&saving.file).iter().all(|packet| packet.len() > 1), "{name}: a bare table of contents");
    let quiet: Vec<bool> = widened(clean.1, APART, APART).iter().map(|near| !near).collect();
    let (a, b) = (picked(&always.samples, &quiet), picked(&saving.samples, &quiet));
    for (n, (a, b)) in a.chunks(FRAME * 25).zip(b.chunks(FRAME * 25)).enumerate() {
        let off = db(rms(b), rms(a));
        if off.abs() > 3.0 {
            faults.push(format!("{name}: half second {n} of background is {off:.1} dB off"));
        }
    }
    let onsets: Vec<usize> =
        (12..clean.1.len() - 10).filter(|&n| clean.1[n] && !clean.1[n - 12..n].contains(&true)).collect();
    let mut alike = 0.0;
    for &onset in &onsets {
        let span = onset * FRAME..(onset + 5) * FRAME;
        let (a, b) = (&always.samples[span.clone()], &saving.samples[span.clone()]);
        let off = db(rms(b), rms(a));
        if off <= -1.0 {
            faults.push(format!("{name}: the word at frame {onset} is clipped by {off:.1} dB"));
        }
        let said = &mixed[span];
        alike += correlation(b, said, 4).0 - correlation(a, said, 4).0;
    }
    let alike = alike / onsets.len() as f64;
    assert!(onsets.len() >= 2, "{name}: too few words");
    if alike <= -0.03 {
        faults.push(format!("{name}: onsets are {:.3} less like what was said", -alike));
    }
    let talking = widened(clean.1, BEFORE, AFTER);
    scores.push(Scored {
        name: name.to_owned(),
        said: picked(&as_received(mixed), &talking),
        heard: [&always, &saving].map(|heard| picked(&heard.samples, &talking)),
    });
    three_decoders_agree(&saving.file, (mixed.len() / 4_000 * 500) as u64);
    saving.background as f64 / clean.1.iter().filter(|talk| !**talk).count() as f64
}

fn as_received(samples: &[i16]) -> Vec<i16> {
    let mut out = vec![0; samples.len()];
    optag_media::codec::g711::decode_alaw(&Codec::Pcma.encode(samples), &mut out);
    out
}

/// The talking parts of one sound: original, always encoded, encoded savingly.
struct Scored {
    name: String,
    said: Vec<i16>,
    heard: [Vec<i16>; 2],
}

/// PESQ of both chains over the talking parts: at most 0.05 apart.
fn talking_parts_score_alike(scores: &[Scored], faults: &mut Vec<String>) {
    // PESQ is designed for at most twenty seconds.
    let part = |samples: &[i16]| samples[..samples.len().min(160_000)].to_vec();
    let parts: Vec<(Vec<i16>, Vec<i16>)> = scores
        .iter()
        .flat_map(|scored| scored.heard.iter().map(|heard| (part(&scored.said), part(heard))))
        .collect();
    let pairs: Vec<_> = parts.iter().map(|(said, heard)| (said.as_slice(), heard.as_slice())).collect();
    let Some(values) = pesq_nb(&pairs) else { return };
    for (scored, pair) in scores.iter().zip(values.chunks_exact(2)) {
        println!("{}: PESQ-NB {:.3} always, {:.3} saving", scored.name, pair[0], pair[1]);
        if pair[1] < pair[0] - 0.05 {
            faults.push(format!("{}: PESQ-NB {:.3} after {:.3}", scored.name, pair[1], pair[0]));
        }
    }
}

fn compare_all(levels_dbov: &[f64], snrs_db: &[f64], noises: &[Noise], seconds: usize) {
    let (mut scores, mut faults) = (Vec::new(), Vec::new());
    for (speaker, speech) in sounds::speech() {
        let (clean, talk) = sounds::with_pauses(&speech, seconds);
        for &level in levels_dbov {
            for &snr in snrs_db {
                for &kind in noises {
                    let name = format!("{speaker} {level} dBov, {kind:?} {snr} dB below");
                    let mixed = sounds::mixed(&clean, kind, level, snr);
                    let saved = compare(&name, (&clean, &talk), &mixed, &mut scores, &mut faults);
                    println!("{name}: {:.0} % of the frames without talk cost nothing", saved * 100.0);
                    let steady = matches!(kind, Noise::White | Noise::Pink);
                    // Below what A-law can represent there is no background; near the talk, nothing is saved.
                    let clear = (-65.0..-40.0).contains(&(level - snr)) && snr >= 25.0;
                    if saved <= 0.2 && steady && clear {
                        faults.push(format!("{name}: only {saved:.2} saved"));
                    }
                }
            }
        }
    }
    talking_parts_score_alike(&scores, &mut faults);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn background_between_words_is_saved_on_and_not_heard_to_be() {
    let noises = [Noise::White, Noise::Pink, Noise::Hum60, Noise::Office];
    compare_all(&[-26.0], &[25.0], &noises, 15);
}

#[test]
#[ignore = "takes minutes: all levels and noises"]
fn background_of_every_level_is_saved_on_and_not_heard_to_be() {
    compare_all(&[-20.0, -30.0, -38.0], &[35.0, 25.0, 20.0, 15.0], &NOISES, 40);
}
