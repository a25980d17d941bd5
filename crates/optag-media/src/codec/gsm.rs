//! GSM 06.10 full rate. In: frames of 33 bytes, or pairs of frames in 65 bytes as packed by Microsoft.
//! Out: 160 samples at 8 kHz per frame.
//!
//! The arithmetic is bit-exact. Sources: ETSI EN 300 961 (GSM 06.10) §1.7 (bits), §5.1 (operators), §5.3
//! (decoder); RFC 3551 §4.5.8 (bytes).

use std::ops::Range;

use zeroize::Zeroize;

use super::decoder::Decode;
use crate::timebase::FRAME_AXIS;

/// Size of a frame in RTP and in `.gsm` files.
pub const FRAME_BYTES: usize = 33;
/// Size of two frames in WAV files.
pub const PAIR_BYTES: usize = 65;
/// Samples of a 20 ms frame.
pub const FRAME_SAMPLES: usize = 160;
/// The first four bits of every frame.
pub(super) const SIGNATURE: u16 = 0xD;

/// Samples of a sub-frame.
pub(super) const SUBFRAME: usize = 40;
pub(super) const LONGEST_LAG: usize = 120;
/// Pulses of a sub-frame.
pub(super) const PULSES: usize = 13;
/// Bits of the logarithmic area ratios.
pub(super) const RATIO_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];

// Source: EN 300 961 tables 5.1, 5.2, 5.5 and 5.6.
pub(super) const RATIO_LEAST: [i16; 8] = [-32, -32, -16, -16, -8, -8, -4, -4];
const RATIO_OFFSET: [i16; 8] = [0, 0, 2_048, -2_560, 94, -1_792, -341, -1_144];
const RATIO_SCALE: [i16; 8] = [13_107, 13_107, 13_107, 13_107, 19_223, 17_476, 31_454, 29_708];
pub(super) const GAINS: [i16; 4] = [3_277, 11_469, 21_299, 32_767];
const MANTISSAS: [i16; 8] = [18_431, 20_479, 22_527, 24_575, 26_623, 28_671, 30_719, 32_767];
/// De-emphasis: 0.86.
const DE_EMPHASIS: i16 = 28_180;

/// Duration of a payload of whole frames; 0 if it is not one. Units: of the axis.
pub fn length_axis(payload: &[u8]) -> i64 {
    match payload.len() % FRAME_BYTES {
        0 => (payload.len() / FRAME_BYTES) as i64 * FRAME_AXIS,
        _ => 0,
    }
}

/// The parameters of one frame.
struct Frame {
    ratios: [i16; 8],
    subframes: [Subframe; 4],
}

#[derive(Clone, Copy, Default)]
pub(super) struct Subframe {
    pub(super) lag: i16,
    pub(super) gain: usize,
    pub(super) grid: usize,
    pub(super) block: i16,
    pub(super) pulses: [i16; PULSES],
}

impl Frame {
    /// Reads the parameters in the order of transmission.
    fn read(mut bits: impl FnMut(u32) -> u16) -> Self {
        let ratios = RATIO_BITS.map(|length| bits(length) as i16);
        let subframes = std::array::from_fn(|_| Subframe {
            lag: bits(7) as i16,
            gain: usize::from(bits(2)),
            grid: usize::from(bits(2)),
            block: bits(6) as i16,
            pulses: std::array::from_fn(|_| bits(3) as i16),
        });
        Self { ratios, subframes }
    }

    /// A 33-byte frame, most significant bits first; `None` without its signature.
    fn of_rtp(bytes: &[u8; FRAME_BYTES]) -> Option<Self> {
        let mut at = 0;
        let mut bits = |length: u32| {
            let bit = |n: usize| u16::from(bytes[n / 8] >> (7 - n % 8) & 1);
            let from = at;
            at += length as usize;
            (from..at).fold(0, |value, n| value << 1 | bit(n))
        };
        (bits(4) == SIGNATURE).then(|| Self::read(bits))
    }

    /// Two frames in 65 bytes, least significant bits first.
    fn of_pair(bytes: &[u8; PAIR_BYTES]) -> [Self; 2] {
        let mut at = 0;
        let mut bits = |length: u32| {
            let bit = |n: usize| u16::from(bytes[n / 8] >> (n % 8) & 1);
            let from = at;
            at += length as usize;
            (from..at).rev().fold(0, |value, n| value << 1 | bit(n))
        };
        [Self::read(&mut bits), Self::read(&mut bits)]
    }
}

/// The decoder of one stream.
pub struct GsmDecoder {
    /// The last reconstructed residual, with space for a sub-frame.
    residual: [i16; LONGEST_LAG + SUBFRAME],
    lag: usize,
    ratios: [i16; 8],
    synthesis: [i16; 9],
    emphasis: i16,
}

impl Default for GsmDecoder {
    fn default() -> Self {
        Self {
            residual: [0; LONGEST_LAG + SUBFRAME],
            lag: SUBFRAME,
            ratios: [0; 8],
            synthesis: [0; 9],
            emphasis: 0,
        }
    }
}

