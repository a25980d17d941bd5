//! A sender's numbering and clock, which start anew together. In: headers of its packets. Out: the
//! place of each in sequence and in time.

use crate::playout::clock_mapping::{ClockMapping, Heard, Moved};
use crate::rtp::packet::RtpPacket;
use crate::rtp::sequencing::{Number, Numbering};
use optag_core::clock::MonoTime;

/// Numbering and clock.
#[derive(Default)]
pub struct SenderClock {
    numbering: Numbering,
    /// Where its timestamps lie in time.
    pub timeline: ClockMapping,
}

/// Where a packet belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its number.
    pub number: u64,
    /// Its unwrapped timestamp. Units: of the axis.
    pub ticks: i64,
    /// What lies elsewhere because of it.
    pub moved: Option<Moved>,
    /// Whether the sender started anew with it.
    pub restarted: bool,
}

impl SenderClock {
    /// The clock goes on after nobody listened for a while; any number may come.
    pub fn resume(timeline: ClockMapping) -> Self {
        Self { numbering: Numbering::default(), timeline: timeline.resume() }
    }

    /// Another sender was accepted.
    pub fn start_anew(&mut self) {
        self.numbering.start_anew();
        self.timeline.start_anew();
    }

    /// A packet of audio that `lasts` so long, or of noise in its place, by a clock of this rate;
    /// `None` until the next one shows that the sender starts anew with it.
    pub fn place(
        &mut self,
        arrival: MonoTime,
        packet: &RtpPacket<'_>,
        clock_hz: u32,
        lasts: i64,
    ) -> Option<Place> {
        let timestamp = packet.timestamp;
        let (number, restarted) = match self.numbering.number(packet.sequence, timestamp, clock_hz, arrival) {
            Number::Known(number) => (number, false),
            Number::Restarted(number) => (number, true),
            Number::Doubtful => return None,
        };
        let heard = Heard { number, restarted, timestamp, clock_hz, lasts, arrival };
        let (ticks, moved) = self.timeline.place(&heard);
        Some(Place { number, ticks, moved, restarted })
    }

    /// A packet of an event.
    pub fn event(&mut self, sequence: u16) {
        self.numbering.event(sequence);
    }
}
