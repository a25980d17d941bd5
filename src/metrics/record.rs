//! The functions by which the parts record.

use std::time::Duration;

use ::metrics::{counter, gauge, histogram};

use super::catalog as c;
use optag_core::call::{ConsentHow, ConsentState, Outcome};
use optag_media::fact::StreamCounts;
use optag_sip::feed::AdmitError;

/// A call asked to be admitted.
pub fn admission(error: Option<&AdmitError>) {
    let result = error.map_or("admitted", AdmitError::name);
    counter!(c::ADMISSIONS_TOTAL.name, "result" => result).increment(1);
}

/// An announced call that was never admitted is over.
pub fn announced_call_ended(outcome: &'static str, cause: String) {
    counter!(c::OUTCOMES_TOTAL.name, "outcome" => outcome, "cause" => cause).increment(1);
}

/// Calls in progress in one state of consent.
pub fn calls(consent: ConsentState, count: usize) {
    gauge!(c::CALLS.name, "consent" => state_name(consent)).set(count as f64);
}

/// A call ended.
pub fn call_ended(outcome: Outcome) {
    counter!(c::OUTCOMES_TOTAL.name, "outcome" => outcome.name(), "cause" => outcome.cause()).increment(1);
}

/// The end of an unrecorded call could not be written to the index.
pub fn outcome_row_dropped() {
    counter!(c::OUTCOME_ROWS_DROPPED_TOTAL.name).increment(1);
}

/// A shutdown ended a call in progress.
pub fn call_cut() {
    counter!(c::CALLS_CUT_TOTAL.name).increment(1);
}

/// Whether the recorder drains.
pub fn draining(draining: bool) {
    gauge!(c::DRAINING.name).set(flag(draining));
}

/// Ended calls that wait: with records in the spool, and outcomes alone.
pub fn unsettled_calls(spooled: usize, unspooled: usize) {
    gauge!(c::UNSETTLED_CALLS.name, "kind" => "recording").set(spooled as f64);
    gauge!(c::UNSETTLED_CALLS.name, "kind" => "outcome").set(unspooled as f64);
}

/// Calls whose delivery fails again and again.
pub fn stuck_calls(count: usize) {
    gauge!(c::STUCK_CALLS.name).set(count as f64);
}

/// Why a call that was in progress when the recorder stopped did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotResumed {
    /// What was written down of it is missing, damaged or contradicts itself.
    State,
    /// The machine was restarted meanwhile, or does not tell.
    Boot,
    /// The recorder was down for too long.
    TooLate,
    /// Its ports could not be bound again.
    Ports,
}

impl NotResumed {
    /// Stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Boot => "boot",
            Self::TooLate => "too_late",
            Self::Ports => "ports",
        }
    }
}

/// A call goes on after a restart; the recorder was down for so long.
pub fn call_resumed(down: Duration) {
    counter!(c::CALLS_RESUMED_TOTAL.name).increment(1);
    histogram!(c::RESTART_GAP_SECONDS.name).record(down);
}

/// A call does not go on after a restart.
pub fn call_not_resumed(cause: NotResumed) {
    counter!(c::CALLS_NOT_RESUMED_TOTAL.name, "cause" => cause.name()).increment(1);
}

/// Consent changed.
pub fn consent_changed(state: ConsentState, how: ConsentHow) {
    let how = match how {
        ConsentHow::Key => "key",
        ConsentHow::System => "system",
        ConsentHow::Staff => "staff",
        ConsentHow::Timeout => "timeout",
        ConsentHow::CallEnded => "call_ended",
        ConsentHow::Transfer => "transfer",
        ConsentHow::Imported => "imported",
    };
    counter!(c::CONSENT_TOTAL.name, "state" => state_name(state), "how" => how).increment(1);
}

/// Packets since the last time. Those refused go to [`packets_refused`], by cause.
pub fn packets(since: &StreamCounts) {
    counter!(c::PACKETS_RECEIVED_TOTAL.name).increment(since.received);
    counter!(c::PACKETS_LOST_TOTAL.name).increment(since.lost);
    counter!(c::PACKETS_LATE_TOTAL.name).increment(since.late);
    counter!(c::PACKETS_DUPLICATE_TOTAL.name).increment(since.duplicate);
}

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedPacket {
    /// No RTP.
    Malformed,
    /// From another address or port.
    Source,
    /// Of another SSRC.
    Ssrc,
    /// Of senders that never became a stream's.
    Probation,
    /// Of a payload type that the stream has not.
    PayloadType,
    /// Longer than [`DATAGRAM_BYTES`](optag_core::limit::DATAGRAM_BYTES).
    Oversized,
    /// SRTP that no key proves.
    AuthFailed,
    /// SRTP that came before.
    Replayed,
    /// Of an earlier call that had the port.
    Stale,
    /// Of a stream that signalling dropped.
    Unwanted,
    /// Payload that is no audio of its coding.
    Undecodable,
}

