//! Starts the media engine from the configuration.

use std::sync::Arc;

use crate::app::open::Opened;
use crate::recorder::engine_sink::EngineSink;
use optag_media::call::CallSettings;
use optag_media::engine::{Engine, EngineConfig};
use optag_media::opus::encoder::OpusSettings;
use optag_media::stream::settings::CaptureSettings;

/// Starts the engine with the settings of the configuration.
///
/// Errors: the system gives no threads.
pub(super) fn start(opened: &Opened) -> anyhow::Result<Engine> {
    let config = &opened.config;
    let sink = EngineSink {
        spool: opened.stores.spool.clone(),
        live_calls: Arc::clone(&opened.live_calls),
        deliveries: Arc::clone(&opened.deliveries),
    };
    let engine = EngineConfig {
        workers: config.engine.workers,
        tick: config.engine.tick,
        max_calls: config.rtp.pairs(),
        call: CallSettings {
            capture: CaptureSettings {
                reorder: config.rtp.reorder,
                opus: OpusSettings {
                    bitrate_bps: config.engine.opus_bitrate_bps,
                    wideband_bitrate_bps: config.engine.opus_wideband_bitrate_bps,
                    complexity: config.engine.opus_complexity,
                    saves_background: config.engine.saves_background,
                },
                pass_through_max_bps: config.engine.opus_pass_through_max_bps,
                encodes: Default::default(),
            },
            tones: config.tones,
            rtp_timeout: config.rtp.timeout,
            reports: config.rtp.rtcp_reports,
        },
        adaptive_complexity: config.engine.adaptive_complexity,
    };
    Ok(Engine::start(engine, Arc::clone(&opened.clock), Box::new(sink))?)
}
