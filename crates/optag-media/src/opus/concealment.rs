//! Loss concealment in streams of passed-through Opus packets. In: the packets that passed. Out: packets of
//! 20 ms in the same mode and bandwidth, so that no decoder has to switch.

use std::sync::OnceLock;

use opusic_sys as sys;

use crate::opus::packet::{Mode, audio_hz, mode};
use crate::timebase::LONGEST_FRAME;

/// Packets remembered for concealment.
const REMEMBERED: usize = 3;
/// Maximum size of a packet made here. Units: bytes.
const PACKET_BYTES: usize = 400;
/// Number of silent frames after which a packet counts as steady even if no two consecutive ones were equal.
const SETTLE_FRAMES: usize = 50;
/// Bit rate of concealment packets. Units: bit/s.
const FILL_BPS: i32 = 24_000;

/// Conceals lost packets from received ones.
#[derive(Default)]
pub(crate) struct Concealment {
    passed: [Vec<u8>; REMEMBERED],
    newest: usize,
    engine: Option<Box<Engine>>,
    packet: Vec<u8>,
}

impl Concealment {
    /// Remembers a packet that is passed on, and empties its slot.
    pub(crate) fn passed(&mut self, slot: &mut Vec<u8>) -> &[u8] {
        self.newest = (self.newest + 1) % REMEMBERED;
        let kept = &mut self.passed[self.newest];
        kept.clear();
        std::mem::swap(kept, slot);
        kept
    }

    /// A packet for a lost frame; `first` means that the previous frame was received, `following` is the next
    /// packet, whose copy of the lost one (in-band FEC) is used if present.
    pub(crate) fn fill(&mut self, first: bool, following: Option<&[u8]>) -> &[u8] {
        let toc = self.passed[self.newest].first().copied().unwrap_or(0);
        let Some(engine) = self.engine.get_or_insert_with(|| Box::new(Engine::new(toc))).ready(first, toc)
        else {
            return silence_like(toc);
        };
        if first {
            for back in (0..REMEMBERED).rev() {
                let packet = &self.passed[(self.newest + REMEMBERED - back) % REMEMBERED];
                if !packet.is_empty() {
                    engine.follow(packet);
                }
            }
        }
        self.packet.clear();
        self.packet.extend_from_slice(engine.stand_in(following));
        if self.packet.len() > 1 { &self.packet } else { silence_like(toc) }
    }
}

impl Drop for Concealment {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.passed);
        zeroize::Zeroize::zeroize(&mut self.packet);
    }
}

/// A decoder and an encoder that follow a stream during a loss.
struct Engine {
    toc: u8,
    decoder: opus::Decoder,
    encoder: RawEncoder,
    packet: [u8; PACKET_BYTES],
}

impl Engine {
    fn new(toc: u8) -> Self {
        Self {
            toc,
            decoder: opus::Decoder::new(48_000, opus::Channels::Mono).expect("libopus decodes 48 kHz mono"),
            encoder: RawEncoder::like(toc),
            packet: [0; PACKET_BYTES],
        }
    }

    /// The engine for packets with this TOC, reset at the start of a loss.
    fn ready(&mut self, first: bool, toc: u8) -> Option<&mut Self> {
        if first {
            if toc != self.toc {
                (self.toc, self.encoder) = (toc, RawEncoder::like(toc));
            }
            self.decoder.reset_state().ok()?;
            self.encoder.reset();
        }
        Some(self)
    }

    /// Decodes a received packet.
    fn follow(&mut self, packet: &[u8]) {
        let mut pcm = [0; LONGEST_FRAME];
        if self.decoder.decode(packet, &mut pcm, false).is_ok() {
            self.encoder.encode(&pcm, &mut self.packet);
        }
    }

    /// The packet that replaces the one after the last.
    fn stand_in(&mut self, following: Option<&[u8]>) -> &[u8] {
        let mut pcm = [0; LONGEST_FRAME];
        let decoded = match following {
            Some(following) => self.decoder.decode(following, &mut pcm, true),
            None => self.decoder.decode(&[], &mut pcm, false),
        };
        let length = if decoded.is_ok() { self.encoder.encode(&pcm, &mut self.packet) } else { 0 };
        &self.packet[..length]
    }
}

