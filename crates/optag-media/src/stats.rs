//! What the engine counts. A tick's counts are plain numbers, merged once a tick into totals
//! that any thread may read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fact::StreamCounts;
use optag_core::latency::Latency;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of one tick, or a reading of the totals.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct TickStats { $($(#[$doc])* pub $name: u64,)* }

        impl TickStats {
            /// The sum of two.
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
    /// Sequence numbers that never came.
    lost,
    /// Packets after their time.
    late,
    /// Packets that came twice.
    duplicate,
    /// Datagrams that are no RTP.
    malformed,
    /// Packets of a payload type that was not negotiated.
    unknown_payload,
    /// Packets from an address that is not the stream's.
    foreign_address,
    /// Packets with an SSRC that is not the stream's.
    foreign_ssrc,
    /// Packets of senders that did not become a stream's, while it had none.
    probation,
    /// Packets that no key proves.
    unproved,
    /// Encrypted packets that came before.
    replayed,
    /// Packets of an earlier call that had the port.
    stale,
    /// Packets of a stream that signalling dropped.
    unwanted,
    /// RTCP datagrams of senders.
    rtcp_received,
    /// RTCP datagrams that could not be read.
    rtcp_malformed,
    /// RTCP datagrams from elsewhere than the stream's packets.
    rtcp_foreign,
    /// RTCP datagrams that no key proves.
    rtcp_unproved,
    /// Senders' words that they leave.
    rtcp_byes,
    /// Receiver reports sent.
    reports_sent,
    /// Reports that say that nothing was lost since the last.
    reports_lost_nothing,
    /// Reports of a loss below 1 %.
    reports_lost_below_1,
    /// Reports of a loss below 5 %.
    reports_lost_below_5,
    /// Reports of a greater loss.
    reports_lost_more,
    /// Reports of a jitter below 5 ms.
    reports_jitter_below_5,
    /// Reports of a jitter below 20 ms.
    reports_jitter_below_20,
    /// Reports of a jitter below 60 ms.
    reports_jitter_below_60,
    /// Reports of a greater jitter.
    reports_jitter_more,
    /// Packets too long to be audio.
    oversized,
    /// Datagrams that the kernel dropped for want of buffer.
    kernel_dropped,
    /// Audio accepted while the gate was open. Units: ms.
    audio_in_ms,
    /// Packets whose payload is no audio of its coding.
    undecodable,
    /// Frames that were cut because keys were pressed.
    frames_cut,
    /// Frames of streams that are kept as they came.
    frames_passed,
    /// Frames that libopus coded.
    frames_coded,
    /// Frames for which a packet of silence or of steady background was repeated.
    frames_repeated,
    /// Of those, frames of background.
    frames_background,
    /// Time inside libopus. Units: ns.
    coding_ns,
    /// Ticks.
    ticks,
    /// Time that ticks took. Units: ns.
    tick_ns,
    /// Ticks that took longer than the time between two.
    tick_overruns,
    /// Batches that the sink did not take.
    sink_refused,
    /// Facts that became part of others while the sink took none.
    facts_merged,
    /// Calls that ended because their processing failed.
    call_faults,
}

/// How the engine stands, for any thread to read.
#[derive(Debug, Default)]
pub struct Condition {
    /// How long ticks took.
    pub ticks: Latency,
    complexity: AtomicU64,
    load_permille: AtomicU64,
}

impl Condition {
    /// Publishes the encoders' complexity (0 to 10) and the share of the time between ticks that ticks take.
    pub fn publish(&self, complexity: u8, load: f64) {
        self.complexity.store(complexity.into(), Ordering::Relaxed);
        self.load_permille.store((load * 1_000.0) as u64, Ordering::Relaxed);
    }

    /// Complexity of the encoders, 0 to 10.
    pub fn complexity(&self) -> u8 {
        self.complexity.load(Ordering::Relaxed) as u8
    }

    /// Share of the time between ticks that ticks take.
    pub fn load(&self) -> f64 {
        self.load_permille.load(Ordering::Relaxed) as f64 / 1_000.0
    }
}

/// Packet counters of a call in progress, for whoever looks at it.
#[derive(Debug, Default)]
pub struct CallGauges {
    streams: Vec<[AtomicU64; 5]>,
}

impl CallGauges {
    /// Gauges of so many streams.
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
