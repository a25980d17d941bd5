//! The configuration as written: file, then environment; only names and types are checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::error::ConfigError;
use optag_core::call::ConsentKeys;

/// Declares a section with its keys and their defaults.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $kind:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name { $(pub $key: $kind,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

section!(
    /// The whole file.
    RawConfig {
        data_dir: String = "./optag-data".into(),
        api: RawApi = RawApi::default(),
        sign_in: RawSignIn = RawSignIn::default(),
        metrics: RawMetrics = RawMetrics::default(),
        sip: RawSip = RawSip::default(),
        ask: RawAsk = RawAsk::default(),
        rtp: RawRtp = RawRtp::default(),
        engine: RawEngine = RawEngine::default(),
        keys: RawKeys = RawKeys::default(),
        spool: RawSpool = RawSpool::default(),
        store: RawStore = RawStore::default(),
        seal: RawSeal = RawSeal::default(),
        index: RawIndex = RawIndex::default(),
        cluster: RawCluster = RawCluster::default(),
        retention: RawRetention = RawRetention::default(),
        consent: RawConsent = RawConsent::default(),
        number: RawNumber = RawNumber::default(),
        employees: RawEmployees = RawEmployees::default(),
        audit: RawAudit = RawAudit::default(),
        search: RawSearch = RawSearch::default(),
        log: RawLog = RawLog::default(),
        process: RawProcess = RawProcess::default(),
        shutdown: RawShutdown = RawShutdown::default(),
        disclosure: RawDisclosure = RawDisclosure::default(),
        webhook: Vec<RawWebhook> = Vec::new(),
        prompt: Vec<RawPrompt> = Vec::new(),
        department: Vec<RawDepartment> = vec![RawDepartment::demo(), RawDepartment::private()],
    }
);
section!(RawApi {
    listen: String = "127.0.0.1:8080".into(),
    max_connections: i64 = 512,
    max_requests: i64 = 256,
    max_connections_per_address: i64 = 512,
    max_client_streams_percent: i64 = 90,
    header_timeout_s: i64 = 10,
    request_timeout_s: i64 = 30,
    write_timeout_s: i64 = 30,
    trusted_proxies: String = "127.0.0.0/8, ::1".into(),
    learn_rtp_source: bool = false,
});
section!(RawSignIn {
    url: String = String::new(),
    idle_min: i64 = 30,
    longest_h: i64 = 10,
    four_eyes: bool = true,
    local: bool = true,
    oidc: RawOidc = RawOidc::default(),
});
section!(RawOidc {
    issuer: String = String::new(),
    client_id: String = String::new(),
    client_secret_file: String = String::new(),
    name: String = String::new(),
    scopes: String = "openid profile".into(),
    user_claim: String = "preferred_username".into(),
    group_claims: String = "groups, roles, realm_access.roles".into(),
    leeway_s: i64 = 60,
    ca_file: String = String::new(),
    proxy: String = String::new(),
    allow_http: bool = false,
    mapping: Vec<RawMapping> = Vec::new(),
});
section!(RawMapping {
    group: String = String::new(),
    roles: String = String::new(),
    departments: String = String::new(),
    departments_claim: String = String::new(),
});
section!(RawMetrics { listen: String = "127.0.0.1:9464".into() });
section!(RawSip {
    listen_udp: String = "127.0.0.1:5060".into(),
    listen_tcp: String = "127.0.0.1:5060".into(),
    listen_tls: String = String::new(),
    certificate_file: String = String::new(),
    key_file: String = String::new(),
    client_ca_file: String = String::new(),
    clients: String = "127.0.0.0/8, ::1".into(),
    user: String = String::new(),
    password_file: String = String::new(),
    default_department: String = String::new(),
    consent_header: String = "X-Recording-Consent".into(),
    consent_element: String = "recordingConsent".into(),
    until_consent: String = "listen".into(),
    caller_from: String = String::new(),
    called_from: String = String::new(),
    name_from: String = String::new(),
    department_from: String = String::new(),
    info_keys: bool = true,
    plain_calls: bool = false,
    learn_rtp_source: bool = false,
    refuse_when_full: bool = false,
    unknown_party_stays: bool = false,
    max_sessions: i64 = 5_000,
    max_streams_percent: i64 = 90,
    max_client_streams_percent: i64 = 80,
    client: Vec<RawSipClient> = Vec::new(),
});
section!(RawSipClient {
    addresses: String = String::new(),
    default_department: Option<String> = None,
    consent_header: Option<String> = None,
    consent_element: Option<String> = None,
    until_consent: Option<String> = None,
    caller_from: Option<String> = None,
    called_from: Option<String> = None,
    name_from: Option<String> = None,
    department_from: Option<String> = None,
    info_keys: Option<bool> = None,
    plain_calls: Option<bool> = None,
    learn_rtp_source: Option<bool> = None,
    refuse_when_full: Option<bool> = None,
    unknown_party_stays: Option<bool> = None,
    rtp_timeout_s: Option<i64> = None,
});
section!(RawAsk {
    listen_udp: String = String::new(),
    listen_tcp: String = String::new(),
    listen_tls: String = String::new(),
    send_on: String = "redirect".into(),
    send_to: String = String::new(),
    answer_s: i64 = 5,
    loss_percent: i64 = 5,
    max_asks: i64 = 200,
    never_ask: String = "112, 110, 113, 114, 116xxx, 911, 999, 000".into(),
    internal_digits: i64 = 6,
    consent_header: String = "X-Recording-Consent".into(),
    external_id_header: String = String::new(),
    prompts_dir: String = String::new(),
    department: Vec<RawAskedDepartment> = Vec::new(),
});
section!(RawAskedDepartment {
    id: String = String::new(),
    send_to: Option<String> = None,
    languages: BTreeMap<String, String> = BTreeMap::new(),
    confirm_yes: String = String::new(),
    confirm_no: String = String::new(),
});
section!(RawRtp {
    listen_ip: String = "127.0.0.1".into(),
    advertised_ip: String = String::new(),
    port_min: i64 = 20_000,
    port_max: i64 = 39_999,
    reorder_ms: i64 = 200,
    timeout_s: i64 = 60,
    resume_within_s: i64 = 60,
    socket_buffer_kib: i64 = 256,
    rtcp_reports: bool = true,
});
section!(RawEngine {
    workers: i64 = 0,
    tick_ms: i64 = 100,
    opus_bitrate_bps: i64 = 16_000,
    opus_complexity: i64 = 5,
    adaptive_complexity: bool = true,
    spill: String = "auto".into(),
    spill_within_h: i64 = 12,
    saves_background: bool = true,
    opus_wideband_bitrate_bps: i64 = 24_000,
    opus_pass_through_max_bps: i64 = 64_000,
});
section!(RawKeys { tones: bool = true, tones_in_opus: String = "without_events".into() });
section!(RawSpool {
    dir: String = String::new(),
    max_gib: i64 = 20,
    min_free_gib: i64 = 1,
    spill_max_percent: i64 = 50,
    segment_mib: i64 = 64,
    master_key_file: String = String::new(),
});
section!(RawStore {
    kind: String = "local".into(),
    dir: String = String::new(),
    bucket: String = String::new(),
    endpoint: String = String::new(),
    region: String = "us-east-1".into(),
    credentials_file: String = String::new(),
    path_style: bool = true,
    allow_http: bool = false,
    ca_file: String = String::new(),
    proxy: String = String::new(),
    manage_lifecycle: bool = true,
    seal: String = "age".into(),
});
section!(RawSeal {
    keys_dir: String = String::new(),
    master_key_command: String = String::new(),
    escrow_recipient: String = String::new(),
    escrow_to: String = String::new(),
});
section!(RawIndex { path: String = String::new(), postgres: String = String::new() });
section!(RawCluster {
    listen: String = String::new(),
    address: String = String::new(),
    certificate_file: String = String::new(),
    key_file: String = String::new(),
    ca_file: String = String::new(),
    peer_ports: String = String::new(),
});
section!(RawWebhook {
    id: String = String::new(),
    url: String = String::new(),
    events: String = "stored, refused, failed, erased".into(),
    secret_file: String = String::new(),
    ca_file: String = String::new(),
    allow_http: bool = false,
    allow_private: bool = false,
});
section!(RawRetention {
    default_days: i64 = 90,
    sweep_interval_s: i64 = 60,
    sweep_limit_percent: i64 = 10,
    sweep_limit_days: i64 = 1,
    legal_hold: bool = false,
    hold_lawful_bases: String = String::new(),
    signing_key_file: String = String::new(),
});
section!(RawAudit {
    keep_days: i64 = 730,
    checkpoint_interval_s: i64 = 3_600,
    anchor_dir: String = String::new()
});
section!(RawSearch { time_zone: String = "Europe/Copenhagen".into() });
section!(RawConsent { timeout_s: i64 = 30, early_s: i64 = 300 });
section!(RawDisclosure {
    controller: String = String::new(),
    contact: String = String::new(),
    data_protection_officer: String = String::new(),
    recipients: String = String::new(),
    authority: String = String::new(),
    name_staff: bool = false,
    time_zone: String = "UTC".into(),
    public_url: String = String::new(),
});
section!(RawNumber { country_code: String = "45".into() });
section!(RawEmployees { objecting: String = String::new(), on_objection: String = "others_only".into() });
section!(RawProcess { confine: bool = true });
section!(RawLog { format: String = "text".into(), level: String = "info".into() });
section!(RawShutdown { drain_limit_s: i64 = 1_800, deliver_limit_s: i64 = 10 });

