//! The table of metrics: name, kind, labels, help.

use optag_core::call::StreamVerdict;
use optag_core::latency;

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name; the unit is its suffix.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Labels, each with all its values where they are few; those series exist from the start.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// What it says.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Distribution over these upper bounds.
    Histogram(&'static [f64]),
}

/// Declares the metrics and gathers them in [`ALL`].
macro_rules! catalog {
    ($($id:ident = $kind:expr, $name:literal, [$($label:literal: $values:expr),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: $kind, labels: &[$(($label, $values)),*], help: $help };
        )*
        /// Every metric.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

const OPEN: &[&str] = &[];
const TICK_S: &[f64] = &latency::BOUNDS_S;
const UPLOAD_S: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const GAP_S: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const HTTP_S: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
const STATES: &[&str] = &["unknown", "asked", "granted", "refused", "withdrawn"];
const REFUSALS: &[&str] = &[
    "malformed",
    "source",
    "ssrc",
    "probation",
    "payload_type",
    "oversized",
    "unproved",
    "replayed",
    "stale",
    "unwanted",
    "undecodable",
];
const VERDICTS: &[&str] = StreamVerdict::NAMES;
const RTCP: &[&str] = &["received", "malformed", "source", "unproved", "bye", "report_sent"];
const LOSS: &[&str] = &["0", "below_1_percent", "below_5_percent", "more"];
const JITTER: &[&str] = &["below_5_ms", "below_20_ms", "below_60_ms", "more"];
const ADMISSIONS: &[&str] = &[
    "admitted",
    "unknown_department",
    "bad_streams",
    "ports_used_up",
    "client_quota",
    "overloaded",
    "draining",
];

catalog! {
    BUILD_INFO = Gauge, "optag_build_info", ["version": OPEN], "Always 1; the label is the version.";
    CALLS = Gauge, "optag_calls", ["consent": STATES], "Calls in progress by state of consent.";
    ADMISSIONS_TOTAL = Counter, "optag_admissions_total", ["result": ADMISSIONS], "Calls that asked to be admitted, by result.";
    OUTCOMES_TOTAL = Counter, "optag_outcomes_total", ["outcome": OPEN, "cause": OPEN], "Calls ended, and announced calls that were never admitted, by their one outcome and its cause.";
    CALLS_RESUMED_TOTAL = Counter, "optag_calls_resumed_total", [], "Calls that went on after a restart of the recorder.";
    CALLS_NOT_RESUMED_TOTAL = Counter, "optag_calls_not_resumed_total", ["cause": &["state", "boot", "too_late", "ports"]], "Calls in progress that a restart of the recorder ended, by why they could not go on.";
    RESTART_GAP_SECONDS = Histogram(GAP_S), "optag_restart_gap_seconds", [], "How long the recorder was down for a call that went on.";
    CALLS_CUT_TOTAL = Counter, "optag_calls_cut_total", [], "Calls in progress that a shutdown of the recorder ended.";
    UNSETTLED_CALLS = Gauge, "optag_unsettled_calls", ["kind": &["recording", "outcome"]], "Ended calls that store or index do not have yet: recordings and outcomes that wait in the spool, and outcomes of calls without records there.";
    STUCK_CALLS = Gauge, "optag_stuck_calls", [], "Ended calls whose delivery has failed eight times in a row; the log says why.";
    OUTCOME_ROWS_DROPPED_TOTAL = Counter, "optag_outcome_rows_dropped_total", [], "Ends of unrecorded calls whose index row was dropped as the queue was full.";
    CONSENT_TOTAL = Counter, "optag_consent_changes_total", ["state": OPEN, "how": OPEN], "Changes of consent by new state and by which way they came.";
    PACKETS_RECEIVED_TOTAL = Counter, "optag_rtp_packets_received_total", [], "Accepted RTP packets.";
    PACKETS_LOST_TOTAL = Counter, "optag_rtp_packets_lost_total", [], "RTP sequence numbers that never came.";
    PACKETS_LATE_TOTAL = Counter, "optag_rtp_packets_late_total", [], "RTP packets that came after their time.";
    PACKETS_DUPLICATE_TOTAL = Counter, "optag_rtp_packets_duplicate_total", [], "RTP packets that came twice.";
    PACKETS_REFUSED_TOTAL = Counter, "optag_rtp_packets_refused_total", ["cause": REFUSALS], "Datagrams refused, by cause.";
    RTCP_TOTAL = Counter, "optag_rtcp_total", ["event": RTCP], "RTCP: datagrams received, or refused and why; senders' goodbyes; reports sent.";
    REPORTS_BY_LOSS_TOTAL = Counter, "optag_rtp_reports_by_loss_total", ["loss": LOSS], "Reports on senders, one a stream every 5 s, by the share of packets lost since the one before.";
    REPORTS_BY_JITTER_TOTAL = Counter, "optag_rtp_reports_by_jitter_total", ["jitter": JITTER], "The same by the jitter of arrivals.";
    KERNEL_DROPS_TOTAL = Counter, "optag_rtp_kernel_drops_total", [], "Datagrams that the kernel dropped as a receive buffer was full.";
    AUDIO_IN_SECONDS = Counter, "optag_audio_received_seconds_total", [], "Seconds of audio received, all streams.";
    AUDIO_ENCODED_SECONDS = Counter, "optag_audio_encoded_seconds_total", [], "Seconds of audio encoded, all streams.";
    AUDIO_CUT_SECONDS = Counter, "optag_audio_cut_seconds_total", [], "Seconds of audio cut as keys were pressed, all streams.";
    ENCODER_CPU_SECONDS = Counter, "optag_encoder_cpu_seconds_total", [], "Processor seconds spent encoding.";
    ENCODER_COMPLEXITY = Gauge, "optag_encoder_complexity", [], "Opus complexity in use; it falls under load.";
    ENGINE_LOAD = Gauge, "optag_engine_load_ratio", [], "Share of the time between ticks that ticks take; above 0.85, at the lowest complexity, new calls are refused until it falls below 0.75.";
    TICK_SECONDS = Histogram(TICK_S), "optag_tick_seconds", [], "Length of a turn over all streams.";
    TICK_OVERRUNS_TOTAL = Counter, "optag_tick_overruns_total", [], "Ticks that took longer than the time between two ticks.";
    BATCHES_REFUSED_TOTAL = Counter, "optag_engine_batches_refused_total", [], "Batches of audio that the spool's queue had no room for; their audio is lost and marked as a gap.";
    CALL_FAULTS_TOTAL = Counter, "optag_call_faults_total", [], "Calls that ended because processing them failed; what was recorded until then is kept.";
    RTP_PORTS_IN_USE = Gauge, "optag_rtp_ports_in_use", [], "RTP ports bound.";
    SPOOL_BYTES = Gauge, "optag_spool_bytes", [], "Bytes in the spool.";
    SPOOL_LIMIT_BYTES = Gauge, "optag_spool_limit_bytes", [], "The most bytes that the spool may take.";
    SPOOL_ACCEPTING = Gauge, "optag_spool_accepting", [], "1 where the spool takes new calls; 0: the cap, the floor of the file system or a failed write refuse them.";
    SPOOL_DISK_FREE_BYTES = Gauge, "optag_spool_disk_free_bytes", [], "Bytes left on the spool's file system.";
    FACTS_MERGED_TOTAL = Counter, "optag_engine_facts_merged_total", [], "Facts of calls, audio aside, that were merged while the spool took nothing.";
    SPOOL_FULL_SECONDS = Gauge, "optag_spool_full_seconds", [], "Time until the spool refuses new calls if it grows as in the last minutes; -1 where it does not grow.";
    SPOOL_SECONDS = Gauge, "optag_spool_oldest_seconds", [], "Age of the oldest audio that the store does not have.";
    DELIVERY_WAITS_SECONDS = Gauge, "optag_delivery_oldest_seconds", [], "Time since the end of the call that waits longest for its delivery; 0 where none waits.";
    SPOOL_SYNC_SECONDS = Histogram(TICK_S), "optag_spool_sync_seconds", [], "Length of a group commit.";
    SPOOL_MOVED_BYTES_TOTAL = Counter, "optag_spool_moved_bytes_total", [], "Bytes of records that were copied out of segments that held little else.";
    SPOOL_FAILURES_TOTAL = Counter, "optag_spool_failures_total", [], "Writes or syncs that the disk refused.";
    SPOOL_RECORDS_DROPPED_TOTAL = Counter, "optag_spool_records_dropped_total", [], "Records not written because their call's key was destroyed or they contradicted what was written before.";
    STORED_BYTES_TOTAL = Counter, "optag_stored_bytes_total", [], "Bytes delivered to the store and verified.";
    STORED_OBJECTS_TOTAL = Counter, "optag_stored_objects_total", [], "Recordings delivered to the store and verified.";
    STREAMS_TOTAL = Counter, "optag_recorded_streams_total", ["verdict": VERDICTS], "Streams of recordings delivered, by what became of them.";
    UPLOAD_SECONDS = Histogram(UPLOAD_S), "optag_upload_seconds", [], "Time from the start of a delivery until it was verified.";
    UPLOAD_FAILURES_TOTAL = Counter, "optag_upload_failures_total", [], "Deliveries that failed and will be tried again.";
    ERASURES_TOTAL = Counter, "optag_erasures_total", ["reason": &["request", "withdrawal", "expiry"]], "Recordings erased, every copy verified gone.";
    ERASURES_PENDING = Gauge, "optag_erasures_pending", [], "Erasures ordered of which a copy could not be reached yet.";
    ERASURES_WAITING_SECONDS = Gauge, "optag_erasures_oldest_pending_seconds", [], "Age of the oldest erasure of which a copy could not be reached yet.";
    ERASURES_UNPROVEN_TOTAL = Counter, "optag_erasures_unproven_total", [], "Tries to complete an erasure that ended without proof that nothing is left; it stays open.";
    ERASED_RETURNED_TOTAL = Counter, "optag_erased_returned_total", [], "Erased recordings that were there again, by a restored backup or a late upload, and were erased anew.";
    DELETION_LOG_OK = Gauge, "optag_deletion_log_ok", [], "1 where the deletion log is the one that index and store saw last; 0: nothing is served until it is mended.";
    CLOCK_TRUSTED = Gauge, "optag_clock_trusted", [], "1 where the wall clock is trusted; 0: it jumped and nobody has confirmed it.";
    EXPIRY_WITHHELD = Gauge, "optag_expiry_withheld", [], "Recordings that seem due and are not erased until someone confirms the clock: more than a sweep takes by itself, or dated by no clock that was ever vouched for.";
    STORE_UP = Gauge, "optag_store_up", [], "1 where a small object could be written, read, listed and deleted when it was tried last, and no write has failed since.";
    CONFINED = Gauge, "optag_confined", ["part": &["capabilities", "files", "connections", "system calls"]], "1 where the kernel holds the recorder to what it needs, by part; 0 where it does not: an old kernel, or process.confine = false.";
    KEY_MEMORY_UNLOCKED_BYTES = Gauge, "optag_key_memory_unlocked_bytes", [], "Memory for keys that the system refused to lock, so that it may be swapped; 0 is right. Raise RLIMIT_MEMLOCK.";
    INDEX_UP = Gauge, "optag_index_up", [], "1 where the index answered last time.";
    LIFECYCLE_OK = Gauge, "optag_store_lifecycle_ok", [], "1 where the bucket's expiry rule, its lock and the rules of others are as they must be.";
    LIFECYCLE_DRIFTS_TOTAL = Counter, "optag_store_lifecycle_drifts_total", [], "Times that the bucket's expiry rule was not as it must be and was set again.";
    FOREIGN_RULES = Gauge, "optag_store_foreign_rules", ["effect": &["harmful", "harmless"]], "Lifecycle rules of others that reach recordings; harmful: they end or move them before their time.";
    HTTP_REQUESTS_TOTAL = Counter, "optag_http_requests_total", ["route": OPEN, "status": OPEN], "HTTP requests by route and class of status.";
    HTTP_SECONDS = Histogram(HTTP_S), "optag_http_request_seconds", [], "Time until an HTTP answer began.";
    HTTP_CONNECTIONS_CLOSED_TOTAL = Counter, "optag_http_connections_closed_total", ["cause": &["stalled", "displaced", "address"]], "HTTP connections closed by the recorder: the client did not read its answer, was idle while a new one needed the place, or its address had too many.";
    AUTH_FAILURES_TOTAL = Counter, "optag_auth_failures_total", ["cause": &["missing", "invalid", "forbidden"]], "HTTP requests refused for want of a token or a permission.";
    SIP_SESSIONS = Gauge, "optag_sip_sessions", [], "SIPREC recording sessions in progress.";
    SIP_MESSAGES_DROPPED_TOTAL = Counter, "optag_sip_messages_dropped_total", [], "SIP messages dropped because a queue, a buffer or a connection had no room.";
    SIP_EVENTS_TOTAL = Counter, "optag_sip_events_total", ["event": OPEN], "What SIPREC clients did and got, by event; docs/guide/feeding.md explains those that matter.";
    AUDIT_ANCHORED = Gauge, "optag_audit_anchored", [], "1 where the last signed checkpoint of the audit reached the store.";
    AUDIT_FAILURES_TOTAL = Counter, "optag_audit_failures_total", [], "Requests refused as the audit could not be written.";
}
