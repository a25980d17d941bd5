//! Opus encoding of one stream. In: 20 ms frames. Out: packets. A silence costs two calls of the library after
//! the sound before it, and one before the next sound; in between, a packet of steady silence is copied. Steady
//! background is encoded now and then; in between, its packets are repeated (`opus::noise_reuse`).
//!
//! Packets are never just the table-of-contents byte, and silence is never CELT: some decoders play stale audio
//! for the first and stop at the second.

use std::sync::OnceLock;

use opus_lanes::sys;

use crate::opus::encoder_memory::EncoderMemory;
use crate::opus::noise_classifier::{Loudness, Sound};
use crate::opus::noise_reuse::NoiseReuse;
use crate::timebase::{LONGEST_FRAME, frame_samples};

/// The most a 20 ms packet can take. Source: RFC 6716 §3.4 [R2].
const PACKET_BYTES: usize = 1_275;
/// Complexity of frames that nobody hears the coding of.
const MASKED_COMPLEXITY: u8 = 0;
/// Complexities of soft frames: the largest below the one that talk is coded with. Each is a step
/// of the library's (silk/control_codec.c): what lies between costs the same.
const SOFT_COMPLEXITIES: [u8; 2] = [5, 3];
/// Complexity of silence: the least at which its packets soon repeat. Measured with libopus 1.6.1:
/// from the fifth frame on at 2, 4 and 5, never at 0 and 1.
const SILENCE_COMPLEXITY: u8 = 2;
/// Silent frames that are coded after a sound: the first holds its end, and with the second the
/// encoder's gain has fallen as low as it goes.
const FLUSH_FRAMES: u32 = 2;
/// Silent frames after which a packet is repeated though it never came twice in a row.
const SETTLE_FRAMES: u32 = 50;

/// How frames are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusSettings {
    /// Of telephone-band audio. Units: bit/s.
    pub bitrate_bps: u32,
    /// Of audio of more than 8 kHz. Units: bit/s.
    pub wideband_bitrate_bps: u32,
    /// 0 to 10.
    pub complexity: u8,
    /// Whether steady background is coded now and then only.
    pub saves_background: bool,
}

/// Frames by how they were coded, and the time it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeCounts {
    /// Frames that the library coded.
    pub coded: u64,
    /// Frames for which a packet of silence or of steady background was repeated.
    pub repeated: u64,
    /// Of those, frames of background.
    pub background: u64,
    /// Frames that were packed, to be coded later.
    pub packed: u64,
    /// Time inside the library, without what others took while this waited for them. Units: ns.
    pub coding_ns: u64,
}

/// An encoder with its library state in memory of our own.
pub struct Encoder {
    state: EncoderMemory,
    frame_samples: usize,
    complexity: u8,
    /// What the library was last told.
    complexity_in_use: u8,
    next_loudness: Loudness,
    packet: [u8; PACKET_BYTES],
    /// Length of the last packet in `packet`, if it coded silence.
    last_silence: Option<usize>,
    steady: bool,
    /// Silent frames that were coded since the last sound, to end it and to settle.
    silent_frames: u32,
    reuse: NoiseReuse,
    counts: EncodeCounts,
}

