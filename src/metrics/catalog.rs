//! The table of metrics: name, kind, labels, help.

use super::NotAccepting;
use optag_core::call::StreamVerdict;
use optag_core::latency;
use optag_sip::ask::outcome::Outcome;

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
const ASK_PACKETS: &[&str] = &["accepted", "refused", "kernel_dropped"];
const NODE_STATES: &[&str] = &["starting", "ready", "draining", "silent"];
const FORWARDED: &[&str] = &["answered", "not_there", "unreachable"];
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
    CALLS = Gauge, "optag_calls", ["consent": STATES], "Calls in progress by consent state.";
    ADMISSIONS_TOTAL = Counter, "optag_admissions_total", ["result": ADMISSIONS], "Admission requests by result.";
    OUTCOMES_TOTAL = Counter, "optag_outcomes_total", ["outcome": OPEN, "cause": OPEN], "Calls ended, and announced calls never admitted, by outcome and cause.";
    CALLS_RESUMED_TOTAL = Counter, "optag_calls_resumed_total", [], "Calls resumed after a restart of the recorder.";
    CALLS_NOT_RESUMED_TOTAL = Counter, "optag_calls_not_resumed_total", ["cause": &["state", "boot", "too_late", "ports"]], "Calls in progress that could not be resumed after a restart, by cause.";
    RESTART_GAP_SECONDS = Histogram(GAP_S), "optag_restart_gap_seconds", [], "Downtime of resumed calls.";
    CALLS_CUT_TOTAL = Counter, "optag_calls_cut_total", [], "Calls in progress terminated by a shutdown of the recorder, after its drain limit.";
    ACCEPTING = Gauge, "optag_accepting", [], "1 if new calls are accepted; 0 if the recorder drains or is full, as /readyz and OPTIONS say.";
    NOT_ACCEPTING = Gauge, "optag_not_accepting", ["reason": NotAccepting::NAMES], "1 for the reason why no new calls are accepted.";
    CAPACITY_CALLS = Gauge, "optag_capacity_calls", [], "How many more calls fit, by RTP ports, engine load, recording sessions, memory and file descriptors; 0 if none are accepted. Calls in progress and these make the size of the recorder.";
    DRAINING = Gauge, "optag_draining", [], "1 while no new calls are taken because the recorder stops or is replaced.";
    UNSETTLED_CALLS = Gauge, "optag_unsettled_calls", ["kind": &["recording", "outcome"]], "Ended calls not yet delivered at shutdown: recordings in the spool, and outcomes of calls without spool records.";
    STUCK_CALLS = Gauge, "optag_stuck_calls", [], "Ended calls whose delivery failed eight or more times in a row; see the log for the cause.";
    OUTCOME_ROWS_DROPPED_TOTAL = Counter, "optag_outcome_rows_dropped_total", [], "Outcomes of unrecorded calls dropped because the queue was full.";
    CONSENT_TOTAL = Counter, "optag_consent_changes_total", ["state": OPEN, "how": OPEN], "Consent changes by new state and by channel.";
    PACKETS_RECEIVED_TOTAL = Counter, "optag_rtp_packets_received_total", [], "Accepted RTP packets.";
    PACKETS_LOST_TOTAL = Counter, "optag_rtp_packets_lost_total", [], "RTP packets lost, by sequence number.";
    PACKETS_LATE_TOTAL = Counter, "optag_rtp_packets_late_total", [], "RTP packets received too late for playout.";
    PACKETS_DUPLICATE_TOTAL = Counter, "optag_rtp_packets_duplicate_total", [], "Duplicate RTP packets.";
    PACKETS_REFUSED_TOTAL = Counter, "optag_rtp_packets_refused_total", ["cause": REFUSALS], "Datagrams refused, by cause.";
    RTCP_TOTAL = Counter, "optag_rtcp_total", ["event": RTCP], "RTCP datagrams received, datagrams refused by cause, BYEs received, and reports sent.";
    REPORTS_BY_LOSS_TOTAL = Counter, "optag_rtp_reports_by_loss_total", ["loss": LOSS], "Reception reports, one per stream every 5 s, by fraction lost since the previous report.";
    REPORTS_BY_JITTER_TOTAL = Counter, "optag_rtp_reports_by_jitter_total", ["jitter": JITTER], "Reception reports by interarrival jitter.";
    KERNEL_DROPS_TOTAL = Counter, "optag_rtp_kernel_drops_total", [], "Datagrams dropped by the kernel because a receive buffer was full.";
    AUDIO_IN_SECONDS = Counter, "optag_audio_received_seconds_total", [], "Seconds of audio received, all streams.";
    AUDIO_ENCODED_SECONDS = Counter, "optag_audio_encoded_seconds_total", [], "Seconds of audio encoded, all streams.";
    AUDIO_CUT_SECONDS = Counter, "optag_audio_cut_seconds_total", [], "Seconds of audio redacted around key presses, all streams.";
    ENCODER_CPU_SECONDS = Counter, "optag_encoder_cpu_seconds_total", [], "Processor seconds spent encoding.";
    ENCODER_COMPLEXITY = Gauge, "optag_encoder_complexity", [], "Current Opus complexity; reduced under load.";
    ENGINE_LOAD = Gauge, "optag_engine_load_ratio", [], "Fraction of the tick interval spent processing; at the lowest complexity, new calls are spilled above 0.70 until it falls below 0.60, and refused above 0.85 until it falls below 0.75.";
    TICK_SECONDS = Histogram(TICK_S), "optag_tick_seconds", [], "Duration of a tick over all streams.";
    TICK_OVERRUNS_TOTAL = Counter, "optag_tick_overruns_total", [], "Ticks that exceeded the tick interval.";
    BATCHES_REFUSED_TOTAL = Counter, "optag_engine_batches_refused_total", [], "Audio batches rejected by a full spool queue; the audio is lost and marked as a gap.";
    CALL_FAULTS_TOTAL = Counter, "optag_call_faults_total", [], "Calls terminated by an internal error; audio recorded so far is kept.";
    RTP_PORTS_IN_USE = Gauge, "optag_rtp_ports_in_use", [], "Pairs of RTP ports in use, one for each stream.";
    RTP_PORTS_LIMIT = Gauge, "optag_rtp_ports_limit", [], "Pairs of RTP ports that there are (rtp.port_min to rtp.port_max).";
    SPOOL_BYTES = Gauge, "optag_spool_bytes", [], "Bytes in the spool.";
    SPOOL_LIMIT_BYTES = Gauge, "optag_spool_limit_bytes", [], "Maximum size of the spool.";
    SPOOL_ACCEPTING = Gauge, "optag_spool_accepting", [], "1 if the spool accepts new calls; 0 if refused by the size limit, low free disk space or a failed write.";
    SPOOL_DISK_FREE_BYTES = Gauge, "optag_spool_disk_free_bytes", [], "Bytes free on the spool's file system.";
    FACTS_MERGED_TOTAL = Counter, "optag_engine_facts_merged_total", [], "Call events, other than audio, merged while the spool queue was full.";
    CALLS_SPILLED_TOTAL = Counter, "optag_calls_spilled_total", [], "Calls whose audio is kept as it comes, to be encoded later, because the engine was near its limit: from admission on, or from the middle of the call.";
    BACKLOG_SECONDS = Gauge, "optag_backlog_seconds", [], "Seconds of spilled audio in the spool that are not encoded yet, all streams.";
    BACKLOG_OLDEST_SECONDS = Gauge, "optag_backlog_oldest_seconds", [], "Time since the end of the spilled call that waits longest for its encoding; 0 if none waits.";
    BACKLOG_LIMIT_SECONDS = Gauge, "optag_backlog_limit_seconds", [], "Time after the end of a spilled call by which it must be encoded (engine.spill_within_h).";
    BACKLOG_ENCODED_SECONDS = Counter, "optag_backlog_encoded_seconds_total", [], "Seconds of spilled audio encoded, all streams; audio encoded again after a failed delivery counts again.";
    BACKLOG_BYTES = Gauge, "optag_backlog_bytes", [], "Bytes of spilled audio in the spool.";
    BACKLOG_LIMIT_BYTES = Gauge, "optag_backlog_limit_bytes", [], "Share of the spool for spilled audio (spool.spill_max_percent); at it, calls beyond the engine's limit are refused.";
    SPOOL_FULL_SECONDS = Gauge, "optag_spool_full_seconds", [], "Forecast of the time until the spool refuses new calls; -1 if it is not growing.";
    SPOOL_SECONDS = Gauge, "optag_spool_oldest_seconds", [], "Age of the oldest undelivered audio.";
    DELIVERY_WAITS_SECONDS = Gauge, "optag_delivery_oldest_seconds", [], "Time since the end of the call longest in the delivery queue, spilled ones aside; 0 if the queue is empty.";
    SPOOL_SYNC_SECONDS = Histogram(TICK_S), "optag_spool_sync_seconds", [], "Duration of a group commit.";
    SPOOL_MOVED_BYTES_TOTAL = Counter, "optag_spool_moved_bytes_total", [], "Bytes of records moved out of sparse segments.";
    SPOOL_FAILURES_TOTAL = Counter, "optag_spool_failures_total", [], "Failed writes or syncs.";
    SPOOL_RECORDS_DROPPED_TOTAL = Counter, "optag_spool_records_dropped_total", [], "Records dropped because the call's key was destroyed or they contradicted earlier records.";
    STORED_BYTES_TOTAL = Counter, "optag_stored_bytes_total", [], "Bytes delivered to the store and verified.";
    STORED_OBJECTS_TOTAL = Counter, "optag_stored_objects_total", [], "Recordings delivered to the store and verified.";
    AUDIO_OWED_SECONDS = Counter, "optag_audio_owed_seconds_total", ["department": OPEN], "Seconds of audio that delivered recordings should contain, all streams: from consent to the end of the call, without pauses, holds and redacted key tones, and without streams that sent nothing.";
    AUDIO_KEPT_SECONDS = Counter, "optag_audio_kept_seconds_total", ["department": OPEN], "Seconds of audio owed that delivered recordings do contain. What is missing was lost in the network, late, refused, or not recorded.";
    STREAMS_TOTAL = Counter, "optag_recorded_streams_total", ["verdict": VERDICTS], "Streams of delivered recordings, by verdict.";
    NEWER_FORMATS_TOTAL = Counter, "optag_newer_formats_total", ["format": &["manifest", "day_key"]], "Attempts to read a manifest or a copy of a day key that a newer version wrote; the objects stay as they are.";
    UPLOAD_SECONDS = Histogram(UPLOAD_S), "optag_upload_seconds", [], "Duration of a delivery, verification included.";
    UPLOAD_FAILURES_TOTAL = Counter, "optag_upload_failures_total", [], "Failed deliveries; each is retried.";
    ERASURES_TOTAL = Counter, "optag_erasures_total", ["reason": &["request", "withdrawal", "expiry"]], "Recordings erased, with every copy verified as deleted.";
    ERASURES_PENDING = Gauge, "optag_erasures_pending", [], "Erasures ordered and not complete.";
    ERASURES_WAITING_SECONDS = Gauge, "optag_erasures_oldest_pending_seconds", [], "Age of the oldest incomplete erasure.";
    ERASURES_UNPROVEN_TOTAL = Counter, "optag_erasures_unproven_total", [], "Erasure attempts that could not verify the deletion of every copy; the erasure stays open.";
    ERASED_RETURNED_TOTAL = Counter, "optag_erased_returned_total", [], "Erased recordings that reappeared, through a restored backup or a late upload, and were erased again.";
    CASES_OPEN = Gauge, "optag_cases_open", [], "Requests of callers that are not closed, of all nodes.";
    CASES_OVERDUE = Gauge, "optag_cases_overdue", [], "Requests of callers that are not closed and whose time limit is over, of all nodes.";
    DELETION_LOG_OK = Gauge, "optag_deletion_log_ok", [], "1 if the deletion log matches index and store; 0 if entries are missing: nothing is served until it is repaired.";
    CLOCK_TRUSTED = Gauge, "optag_clock_trusted", [], "1 if the wall clock is trusted; 0 after an unconfirmed jump.";
    EXPIRY_WITHHELD = Gauge, "optag_expiry_withheld", [], "Recordings due for expiry but withheld until the clock is confirmed: more than the sweep limits, or dated by an unconfirmed clock.";
    STORE_UP = Gauge, "optag_store_up", [], "1 if the last probe wrote, read, listed and deleted a small object, and no write has failed since.";
    CONFINED = Gauge, "optag_confined", ["part": &["capabilities", "files", "connections", "system calls"]], "1 if this part of the process confinement is enforced; 0 if not: unsupported kernel, or process.confine = false.";
    KEY_MEMORY_UNLOCKED_BYTES = Gauge, "optag_key_memory_unlocked_bytes", [], "Key memory that could not be locked and may be swapped; expected 0. Raise RLIMIT_MEMLOCK.";
    INDEX_UP = Gauge, "optag_index_up", [], "1 if the last index probe succeeded.";
    LIFECYCLE_OK = Gauge, "optag_store_lifecycle_ok", [], "1 if the bucket's lifecycle rule, object lock and foreign rules are as required.";
    LIFECYCLE_DRIFTS_TOTAL = Counter, "optag_store_lifecycle_drifts_total", [], "Times the bucket's lifecycle rule had drifted and was reinstalled.";
    FOREIGN_RULES = Gauge, "optag_store_foreign_rules", ["effect": &["harmful", "harmless"]], "Foreign lifecycle rules that apply to recordings; harmful: they delete or move recordings early.";
    HTTP_REQUESTS_TOTAL = Counter, "optag_http_requests_total", ["route": OPEN, "status": OPEN], "HTTP requests by route and status class.";
    HTTP_SECONDS = Histogram(HTTP_S), "optag_http_request_seconds", [], "Time until an HTTP response began.";
    HTTP_CONNECTIONS_CLOSED_TOTAL = Counter, "optag_http_connections_closed_total", ["cause": &["stalled", "displaced", "address", "handshake"]], "HTTP connections closed by the recorder: stalled reader, idle connection displaced by a new one, too many connections from one address, or a failed TLS handshake between nodes.";
    AUTH_FAILURES_TOTAL = Counter, "optag_auth_failures_total", ["cause": &["missing", "invalid", "forbidden", "department", "network", "lapsed"]], "HTTP requests refused: no token, an unknown one, no permission, another department, another network; or ended as the token lapsed.";
    SIGN_INS_TOTAL = Counter, "optag_sign_ins_total", ["result": &["signed_in", "wrong", "slowed", "busy", "no_role", "link_used", "link_wrong"]], "Attempts to sign in by password, and uses of one-time links: admitted, something wrong, refused by a rate limit, no turn for checking a password, a user without a role; a password set by a link, a link that is not valid.";
    PROVIDER_SIGN_INS_TOTAL = Counter, "optag_provider_sign_ins_total", ["result": &["signed_in", "stale", "declined", "away", "invalid", "no_rights", "disabled", "waits", "logged_out"]], "Attempts to sign in by the OpenID Connect provider: admitted; an answer that belongs to no attempt or comes again; the provider signed nobody in; it does not answer; what it says cannot be taken; its claims give nothing here; a disabled user; rights that wait for a second administrator; signed out at the provider meanwhile.";
    PROVIDER_LOGOUTS_TOTAL = Counter, "optag_provider_logouts_total", ["result": &["ended", "nobody", "invalid", "replayed", "failed"]], "Notices of the OpenID Connect provider that somebody signed out: sign-ins ended; nobody was signed in; not a logout token that can be taken; one that was used before; the index or the provider's keys could not be reached.";
    SIGN_IN_PROVIDER_AWAY = Gauge, "optag_sign_in_provider_away", [], "1 if the OpenID Connect provider did not answer as it must when it was asked last: nobody signs in by it. 0 also without a provider.";
    SIP_SESSIONS = Gauge, "optag_sip_sessions", [], "SIPREC recording sessions in progress.";
    SIP_MESSAGES_DROPPED_TOTAL = Counter, "optag_sip_messages_dropped_total", [], "SIP messages dropped: a queue, buffer or connection was full, or the sender is not an allowed client.";
    SIP_EVENTS_TOTAL = Counter, "optag_sip_events_total", ["event": OPEN], "SIPREC events; docs/guide/feeding.md explains those that matter.";
    SIP_RESPONSES_TOTAL = Counter, "optag_sip_responses_total", ["method": OPEN, "code": OPEN], "SIP responses sent, without retransmissions, by method of the request and status code.";
    ASKS = Gauge, "optag_asks", [], "Callers who are being asked by optag itself.";
    ASKS_TOTAL = Counter, "optag_asks_total", ["outcome": Outcome::NAMES], "Calls whose callers were to be asked by optag itself, by outcome; docs/guide/asking.md explains them.";
    ASK_OWN_DELAY_SECONDS = Histogram(HTTP_S), "optag_ask_own_delay_seconds", [], "Time that an ask took beside prompts and the time to answer.";
    ASK_PACKETS_TOTAL = Counter, "optag_ask_packets_total", ["event": ASK_PACKETS], "RTP and RTCP datagrams of callers who are asked: accepted; refused, whatever the cause; dropped by the kernel.";
    NODES = Gauge, "optag_nodes", ["state": NODE_STATES], "Nodes that share the index, by state, as this node last read the registry; silent: no heartbeat for 10 s.";
    REGISTRY_UP = Gauge, "optag_registry_up", [], "1 if the last heartbeat reached the registry of nodes and all nodes have one master key; 0 if not: answers for calls of other nodes are given directly or refused. 1 on a node alone.";
    CONTROL_FORWARDED_TOTAL = Counter, "optag_control_forwarded_total", ["result": FORWARDED], "Requests sent on to the node that has the call, by result: answered, the call is not there, or the node cannot be reached.";
    EARLY_ANSWERS = Gauge, "optag_early_answers", [], "Answers in PostgreSQL that wait for their call; the same on every node.";
    EARLY_ANSWERS_EXPIRED_TOTAL = Counter, "optag_early_answers_expired_total", [], "Answers in PostgreSQL whose time ended before their call came; each is counted by one node.";
    WEBHOOKS_TOTAL = Counter, "optag_webhooks_total", ["webhook": OPEN, "result": &["delivered", "failed", "dropped"]], "Attempts to send an event to a webhook, by result: delivered; failed, to be tried again; dropped after a week.";
    WEBHOOKS_WAITING = Gauge, "optag_webhooks_waiting", ["webhook": OPEN], "Events that wait to be received by webhooks, as the node that sends them sees it; 0 on other nodes.";
    WEBHOOKS_OLDEST_SECONDS = Gauge, "optag_webhooks_oldest_seconds", ["webhook": OPEN], "Age of the oldest event that waits to be received by a webhook; 0 if none waits.";
    AUDIT_ANCHORED = Gauge, "optag_audit_anchored", [], "1 if the last signed audit checkpoint reached the store.";
    CERTIFICATE_EXPIRES = Gauge, "optag_certificate_expiry_timestamp_seconds", ["use": OPEN], "When the first of the certificates for a use expires, in seconds since 1970: sip, sip_client_ca, store_ca, index_ca, index_client, node, node_ca.";
    PROCESS_CPU_SECONDS_TOTAL = Counter, "process_cpu_seconds_total", [], "Processor seconds used.";
    PROCESS_START_TIME_SECONDS = Gauge, "process_start_time_seconds", [], "When the process started, in seconds since 1970; an upgrade by SIGUSR2 keeps the process.";
    PROCESS_RESIDENT_MEMORY_BYTES = Gauge, "process_resident_memory_bytes", [], "Resident memory.";
    PROCESS_VIRTUAL_MEMORY_BYTES = Gauge, "process_virtual_memory_bytes", [], "Address space.";
    PROCESS_THREADS = Gauge, "process_threads", [], "Threads.";
    PROCESS_OPEN_FDS = Gauge, "process_open_fds", [], "Open file descriptors; a stream has two.";
    PROCESS_MAX_FDS = Gauge, "process_max_fds", [], "Maximum number of open file descriptors.";
    AUDIT_FAILURES_TOTAL = Counter, "optag_audit_failures_total", [], "Requests refused because the audit log could not be written.";
}
