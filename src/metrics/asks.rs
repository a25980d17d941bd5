//! Metrics of callers who are asked.

use std::time::Duration;

use ::metrics::{counter, gauge, histogram};

use super::catalog as c;
use optag_media::stats::TickStats;
use optag_sip::ask::outcome::Outcome;

/// The asking of a caller is over; `own_delay`: beside prompts and the time to answer.
pub fn ask_ended(outcome: Outcome, own_delay: Duration) {
    counter!(c::ASKS_TOTAL.name, "outcome" => outcome.name()).increment(1);
    histogram!(c::ASK_OWN_DELAY_SECONDS.name).record(own_delay.as_secs_f64());
}

/// Callers who are being asked, and the datagrams of all of them since the start.
pub fn asking(asks: usize, packets: &TickStats) {
    gauge!(c::ASKS.name).set(asks as f64);
    let refused = [
        packets.malformed,
        packets.foreign_address,
        packets.foreign_ssrc,
        packets.probation,
        packets.unknown_payload,
        packets.oversized,
        packets.auth_failed,
        packets.replayed,
        packets.stale,
        packets.unwanted,
        packets.rtcp_foreign,
        packets.rtcp_malformed,
        packets.rtcp_auth_failed,
    ];
    let accepted = packets.received + packets.rtcp_received;
    for (event, count) in [
        ("accepted", accepted),
        ("refused", refused.into_iter().sum()),
        ("kernel_dropped", packets.kernel_dropped),
    ] {
        counter!(c::ASK_PACKETS_TOTAL.name, "event" => event).absolute(count);
    }
}