impl Encoder {
    /// A fresh encoder for voice, mono, at 8, 16, 24 or 48 kHz.
    ///
    /// Panics: the library refuses settings that this crate has checked.
    pub fn new(settings: OpusSettings, rate_hz: u32) -> Self {
        let bitrate_bps = if rate_hz > 8_000 { settings.wideband_bitrate_bps } else { settings.bitrate_bps };
        let mut state = EncoderMemory::take();
        let encoder = state.as_mut_ptr().cast::<sys::OpusEncoder>();
        // SAFETY: the memory is as large as the library asked for, aligned to a page, and only
        // used through this struct; the requests take one int each (opus_defines.h).
        unsafe {
            let status = sys::opus_encoder_init(encoder, rate_hz as i32, 1, sys::OPUS_APPLICATION_VOIP);
            assert_eq!(status, sys::OPUS_OK, "libopus refuses {rate_hz} Hz mono");
            let requests = [
                (sys::OPUS_SET_BITRATE_REQUEST, bitrate_bps as i32),
                (sys::OPUS_SET_COMPLEXITY_REQUEST, i32::from(settings.complexity)),
                (sys::OPUS_SET_SIGNAL_REQUEST, sys::OPUS_SIGNAL_VOICE),
            ];
            for (request, value) in requests {
                let status = sys::opus_encoder_ctl(encoder, request, value);
                assert_eq!(status, sys::OPUS_OK, "libopus refuses {request} = {value}");
            }
        }
        state.release_zero_pages();
        Self {
            state,
            frame_samples: frame_samples(rate_hz),
            complexity: settings.complexity,
            complexity_in_use: settings.complexity,
            next_loudness: Loudness::Loud,
            packet: [0; PACKET_BYTES],
            last_silence: None,
            steady: false,
            silent_frames: 0,
            reuse: NoiseReuse::default(),
            counts: EncodeCounts::default(),
        }
    }

    /// Samples of a frame.
    pub fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Tells how loud the next frame is: what is hardly heard takes a lower complexity. Frames of
    /// which this was not said are loud.
    pub fn next_is(&mut self, loudness: Loudness) {
        self.next_loudness = loudness;
    }

