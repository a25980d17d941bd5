//! The checked configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::settings::SignInSettings;
use crate::config::cluster::ClusterConfig;
use crate::disclosure::owner::Owner;
use crate::erasure::sweep_horizon::SweepLimits;
use crate::index::IndexPlace;
use crate::recorder::settings::{Current, Departments, RecorderSettings};
use crate::webhooks::Target;
use optag_core::call::{Department, Prompt};
use optag_core::private::Private;
use optag_media::dtmf::tone_listener::ToneSettings;
use optag_sip::ask::settings::{AskedDepartment, SendOn, Unasked};
use optag_sip::objections::Objections;
use optag_sip::sip::allow_list::AllowList;
use optag_sip::siprec::client_profile::Profile;
use optag_sip::siprec::parties::PartyRules;
use optag_sip::siprec::service::Listen;
use optag_sip::siprec::settings::{ConsentSignal, MediaSource, UnknownParty, UntilConsent, WhenUnavailable};
use optag_storage::archive::vault::Escrow;
pub use optag_storage::store::settings::{S3Config, S3Credentials, StoreConfig};

/// Everything an owner may set, in range.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where all data lives unless a path says otherwise.
    pub data_dir: PathBuf,
    /// The HTTP API.
    pub api: ApiConfig,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub metrics_listen: SocketAddr,
    /// Where session recording clients are listened to.
    pub sip: SipConfig,
    /// Asking callers before their calls come.
    pub ask: AskConfig,
    /// All prompts.
    pub prompts: Vec<Prompt>,
    /// Where audio is taken.
    pub rtp: RtpConfig,
    /// The media engine.
    pub engine: EngineConfig,
    /// How keys pressed as tones are listened for.
    pub tones: ToneSettings,
    /// The spool.
    pub spool: SpoolConfig,
    /// Where recordings are kept.
    pub store: StoreConfig,
    /// How they are sealed.
    pub seal: SealConfig,
    /// Where the index is.
    pub index: IndexPlace,
    /// Other nodes on the same index.
    pub cluster: Option<ClusterConfig>,
    /// Other systems that are told of recordings.
    pub webhooks: Vec<Target>,
    /// Where the access tokens are kept, hashed.
    pub tokens_path: PathBuf,
    /// Time between two sweeps for expired recordings.
    pub sweep_interval: Duration,
    /// The most that a sweep takes without someone's word.
    pub sweep_limits: SweepLimits,
    /// Whether recordings may be held, and on which lawful bases past their limit.
    pub holds: HoldConfig,
    /// The key that signs receipts and checkpoints; created where it is missing.
    pub signing_key_file: PathBuf,
    /// The trail of look-ups.
    pub audit: AuditConfig,
    /// The time zone of callers, where a search names none.
    pub time_zone: String,
    /// Country code of numbers written without one; digits, may be empty.
    pub country_code: String,
    /// How long an answer waits for its call to be announced.
    pub early_answers: Duration,
    /// The log.
    pub log: LogConfig,
    /// At a stop, how long calls in progress go on.
    pub drain_limit: Duration,
    /// After that, how long ended calls get to reach the store and the index.
    pub deliver_limit: Duration,
    /// What cover sheets say of the owner.
    pub disclosure: Owner,
    /// Employees who object to being recorded.
    pub objections: Objections,
    /// The departments, at least one.
    pub departments: Vec<Department>,
    /// Whether the kernel is asked to hold the process to what it needs.
    pub confine: bool,
}

/// Legal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldConfig {
    /// Whether anything may be held.
    pub allowed: bool,
    /// Lawful bases on which a hold may reach past a recording's limit.
    pub lawful_bases: Vec<String>,
}

/// The trail of look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Days that entries are kept.
    pub keep_days: u32,
    /// Time between signed checkpoints.
    pub checkpoint_interval: Duration,
    /// A directory elsewhere that gets each checkpoint too.
    pub anchor_dir: Option<PathBuf>,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Connections at a time.
    pub max_connections: usize,
    /// Connections of one address at a time.
    pub max_connections_per_address: usize,
    /// What the calls of one client may take of the RTP ports. Units: %.
    pub max_client_streams_percent: u8,
    /// Requests at a time; more are answered 503.
    pub max_requests: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a request may take until its answer begins.
    pub request_timeout: Duration,
    /// How long an answer may wait for its client to read on.
    pub write_timeout: Duration,
    /// Proxies that say who asks.
    pub trusted_proxies: AllowList,
    /// Whether streams may be announced without where they come from.
    pub learn_rtp_source: bool,
}

/// A checked `[[sip.client]]`, what it leaves out taken from `[sip]`; of departments the one of calls that no
/// number decides.
pub(crate) type SipClient = Profile<Option<String>>;

