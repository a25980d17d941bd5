//! Publishes the statistics of engine and spool as metrics, once a second.

use std::sync::Arc;
use std::time::Duration;

use crate::app::health::Health;
use crate::delivery::queue::DeliveryQueue;
use crate::delivery::spool_forecast::SpoolForecast;
use crate::metrics::exporter::Exporter;
use crate::metrics::{self, Backlog, RefusedPacket};
use crate::recorder::live_calls::LiveCalls;
use optag_core::call::ConsentState;
use optag_core::clock::{Clock, MonoTime, WallTime};
use optag_core::latency::Counted;
use optag_media::engine::Engine;
use optag_media::fact::StreamCounts;
use optag_media::net::port_pool::PortPool;
use optag_media::stats::TickStats;
use optag_media::timebase::FRAME_MS;
use optag_storage::spool::{FULL, Spool, SpoolStats};

const INTERVAL: Duration = Duration::from_secs(1);
/// Remaining time at which a warning is logged, and interval between warnings.
const SOON: Duration = Duration::from_secs(24 * 3_600);
const WARN_EVERY: Duration = Duration::from_secs(600);

/// Published durations of ticks and syncs.
#[derive(Default)]
struct Latencies {
    ticks: Counted,
    syncs: Counted,
}

/// Publishes statistics.
pub struct Publisher {
    /// Engine.
    pub engine: Engine,
    /// Spool.
    pub spool: Spool,
    /// Maximum size of the spool. Units: bytes.
    pub spool_limit_bytes: u64,
    /// Calls in progress.
    pub live_calls: Arc<LiveCalls>,
    /// Deliveries.
    pub deliveries: Arc<DeliveryQueue>,
    /// RTP ports.
    pub ports: PortPool,
    /// Clock for the age of the spool.
    pub clock: Arc<dyn Clock>,
    /// Receives the forecast of the spool.
    pub health: Arc<Health>,
    /// Text page of the metrics.
    pub exporter: Exporter,
}

impl Publisher {
    /// Publishes until dropped.
    pub async fn run(self) {
        let mut last = (TickStats::default(), SpoolStats::default());
        let mut latencies = Latencies::default();
        let (mut forecast, mut warned) = (SpoolForecast::default(), None);
        loop {
            tokio::time::sleep(INTERVAL).await;
            last = self.publish(last);
            latencies = self.publish_latencies(latencies);
            self.look_ahead(last.1.fill_ratio, &mut forecast, &mut warned);
            self.exporter.run_upkeep();
        }
    }