    /// Codes the following frames with another complexity, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        self.complexity = complexity;
    }

    /// Codes one frame of [`Encoder::frame_samples`], which is such a `sound`. The packet is valid
    /// until the next call.
    ///
    /// Panics: the frame has another length.
    pub fn encode(&mut self, frame: &[i16], sound: Sound) -> &[u8] {
        assert_eq!(frame.len(), self.frame_samples, "a frame is 20 ms");
        let loudness = std::mem::replace(&mut self.next_loudness, Loudness::Loud);
        self.last_silence = None;
        self.steady = false;
        self.silent_frames = 0;
        if sound == Sound::Background
            && let Some(packet) = self.reuse.next()
        {
            self.packet[..packet.len()].copy_from_slice(packet);
            self.counts.repeated += 1;
            self.counts.background += 1;
            return &self.packet[..packet.len()];
        }
        let length = self.call(frame, self.complexity_of(loudness));
        match sound {
            Sound::Talk => self.reuse.forget(),
            Sound::Calm | Sound::Background => self.reuse.remember(&self.packet[..length]),
        }
        &self.packet[..length]
    }

    /// Codes a silent frame. Where `sound_follows` in the next one, the packet comes from the
    /// encoder, so that it and all decoders set out from the same state. The packet is valid until
    /// the next call and never shorter than 2 bytes.
    pub fn silence(&mut self, sound_follows: bool) -> &[u8] {
        self.next_loudness = Loudness::Loud;
        self.reuse.forget();
        let known = steady_silence(self.packet[0]).filter(|_| self.silent_frames >= FLUSH_FRAMES);
        match known {
            None => self.settle(),
            Some(_) if sound_follows => self.code_silence(MASKED_COMPLEXITY),
            Some(packet) => {
                self.counts.repeated += 1;
                packet
            }
        }
    }

    /// Codes silence until the same packet comes twice in a row, and repeats that.
    fn settle(&mut self) -> &[u8] {
        let before = self.last_silence;
        if let Some(length) = before.filter(|_| self.steady) {
            self.counts.repeated += 1;
            return &self.packet[..length];
        }
        let previous = self.packet;
        self.silent_frames += 1;
        let flushes = self.silent_frames <= FLUSH_FRAMES;
        let length = self.code_silence(if flushes { MASKED_COMPLEXITY } else { SILENCE_COMPLEXITY }).len();
        self.last_silence = Some(length);
        let repeats = before.is_some_and(|before| previous[..before] == self.packet[..length]);
        self.steady = repeats || self.silent_frames >= SETTLE_FRAMES;
        &self.packet[..length]
    }

    fn code_silence(&mut self, complexity: u8) -> &[u8] {
        let length = self.call(&[0; LONGEST_FRAME][..self.frame_samples], complexity);
        &self.packet[..length]
    }

    fn complexity_of(&self, loudness: Loudness) -> u8 {
        match loudness {
            Loudness::Loud => self.complexity,
            Loudness::Soft => {
                let lower = SOFT_COMPLEXITIES.into_iter().find(|&step| step < self.complexity);
                lower.unwrap_or(self.complexity)
            }
            Loudness::Masked => MASKED_COMPLEXITY,
        }
    }

    /// Frames coded and repeated since the last call of this.
    pub fn take_counts(&mut self) -> EncodeCounts {
        std::mem::take(&mut self.counts)
    }

    /// Samples by which the decoder's output lags. Units: samples at 48 kHz.
    pub fn lookahead_48k(&mut self) -> u16 {
        let mut lookahead = 0i32;
        // SAFETY: the state was initialised in `new`; the request writes one int.
        unsafe {
            let encoder = self.state.as_mut_ptr().cast::<sys::OpusEncoder>();
            sys::opus_encoder_ctl(encoder, sys::OPUS_GET_LOOKAHEAD_REQUEST, &mut lookahead as *mut i32);
        }
        (lookahead as usize * LONGEST_FRAME / self.frame_samples) as u16
    }

    /// Tells the library what the next frame is worth.
    fn use_complexity(&mut self, complexity: u8) {
        if complexity == self.complexity_in_use {
            return;
        }
        let encoder = self.state.as_mut_ptr().cast::<sys::OpusEncoder>();
        // SAFETY: the state was initialised in `new`; the request takes one int.
        let status = unsafe {
            sys::opus_encoder_ctl(encoder, sys::OPUS_SET_COMPLEXITY_REQUEST, i32::from(complexity))
        };
        if status == sys::OPUS_OK {
            self.complexity_in_use = complexity;
        }
    }

    fn call(&mut self, frame: &[i16], complexity: u8) -> usize {
        let started_ns = opus_lanes::own_time_ns();
        self.use_complexity(complexity);
        let encoder = self.state.as_mut_ptr().cast::<sys::OpusEncoder>();
        // SAFETY: the state was initialised in `new`; the frame has as many samples as we say,
        // and the packet as many bytes.
        let length = unsafe {
            sys::opus_encode(
                encoder,
                frame.as_ptr(),
                frame.len() as i32,
                self.packet.as_mut_ptr(),
                PACKET_BYTES as i32,
            )
        };
        assert!(length > 0, "libopus refused a frame: {length}");
        self.counts.coded += 1;
        self.counts.coding_ns += opus_lanes::own_time_ns() - started_ns;
        length as usize
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.packet);
    }
}

/// Pre-skip of files made by these encoders: VOIP looks 6.5 ms ahead at every rate.
/// Units: samples at 48 kHz. A test holds it against the library.
pub const PRE_SKIP_48K: u16 = 312;

/// A packet of steady silence, 20 ms, for spans that were never encoded.
pub fn silence_packet() -> &'static [u8] {
    static PACKET: OnceLock<Vec<u8>> = OnceLock::new();
    PACKET.get_or_init(|| settled(8_000))
}

/// A packet of steady silence under this table of contents: of telephone or wideband speech, which
/// linear prediction codes. Others have to come to rest by themselves.
fn steady_silence(toc: u8) -> Option<&'static [u8]> {
    static WIDEBAND: OnceLock<Vec<u8>> = OnceLock::new();
    [silence_packet(), WIDEBAND.get_or_init(|| settled(16_000))].into_iter().find(|packet| packet[0] == toc)
}