/// One `[[prompt]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrompt {
    pub version: String,
    pub language: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub text_file: String,
    #[serde(default)]
    pub audio_file: String,
    #[serde(default)]
    pub audio_sha256: String,
    pub departments: Vec<String>,
    pub keys: Option<ConsentKeys>,
}

/// One `[[department]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDepartment {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub numbers: Vec<String>,
    #[serde(default)]
    pub record: bool,
    pub retention_days: Option<i64>,
    pub consent_timeout_s: Option<i64>,
    #[serde(default)]
    pub prompts: Vec<String>,
    #[serde(default)]
    pub keys: ConsentKeys,
}

impl RawDepartment {
    fn new(id: &str, name: &str, record: bool) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            numbers: Vec::new(),
            record,
            retention_days: None,
            consent_timeout_s: None,
            prompts: Vec::new(),
            keys: ConsentKeys::default(),
        }
    }

    fn demo() -> Self {
        Self::new("demo", "Demonstration", true)
    }

    fn private() -> Self {
        Self::new("private", "Not recorded", false)
    }
}

/// Reads a file's text.
pub(super) fn from_toml(text: &str) -> Result<RawConfig, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
        match unknown_key(error.message()) {
            Some((key, nearest)) => ConfigError::UnknownKey { line, key, nearest },
            None => ConfigError::Syntax { line, reason: error.message().to_owned() },
        }
    })
}

/// Reads "unknown field `a`, expected one of `b`, `c`", as serde words it.
fn unknown_key(message: &str) -> Option<(String, String)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let key = quoted.next()?.to_owned();
    let nearest = nearest(&key, quoted);
    Some((key, nearest))
}

pub(super) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let score = |name: &str| strsim::jaro_winkler(key, name);
    known.max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or_default().to_owned()
}
