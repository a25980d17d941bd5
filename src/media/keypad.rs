//! The keys that are pressed in one stream. In: event packets, and its audio. Out: each press
//! once, by whatever ways it comes, and the spans of tones that are to be cut.
//!
//! Exists always and holds no audio; see [`ear`](super::ear).

use super::codec::{Encoding, PayloadFormat};
use super::ear::{Ear, ToneSettings, TonesInOpus, lag};
use super::press::{Presses, Way};
use super::rtp::packet::RtpPacket;
use super::rtp::telephone_event::{EventFormat, EventTracker, TelephoneEvent, UnnamedEvents};
use super::timeline::Timeline;
use super::tone::Tone;
use crate::base::clock::MonoTime;
use crate::call::KeySource;

/// Presses that wait for the call to look at them: more than anybody makes in a tick.
const WAITING: usize = 32;

/// Payload types of events that are told apart; nobody uses more.
const EVENT_TYPES: usize = 4;

/// A key that was pressed in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPress {
    /// The key.
    pub key: char,
    /// When it was heard.
    pub at: MonoTime,
    /// RTP timestamp of the event, or of where its tone began.
    pub timestamp: u32,
    /// SSRC of its packet.
    pub ssrc: u32,
    /// What it was heard in.
    pub by: KeySource,
}

/// The keys of one stream.
#[derive(Default)]
pub struct Keypad {
    tones: ToneSettings,
    /// One for each payload type that brought events.
    trackers: Vec<(u8, EventTracker)>,
    unnamed: UnnamedEvents,
    presses: Presses,
    ear: Ear,
    ssrc: u32,
    pressed: Vec<KeyPress>,
}

impl Keypad {
    /// A keypad that was not touched yet.
    pub fn new(tones: ToneSettings) -> Self {
        Self { tones, ..Self::default() }
    }

    /// The next press that nobody looked at yet.
    pub fn take_press(&mut self) -> Option<KeyPress> {
        (!self.pressed.is_empty()).then(|| self.pressed.remove(0))
    }

    /// The last event of each payload type.
    pub fn trackers(&self) -> &[(u8, EventTracker)] {
        &self.trackers
    }

    /// The keypad goes on: events that were known are not new again.
    pub fn resume(&mut self, trackers: Vec<(u8, EventTracker)>) {
        self.trackers = trackers;
    }

    /// Another sender: its timestamps say nothing about the old one's.
    pub fn start_anew(&mut self) {
        self.trackers.clear();
        self.ear.start_anew();
    }

    /// Payload types mean other things from now on.
    pub fn renegotiate(&mut self) {
        self.unnamed = UnnamedEvents::default();
    }

    /// Whether a stream of this coding is decoded, if need be, to hear its tones.
    pub fn hears(&self, encoding: Encoding, events: &[EventFormat]) -> bool {
        encoding != Encoding::Opus
            || match self.tones.in_opus {
                TonesInOpus::WithoutEvents => events.is_empty(),
                TonesInOpus::Always => true,
                TonesInOpus::Never => false,
            }
    }

    /// Hears a payload that others do not decode. Calls `cut` with where it holds tones, in
    /// unwrapped timestamps.
    pub fn hear_payload(
        &mut self,
        at: MonoTime,
        ticks: i64,
        encoding: Encoding,
        payload: &[u8],
        timeline: &Timeline,
        mut cut: impl FnMut(i64, i64),
    ) {
        let Self { ear, presses, pressed, ssrc, tones, .. } = self;
        ear.hear_payload(ticks, encoding, payload, |tone| {
            cut(tone.from, tone.to);
            press_of(tone, at, *ssrc, *tones, timeline).into_iter().for_each(|press| {
                note(presses, pressed, press, Way::Tone);
            });
        });
    }

    /// Hears what others decoded of a packet with this unwrapped timestamp; the same otherwise.
    pub fn hear(
        &mut self,
        at: MonoTime,
        ticks: i64,
        (encoding, samples): (Encoding, &[i16]),
        timeline: &Timeline,
        mut cut: impl FnMut(i64, i64),
    ) {
        let Self { ear, presses, pressed, ssrc, tones, .. } = self;
        ear.drop_decoder();
        ear.hear(ticks - lag(encoding), encoding.audio_hz(), samples, |tone| {
            cut(tone.from, tone.to);
            press_of(tone, at, *ssrc, *tones, timeline).into_iter().for_each(|press| {
                note(presses, pressed, press, Way::Tone);
            });
        });
    }

    /// Takes a packet that is no audio. Its event and that event's clock, where it is a key.
    pub fn event(
        &mut self,
        at: MonoTime,
        packet: &RtpPacket<'_>,
        events: &[EventFormat],
        formats: &[PayloadFormat],
    ) -> Option<(TelephoneEvent, u32)> {
        let event = TelephoneEvent::parse(packet.payload)?;
        let known = events.iter().find(|known| known.payload_type == packet.payload_type);
        let clock_hz = match known {
            Some(known) => known.clock_hz,
            None if !UnnamedEvents::can_be(packet.payload_type, packet.payload) => return None,
            None if !self.unnamed.is_known(packet.payload_type, packet.timestamp, event) => return None,
            None => formats.first()?.encoding.clock_hz(),
        };
        event.key()?;
        if let Some(key) = self.tracker(packet.payload_type).handle(at, packet.timestamp, event) {
            let (timestamp, ssrc) = (packet.timestamp, packet.ssrc);
            let press = KeyPress { key, at, timestamp, ssrc, by: KeySource::Event };
            note(&mut self.presses, &mut self.pressed, press, Way::Event(packet.payload_type));
        }
        Some((event, clock_hz))
    }

    fn tracker(&mut self, payload_type: u8) -> &mut EventTracker {
        let known = self.trackers.iter().position(|(known, _)| *known == payload_type);
        let place = known.unwrap_or_else(|| {
            if self.trackers.len() == EVENT_TYPES {
                self.trackers.remove(0);
            }
            self.trackers.push((payload_type, EventTracker::default()));
            self.trackers.len() - 1
        });
        &mut self.trackers[place].1
    }

    /// Whose packets are heard.
    pub fn set_ssrc(&mut self, ssrc: u32) {
        self.ssrc = ssrc;
    }
}

fn press_of(
    tone: Tone,
    at: MonoTime,
    ssrc: u32,
    tones: ToneSettings,
    timeline: &Timeline,
) -> Option<KeyPress> {
    let key = tone.pressed.filter(|_| tones.count)?;
    Some(KeyPress { key, at, timestamp: timeline.raw(tone.from), ssrc, by: KeySource::Tone })
}

fn note(presses: &mut Presses, pressed: &mut Vec<KeyPress>, press: KeyPress, way: Way) {
    if presses.is_new(press.at, press.key, way) && pressed.len() < WAITING {
        pressed.push(press);
    }
}