/// Where session recording clients are listened to, and what is believed of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SipConfig {
    /// Addresses and certificates; without an address, nobody is listened to.
    pub listen: Listen,
    /// Clients that are answered.
    pub clients: AllowList,
    /// User name and password that clients must know.
    pub user: Option<(String, Private<String>)>,
    /// Department of calls that no number decides.
    pub default_department: Option<String>,
    /// How signalling says that consent was given.
    pub consent: ConsentSignal,
    /// What becomes of the streams until the caller has consented.
    pub until_consent: UntilConsent,
    /// Where numbers, names and departments are looked for.
    pub rules: PartyRules,
    /// Whether keys relayed by INFO count as the caller's.
    pub info_keys: bool,
    /// Whether an INVITE without any sign of SIPREC is a call to record.
    pub plain_calls: bool,
    /// Whose packets are believed.
    pub media_source: MediaSource,
    /// What an INVITE gets while no call can be taken.
    pub when_unavailable: WhenUnavailable,
    /// What becomes of a recording whose call is with someone of no known department.
    pub unknown_party: UnknownParty,
    /// Recording sessions at a time.
    pub max_sessions: usize,
    /// Of the RTP ports, what recording sessions may take, and what one client's may. Units: percent.
    pub max_streams_percent: u8,
    /// See `max_streams_percent`.
    pub max_client_streams_percent: u8,
    /// What differs for some clients.
    pub clients_of_their_own: Vec<SipClient>,
}

impl Config {
    /// What the recorder must know of it, and the departments, which may change.
    pub fn recorder(&self, departments: Departments) -> RecorderSettings {
        let pairs = self.rtp.pairs();
        RecorderSettings {
            departments,
            objections: Current::new(self.objections.clone()),
            advertised_ip: self.rtp.advertised_ip,
            client_streams: pairs * usize::from(self.api.max_client_streams_percent) / 100,
            spills: self.engine.spills,
            resume_within: self.rtp.resume_within,
        }
    }
}

/// Where audio is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RtpConfig {
    /// Address that the ports are bound to.
    pub listen_ip: IpAddr,
    /// Address that feeds are told; differs from `listen_ip` behind NAT or with 0.0.0.0.
    pub advertised_ip: IpAddr,
    /// First port.
    pub port_min: u16,
    /// Last port.
    pub port_max: u16,
    /// How long a packet may be late.
    pub reorder: Duration,
    /// A call without a packet for so long is over.
    pub timeout: Duration,
    /// Whether senders get receiver reports.
    pub rtcp_reports: bool,
    /// After a restart, a call that was in progress goes on if the recorder was down no longer.
    pub resume_within: Duration,
    /// Receive buffer asked of the kernel for each port. Units: bytes.
    pub socket_buffer_bytes: usize,
}

impl RtpConfig {
    /// Number of streams that its ports suffice for: an even port for audio and the next one for RTCP.
    pub fn pairs(&self) -> usize {
        usize::from(self.port_max - self.port_min).div_ceil(2)
    }
}

/// The media engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConfig {
    /// Threads, at least 1.
    pub workers: usize,
    /// Time between two ticks.
    pub tick: Duration,
    /// Per stream.
    pub opus_bitrate_bps: u32,
    /// 0 to 10; under load it goes down from here.
    pub opus_complexity: u8,
    /// Whether it goes down.
    pub adaptive_complexity: bool,
    /// Whether the audio of new calls is kept as it came where there is no time to encode it.
    pub spills: bool,
    /// How long after its call's end such audio is encoded at the latest.
    pub spill_within: Duration,
    /// Whether steady background between talk is coded now and then only.
    pub saves_background: bool,
    /// Per stream that arrives with more than telephone band.
    pub opus_wideband_bitrate_bps: u32,
    /// Streams that arrive as Opus are kept as they are up to this rate; 0 decodes them all.
    pub opus_pass_through_max_bps: u32,
}

/// The spool.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// Most bytes it may take.
    pub max_bytes: u64,
    /// Room on the file system that new calls leave.
    pub min_free_bytes: u64,
    /// Of `max_bytes`, what audio may take that is kept as it came.
    pub packed_max_bytes: u64,
    /// Bytes after which a new segment begins.
    pub segment_bytes: u64,
    /// Where the node's master key comes from.
    pub master_key: MasterKeySource,
}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterKeySource {
    /// A file; created where it is missing.
    File(PathBuf),
    /// A command that writes it: for a KMS, an HSM, a secret store.
    Command(String),
    /// The environment variable `OPTAG_MASTER_KEY`.
    Environment(Private<String>),
}

/// How recordings are sealed in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct SealConfig {
    /// Whether what is delivered is sealed.
    pub seals: bool,
    /// The directory of the days' keys.
    pub keys_dir: PathBuf,
    /// What seals them, where it is not the spool's: while a dead node's spool is delivered.
    pub master_key: Option<MasterKeySource>,
    /// Where copies of the days' keys go, if anywhere.
    pub escrow: Option<Escrow>,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// A level, or `target=level` directives with commas between.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The checked `[ask]` section.
#[derive(Clone, Debug, PartialEq)]
pub struct AskConfig {
    /// Where it is listened; nowhere by default.
    pub listen: Listen,
    /// How calls are sent on.
    pub send_on: SendOn,
    /// Time to answer after each hearing of the question.
    pub answer: Duration,
    /// Loss above which a question was not heard. Units: percent.
    pub loss_percent: u32,
    /// Maximum number of callers who are asked at a time.
    pub max_asks: usize,
    /// Calls that are never asked.
    pub unasked: Unasked,
    /// Header field that carries the answer, as written.
    pub consent_header: String,
    /// Header field that carries an identifier of the call, in lower case.
    pub external_id_header: Option<String>,
    /// Where `optag prompt add` keeps prompts.
    pub prompts_dir: PathBuf,
    /// The departments whose callers are asked.
    pub departments: Vec<AskedDepartment>,
}

impl AskConfig {
    /// Whether callers are asked.
    pub fn is_on(&self) -> bool {
        !(self.listen.udp.is_empty() && self.listen.tcp.is_empty() && self.listen.tls.is_empty())
    }
}
