//! Key presses of one stream. In: event packets, and its audio. Out: each press once, however many ways it
//! arrives in, and the spans of tones to be cut.
//!
//! Always exists and holds no audio; see [`tone_listener`](crate::dtmf::tone_listener).

use std::net::SocketAddr;
use std::time::Duration;

use crate::codec::{Encoding, PayloadFormat};
use crate::dtmf::goertzel::Tone;
use crate::dtmf::key_dedup::{KeyDedup, Way};
use crate::dtmf::tone_listener::{ToneListener, ToneSettings, TonesInOpus};
use crate::playout::clock_mapping::ClockMapping;
use crate::rtp::packet::RtpPacket;
use crate::rtp::telephone_event::{EventFormat, EventTracker, TelephoneEvent, UnnamedEvents};
use optag_core::call::KeySource;
use optag_core::clock::MonoTime;

/// Maximum number of pending presses: more than anybody can make in a tick.
const WAITING: usize = 32;

/// Maximum number of event payload types and SSRCs tracked; nobody uses more.
const EVENT_TYPES: usize = 8;

/// How long a press is held back until its sender's key presses count.
const WAITS: Duration = Duration::from_secs(3);

/// A key that was pressed in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPress {
    /// The key.
    pub key: char,
    /// When it was detected.
    pub at: MonoTime,
    /// RTP timestamp of the event, or of the start of its tone.
    pub timestamp: u32,
    /// SSRC of its packet.
    pub ssrc: u32,
    /// Source address of its packet.
    pub source: Option<SocketAddr>,
    /// Event or tone.
    pub by: KeySource,
    /// Whether signalling negotiated this way of sending key presses. Otherwise it can be a no or a
    /// withdrawal, but never a yes.
    pub negotiated: bool,
}

/// The sender of the audio.
#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    address: Option<SocketAddr>,
    ssrc: u32,
}

/// The keys of one stream.
#[derive(Default)]
pub struct Keypad {
    tones: ToneSettings,
    /// One for each event payload type received.
    trackers: Vec<(u8, EventTracker)>,
    unnamed: UnnamedEvents,
    presses: KeyDedup,
    ear: ToneListener,
    sender: Sender,
    pressed: Vec<KeyPress>,
}

impl Keypad {
    /// A keypad without any presses.
    pub fn new(tones: ToneSettings) -> Self {
        Self { tones, ..Self::default() }
    }

    /// The next unprocessed press. `since` is the time from which the sender's key presses count: one made
    /// slightly earlier counts from then, and until then all are held back.
    pub fn take_press(&mut self, since: Option<MonoTime>) -> Option<KeyPress> {
        let since = since?;
        self.pressed.retain(|press| since.since(press.at) < WAITS);
        let press = (!self.pressed.is_empty()).then(|| self.pressed.remove(0))?;
        Some(KeyPress { at: press.at.max(since), ..press })
    }

    /// The last event of each payload type.
    pub fn trackers(&self) -> &[(u8, EventTracker)] {
        &self.trackers
    }

    /// Resumes: known events are not reported again.
    pub fn resume(&mut self, trackers: Vec<(u8, EventTracker)>) {
        self.trackers = trackers;
    }

    /// Another sender: its timestamps are unrelated to the previous one's. `moved`: it is at another address,
    /// so no press made there is its own.
    pub fn start_anew(&mut self, moved: bool) {
        if moved {
            self.trackers.clear();
            self.pressed.clear();
        }
        self.ear.start_anew();
    }

    /// Payload types have new meanings from now on.
    pub fn renegotiate(&mut self) {
        self.unnamed = UnnamedEvents::default();
    }

    /// Whether a stream of this encoding is decoded for tone detection if necessary.
    pub fn hears(&self, encoding: Encoding, events: &[EventFormat]) -> bool {
        encoding != Encoding::Opus
            || match self.tones.in_opus {
                TonesInOpus::WithoutEvents => events.is_empty(),
                TonesInOpus::Always => true,
                TonesInOpus::Never => false,
            }
    }

    /// Processes a payload that is not decoded elsewhere. Calls `cut` with the spans of tones in it, in
    /// unwrapped timestamps.
    pub fn hear_payload(
        &mut self,
        at: MonoTime,
        ticks: i64,
        encoding: Encoding,
        payload: &[u8],
        timeline: &ClockMapping,
        mut cut: impl FnMut(i64, i64),
    ) {
        let Self { ear, presses, pressed, sender, tones, .. } = self;
        ear.hear_payload(ticks, encoding, payload, |tone| {
            cut(tone.from, tone.to);
            press_of(tone, at, *sender, *tones, timeline).into_iter().for_each(|press| {
                note(presses, pressed, press, Way::Tone);
            });
        });
    }

    /// The same for samples already decoded from the packet with this unwrapped timestamp.
    pub fn hear(
        &mut self,
        at: MonoTime,
        ticks: i64,
        (encoding, samples): (Encoding, &[i16]),
        timeline: &ClockMapping,
        mut cut: impl FnMut(i64, i64),
    ) {
        let Self { ear, presses, pressed, sender, tones, .. } = self;
        ear.drop_decoder();
        ear.hear(ticks - encoding.lag(), encoding.audio_hz(), samples, |tone| {
            cut(tone.from, tone.to);
            press_of(tone, at, *sender, *tones, timeline).into_iter().for_each(|press| {
                note(presses, pressed, press, Way::Tone);
            });
        });
    }

    /// Handles a packet that is not audio. Returns its event and that event's clock, if it is a key event.
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
        let (timestamp, ssrc) = (packet.timestamp, packet.ssrc);
        if let Some(key) = self.tracker(packet.payload_type, ssrc).handle(at, timestamp, event) {
            let (source, negotiated) = (self.sender.address, known.is_some());
            let press = KeyPress { key, at, timestamp, ssrc, source, by: KeySource::Event, negotiated };
            note(&mut self.presses, &mut self.pressed, press, Way::Event(packet.payload_type, ssrc));
        }
        Some((event, clock_hz))
    }

    fn tracker(&mut self, payload_type: u8, ssrc: u32) -> &mut EventTracker {
        let is_its = |(known, tracker): &(u8, EventTracker)| *known == payload_type && tracker.is_of(ssrc);
        let known = self.trackers.iter().position(is_its);
        let place = known.unwrap_or_else(|| {
            if self.trackers.len() == EVENT_TYPES {
                self.trackers.remove(0);
            }
            self.trackers.push((payload_type, EventTracker::of(ssrc)));
            self.trackers.len() - 1
        });
        &mut self.trackers[place].1
    }

    /// Sets the sender whose packets are processed.
    pub fn set_sender(&mut self, address: SocketAddr, ssrc: u32) {
        self.sender = Sender { address: Some(address), ssrc };
    }
}

fn press_of(
    tone: Tone,
    at: MonoTime,
    sender: Sender,
    tones: ToneSettings,
    timeline: &ClockMapping,
) -> Option<KeyPress> {
    let key = tone.pressed.filter(|_| tones.count)?;
    let Sender { address: source, ssrc } = sender;
    let timestamp = timeline.raw(tone.from);
    Some(KeyPress { key, at, timestamp, ssrc, source, by: KeySource::Tone, negotiated: true })
}

fn note(presses: &mut KeyDedup, pressed: &mut Vec<KeyPress>, press: KeyPress, way: Way) {
    pressed.retain(|waiting| press.at.since(waiting.at) < WAITS);
    if presses.is_new(press.at, press.key, way) && pressed.len() < WAITING {
        pressed.push(press);
    }
}