/// Datagrams refused since the last time.
pub fn packets_refused(cause: RefusedPacket, count: u64) {
    let cause = match cause {
        RefusedPacket::Malformed => "malformed",
        RefusedPacket::Source => "source",
        RefusedPacket::Ssrc => "ssrc",
        RefusedPacket::Probation => "probation",
        RefusedPacket::PayloadType => "payload_type",
        RefusedPacket::Oversized => "oversized",
        RefusedPacket::AuthFailed => "unproved",
        RefusedPacket::Replayed => "replayed",
        RefusedPacket::Stale => "stale",
        RefusedPacket::Unwanted => "unwanted",
        RefusedPacket::Undecodable => "undecodable",
    };
    counter!(c::PACKETS_REFUSED_TOTAL.name, "cause" => cause).increment(count);
}

/// RTCP since the last time, by what happened.
pub fn rtcp(events: &[(&'static str, u64)]) {
    for (event, count) in events {
        counter!(c::RTCP_TOTAL.name, "event" => *event).increment(*count);
    }
}

/// Reports on senders since the last time, by what they say of loss and of jitter.
pub fn reports(loss: &[(&'static str, u64)], jitter: &[(&'static str, u64)]) {
    for (class, count) in loss {
        counter!(c::REPORTS_BY_LOSS_TOTAL.name, "loss" => *class).increment(*count);
    }
    for (class, count) in jitter {
        counter!(c::REPORTS_BY_JITTER_TOTAL.name, "jitter" => *class).increment(*count);
    }
}

/// Datagrams that the kernel dropped since the last time.
pub fn kernel_drops(count: u64) {
    counter!(c::KERNEL_DROPS_TOTAL.name).increment(count);
}

/// Totals of the engine since its start, shown in whole seconds.
pub fn engine_totals(audio_in: Duration, encoded: Duration, encoder_cpu: Duration) {
    whole_seconds(c::AUDIO_IN_SECONDS.name, audio_in);
    whole_seconds(c::AUDIO_ENCODED_SECONDS.name, encoded);
    whole_seconds(c::ENCODER_CPU_SECONDS.name, encoder_cpu);
}

/// Total of the audio that was cut as keys were pressed, since the start.
pub fn audio_cut(total: Duration) {
    whole_seconds(c::AUDIO_CUT_SECONDS.name, total);
}

/// Ticks of one class of length since the last time: their mean and their number.
pub fn ticks(took: Duration, count: usize) {
    histogram!(c::TICK_SECONDS.name).record_many(took, count);
}

/// What went wrong in the engine since the last time.
pub fn engine_faults(tick_overruns: u64, batches_refused: u64, call_faults: u64) {
    counter!(c::TICK_OVERRUNS_TOTAL.name).increment(tick_overruns);
    counter!(c::BATCHES_REFUSED_TOTAL.name).increment(batches_refused);
    counter!(c::CALL_FAULTS_TOTAL.name).increment(call_faults);
}

/// The complexity that the encoders use.
pub fn encoder_complexity(complexity: u8) {
    gauge!(c::ENCODER_COMPLEXITY.name).set(f64::from(complexity));
}

/// Share of the time between ticks that ticks take.
pub fn engine_load(share: f64) {
    gauge!(c::ENGINE_LOAD.name).set(share);
}

/// Pairs of RTP ports: in use, and how many there are.
pub fn rtp_ports(in_use: usize, limit: usize) {
    gauge!(c::RTP_PORTS_IN_USE.name).set(in_use as f64);
    gauge!(c::RTP_PORTS_LIMIT.name).set(limit as f64);
}

/// A recording is in the store, verified.
pub fn stored(bytes: u64, took: Duration) {
    counter!(c::STORED_OBJECTS_TOTAL.name).increment(1);
    counter!(c::STORED_BYTES_TOTAL.name).increment(bytes);
    histogram!(c::UPLOAD_SECONDS.name).record(took);
}

/// A delivery failed and will be tried again.
pub fn upload_failed() {
    counter!(c::UPLOAD_FAILURES_TOTAL.name).increment(1);
}

/// Why a recording was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasedFor {
    /// Someone asked.
    Request,
    /// Consent was taken back in the call.
    Withdrawal,
    /// Its time was up.
    Expiry,
}

/// A recording is gone, every copy of it.
pub fn erased(reason: ErasedFor) {
    let reason = match reason {
        ErasedFor::Request => "request",
        ErasedFor::Withdrawal => "withdrawal",
        ErasedFor::Expiry => "expiry",
    };
    counter!(c::ERASURES_TOTAL.name, "reason" => reason).increment(1);
}

/// Erasures that are not complete.
pub fn erasures_pending(count: usize) {
    gauge!(c::ERASURES_PENDING.name).set(count as f64);
}

/// Age of the oldest erasure that is not complete.
pub fn erasures_waiting(oldest: Duration) {
    gauge!(c::ERASURES_WAITING_SECONDS.name).set(oldest.as_secs_f64());
}

/// An erased recording was there again.
pub fn erased_returned() {
    counter!(c::ERASED_RETURNED_TOTAL.name).increment(1);
}

/// Whether the deletion log is whole.
pub fn deletion_log_ok(ok: bool) {
    gauge!(c::DELETION_LOG_OK.name).set(flag(ok));
}

/// Whether the wall clock is trusted.
pub fn clock_trusted(trusted: bool) {
    gauge!(c::CLOCK_TRUSTED.name).set(flag(trusted));
}

/// Recordings that seem due and wait until someone confirms the clock.
pub fn expiry_withheld(count: u64) {
    gauge!(c::EXPIRY_WITHHELD.name).set(count as f64);
}

/// Whether the audit's last checkpoint reached the store.
pub fn audit_anchored(ok: bool) {
    gauge!(c::AUDIT_ANCHORED.name).set(flag(ok));
}

/// Whether the index answered.
pub fn index_up(up: bool) {
    gauge!(c::INDEX_UP.name).set(flag(up));
}

/// Which parts of the confinement the kernel enforces.
pub fn confined(parts: &[(&'static str, bool)]) {
    for &(part, enforced) in parts {
        gauge!(c::CONFINED.name, "part" => part).set(flag(enforced));
    }
}

/// How much memory for keys the system did not lock. Units: bytes.
pub fn key_memory_unlocked(bytes: usize) {
    gauge!(c::KEY_MEMORY_UNLOCKED_BYTES.name).set(bytes as f64);
}

/// An HTTP answer began.
pub fn http_answered(route: &str, status: u16, took: Duration) {
    let class = match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    counter!(c::HTTP_REQUESTS_TOTAL.name, "route" => route.to_owned(), "status" => class).increment(1);
    histogram!(c::HTTP_SECONDS.name).record(took);
}

/// Why an HTTP connection was closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionClosed {
    /// Its client did not read its answer.
    Stalled,
    /// It was idle, and a new one needed its place.
    Displaced,
    /// Its address had as many as one may have.
    Address,
    /// Its TLS handshake failed: it is not a node.
    Handshake,
}

/// An HTTP connection was closed from this side.
pub fn connection_closed(cause: ConnectionClosed) {
    let cause = match cause {
        ConnectionClosed::Stalled => "stalled",
        ConnectionClosed::Displaced => "displaced",
        ConnectionClosed::Address => "address",
        ConnectionClosed::Handshake => "handshake",
    };
    counter!(c::HTTP_CONNECTIONS_CLOSED_TOTAL.name, "cause" => cause).increment(1);
}

/// Why an HTTP request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// It had no token.
    Missing,
    /// Nobody's token.
    Invalid,
    /// A token without the permission.
    Forbidden,
    /// A call or recording of a department that is not the token's.
    Department,
    /// A token used from a network that is not among its own.
    Network,
    /// A token that was valid once: expired, or revoked during its request.
    Lapsed,
}

/// An HTTP request was refused.
pub fn auth_failed(cause: AuthFailure) {
    let cause = match cause {
        AuthFailure::Missing => "missing",
        AuthFailure::Invalid => "invalid",
        AuthFailure::Forbidden => "forbidden",
        AuthFailure::Department => "department",
        AuthFailure::Network => "network",
        AuthFailure::Lapsed => "lapsed",
    };
    counter!(c::AUTH_FAILURES_TOTAL.name, "cause" => cause).increment(1);
}

/// A request was refused as the audit could not be written.
pub fn audit_failed() {
    counter!(c::AUDIT_FAILURES_TOTAL.name).increment(1);
}

fn state_name(state: ConsentState) -> &'static str {
    match state {
        ConsentState::Unknown => "unknown",
        ConsentState::Asked => "asked",
        ConsentState::Granted => "granted",
        ConsentState::Refused => "refused",
        ConsentState::Withdrawn => "withdrawn",
    }
}

pub(super) fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Counters are whole numbers.
fn whole_seconds(name: &'static str, total: Duration) {
    counter!(name).absolute(total.as_secs());
}
