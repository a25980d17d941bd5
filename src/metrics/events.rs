//! Recording: streams judged, and events of the recording server.

use ::metrics::{counter, gauge};

use super::catalog as c;
use optag_core::call::StreamVerdict;

/// What became of a stream of a recording that was stored.
pub fn stream_judged(verdict: StreamVerdict) {
    counter!(c::STREAMS_TOTAL.name, "verdict" => verdict.name()).increment(1);
}

/// Totals of the recording server since its start; `sessions` and `draining` are states.
pub fn sip(named: &[(&'static str, u64)]) {
    for (event, value) in named {
        match *event {
            "sessions" => gauge!(c::SIP_SESSIONS.name).set(*value as f64),
            "draining" => {}
            event => counter!(c::SIP_EVENTS_TOTAL.name, "event" => event).absolute(*value),
        }
    }
}

/// Messages that the SIP server dropped, since its start.
pub fn sip_messages_dropped(total: u64) {
    counter!(c::SIP_MESSAGES_DROPPED_TOTAL.name).absolute(total);
}
