//! G.729 with annexes A and B, by the system's bcg729. In: payloads of 10-byte frames, optionally followed by
//! a 2-byte silence descriptor. Out: 8 kHz samples.
//!
//! Built only with the feature `g729`: bcg729 is licensed under the GPL (version 3), so a program linked with
//! it may only be distributed under that licence. Source: RFC 3551 §4.5.6.

use std::ptr::NonNull;

use super::decoder::Decode;

/// Bytes and samples of a 10 ms frame.
const FRAME_BYTES: usize = 10;
const FRAME_SAMPLES: usize = 80;
/// Size of a silence descriptor (annex B).
const SID_BYTES: usize = 2;

/// The library's decoder.
#[repr(C)]
struct Channel {
    _private: [u8; 0],
}

// Source: bcg729/decoder.h, version 1.1.1.
#[link(name = "bcg729")]
unsafe extern "C" {
    fn initBcg729DecoderChannel() -> *mut Channel;
    fn closeBcg729DecoderChannel(channel: *mut Channel);
    fn bcg729Decoder(
        channel: *mut Channel,
        bits: *const u8,
        bits_length: u8,
        erased: u8,
        silence: u8,
        rfc_3389: u8,
        signal: *mut i16,
    );
}

/// The decoder of one stream.
pub struct G729Decoder {
    channel: NonNull<Channel>,
}

// SAFETY: all of the library's state is in the channel, and it uses no threads; a channel is used only
// through `&mut`.
unsafe impl Send for G729Decoder {}
// SAFETY: a shared reference permits no calls.
unsafe impl Sync for G729Decoder {}

impl Default for G729Decoder {
    /// Panics: out of memory.
    fn default() -> Self {
        // SAFETY: no arguments; the result is checked.
        let channel = NonNull::new(unsafe { initBcg729DecoderChannel() });
        Self { channel: channel.expect("memory for a G.729 decoder") }
    }
}

impl Decode for G729Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let rest = payload.len() % FRAME_BYTES;
        if rest != 0 && rest != SID_BYTES {
            return 0;
        }
        let mut written = 0;
        for (frame, signal) in payload.chunks(FRAME_BYTES).zip(out.chunks_exact_mut(FRAME_SAMPLES)) {
            let silence = u8::from(frame.len() == SID_BYTES);
            // SAFETY: the channel is open; the library reads the given number of bytes, and writes 80 samples,
            // for which `signal` has space.
            unsafe {
                let channel = self.channel.as_ptr();
                let (bits, length) = (frame.as_ptr(), frame.len() as u8);
                bcg729Decoder(channel, bits, length, 0, silence, 0, signal.as_mut_ptr());
            }
            written += FRAME_SAMPLES;
        }
        written
    }
}

impl Drop for G729Decoder {
    fn drop(&mut self) {
        // SAFETY: the channel is not used afterwards.
        unsafe { closeBcg729DecoderChannel(self.channel.as_ptr()) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[repr(C)]
    struct EncoderChannel {
        _private: [u8; 0],
    }

    // Source: bcg729/encoder.h, version 1.1.1.
    #[link(name = "bcg729")]
    unsafe extern "C" {
        fn initBcg729EncoderChannel(vad: u8) -> *mut EncoderChannel;
        fn closeBcg729EncoderChannel(channel: *mut EncoderChannel);
        fn bcg729Encoder(channel: *mut EncoderChannel, frame: *const i16, bits: *mut u8, length: *mut u8);
    }

    /// 10 ms frames from the library's encoder: 10 bytes, or with `vad` also 2 or none.
    pub(crate) fn encoded(samples: &[i16], vad: bool) -> Vec<Vec<u8>> {
        // SAFETY: the channel is opened, used and closed here; frames have 80 samples, and an encoded one has
        // at most 10 bytes.
        unsafe {
            let channel = initBcg729EncoderChannel(u8::from(vad));
            let frame = |frame: &[i16]| {
                let (mut bits, mut length) = ([0; FRAME_BYTES], 0);
                bcg729Encoder(channel, frame.as_ptr(), bits.as_mut_ptr(), &mut length);
                bits[..usize::from(length)].to_vec()
            };
            let frames = samples.chunks_exact(FRAME_SAMPLES).map(frame).collect();
            closeBcg729EncoderChannel(channel);
            frames
        }
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    /// A voice-like buzz of 1 s, then 1 s of silence.
    pub(crate) fn buzz() -> Vec<i16> {
        let wave = |n: usize| {
            let at = n as f64 / 8_000.0 * std::f64::consts::TAU;
            (1..9).map(|k| (at * 130.0 * f64::from(k)).sin() / f64::from(k)).sum::<f64>() * 6_000.0
        };
        (0..8_000).map(|n| wave(n) as i16).chain(std::iter::repeat_n(0, 8_000)).collect()
    }

    #[test]
    fn what_the_reference_encoder_says_is_heard_at_its_level() {
        let voice = buzz();
        let frames = encoded(&voice, false);
        let mut decoder = G729Decoder::default();
        let mut out = vec![0; voice.len()];
        let mut written = 0;
        for packet in frames.chunks(2) {
            written += decoder.decode(&packet.concat(), &mut out[written..]);
        }
        assert_eq!(written, voice.len());
        let level = rms(&out[800..7_800]) / rms(&voice[800..7_800]);
        assert!((0.7..1.4).contains(&level), "{level}");
        assert!(rms(&out[9_000..]) < 100.0);
    }

    #[test]
    fn silence_descriptors_of_annex_b_are_quiet_frames() {
        let frames = encoded(&buzz(), true);
        assert!(frames.iter().any(|frame| frame.len() == SID_BYTES), "the encoder found no silence");
        let mut decoder = G729Decoder::default();
        let mut out = [0; 2 * FRAME_SAMPLES];
        for packet in frames.iter().filter(|frame| !frame.is_empty()) {
            assert_eq!(decoder.decode(packet, &mut out), FRAME_SAMPLES);
        }
        assert!(rms(&out[..FRAME_SAMPLES]) < 200.0, "the last is silence");
        let speech_then_silence = [frames[3].clone(), vec![0, 0]].concat();
        assert_eq!(decoder.decode(&speech_then_silence, &mut out), 2 * FRAME_SAMPLES);
    }

    #[test]
    fn bytes_that_are_no_frames_give_nothing_and_any_frames_are_borne() {
        let mut decoder = G729Decoder::default();
        let mut out = [0; 6 * FRAME_SAMPLES];
        for length in [1, 3, 9, 11, 15] {
            assert_eq!(decoder.decode(&vec![7; length], &mut out), 0);
        }
        let mut seed = 1u32;
        for _ in 0..500 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let payload: Vec<u8> = (0..20u32).map(|n| (seed >> (n % 24)) as u8 ^ n as u8).collect();
            assert_eq!(decoder.decode(&payload, &mut out), 2 * FRAME_SAMPLES);
        }
        assert_eq!(decoder.decode(&[0; 200], &mut out), 6 * FRAME_SAMPLES, "no more than fits");
    }
}