impl Decode for GsmDecoder {
    /// Decodes whole frames with their signature; anything else gives nothing.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let (frames, rest) = payload.as_chunks::<FRAME_BYTES>();
        let is_signed = |frame: &[u8; FRAME_BYTES]| u16::from(frame[0] >> 4) == SIGNATURE;
        if !rest.is_empty() || !frames.iter().all(is_signed) {
            return 0;
        }
        let frames = frames.iter().filter_map(Frame::of_rtp);
        let places = out.as_chunks_mut::<FRAME_SAMPLES>().0;
        let written = places.iter_mut().zip(frames).map(|(place, frame)| self.frame(&frame, place));
        written.count() * FRAME_SAMPLES
    }

    fn wipe(&mut self) {
        self.residual.zeroize();
        self.synthesis.zeroize();
        self.emphasis.zeroize();
    }
}

impl GsmDecoder {
    /// Decodes pairs of frames in WAV packing to the start of `out`; returns the number of samples written.
    /// An incomplete pair is ignored.
    pub fn decode_pairs(&mut self, bytes: &[u8], out: &mut [i16]) -> usize {
        let frames = bytes.as_chunks::<PAIR_BYTES>().0.iter().flat_map(Frame::of_pair);
        let places = out.as_chunks_mut::<FRAME_SAMPLES>().0;
        let written = places.iter_mut().zip(frames).map(|(place, frame)| self.frame(&frame, place));
        written.count() * FRAME_SAMPLES
    }

    fn frame(&mut self, frame: &Frame, out: &mut [i16; FRAME_SAMPLES]) {
        for (subframe, place) in frame.subframes.iter().zip(out.as_chunks_mut::<SUBFRAME>().0) {
            *place = self.excite(subframe);
        }
        self.synthesise(&frame.ratios, out);
        for sample in out {
            self.emphasis = sample.saturating_add(times(self.emphasis, DE_EMPHASIS));
            *sample = self.emphasis.saturating_add(self.emphasis) & !7;
        }
    }

    /// Long-term synthesis: the residual of a sub-frame from its pulses and the past residual (§5.3.1,
    /// §5.3.2).
    fn excite(&mut self, subframe: &Subframe) -> [i16; SUBFRAME] {
        let pulses = pulses(subframe);
        if (SUBFRAME..=LONGEST_LAG).contains(&(subframe.lag as usize)) {
            self.lag = subframe.lag as usize;
        }
        let gain = GAINS[subframe.gain];
        for (n, pulse) in pulses.into_iter().enumerate() {
            let before = self.residual[LONGEST_LAG + n - self.lag];
            self.residual[LONGEST_LAG + n] = pulse.saturating_add(times(gain, before));
        }
        self.residual.copy_within(SUBFRAME.., 0);
        std::array::from_fn(|n| self.residual[LONGEST_LAG - SUBFRAME + n])
    }

    /// Short-term synthesis, with ratios interpolated from the previous frame's to this one's (§5.3.3).
    fn synthesise(&mut self, coded: &[i16; 8], samples: &mut [i16; FRAME_SAMPLES]) {
        let ratios = std::array::from_fn(|n| ratio(n, coded[n]));
        let before = std::mem::replace(&mut self.ratios, ratios);
        for (span, reflections) in interpolated(&before, &ratios) {
            self.filter(&reflections, &mut samples[span]);
        }
    }

    fn filter(&mut self, reflections: &[i16; 8], samples: &mut [i16]) {
        for sample in samples {
            for (n, &reflection) in reflections.iter().enumerate().rev() {
                *sample = sample.saturating_sub(times(reflection, self.synthesis[n]));
                self.synthesis[n + 1] = self.synthesis[n].saturating_add(times(reflection, *sample));
            }
            self.synthesis[0] = *sample;
        }
    }
}

/// The pulses of a sub-frame at their positions (§5.3.1).
pub(super) fn pulses(subframe: &Subframe) -> [i16; SUBFRAME] {
    let (exponent, mantissa) = exponent(subframe.block);
    let (scale, down) = (MANTISSAS[mantissa], 6 - exponent);
    let half = if down > 0 { 1 << (down - 1) } else { 0 };
    let mut placed = [0; SUBFRAME];
    for (place, pulse) in placed[subframe.grid..].iter_mut().step_by(3).zip(subframe.pulses) {
        *place = times(scale, (2 * pulse - 7) << 12).saturating_add(half) >> down;
    }
    placed
}

/// Exponent and mantissa of a block's maximum (§5.2.15).
pub(super) fn exponent(block: i16) -> (i16, usize) {
    let mut exponent = if block > 15 { (block >> 3) - 1 } else { 0 };
    let mut mantissa = block - (exponent << 3);
    if mantissa == 0 {
        return (-4, 7);
    }
    while mantissa <= 7 {
        mantissa = mantissa << 1 | 1;
        exponent -= 1;
    }
    (exponent, mantissa as usize - 8)
}

