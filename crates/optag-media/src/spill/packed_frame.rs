//! One frame of a stream as it is kept until it is encoded: without loss, apart from all others.
//!
//! In: what an encoder would have been given. Out: bytes, and the same back; bytes that may be
//! anything give `None`.
//!
//! ```text
//! frame   tag u8: kind (bits 0–2) · rate (bits 3–4: 8, 16, 24, 48 kHz) · fresh (bit 5) · 0
//!   0 Opus            the packet as it came; of the tag nothing else is set
//!   1 silence         nothing · 2 silence before a sound: nothing
//!   3 A-law, 4 µ-law, 5 16 bits
//!                     sound × 3 + loudness u8, then bits, the highest first:
//!                     k 4 (15: the samples as they are) · coefficients 4 · each of them 6, + 32 ·
//!                     samples, less what was predicted, as Rice codes with k low bits; zeros
//! ```
//! Samples of G.711 are their ranks (`Law`), less the rank of what was predicted.

use crate::opus::noise_classifier::{Loudness, Sound};
use crate::spill::bits::{BitReader, BitWriter, rice_bits};
use crate::spill::law::Law;
use crate::spill::prediction::{COEFFICIENT_BITS, Predictor, Steps};
use crate::timebase::{LONGEST_FRAME, frame_samples};

/// Rates of frames.
pub const RATES_HZ: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

const OPUS: u8 = 0;
const SILENCE: u8 = 1;
const SILENCE_BEFORE_SOUND: u8 = 2;
const A_LAW: u8 = 3;
const MU_LAW: u8 = 4;
const LINEAR: u8 = 5;

/// In place of `k`: samples as they are.
const PLAIN: u32 = 15;
/// Coefficients that are tried, at 8 kHz and above.
const ORDER: usize = 8;
const WIDE_ORDER: usize = 12;

const SOUNDS: [Sound; 3] = [Sound::Talk, Sound::Calm, Sound::Background];
const LOUDNESSES: [Loudness; 3] = [Loudness::Loud, Loudness::Soft, Loudness::Masked];

