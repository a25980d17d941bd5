//! The detector against the limits of Q.24, and against speech.

use super::*;
use crate::codec::Encoding;
use crate::codec::decoder::Decoder;

/// Amplitude of a sine of this level. Units: dBm0; sample.
fn amplitude(dbm0: f64) -> f64 {
    (2.0 * f64::from(DBM0)).sqrt() * 10f64.powf(dbm0 / 20.0)
}

/// A repeatable source of numbers between 0 and 1.
pub(crate) struct Chance(pub u64);

impl Chance {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Approximately normally distributed, of variance 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Two tones between silences of random and of fixed length.
#[derive(Clone, Copy)]
struct Signal {
    rate_hz: u32,
    off: (f64, f64),
    dbm0: (f64, f64),
    ms: f64,
}

const USUAL: Signal = Signal { rate_hz: 8_000, off: (0.0, 0.0), dbm0: (-10.0, -10.0), ms: 60.0 };

impl Signal {
    fn add(&self, key: char, chance: &mut Chance, samples: &mut Vec<f64>) {
        let (low, high) = tones_of(key);
        let rate = f64::from(self.rate_hz);
        let (low, high) = (f64::from(low) * (1.0 + self.off.0), f64::from(high) * (1.0 + self.off.1));
        let turns = [chance.next(), chance.next()];
        for n in 0..(self.ms * rate / 1_000.0) as usize {
            let at = n as f64 / rate;
            let sine = |hz: f64, turn: f64| ((at * hz + turn) * std::f64::consts::TAU).sin();
            let (low, high) = (sine(low, turns[0]), sine(high, turns[1]));
            samples.push(amplitude(self.dbm0.0) * low + amplitude(self.dbm0.1) * high);
        }
    }

    fn silence(&self, ms: f64, samples: &mut Vec<f64>) {
        samples.extend(vec![0.0; (ms * f64::from(self.rate_hz) / 1_000.0) as usize]);
    }
}

fn tones_of(key: char) -> (f32, f32) {
    let row = KEYS.iter().position(|row| row.contains(&key)).unwrap();
    let column = KEYS[row].iter().position(|other| *other == key).unwrap();
    (TONES_HZ[row], TONES_HZ[4 + column])
}

/// A key's tones at −10 dBm0 each, also for other tests.
pub(crate) fn key_tone(key: char, samples: usize, rate_hz: u32) -> Vec<i16> {
    let signal = Signal { rate_hz, ms: samples as f64 * 1_000.0 / f64::from(rate_hz) + 0.5, ..USUAL };
    let mut tone = Vec::new();
    signal.add(key, &mut Chance(5), &mut tone);
    tone.into_iter().take(samples).map(|sample| sample as i16).collect()
}

fn heard(rate_hz: u32, samples: &[f64]) -> String {
    let samples: Vec<i16> = samples.iter().map(|sample| sample.clamp(-32_768.0, 32_767.0) as i16).collect();
    keys_in(rate_hz, &samples)
}

fn keys_in(rate_hz: u32, samples: &[i16]) -> String {
    let mut detector = ToneDetector::default();
    let mut keys = String::new();
    for packet in samples.chunks(rate_hz as usize / 50) {
        detector.hear(rate_hz, packet, |tone| keys.extend(tone.pressed));
    }
    keys
}

/// How often the sixteen keys are detected once, never and wrongly at eight random positions each.
fn trials(signal: Signal) -> [u32; 3] {
    let mut chance = Chance(88_172_645_463_325_252);
    let mut counts = [0; 3];
    for _ in 0..8 {
        for key in KEYS.iter().flatten() {
            let mut samples = Vec::new();
            signal.silence(20.0 + 10.0 * chance.next(), &mut samples);
            signal.add(*key, &mut chance, &mut samples);
            signal.silence(60.0, &mut samples);
            let heard = heard(signal.rate_hz, &samples);
            counts[if heard == key.to_string() {
                0
            } else if heard.is_empty() {
                1
            } else {
                2
            }] += 1;
        }
    }
    counts
}

const ALL: [u32; 3] = [128, 0, 0];
const NONE: [u32; 3] = [0, 128, 0];

#[test]
fn tones_of_40_ms_are_keys_and_of_23_ms_are_not() {
    assert_eq!(trials(Signal { ms: 40.0, ..USUAL }), ALL);
    assert_eq!(trials(Signal { ms: 200.0, ..USUAL }), ALL);
    assert_eq!(trials(Signal { ms: 23.0, ..USUAL }), NONE);
}

#[test]
fn frequencies_of_1_5_percent_off_are_taken_and_of_3_5_are_not() {
    for sign in [-1.0, 1.0] {
        for (low, high) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0)] {
            let off = |percent: f64| (sign * low * percent / 100.0, sign * high * percent / 100.0);
            assert_eq!(trials(Signal { off: off(1.5), ms: 40.0, ..USUAL }), ALL, "{:?}", off(1.5));
            assert_eq!(trials(Signal { off: off(3.5), ..USUAL }), NONE, "{:?}", off(3.5));
        }
    }
}