/// An encoder restricted to one mode and bandwidth.
struct RawEncoder {
    state: Box<[u64]>,
}

impl RawEncoder {
    /// Panics: the library rejects settings that are fixed here.
    fn like(toc: u8) -> Self {
        // SAFETY: a plain size query.
        let bytes = unsafe { sys::opus_encoder_get_size(1) } as usize;
        let mut state = vec![0u64; bytes.div_ceil(8)].into_boxed_slice();
        let encoder = state.as_mut_ptr().cast::<sys::OpusEncoder>();
        let application = match mode(toc) {
            Mode::Celt => sys::OPUS_APPLICATION_RESTRICTED_LOWDELAY,
            Mode::Silk | Mode::Hybrid => sys::OPUS_APPLICATION_VOIP,
        };
        let band = match (toc >> 3, audio_hz(toc)) {
            (4..=7, _) => sys::OPUS_BANDWIDTH_MEDIUMBAND,
            (_, 8_000) => sys::OPUS_BANDWIDTH_NARROWBAND,
            (_, 16_000) => sys::OPUS_BANDWIDTH_WIDEBAND,
            (_, 24_000) => sys::OPUS_BANDWIDTH_SUPERWIDEBAND,
            _ => sys::OPUS_BANDWIDTH_FULLBAND,
        };
        // SAFETY: the memory is as large as the library asked for, aligned to 8 bytes, and only
        // used through this struct; the requests take one int each (opus_defines.h).
        unsafe {
            let status = sys::opus_encoder_init(encoder, 48_000, 1, application);
            assert_eq!(status, sys::OPUS_OK, "libopus refuses 48 kHz mono");
            let requests = [
                (sys::OPUS_SET_BITRATE_REQUEST, FILL_BPS),
                (sys::OPUS_SET_COMPLEXITY_REQUEST, 0),
                (sys::OPUS_SET_SIGNAL_REQUEST, sys::OPUS_SIGNAL_VOICE),
                (sys::OPUS_SET_BANDWIDTH_REQUEST, band),
                (sys::OPUS_SET_MAX_BANDWIDTH_REQUEST, band),
            ];
            for (request, value) in requests {
                let status = sys::opus_encoder_ctl(encoder, request, value);
                assert_eq!(status, sys::OPUS_OK, "libopus refuses {request} = {value}");
            }
        }
        Self { state }
    }

    fn reset(&mut self) {
        let encoder = self.state.as_mut_ptr().cast::<sys::OpusEncoder>();
        // SAFETY: the state was initialised in `like`; the request takes no argument.
        unsafe { sys::opus_encoder_ctl(encoder, sys::OPUS_RESET_STATE) };
    }

    /// Encodes 20 ms; returns the packet length, 0 if the library fails.
    fn encode(&mut self, pcm: &[i16; LONGEST_FRAME], packet: &mut [u8; PACKET_BYTES]) -> usize {
        let encoder = self.state.as_mut_ptr().cast::<sys::OpusEncoder>();
        // SAFETY: the state was initialised in `like`; frame and packet have the given lengths.
        let length = unsafe {
            sys::opus_encode(
                encoder,
                pcm.as_ptr(),
                LONGEST_FRAME as i32,
                packet.as_mut_ptr(),
                PACKET_BYTES as i32,
            )
        };
        usize::try_from(length).unwrap_or(0)
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.state);
    }
}

/// A packet of steady silence in the mode and bandwidth of `toc`.
pub(crate) fn silence_like(toc: u8) -> &'static [u8] {
    static PACKETS: [OnceLock<Vec<u8>>; 32] = [const { OnceLock::new() }; 32];
    PACKETS[usize::from(toc >> 3)].get_or_init(|| {
        let mut encoder = RawEncoder::like(toc);
        let mut packet = [0; PACKET_BYTES];
        let mut before = Vec::new();
        for _ in 0..SETTLE_FRAMES {
            let length = encoder.encode(&[0; LONGEST_FRAME], &mut packet);
            if packet[..length] == before[..] {
                break;
            }
            before = packet[..length].to_vec();
        }
        before
    })
}
