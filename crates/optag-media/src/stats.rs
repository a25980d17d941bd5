//! The engine's counters. A tick's counts are plain numbers, merged once per tick into totals that any thread
//! may read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fact::StreamCounts;
use optag_core::latency::Latency;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of one tick, or a reading of the totals.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct TickStats { $($(#[$doc])* pub $name: u64,)* }

        impl TickStats {
            /// The sum of both.
            pub fn plus(mut self, other: Self) -> Self {
                $(self.$name += other.$name;)*
                self
            }
        }

        /// Totals since the start.
        #[derive(Debug, Default)]
        pub struct EngineStats { $($name: AtomicU64,)* }

        impl EngineStats {
            /// Adds a tick's counts.
            pub fn add(&self, tick: &TickStats) {
                $(self.$name.fetch_add(tick.$name, Ordering::Relaxed);)*
            }

            /// The totals now.
            pub fn read(&self) -> TickStats {
                TickStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Accepted RTP packets.
    received,
    /// Sequence numbers never received.
    lost,
    /// Packets received too late.
    late,
    /// Duplicate packets.
    duplicate,
    /// Datagrams that are not RTP.
    malformed,
    /// Packets of a payload type that was not negotiated.
    unknown_payload,
    /// Packets from an address other than the stream's.
    foreign_address,
    /// Packets with an SSRC other than the stream's.
    foreign_ssrc,
    /// Packets of senders that were not accepted, while the stream had no sender.
    probation,
    /// SRTP authentication failures.
    auth_failed,
    /// Replayed SRTP packets.
    replayed,
    /// Packets of an earlier call that had the port.
    stale,
    /// Packets of a stream removed by signalling.
    unwanted,
    /// RTCP datagrams of stream senders.
    rtcp_received,
    /// Malformed RTCP datagrams.
    rtcp_malformed,
    /// RTCP datagrams from sources other than the stream's sender.
    rtcp_foreign,
    /// SRTCP authentication failures.
    rtcp_auth_failed,
    /// RTCP BYEs received.
    rtcp_byes,
    /// Receiver reports sent.
    reports_sent,
    /// Reports without loss since the previous one.
    reports_lost_nothing,
    /// Reports with a loss below 1 %.
    reports_lost_below_1,
    /// Reports with a loss below 5 %.
    reports_lost_below_5,
    /// Reports with a greater loss.
    reports_lost_more,
    /// Reports with a jitter below 5 ms.
    reports_jitter_below_5,
    /// Reports with a jitter below 20 ms.
    reports_jitter_below_20,
    /// Reports with a jitter below 60 ms.
    reports_jitter_below_60,
    /// Reports with a greater jitter.
    reports_jitter_more,
    /// Packets too long for audio.
    oversized,
    /// Datagrams dropped by the kernel because a buffer was full.
    kernel_dropped,
    /// Audio accepted while the gate was open. Units: ms.
    audio_in_ms,
    /// Packets that could not be decoded.
    undecodable,
    /// Frames redacted because keys were pressed.
    frames_cut,
    /// Frames of passed-through streams.
    frames_passed,
    /// Frames encoded by libopus.
    frames_coded,
    /// Frames for which a packet of silence or steady background was repeated.
    frames_repeated,
    /// Of those, frames of background.
    frames_background,
    /// Frames that were packed, to be coded later.
    frames_packed,
    /// Time inside libopus. Units: ns.
    coding_ns,
    /// Ticks.
    ticks,
    /// Duration of the ticks. Units: ns.
    tick_ns,
    /// Ticks longer than the tick interval.
    tick_overruns,
    /// Batches rejected by the sink.
    sink_refused,
    /// Facts merged into others while the sink accepted none.
    facts_merged,
    /// Calls that ended because their processing failed.
    call_faults,
    /// Calls taken in to be encoded later.
    calls_spilled,
}

/// State of the engine, readable from any thread.
#[derive(Debug, Default)]
pub struct Condition {
    /// Durations of ticks.
    pub ticks: Latency,
    complexity: AtomicU64,
    load_permille: AtomicU64,
    /// One more than the number of calls that fit, without and with spilling; 0: not known.
    rooms: [AtomicU64; 2],
}

impl Condition {
    /// Publishes the encoders' complexity (0 to 10) and the share of the tick interval spent in ticks.
    pub fn publish(&self, complexity: u8, load: f64) {
        self.complexity.store(complexity.into(), Ordering::Relaxed);
        self.load_permille.store((load * 1_000.0) as u64, Ordering::Relaxed);
    }

    /// Publishes how many more calls fit: encoded at once, and if some are spilled.
    pub fn publish_rooms(&self, rooms: [usize; 2]) {
        for (published, room) in self.rooms.iter().zip(rooms) {
            published.store((room as u64).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// How many more calls fit, if new ones may be spilled or not; the most possible while that is not known.
    pub fn room(&self, may_spill: bool) -> usize {
        let published = &self.rooms[usize::from(may_spill)];
        published.load(Ordering::Relaxed).wrapping_sub(1) as usize
    }

    /// Complexity of the encoders, 0 to 10.
    pub fn complexity(&self) -> u8 {
        self.complexity.load(Ordering::Relaxed) as u8
    }

    /// Share of the tick interval spent in ticks.
    pub fn load(&self) -> f64 {
        self.load_permille.load(Ordering::Relaxed) as f64 / 1_000.0
    }
}

/// Packet counters of a call in progress, for other threads.
#[derive(Debug, Default)]
pub struct CallGauges {
    streams: Vec<[AtomicU64; 5]>,
}

impl CallGauges {
    /// Gauges of this many streams.
    pub fn new(streams: usize) -> Self {
        Self { streams: (0..streams).map(|_| Default::default()).collect() }
    }

    /// Publishes a stream's counters.
    pub fn publish(&self, stream: usize, counts: &StreamCounts) {
        let values = [counts.received, counts.lost, counts.late, counts.duplicate, counts.refused];
        if let Some(gauges) = self.streams.get(stream) {
            for (gauge, value) in gauges.iter().zip(values) {
                gauge.store(value, Ordering::Relaxed);
            }
        }
    }

    /// The counters as of the last tick.
    pub fn read(&self) -> Vec<StreamCounts> {
        let one = |gauges: &[AtomicU64; 5]| {
            let [received, lost, late, duplicate, refused] =
                gauges.each_ref().map(|g| g.load(Ordering::Relaxed));
            StreamCounts { received, lost, late, duplicate, refused }
        };
        self.streams.iter().map(one).collect()
    }
}
