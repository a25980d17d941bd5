//! A stream that is decoded and coded anew: everything but Opus at a usable rate. In: payloads
//! in order, each with its place. Out: one Opus packet a frame.
//!
//! The track runs at the rate of what arrives; when a stream changes to a coding of another
//! rate, what waits is carried over and a fresh encoder goes on.

use crate::codec::Encoding;
use crate::codec::decoder::Decoder;
use crate::opus::encoder::{EncodeCounts, OpusSettings};
use crate::opus::noise_classifier::{AHEAD_FRAMES, Loudness, NoiseClassifier, Sound, is_silent, peak};
use crate::stream::coder::{Coder, When};
use crate::stream::decode_buffer::Decoded;
use crate::stream::pcm_ring::PcmRing;
use crate::timebase::{FRAME_AXIS, LONGEST_FRAME, frame_samples, per_sample};

/// Frames that are concealed before silence takes over: 200 ms.
const CONCEALED_FRAMES: u32 = 10;
/// The same where no later packet shows yet that something was lost: 60 ms.
const UNPROVEN_FRAMES: u32 = 3;
/// Changes of rate that a stream may make; packets of yet another rate are refused.
const RATE_CHANGES: u8 = 100;

/// Samples of the frames of most streams, at 8 kHz.
const SHORT_FRAME: usize = frame_samples(8_000);

/// What a payload brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Its length. Units: of the axis.
    pub length: i64,
    /// Of that, what found its place in time. Units: of the axis.
    pub placed: i64,
    /// Samples that decoding gave.
    pub decoded: usize,
}

/// The track.
pub struct Transcoder {
    window: PcmRing,
    decoder: Decoder,
    encoder: Coder,
    when: When,
    /// There is none for rates above 16 kHz, nor where the settings want none.
    background: Option<NoiseClassifier>,
    settings: OpusSettings,
    /// The last whole frame.
    history: Box<[i16]>,
    missing_run: u32,
    rate_changes: u8,
}

impl Transcoder {
    /// A track for `encoding` whose next frame begins at `start`. `ahead` is how far packets
    /// may lie beyond it. Units: of the axis.
    pub fn new(settings: OpusSettings, when: When, encoding: Encoding, start: i64, ahead: i64) -> Self {
        Self {
            window: PcmRing::new(encoding.audio_hz(), start, ahead),
            decoder: Decoder::new(encoding),
            encoder: Coder::new(when, settings, encoding.audio_hz()),
            when,
            background: judge(settings, encoding.audio_hz()),
            settings,
            history: silent_frame(encoding.audio_hz()),
            missing_run: u32::MAX,
            rate_changes: 0,
        }
    }

    /// Decodes a payload whose first sample lies at `at`, into `decoded`; `None` where it is
    /// refused, or no such audio. `after_loss` says that the packet before it is missing.
    pub fn accept(
        &mut self,
        at: i64,
        encoding: Encoding,
        payload: &[u8],
        after_loss: bool,
        decoded: &mut Decoded<'_>,
    ) -> Option<Accepted> {
        if encoding != self.decoder.encoding() {
            self.change_to(encoding)?;
        }
        let unit = per_sample(self.window.rate_hz());
        let at = at - encoding.lag();
        let mut placed = 0;
        let pcm = &mut *decoded.pcm;
        if after_loss && encoding == Encoding::Opus {
            let lost = self.decoder.decode_lost(payload, &mut pcm[..self.window.frame_samples()]);
            placed += self.window.place(at - lost as i64 * unit, &pcm[..lost]);
        }
        let length = self.decoder.decode(payload, pcm);
        if length == 0 {
            decoded.wrote(self.window.frame_samples());
            return None;
        }
        placed += self.window.place(at, &pcm[..length]);
        decoded.wrote(length.max(self.window.frame_samples()));
        Some(Accepted { length: length as i64 * unit, placed: placed as i64 * unit, decoded: length })
    }

    /// Whether anything of the next frame came.
    pub fn has_frame(&self) -> bool {
        self.window.has_frame()
    }

    /// Codes the next frame. `lost` says why something of it may be missing. Returns the packet,
    /// its loudest sample and whether more than half of it is missing.
    pub fn frame(&mut self, lost: bool) -> (&[u8], u16, bool) {
        // Most frames are short: no more is cleared than they need.
        match self.window.frame_samples() {
            length @ ..=SHORT_FRAME => self.frame_in(&mut [0; SHORT_FRAME][..length], lost),
            length => self.frame_in(&mut [0; LONGEST_FRAME][..length], lost),
        }
    }