#[test]
fn levels_and_twist_are_those_of_q_24() {
    for dbm0 in [(0.0, 0.0), (-25.0, -25.0), (-10.0, -18.0), (-17.0, -25.0), (-10.0, -5.0), (-25.0, -21.0)] {
        for off in [-0.015, 0.0, 0.015] {
            let signal = Signal { dbm0, off: (off, off), ms: 40.0, ..USUAL };
            assert_eq!(trials(signal), ALL, "{dbm0:?} {off}");
        }
    }
    for dbm0 in [(-29.0, -29.0), (-10.0, -22.0), (-19.0, -10.0)] {
        assert_eq!(trials(Signal { dbm0, ..USUAL }), NONE, "{dbm0:?}");
    }
}

#[test]
fn a_pause_parts_presses_and_an_interruption_does_not() {
    for (ms, presses) in [(10.0, 1), (30.0, 2), (40.0, 2)] {
        let mut chance = Chance(7);
        for key in KEYS.iter().flatten() {
            let mut samples = Vec::new();
            USUAL.silence(20.0 + 5.0 * chance.next(), &mut samples);
            USUAL.add(*key, &mut chance, &mut samples);
            USUAL.silence(ms, &mut samples);
            USUAL.add(*key, &mut chance, &mut samples);
            USUAL.silence(60.0, &mut samples);
            assert_eq!(heard(8_000, &samples), key.to_string().repeat(presses), "{ms} ms");
        }
    }
}

#[test]
fn digits_as_fast_as_they_may_come_are_all_heard() {
    let mut chance = Chance(11);
    let digits = "1234567890*#ABCD4929123412341234";
    let (tone, mut samples) = (Signal { ms: 40.0, ..USUAL }, Vec::new());
    for digit in digits.chars() {
        tone.add(digit, &mut chance, &mut samples);
        tone.silence(40.0, &mut samples);
    }
    assert_eq!(heard(8_000, &samples), digits);
}

#[test]
fn noise_is_borne_and_is_no_key() {
    let mut chance = Chance(13);
    let mut missed = 0;
    for key in KEYS.iter().flatten() {
        let mut samples = Vec::new();
        USUAL.silence(25.0, &mut samples);
        USUAL.add(*key, &mut chance, &mut samples);
        USUAL.silence(60.0, &mut samples);
        // 12 dB below the two tones together.
        let level = f64::from(2.0 * DBM0).sqrt() * 10f64.powf((-10.0 - 12.0) / 20.0);
        samples.iter_mut().for_each(|sample| *sample += level * chance.normal());
        missed += u32::from(heard(8_000, &samples) != key.to_string());
    }
    assert_eq!(missed, 0);
    let noise: Vec<f64> = (0..240_000).map(|_| 3_000.0 * chance.normal()).collect();
    assert_eq!(heard(8_000, &noise), "");
}

#[test]
fn every_rate_and_coding_lets_keys_through() {
    for rate_hz in [16_000, 24_000, 48_000] {
        assert_eq!(trials(Signal { rate_hz, off: (0.015, -0.015), ms: 40.0, ..USUAL }), ALL, "{rate_hz}");
    }
    for key in KEYS.iter().flatten() {
        let mut wide = vec![0; 800];
        wide.extend(key_tone(*key, 1_600, 16_000));
        wide.extend([0; 1_600]);
        let mut g722 = audio_codec::g722::G722Encoder::new();
        let mut coded = vec![0; wide.len() / 2];
        audio_codec::Encoder::encode_into(&mut g722, &wide, &mut coded).unwrap();
        let mut decoder = Decoder::new(Encoding::G722);
        let mut out = vec![0; wide.len()];
        let length = decoder.decode(&coded, &mut out);
        assert_eq!(keys_in(16_000, &out[..length]), key.to_string(), "G.722");

        let mut opus = opus::Encoder::new(16_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
        opus.set_bitrate(opus::Bitrate::Bits(24_000)).unwrap();
        let mut decoder = Decoder::for_tones(Encoding::Opus);
        let mut narrow = Vec::new();
        for frame in wide.chunks_exact(320) {
            let packet = opus.encode_vec(frame, 400).unwrap();
            let mut out = [0; 160];
            let length = decoder.decode(&packet, &mut out);
            narrow.extend_from_slice(&out[..length]);
        }
        assert_eq!(keys_in(8_000, &narrow), key.to_string(), "Opus");
    }
}

#[test]
fn quiet_packets_and_odd_lengths_change_nothing() {
    let mut samples = vec![0; 500];
    samples.extend(key_tone('6', 800, 8_000));
    samples.extend([0; 500]);
    for length in [1, 7, 33, 160, 1_000] {
        let mut detector = ToneDetector::default();
        let mut keys = String::new();
        for packet in samples.chunks(length) {
            detector.hear(8_000, packet, |tone| keys.extend(tone.pressed));
        }
        assert_eq!(keys, "6", "{length}");
    }
}

#[test]
fn any_bytes_are_borne() {
    let mut chance = Chance(17);
    for length in [0, 1, 2, 3, 500, 5_000] {
        for _ in 0..8 {
            let bytes: Vec<u8> = (0..length).map(|_| (chance.next() * 256.0) as u8).collect();
            exercise(&bytes);
        }
    }
}
