//! Recording: streams judged, and events of the recording server.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ::metrics::{counter, gauge};

use super::catalog as c;
use optag_core::call::department::Department;
use optag_core::call::{StreamAudio, StreamVerdict};

/// What became of a stream of a recording that was stored.
pub fn stream_judged(verdict: StreamVerdict) {
    counter!(c::STREAMS_TOTAL.name, "verdict" => verdict.name()).increment(1);
}

/// Audio owed and kept by department. Units: ms. Counters hold whole seconds, so the rest is carried here.
static AUDIO_MS: Mutex<BTreeMap<String, [u64; 2]>> = Mutex::new(BTreeMap::new());

/// Lets the series of these departments begin at 0: what comes first counts as an increase.
pub fn departments(departments: &[Department]) {
    departments.iter().for_each(|department| audio_kept(&department.id, &[]));
}

/// What the streams of a stored recording owed, and what there is of it.
pub fn audio_kept(department: &str, streams: &[StreamAudio]) {
    let mut totals = AUDIO_MS.lock().unwrap_or_else(PoisonError::into_inner);
    let [owed, kept] = totals.entry(department.to_owned()).or_default();
    *owed += streams.iter().map(|one| one.owed_ms).sum::<u64>();
    *kept += streams.iter().map(|one| one.kept_ms).sum::<u64>();
    for (metric, ms) in [(c::AUDIO_OWED_SECONDS, *owed), (c::AUDIO_KEPT_SECONDS, *kept)] {
        counter!(metric.name, "department" => department.to_owned()).absolute(ms / 1000);
    }
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

/// Responses of the recording server since its start: method, status code, number.
pub fn sip_responses(counted: impl Iterator<Item = (&'static str, String, u64)>) {
    for (method, code, count) in counted {
        counter!(c::SIP_RESPONSES_TOTAL.name, "method" => method, "code" => code).absolute(count);
    }
}

/// Messages that the SIP server dropped, since its start.
pub fn sip_messages_dropped(total: u64) {
    counter!(c::SIP_MESSAGES_DROPPED_TOTAL.name).absolute(total);
}