    fn publish(&self, (engine_before, spool_before): (TickStats, SpoolStats)) -> (TickStats, SpoolStats) {
        let engine = self.engine.stats();
        let since = |pick: fn(&TickStats) -> u64| pick(&engine) - pick(&engine_before);
        metrics::packets(&StreamCounts {
            received: since(|s| s.received),
            lost: since(|s| s.lost),
            late: since(|s| s.late),
            duplicate: since(|s| s.duplicate),
            refused: 0,
        });
        metrics::packets_refused(RefusedPacket::Malformed, since(|s| s.malformed));
        metrics::packets_refused(RefusedPacket::Source, since(|s| s.foreign_address));
        metrics::packets_refused(RefusedPacket::Ssrc, since(|s| s.foreign_ssrc));
        metrics::packets_refused(RefusedPacket::Probation, since(|s| s.probation));
        metrics::packets_refused(RefusedPacket::PayloadType, since(|s| s.unknown_payload));
        metrics::packets_refused(RefusedPacket::Oversized, since(|s| s.oversized));
        metrics::packets_refused(RefusedPacket::AuthFailed, since(|s| s.auth_failed));
        metrics::packets_refused(RefusedPacket::Replayed, since(|s| s.replayed));
        metrics::packets_refused(RefusedPacket::Stale, since(|s| s.stale));
        metrics::packets_refused(RefusedPacket::Unwanted, since(|s| s.unwanted));
        metrics::packets_refused(RefusedPacket::Undecodable, since(|s| s.undecodable));
        metrics::kernel_drops(since(|s| s.kernel_dropped));
        metrics::rtcp(&[
            ("received", since(|s| s.rtcp_received)),
            ("malformed", since(|s| s.rtcp_malformed)),
            ("source", since(|s| s.rtcp_foreign)),
            ("unproved", since(|s| s.rtcp_auth_failed)),
            ("bye", since(|s| s.rtcp_byes)),
            ("report_sent", since(|s| s.reports_sent)),
        ]);
        metrics::reports(
            &[
                ("0", since(|s| s.reports_lost_nothing)),
                ("below_1_percent", since(|s| s.reports_lost_below_1)),
                ("below_5_percent", since(|s| s.reports_lost_below_5)),
                ("more", since(|s| s.reports_lost_more)),
            ],
            &[
                ("below_5_ms", since(|s| s.reports_jitter_below_5)),
                ("below_20_ms", since(|s| s.reports_jitter_below_20)),
                ("below_60_ms", since(|s| s.reports_jitter_below_60)),
                ("more", since(|s| s.reports_jitter_more)),
            ],
        );
        metrics::engine_totals(
            Duration::from_millis(engine.audio_in_ms),
            Duration::from_millis(
                (engine.frames_coded + engine.frames_repeated + engine.frames_passed) * u64::from(FRAME_MS),
            ),
            Duration::from_nanos(engine.coding_ns),
        );
        metrics::audio_cut(Duration::from_millis(engine.frames_cut * u64::from(FRAME_MS)));
        metrics::encoder_complexity(self.engine.condition().complexity());
        metrics::engine_load(self.engine.condition().load());
        metrics::engine_faults(
            since(|s| s.tick_overruns),
            since(|s| s.sink_refused),
            since(|s| s.call_faults),
        );
        for consent in [
            ConsentState::Unknown,
            ConsentState::Asked,
            ConsentState::Granted,
            ConsentState::Refused,
            ConsentState::Withdrawn,
        ] {
            metrics::calls(consent, self.live_calls.live_by_consent(consent));
        }
        metrics::facts_merged(since(|s| s.facts_merged));
        metrics::calls_spilled(since(|s| s.calls_spilled));
        metrics::rtp_ports(self.ports.lent(), self.ports.pairs());
        let left = self.deliveries.unsettled();
        metrics::unsettled_calls(left.spooled + left.packed, left.unspooled);
        metrics::stuck_calls(self.deliveries.stuck().calls);
        (engine, self.publish_spool(spool_before))
    }

    /// Each tick and each sync is entered in its histogram, instead of a mean of several.
    fn publish_latencies(&self, before: Latencies) -> Latencies {
        let now = Latencies { ticks: self.engine.condition().ticks.read(), syncs: self.spool.sync_latency() };
        now.ticks.since(&before.ticks).for_each(|(took, count)| metrics::ticks(took, count));
        now.syncs.since(&before.syncs).for_each(|(took, count)| metrics::spool_synced(took, count));
        now
    }

    /// Warns when new calls will be refused, while there is time to act.
    fn look_ahead(&self, fill_ratio: f64, forecast: &mut SpoolForecast, warned: &mut Option<MonoTime>) {
        let now = self.clock.mono();
        let parts = |share: f64| (share * 1e12) as u64;
        let left = forecast.look(now, parts(fill_ratio), parts(FULL));
        metrics::spool_full_in(left);
        self.health.set_spool_full_in(left);
        let soon = left.filter(|&left| left < SOON);
        if let Some(left) = soon
            && warned.is_none_or(|at| now.since(at) >= WARN_EVERY)
        {
            *warned = Some(now);
            tracing::warn!(
                minutes = left.as_secs() / 60,
                "spool filling up; new calls will be refused after this time"
            );
        }
    }

    fn publish_spool(&self, before: SpoolStats) -> SpoolStats {
        let spool = self.spool.stats();
        metrics::spool_moved(spool.moved_bytes - before.moved_bytes);
        metrics::spool_room(self.spool.accepts_new_calls(), spool.disk_free_bytes);
        let age_us = spool.oldest_at.map_or(0, |at| self.clock.wall().micros_since(at).max(0));
        metrics::spool_depth(spool.bytes, self.spool_limit_bytes, Duration::from_micros(age_us as u64));
        let now = self.clock.wall();
        let waits = |ended: Option<WallTime>| {
            Duration::from_micros(ended.map_or(0, |at| now.micros_since(at).max(0)) as u64)
        };
        let (oldest, oldest_packed) = self.deliveries.oldest_ended_at();
        metrics::delivery_waits(waits(oldest));
        metrics::backlog(&Backlog {
            audio: Duration::from_millis(spool.packed.frames * u64::from(FRAME_MS)),
            oldest: waits(oldest_packed),
            bytes: spool.packed.bytes,
        });
        metrics::spool_records_dropped(spool.dropped_records - before.dropped_records);
        (before.failures..spool.failures).for_each(|_| metrics::spool_failed());
        spool
    }
}
