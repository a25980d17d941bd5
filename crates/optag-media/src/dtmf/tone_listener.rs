//! Detection of key tones in a stream. In: its audio in order, decoded elsewhere or here. Out: key presses,
//! and the spans of tones, in the stream's unwrapped timestamps.
//!
//! Keeps only filter state, and a decoder's state for encodings that require decoding. It holds no samples:
//! before consent it is the only code that processes the audio.

use crate::codec::Encoding;
use crate::codec::decoder::Decoder;
use crate::dtmf::goertzel::{RATE_HZ, Tone, ToneDetector};
use crate::timebase::per_sample;

/// Gap in the audio across which a tone is still the same press: shorter than any pause between two presses.
/// Units: of the axis (40 ms).
const SAME_PRESS: i64 = 1_920;
/// How far back the audio may jump before it counts as a restart rather than a late packet. Units: of the
/// axis (1 s).
const BACK: i64 = 48_000;

/// Maximum number of samples processed per packet: 240 ms of G.711, 120 ms of G.722.
const PACKET_SAMPLES: usize = 1_920;

/// When to decode Opus only for tone detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TonesInOpus {
    /// For streams without a negotiated event payload type.
    #[default]
    WithoutEvents,
    /// For all streams.
    Always,
    /// For none: it costs a decoder for each stream.
    Never,
}

/// Settings of in-band tone detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToneSettings {
    /// Whether tones count as key presses. They are cut from recordings either way.
    pub count: bool,
    /// When to decode Opus for it.
    pub in_opus: TonesInOpus,
}

impl Default for ToneSettings {
    fn default() -> Self {
        Self { count: true, in_opus: TonesInOpus::default() }
    }
}

/// The listener of one stream.
#[derive(Default)]
pub struct ToneListener {
    detector: ToneDetector,
    decoder: Option<Decoder>,
    /// Timestamp of the next sample, and that of the detector's origin.
    next: Option<i64>,
    base: i64,
}

impl ToneListener {
    /// Decodes and processes a payload whose first sample has this unwrapped timestamp.
    pub fn hear_payload(&mut self, ticks: i64, encoding: Encoding, payload: &[u8], each: impl FnMut(Tone)) {
        let decoder = match &mut self.decoder {
            Some(decoder) if decoder.encoding() == encoding => decoder,
            other => other.insert(Decoder::for_tones(encoding)),
        };
        let rate_hz = decoder.audio_hz();
        let mut pcm = [0; PACKET_SAMPLES];
        let length = decoder.decode(payload, &mut pcm);
        let ticks = ticks - encoding.lag();
        self.hear(ticks, rate_hz, &pcm[..length], each);
        zeroize::Zeroize::zeroize(&mut pcm[..length]);
    }

    /// Processes decoded samples, the first of which has this timestamp. Spans are passed to `each` in
    /// timestamps; samples older than those already processed are ignored.
    pub fn hear(&mut self, ticks: i64, rate_hz: u32, samples: &[i16], mut each: impl FnMut(Tone)) {
        let missing = ticks - self.next.unwrap_or(ticks);
        if (-BACK..0).contains(&missing) {
            return;
        }
        if missing != 0 || self.next.is_none() {
            self.detector.restart((0..=SAME_PRESS).contains(&missing));
            self.base = ticks;
        }
        self.next = Some(ticks + samples.len() as i64 * per_sample(rate_hz));
        let (base, unit) = (self.base, per_sample(RATE_HZ));
        self.detector.hear(rate_hz, samples, |tone| {
            each(Tone { from: base + tone.from * unit, to: base + tone.to * unit, ..tone })
        });
    }

    /// Another sender: the audio does not continue.
    pub fn start_anew(&mut self) {
        *self = Self::default();
    }

    /// The audio is decoded elsewhere from now on.
    pub fn drop_decoder(&mut self) {
        self.decoder = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::goertzel::tests::key_tone;

    /// Feeds a tone in packets of 20 ms; `lost` tells which are missing. Returns the presses, and where tones
    /// were detected. Units: ms.
    fn heard(samples: &[i16], lost: impl Fn(usize) -> bool) -> (Vec<char>, (i64, i64)) {
        let mut ear = ToneListener::default();
        let (mut keys, mut span) = (Vec::new(), (i64::MAX, i64::MIN));
        for (n, packet) in samples.chunks(160).enumerate().filter(|(n, _)| !lost(*n)) {
            ear.hear(n as i64 * 960, 8_000, packet, |tone| {
                keys.extend(tone.pressed);
                span = (span.0.min(tone.from / 48), span.1.max(tone.to / 48));
            });
        }
        (keys, span)
    }

    #[test]
    fn a_tone_is_found_where_it_is() {
        let mut samples = vec![0; 1_000];
        samples.extend(key_tone('5', 800, 8_000));
        samples.extend([0; 1_000]);
        let (keys, span) = heard(&samples, |_| false);
        assert_eq!(keys, ['5']);
        assert!((115..=130).contains(&span.0) && (220..=240).contains(&span.1), "{span:?}");
    }

    #[test]
    fn a_lost_packet_in_a_press_does_not_make_two() {
        let tone = key_tone('9', 3_200, 8_000);
        assert_eq!(heard(&tone, |n| n == 8).0, ['9']);
        assert_eq!(heard(&tone, |n| n % 5 == 4).0, ['9']);
        assert_eq!(heard(&tone, |n| (8..13).contains(&n)).0, ['9', '9'], "100 ms hide a pause");
    }

    #[test]
    fn late_and_repeated_packets_are_passed_over() {
        let tone = key_tone('#', 1_600, 8_000);
        let mut ear = ToneListener::default();
        let mut keys = Vec::new();
        for n in [0, 1, 1, 2, 4, 3, 4, 5, 6, 7, 8, 9usize] {
            ear.hear(n as i64 * 960, 8_000, &tone[n * 160..][..160], |tone| keys.extend(tone.pressed));
        }
        assert_eq!(keys, ['#']);
    }
}