/// Reflection coefficients of the four parts of a frame, interpolated from the previous frame's to this one's
/// (§5.2.9).
pub(super) fn interpolated(before: &[i16; 8], now: &[i16; 8]) -> [(Range<usize>, [i16; 8]); 4] {
    let mix = |part: fn(i16, i16) -> i16| std::array::from_fn(|n| reflection(part(before[n], now[n])));
    [
        (0..13, mix(|old, new| (old >> 2).saturating_add(new >> 2).saturating_add(old >> 1))),
        (13..27, mix(|old, new| (old >> 1).saturating_add(new >> 1))),
        (27..40, mix(|old, new| (old >> 2).saturating_add(new >> 2).saturating_add(new >> 1))),
        (40..FRAME_SAMPLES, mix(|_, new| new)),
    ]
}

/// Decodes a logarithmic area ratio (§5.2.8).
pub(super) fn ratio(n: usize, coded: i16) -> i16 {
    let step = (coded + RATIO_LEAST[n]) << 10;
    let ratio = times(RATIO_SCALE[n], step.saturating_sub(RATIO_OFFSET[n] << 1));
    ratio.saturating_add(ratio)
}

/// The reflection coefficient of a ratio (§5.2.9.2).
fn reflection(ratio: i16) -> i16 {
    let magnitude = ratio.saturating_abs();
    let reflection = match magnitude {
        ..11_059 => magnitude << 1,
        11_059..20_070 => magnitude + 11_059,
        _ => (magnitude >> 2).saturating_add(26_112),
    };
    if ratio < 0 { -reflection } else { reflection }
}

/// Rounded product of two fractions.
pub(super) fn times(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + 16_384) >> 15).min(i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames with a signature and arbitrary bits.
    fn noise(frames: usize) -> Vec<u8> {
        let mut seed = 3u32;
        let mut byte = |n: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (seed >> 24) as u8;
            if n.is_multiple_of(FRAME_BYTES) { 0xd0 | byte & 15 } else { byte }
        };
        (0..frames * FRAME_BYTES).map(&mut byte).collect()
    }

    /// FNV-1a over 64 bits.
    fn hash(samples: &[i16]) -> u64 {
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// The hash is that of libgsm 1.0.22 for the same bytes (by ffmpeg: `-c:a libgsm -f gsm`).
    #[test]
    fn any_bits_decode_to_what_libgsm_makes_of_them() {
        let mut out = vec![0; 3_000 * FRAME_SAMPLES];
        assert_eq!(GsmDecoder::default().decode(&noise(3_000), &mut out), out.len());
        assert_eq!(hash(&out), 0x792e_ef09_f2d1_748a);
    }

    /// A voice is decoded as faithfully as this codec permits; libgsm gives the same frames for the same
    /// samples.
    #[test]
    fn what_our_encoder_says_is_heard() {
        let voice: Vec<i16> = (0..16_000)
            .map(|n| {
                let at = f64::from(n) / 8_000.0 * std::f64::consts::TAU;
                (1..9).map(|k| (at * 130.0 * f64::from(k)).sin() / f64::from(k)).sum::<f64>() as f32 * 6_000.0
            })
            .map(|sample| sample as i16)
            .collect();
        let coded = crate::codec::gsm_encoder::encode(&voice);
        assert_eq!(coded.len(), 100 * FRAME_BYTES);
        let mut heard = vec![0; voice.len()];
        assert_eq!(GsmDecoder::default().decode(&coded, &mut heard), voice.len());
        let (said, heard) = (&voice[1_600..], &heard[1_600..]);
        let product: f64 = said.iter().zip(heard).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        let power = |sound: &[i16]| sound.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
        let alike = product / (power(said) * power(heard)).sqrt();
        assert!(alike > 0.9, "{alike}");
    }

    #[test]
    fn one_to_six_frames_a_packet_give_the_same_samples() {
        let coded = noise(60);
        let decoded = |frames: usize| {
            let mut decoder = GsmDecoder::default();
            let mut out = vec![0; 60 * FRAME_SAMPLES];
            let mut written = 0;
            for packet in coded.chunks(frames * FRAME_BYTES) {
                written += decoder.decode(packet, &mut out[written..]);
            }
            assert_eq!(written, out.len());
            out
        };
        let one = decoded(1);
        assert!((2..=6).all(|frames| decoded(frames) == one));
    }

    #[test]
    fn bytes_that_are_no_frames_give_nothing_and_change_nothing() {
        let coded = noise(2);
        let (mut decoder, mut straight) = (GsmDecoder::default(), GsmDecoder::default());
        let (mut out, mut wanted) = ([0; 2 * FRAME_SAMPLES], [0; 2 * FRAME_SAMPLES]);
        let mut unsigned = coded.clone();
        unsigned[FRAME_BYTES] ^= 0x10;
        for damaged in [&[][..], &coded[..32], &coded[..34], &coded[1..], &unsigned] {
            assert_eq!(decoder.decode(damaged, &mut out), 0, "{} bytes", damaged.len());
        }
        decoder.decode(&coded, &mut out);
        straight.decode(&coded, &mut wanted);
        assert_eq!(out, wanted);
        assert_eq!(decoder.decode(&coded, &mut out[..FRAME_SAMPLES + 1]), FRAME_SAMPLES, "no more than fits");
    }
}