/// What an encoder is given for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given<'a> {
    /// Nothing: this Opus packet stands for it.
    Opus(&'a [u8]),
    /// A frame for the encoder of the stream.
    Coded {
        /// Rate of the encoder. Units: Hz.
        rate_hz: u32,
        /// Whether the encoder begins anew with it.
        fresh: bool,
        /// What it holds.
        content: Content<'a>,
    },
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Silence, and whether a sound follows in the next frame.
    Silence(bool),
    /// Samples, what they are and how loud beside what is around them.
    Samples(&'a [i16], Sound, Loudness),
}

/// Appends a frame.
///
/// Panics: the rate is none of [`RATES_HZ`], or the samples are not 20 ms of it.
pub fn pack(given: Given<'_>, out: &mut Vec<u8>) {
    let (rate_hz, fresh, content) = match given {
        Given::Opus(packet) => {
            out.push(OPUS);
            return out.extend_from_slice(packet);
        }
        Given::Coded { rate_hz, fresh, content } => (rate_hz, fresh, content),
    };
    let rate = RATES_HZ.iter().position(|&known| known == rate_hz).expect("a rate of an encoder");
    let tag = (rate as u8) << 3 | u8::from(fresh) << 5;
    let (samples, sound, loudness) = match content {
        Content::Silence(false) => return out.push(tag | SILENCE),
        Content::Silence(true) => return out.push(tag | SILENCE_BEFORE_SOUND),
        Content::Samples(samples, sound, loudness) => (samples, sound, loudness),
    };
    assert_eq!(samples.len(), frame_samples(rate_hz), "a frame is 20 ms");
    let law = (rate_hz == RATES_HZ[0]).then(|| Law::of(samples)).flatten();
    out.push(tag | law.map_or(LINEAR, |law| if law == Law::A { A_LAW } else { MU_LAW }));
    out.push(sound as u8 * 3 + loudness as u8);
    let mut left = [0u32; LONGEST_FRAME];
    let left = &mut left[..samples.len()];
    let steps = Steps::of(samples, if rate_hz == RATES_HZ[0] { ORDER } else { WIDE_ORDER });
    let predictor = steps.predictor();
    let mut writer = BitWriter::new(out);
    match law {
        Some(law) => residual(samples, &predictor, left, |sample| law.rank(sample).into()),
        None => residual(samples, &predictor, left, i32::from),
    }
    let plain = plain_bits(law);
    let (k, bits) = best_rice(left, plain + 1);
    let header = steps.as_slice().len() as u32 * COEFFICIENT_BITS;
    if bits + header < plain * samples.len() as u32 {
        writer.put(k, 4);
        writer.put(steps.as_slice().len() as u32, 4);
        steps.as_slice().iter().for_each(|&step| writer.put((32 + i32::from(step)) as u32, COEFFICIENT_BITS));
        left.iter().for_each(|&value| writer.put_rice(value, k, plain + 1));
    } else {
        writer.put(PLAIN, 4);
        for &sample in samples {
            writer.put(law.map_or(u32::from(sample as u16), |law| law.rank(sample).into()), plain);
        }
    }
    writer.finish();
}

/// Reads a frame; its samples go into `samples`. `None`: it is none.
pub fn unpack<'a>(bytes: &'a [u8], samples: &'a mut [i16; LONGEST_FRAME]) -> Option<Given<'a>> {
    let (&tag, rest) = bytes.split_first()?;
    if tag == OPUS {
        return (!rest.is_empty()).then_some(Given::Opus(rest));
    }
    let rate_hz = RATES_HZ[usize::from(tag >> 3 & 3)];
    let fresh = tag & 1 << 5 != 0;
    let law = match tag & 7 {
        _ if tag & 0xc0 != 0 => return None,
        kind @ (SILENCE | SILENCE_BEFORE_SOUND) => {
            let content = Content::Silence(kind == SILENCE_BEFORE_SOUND);
            return rest.is_empty().then_some(Given::Coded { rate_hz, fresh, content });
        }
        A_LAW => Some(Law::A),
        MU_LAW => Some(Law::Mu),
        LINEAR => None,
        _ => return None,
    };
    if law.is_some() && rate_hz != RATES_HZ[0] {
        return None;
    }
    let (&kind, rest) = rest.split_first()?;
    let sound = *SOUNDS.get(usize::from(kind / 3))?;
    let loudness = LOUDNESSES[usize::from(kind % 3)];
    let samples = &mut samples[..frame_samples(rate_hz)];
    let mut reader = BitReader::new(rest);
    let plain = plain_bits(law);
    let k = reader.take(4)?;
    if k == PLAIN {
        for sample in &mut *samples {
            let value = reader.take(plain)?;
            *sample = law.map_or(value as u16 as i16, |law| law.value(value as u8));
        }
    } else {
        let predictor = read_steps(&mut reader)?.predictor();
        for n in 0..samples.len() {
            let off = unfolded(reader.take_rice(k, plain + 1)?);
            let predicted = predictor.next(&samples[..n]);
            samples[n] = match law {
                Some(law) => law.value(u8::try_from(i32::from(law.rank(predicted)) + off).ok()?),
                None => i16::try_from(i32::from(predicted) + off).ok()?,
            };
        }
    }
    let content = Content::Samples(samples, sound, loudness);
    reader.ends().then_some(Given::Coded { rate_hz, fresh, content })
}

/// Rate of the encoder of a frame. `None`: it is an Opus packet, or no frame. Units: Hz.
pub fn rate_hz(bytes: &[u8]) -> Option<u32> {
    let tag = bytes.first().filter(|&&tag| tag != OPUS)?;
    Some(RATES_HZ[usize::from(tag >> 3 & 3)])
}

fn read_steps(reader: &mut BitReader<'_>) -> Option<Steps> {
    let mut steps = [0i8; 15];
    let order = reader.take(4)? as usize;
    for step in &mut steps[..order] {
        *step = reader.take(COEFFICIENT_BITS)? as i8 - 32;
    }
    Steps::new(&steps[..order])
}

/// Bits of a sample as it is.
fn plain_bits(law: Option<Law>) -> u32 {
    if law.is_some() { 8 } else { 16 }
}

/// What is left of each sample, folded into a number that is not negative.
fn residual(samples: &[i16], predictor: &Predictor, left: &mut [u32], of: impl Fn(i16) -> i32) {
    for (n, left) in left.iter_mut().enumerate() {
        *left = folded(of(samples[n]) - of(predictor.next(&samples[..n])));
    }
}

fn folded(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn unfolded(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// The `k` that makes the codes shortest, and their bits.
fn best_rice(left: &[u32], plain: u32) -> (u32, u32) {
    let mean = left.iter().map(|&value| u64::from(value)).sum::<u64>() / left.len().max(1) as u64;
    let about = (mean + 1).ilog2();
    let cost = |k: u32| left.iter().map(|&value| rice_bits(value, k, plain)).sum::<u32>();
    let tried = (about.saturating_sub(1)..=about).filter(|&k| k < PLAIN);
    tried.map(|k| (k, cost(k))).min_by_key(|&(_, bits)| bits).unwrap_or((0, u32::MAX / 2))
}

/// Unpacks any bytes, for fuzzing and its corpus: what is taken must come back as it is.
pub fn exercise(bytes: &[u8]) {
    let mut samples = [0; LONGEST_FRAME];
    let Some(given) = unpack(bytes, &mut samples) else { return };
    let mut again = Vec::new();
    pack(given, &mut again);
    assert!(again.len() <= bytes.len().max(4 + 2 * LONGEST_FRAME), "longer than the samples");
    let mut others = [0; LONGEST_FRAME];
    assert_eq!(unpack(&again, &mut others), Some(given));
}

#[cfg(test)]
mod tests;
