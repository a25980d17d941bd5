//! Sounds for the tests of the media chain: real speech with extended pauses, and typical line noise.

use std::path::Path;

use optag::load::speech::{Voices, decode_file};

/// Where Debian's `asterisk-core-sounds-en-wav` installs its 8 kHz speech.
const ASTERISK: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
/// Recordings used: long ones, of whole sentences.
const SENTENCES: [&str; 6] =
    ["vm-msginstruct", "conf-usermenu", "dir-intro", "privacy-prompt", "demo-echotest", "tt-weasels"];
/// Samples of 20 ms at 8 kHz.
pub(crate) const FRAME: usize = 160;

/// Speech of two sets of speakers: the embedded one, and Asterisk's if installed.
pub(crate) fn speech() -> Vec<(&'static str, Vec<i16>)> {
    let mut all = vec![("embedded", Voices::embedded(1.0).unwrap().caller.to_vec())];
    let files: Option<Vec<Vec<i16>>> = SENTENCES
        .iter()
        .map(|name| decode_file(&Path::new(ASTERISK).join(format!("{name}.wav"))).ok())
        .collect();
    match files {
        Some(files) => all.push(("asterisk", files.concat())),
        None => println!("skipped: Debian's asterisk-core-sounds-en-wav is not installed"),
    }
    all
}

/// The speech with 1 to 2.5 s of silence wherever it pauses for 0.2 s, and which frames are talk.
pub(crate) fn with_pauses(speech: &[i16], seconds: usize) -> (Vec<i16>, Vec<bool>) {
    let loud = |frame: &[i16]| frame.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() > 160.0 * 40.0 * 40.0;
    let mut out = vec![0; FRAME * 75];
    let mut quiet = 0;
    for frame in speech.chunks_exact(FRAME) {
        quiet = if loud(frame) { 0 } else { quiet + 1 };
        out.extend_from_slice(frame);
        if quiet == 10 {
            let pause = [50, 125, 75, 100][out.len() / FRAME % 4];
            out.extend(std::iter::repeat_n(0, FRAME * pause));
        }
    }
    out.resize(out.len().min(seconds * 8_000) / FRAME * FRAME, 0);
    let talk = out.chunks_exact(FRAME).map(loud).collect();
    (out, talk)
}

/// A noise, and whether it is steady enough for saving encoder calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    White,
    Pink,
    Babble,
    /// Mains hum at 50 Hz with its harmonics.
    Hum,
    /// Mains hum at 60 Hz: no whole number of periods per frame.
    Hum60,
    /// A fan, pink noise, a murmur and keyboard clicks.
    Office,
}

/// All of them.
pub(crate) const NOISES: [Noise; 6] =
    [Noise::White, Noise::Pink, Noise::Babble, Noise::Hum, Noise::Hum60, Noise::Office];

/// Uniform numbers between −1 and 1, the same each time.
pub(crate) struct Random(pub u32);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX) * 2.0 - 1.0
    }
}

/// This many samples of a noise with a root mean square of 1.
pub(crate) fn noise(kind: Noise, samples: usize) -> Vec<f64> {
    let mut random = Random(2_463_534_242);
    let wave = match kind {
        Noise::White => (0..samples).map(|_| random.next()).collect(),
        Noise::Pink => pink(&mut random, samples),
        Noise::Babble => babble(samples),
        Noise::Hum => hum(&mut random, samples, 50.0),
        Noise::Hum60 => hum(&mut random, samples, 60.0),
        Noise::Office => office(&mut random, samples),
    };
    unit(wave)
}

/// Paul Kellet's sum of one-pole filters.
fn pink(random: &mut Random, samples: usize) -> Vec<f64> {
    let mut b = [0.0; 3];
    let one = |_| {
        let white = random.next();
        b[0] = 0.99765 * b[0] + white * 0.0990460;
        b[1] = 0.96300 * b[1] + white * 0.2965164;
        b[2] = 0.57000 * b[2] + white * 1.0526913;
        b[0] + b[1] + b[2] + white * 0.1848
    };
    (0..samples).map(one).collect()
}

/// Twelve voices at once.
fn babble(samples: usize) -> Vec<f64> {
    let voices = Voices::embedded(1.0).unwrap();
    let mut sum = vec![0.0; samples];
    for n in 0..12usize {
        let voice = if n % 2 == 0 { &voices.caller } else { &voices.employee };
        let cycle = voice.iter().cycle().skip(n * 29_711);
        sum.iter_mut().zip(cycle).for_each(|(sum, &sample)| *sum += f64::from(sample));
    }
    sum
}

fn hum(random: &mut Random, samples: usize, hz: f64) -> Vec<f64> {
    let partials = [(1.0, 0.3), (2.0, 1.0), (3.0, 0.7), (4.0, 0.3), (6.0, 0.3), (8.0, 0.15)];
    let one = |n| {
        let t = n as f64 / 8_000.0 * std::f64::consts::TAU * hz;
        partials.iter().map(|(k, size)| size * (t * k + k).sin()).sum::<f64>() + 0.1 * random.next()
    };
    (0..samples).map(one).collect()
}

fn office(random: &mut Random, samples: usize) -> Vec<f64> {
    let murmur = unit(babble(samples));
    let mut low = 0.0;
    let fan: Vec<f64> = (0..samples)
        .map(|_| {
            low += 0.4 * (random.next() - low);
            low
        })
        .collect();
    let mut wave: Vec<f64> = unit(pink(random, samples))
        .iter()
        .zip(unit(fan))
        .zip(murmur)
        .map(|((pink, fan), murmur)| pink + 0.7 * fan + 0.25 * murmur)
        .collect();
    for _ in 0..samples / 8_000 {
        let at = ((random.next() + 1.0) / 2.0 * (samples - 400) as f64) as usize;
        for n in 0..200 {
            wave[at + n] += random.next() * 10.0 * (-(n as f64) / 40.0).exp();
        }
    }
    wave
}

fn unit(mut wave: Vec<f64>) -> Vec<f64> {
    let rms = (wave.iter().map(|s| s * s).sum::<f64>() / wave.len() as f64).sqrt();
    wave.iter_mut().for_each(|sample| *sample /= rms);
    wave
}

/// The speech at `level_dbov`, with a noise that much below it.
pub(crate) fn mixed(speech: &[i16], kind: Noise, level_dbov: f64, snr_db: f64) -> Vec<i16> {
    let talk: Vec<f64> = speech.iter().filter(|s| s.abs() > 30).map(|&s| f64::from(s).powi(2)).collect();
    let rms = (talk.iter().sum::<f64>() / talk.len() as f64).sqrt();
    let target = 32_768.0 * 10f64.powf(level_dbov / 20.0);
    let below = target * 10f64.powf(-snr_db / 20.0);
    let noise = noise(kind, speech.len());
    speech
        .iter()
        .zip(noise)
        .map(|(&sample, noise)| (f64::from(sample) * target / rms + noise * below).round() as i16)
        .collect()
}
