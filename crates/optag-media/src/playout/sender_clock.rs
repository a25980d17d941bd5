//! A sender's sequence numbers and clock, which restart together. In: headers of its packets. Out: the
//! placement of each in sequence and in time.

use crate::playout::clock_mapping::{ClockMapping, Heard, Moved};
use crate::rtp::packet::RtpPacket;
use crate::rtp::sequencing::{Number, Numbering};
use optag_core::clock::MonoTime;

/// Sequence numbers and clock.
#[derive(Default)]
pub(crate) struct SenderClock {
    numbering: Numbering,
    /// The mapping of its timestamps to time.
    pub timeline: ClockMapping,
}

/// The placement of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its extended sequence number.
    pub number: u64,
    /// Its unwrapped timestamp. Units: of the axis.
    pub ticks: i64,
    /// Packets that moved because of it.
    pub moved: Option<Moved>,
    /// Whether the sender restarted with it.
    pub restarted: bool,
}

impl SenderClock {
    /// Continues the clock after a pause in processing; any sequence number may follow.
    pub(crate) fn resume(timeline: ClockMapping) -> Self {
        Self { numbering: Numbering::default(), timeline: timeline.resume() }
    }

    /// Another sender was accepted.
    pub(crate) fn start_anew(&mut self) {
        self.numbering.start_anew();
        self.timeline.start_anew();
    }

    /// Places a packet of audio with duration `lasts`, or of comfort noise, by a clock of this rate; `None`
    /// until the next one confirms that the sender restarts with it.
    pub(crate) fn place(
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

    /// Handles an event packet.
    pub(crate) fn event(&mut self, sequence: u16) {
        self.numbering.event(sequence);
    }
}
