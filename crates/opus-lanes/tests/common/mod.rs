//! Signals, and encoders of both libraries side by side.

#![allow(dead_code, unreachable_pub, missing_docs)]

use std::path::{Path, PathBuf};

use opus_lanes::sys;

/// Numbers as random as tests need them.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u32
    }

    pub fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }
}

/// Processor time of this thread. Units: ns.
pub fn thread_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists; it writes one struct.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Speech at 8 kHz: real where Asterisk's sounds are installed, otherwise a synthetic voice, which is said.
pub fn speech(samples: usize) -> Vec<i16> {
    recorded_speech(samples).unwrap_or_else(|| {
        println!("Asterisk's sounds are not installed: a synthetic voice");
        synthetic_voice(samples, 8_000, 1)
    })
}

/// Real speech at 8 kHz, if Asterisk's sounds are installed.
pub fn recorded_speech(samples: usize) -> Option<Vec<i16>> {
    let mut files = Vec::new();
    collect(Path::new("/usr/share/asterisk/sounds"), &mut files);
    files.sort();
    let mut speech = Vec::new();
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        // 44 bytes of header, 8 kHz, 16 bits, one channel.
        if bytes.len() > 44 && bytes[24..28] == 8_000u32.to_le_bytes() && bytes[34] == 16 && bytes[22] == 1 {
            speech.extend(bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
        if speech.len() >= samples {
            break;
        }
    }
    // The package has some 25 minutes: more begins anew.
    (!speech.is_empty()).then(|| speech.iter().copied().cycle().take(samples).collect())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "wav") {
            files.push(path);
        }
    }
}

/// Something like a voice: pulses of a wandering pitch through three resonances that change with each
/// sound, hiss between, pauses.
pub fn synthetic_voice(samples: usize, rate_hz: u32, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let rate = f64::from(rate_hz);
    let mut out = Vec::with_capacity(samples);
    let mut state = [[0.0f64; 2]; 3];
    let (mut pitch, mut phase) = (110.0 + f64::from(random.below(120)), 0.0);
    while out.len() < samples {
        let length = (rate * (0.04 + f64::from(random.below(160)) / 1_000.0)) as usize;
        let kind = random.below(10);
        let formants = [300 + random.below(500), 900 + random.below(1_300), 2_400 + random.below(900)];
        let loudness = 500.0 + f64::from(random.below(6_000));
        for _ in 0..length {
            pitch *= 1.0 + (f64::from(random.below(2_001)) - 1_000.0) * 2e-7;
            phase += pitch / rate;
            let mut source =
                (f64::from(random.below(2_001)) / 1_000.0 - 1.0) * if kind < 6 { 0.02 } else { 0.4 };
            if phase >= 1.0 {
                phase -= 1.0;
                source += if kind < 6 { 3.0 } else { 0.0 };
            }
            if kind == 9 {
                source = 0.0;
            }
            for (formant, state) in formants.iter().zip(&mut state) {
                let (radius, angle) = (0.97f64, std::f64::consts::TAU * f64::from(*formant) / rate);
                let next = source + 2.0 * radius * angle.cos() * state[0] - radius * radius * state[1];
                *state = [next, state[0]];
                source = next * 0.25;
            }
            out.push((source * loudness).clamp(-32_768.0, 32_767.0) as i16);
        }
    }
    out.truncate(samples);
    out
}

/// What no voice does: noise, clipped squares, silence, faint noise, a rising tone, clicks, bursts.
pub fn harsh(samples: usize, rate_hz: u32, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let segment = rate_hz as usize / 2 + random.below(rate_hz) as usize;
    let first = random.below(7) as usize;
    (0..samples)
        .map(|i| {
            let noise = random.next() as i16;
            match (i / segment + first) % 7 {
                0 => noise,
                1 => {
                    if i / 40 % 2 == 0 {
                        i16::MAX
                    } else {
                        i16::MIN
                    }
                }
                2 => 0,
                3 => noise >> 12,
                4 => {
                    let t = i as f64 / f64::from(rate_hz);
                    ((std::f64::consts::TAU * (100.0 + 70.0 * t) * t).sin() * 32_767.0) as i16
                }
                5 => {
                    if i % 97 == 0 {
                        i16::MAX
                    } else {
                        0
                    }
                }
                _ => {
                    if i / 571 % 2 == 0 {
                        noise
                    } else {
                        noise >> 6
                    }
                }
            }
        })
        .collect()
}

/// What is set before a frame; nothing is coded where there is none.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub complexity: i32,
    pub bitrate: i32,
    pub vbr: bool,
    pub reset: bool,
}

/// An encoder of one of the two libraries.
pub struct Encoder {
    state: Vec<u128>,
    lanes: bool,
    pub samples: usize,
}

impl Encoder {
    pub fn new(lanes: bool, rate_hz: u32) -> Self {
        // SAFETY: plain size queries, and initialisation of memory of that size.
        unsafe {
            let bytes =
                if lanes { sys::opus_encoder_get_size(1) } else { opusic_sys::opus_encoder_get_size(1) };
            let mut state = vec![0u128; (bytes as usize).div_ceil(16)];
            let at = state.as_mut_ptr().cast();
            let status = if lanes {
                sys::opus_encoder_init(at, rate_hz as i32, 1, sys::OPUS_APPLICATION_VOIP)
            } else {
                opusic_sys::opus_encoder_init(at, rate_hz as i32, 1, sys::OPUS_APPLICATION_VOIP)
            };
            assert_eq!(status, sys::OPUS_OK);
            let mut encoder = Self { state, lanes, samples: rate_hz as usize / 50 };
            encoder.set(sys::OPUS_SET_SIGNAL_REQUEST, sys::OPUS_SIGNAL_VOICE);
            encoder
        }
    }

    fn set(&mut self, request: i32, value: i32) {
        let at = self.state.as_mut_ptr().cast();
        // SAFETY: the state was initialised; the request takes one int.
        let status = unsafe {
            if self.lanes {
                sys::opus_encoder_ctl(at, request, value)
            } else {
                opusic_sys::opus_encoder_ctl(at, request, value)
            }
        };
        assert_eq!(status, sys::OPUS_OK);
    }

    pub fn encode(&mut self, pcm: &[i16], frame: Frame) -> Vec<u8> {
        let mut packet = vec![0u8; 1_275];
        let length = self.encode_into(pcm, frame, &mut packet);
        packet.truncate(length);
        packet
    }

    pub fn encode_into(&mut self, pcm: &[i16], frame: Frame, packet: &mut [u8]) -> usize {
        if frame.reset {
            self.set(sys::OPUS_RESET_STATE, 0);
        }
        self.set(sys::OPUS_SET_COMPLEXITY_REQUEST, frame.complexity);
        self.set(sys::OPUS_SET_BITRATE_REQUEST, frame.bitrate);
        self.set(sys::OPUS_SET_VBR_REQUEST, frame.vbr.into());
        let at = self.state.as_mut_ptr().cast();
        // SAFETY: the state was initialised; frame and packet are as long as is said.
        let length = unsafe {
            let (packet, room) = (packet.as_mut_ptr(), packet.len() as i32);
            if self.lanes {
                sys::opus_encode(at, pcm.as_ptr(), pcm.len() as i32, packet, room)
            } else {
                opusic_sys::opus_encode(at, pcm.as_ptr(), pcm.len() as i32, packet, room)
            }
        };
        assert!(length > 0, "an error: {length}");
        length as usize
    }
}