    fn frame_in(&mut self, frame: &mut [i16], lost: bool) -> (&[u8], u16, bool) {
        let length = frame.len();
        self.listen(frame);
        let placed = self.window.take(frame);
        if placed == length {
            self.missing_run = 0;
            self.history.copy_from_slice(frame);
        } else {
            self.fill(frame, placed, lost);
        }
        let missing = placed < length / 2;
        if is_silent(frame) {
            return (self.encode_silence(true), 0, missing);
        }
        let peak = peak(frame);
        let (loudness, sound) = match &mut self.background {
            Some(background) if placed == length => (background.loudness(), background.judge()),
            _ => (Loudness::Loud, Sound::Talk),
        };
        (self.encoder.encode(frame, sound, loudness), peak, missing)
    }

    /// Silences what waits between two positions. Units: of the axis.
    pub fn mute(&mut self, from: i64, to: i64) {
        self.window.silence(from, to);
    }

    /// Passes over the next frame; a packet of silence for it. `to_sound` says that what follows
    /// may be kept.
    pub fn silence(&mut self, to_sound: bool) -> &[u8] {
        self.skip();
        if !to_sound {
            // What was before does not stand in for what is missing after.
            self.missing_run = u32::MAX;
        }
        self.encode_silence(to_sound)
    }

    fn encode_silence(&mut self, to_sound: bool) -> &[u8] {
        let sound_follows = to_sound && !self.window.next().into_iter().all(is_silent);
        self.encoder.silence(sound_follows)
    }

    /// Passes over the next frame.
    pub fn skip(&mut self) {
        self.window.skip();
        self.background.iter_mut().for_each(NoiseClassifier::miss);
    }

    /// Codes the following frames with this complexity.
    pub fn set_complexity(&mut self, complexity: u8) {
        self.settings.complexity = complexity;
        self.encoder.set_complexity(complexity);
    }

    /// Packs the following frames, to be encoded later with this complexity.
    pub fn encode_later(&mut self, complexity: u8) {
        self.when = When::Later;
        self.settings.complexity = complexity;
        self.encoder = Coder::new(self.when, self.settings, self.window.rate_hz());
    }

    /// Frames coded since the last call of this.
    pub fn take_counts(&mut self) -> EncodeCounts {
        self.encoder.take_counts()
    }

    fn change_to(&mut self, encoding: Encoding) -> Option<()> {
        let rate_hz = encoding.audio_hz();
        if rate_hz != self.window.rate_hz() {
            self.rate_changes += 1;
            (self.rate_changes <= RATE_CHANGES).then_some(())?;
            self.window = self.window.at_rate(rate_hz);
            self.encoder = Coder::new(self.when, self.settings, rate_hz);
            self.background = judge(self.settings, rate_hz);
            zeroize::Zeroize::zeroize(&mut self.history);
            self.history = silent_frame(rate_hz);
        }
        self.decoder = Decoder::new(encoding);
        Some(())
    }

    /// Hears what comes later, into `ahead`.
    fn listen(&mut self, ahead: &mut [i16]) {
        let Some(background) = &mut self.background else { return };
        if self.window.peek(AHEAD_FRAMES, ahead) {
            background.hear(ahead);
        } else {
            background.miss();
        }
    }

    /// Stands in for what was lost: the last frame again, ever quieter, for a short while.
    fn fill(&mut self, frame: &mut [i16], placed: usize, lost: bool) {
        let longest = if lost { CONCEALED_FRAMES } else { UNPROVEN_FRAMES };
        if placed == 0 && self.missing_run < longest {
            let left = (CONCEALED_FRAMES - self.missing_run) as i32;
            for (sample, &before) in frame.iter_mut().zip(&*self.history) {
                *sample = (i32::from(before) * left / (CONCEALED_FRAMES as i32 + 1)) as i16;
            }
        }
        self.missing_run = self.missing_run.saturating_add(1);
    }
}

fn judge(settings: OpusSettings, rate_hz: u32) -> Option<NoiseClassifier> {
    settings.saves_background.then(|| NoiseClassifier::new(rate_hz)).flatten()
}

fn silent_frame(rate_hz: u32) -> Box<[i16]> {
    vec![0; frame_samples(rate_hz)].into()
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.history);
    }
}

/// Samples that a track must reach beyond the wait for late packets: a tick, the longest
/// packet, slack. Units: of the axis.
pub const AHEAD: i64 = 15 * FRAME_AXIS;