/// What an encoder at this rate makes of silence in the end.
fn settled(rate_hz: u32) -> Vec<u8> {
    // Who else needs the packet waits for it, on this thread as well.
    let _held = opus_lanes::hold();
    let settings = OpusSettings {
        bitrate_bps: 16_000,
        wideband_bitrate_bps: 24_000,
        complexity: SILENCE_COMPLEXITY,
        saves_background: false,
    };
    let mut encoder = Encoder::new(settings, rate_hz);
    let mut packet = Vec::new();
    for _ in 0..SETTLE_FRAMES {
        packet = encoder.settle().to_vec();
        if encoder.steady {
            break;
        }
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: OpusSettings = OpusSettings {
        bitrate_bps: 16_000,
        wideband_bitrate_bps: 24_000,
        complexity: 5,
        saves_background: true,
    };

    fn tone(n: usize, rate_hz: u32) -> Vec<i16> {
        let samples = frame_samples(rate_hz);
        let step = 3_200.0 / f64::from(rate_hz);
        (0..samples).map(|i| (((n * samples + i) as f64 * step).sin() * 8_000.0) as i16).collect()
    }

    #[test]
    fn the_pre_skip_is_what_the_library_says() {
        for rate_hz in [8_000, 16_000, 24_000, 48_000] {
            assert_eq!(Encoder::new(SETTINGS, rate_hz).lookahead_48k(), PRE_SKIP_48K);
        }
    }

    #[test]
    fn silence_costs_two_calls_at_any_complexity_and_rate_of_speech() {
        for (complexity, rate_hz) in
            (0..=10).flat_map(|complexity| [(complexity, 8_000), (complexity, 16_000)])
        {
            let mut encoder = Encoder::new(OpusSettings { complexity, ..SETTINGS }, rate_hz);
            for n in 0..10 {
                encoder.encode(&tone(n, rate_hz), Sound::Talk);
            }
            encoder.take_counts();
            let mut packets = Vec::new();
            for _ in 0..100 {
                packets.push(encoder.silence(false).to_vec());
            }
            let counts = encoder.take_counts();
            assert_eq!((counts.coded, counts.repeated), (2, 98), "{complexity}, {rate_hz} Hz");
            assert!(packets.iter().all(|packet| packet.len() > 1), "a packet of one byte");
        }
    }

    #[test]
    fn silence_at_the_rates_of_music_costs_no_calls_once_its_packet_repeats() {
        for rate_hz in [24_000, 48_000] {
            let mut encoder = Encoder::new(SETTINGS, rate_hz);
            for _ in 0..100 {
                encoder.silence(false);
            }
            let counts = encoder.take_counts();
            assert!(counts.coded <= 60 && counts.coded + counts.repeated == 100, "{rate_hz} Hz: {counts:?}");
        }
    }

    #[test]
    fn speech_after_repeated_silence_is_heard_and_the_silence_is_silent() {
        for rate_hz in [8_000, 16_000] {
            let mut encoder = Encoder::new(SETTINGS, rate_hz);
            let mut decoder = opus::Decoder::new(rate_hz, opus::Channels::Mono).unwrap();
            let mut level = |packet: &[u8]| {
                let mut out = vec![0i16; frame_samples(rate_hz)];
                decoder.decode(packet, &mut out, false).unwrap();
                (out.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / out.len() as f64).sqrt()
            };
            for n in 0..50 {
                level(encoder.encode(&tone(n, rate_hz), Sound::Talk));
            }
            let silence: Vec<_> = (0..100).map(|_| level(encoder.silence(false))).collect();
            assert!(silence[2..].iter().all(|&rms| rms < 4.0), "{silence:?}");
            assert!(silence[4..].iter().all(|&rms| rms < 0.5), "{silence:?}");
            let speech: Vec<_> =
                (50..60).map(|n| level(encoder.encode(&tone(n, rate_hz), Sound::Talk))).collect();
            assert!(speech[3..].iter().all(|&rms| rms > 3_000.0), "{speech:?}");
        }
    }
}
