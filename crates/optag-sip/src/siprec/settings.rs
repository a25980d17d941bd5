//! Validated settings of the SIPREC server.

use std::net::IpAddr;

use crate::sip::allow_list::AllowList;
use crate::sip::digest::Credentials;
use crate::siprec::client_profile::Profile;
use crate::siprec::parties::{Departments, PartyRules};

/// Settings of the recording server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of allowed clients.
    pub clients: AllowList,
    /// Digest credentials, required in addition to the address.
    pub credentials: Option<Credentials>,
    /// The advertised address for SIP and RTP; `None`: the address the client used.
    pub advertised: Option<IpAddr>,
    /// The departments.
    pub departments: Departments,
    /// Where numbers are found in signalling.
    pub rules: PartyRules,
    /// How signalling carries consent.
    pub consent: ConsentSignal,
    /// Handling of streams until consent.
    pub until_consent: UntilConsent,
    /// Whether an INVITE without SIPREC indications is recorded as well.
    pub plain_calls: bool,
    /// Response to an INVITE while no call can be admitted.
    pub when_unavailable: WhenUnavailable,
    /// Which RTP sources are accepted.
    pub media_source: MediaSource,
    /// Whether key presses relayed by INFO count as the caller's.
    pub info_keys: bool,
    /// Handling of a recording whose call moves to an unknown department.
    pub unknown_party: UnknownParty,
    /// Client profiles; the first that matches an address applies.
    pub profiles: Vec<Profile>,
    /// Maximum number of streams of all recording sessions, so that RTP ports are left for others.
    pub streams_max: usize,
    /// Maximum number of streams of one client.
    pub streams_per_client: usize,
    /// Maximum number of concurrent recording sessions.
    pub sessions_max: usize,
    /// 32 random bytes, new at each start, from which tags, branches and nonces are derived.
    pub secret: [u8; 32],
}

/// How an IVR or PBX tells that it has asked the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentSignal {
    /// Header field of INVITE, UPDATE or INFO, in lower case.
    pub header: Option<String>,
    /// Metadata element, in lower case without prefix.
    pub element: Option<String>,
    /// Values that mean yes, in lower case.
    pub yes: Vec<String>,
    /// Values that mean no, in lower case.
    pub no: Vec<String>,
}

/// What becomes of a session's streams until its caller has consented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UntilConsent {
    /// They are taken, listened to for keys, and discarded in memory.
    #[default]
    Listen,
    /// They are answered inactive, and asked for by a re-INVITE after the yes. Keys pressed in
    /// them are not heard: the answer must come by signalling or the API.
    Inactive,
}

/// What to answer while draining, overloaded or out of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnavailable {
    /// 200 with inactive streams: no client treats it as a failure.
    #[default]
    Inactive,
    /// 503: a client with several recorders tries the next.
    Refuse,
}

/// Which packets a stream takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaSource {
    /// Only those from the address in the session description.
    #[default]
    Signalled,
    /// Those of the first source that proves itself: for clients behind address translation.
    Learned,
}

/// What becomes of a recording with a yes once its call is with someone of no known department.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownParty {
    /// It is paused until somebody known is there again: nobody can tell whether the yes named them.
    #[default]
    Pause,
    /// It goes on: the owner says that whoever is of no listed department belongs to the one that had
    /// the call.
    Stay,
}

impl Default for ConsentSignal {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Self {
            header: Some("x-recording-consent".to_owned()),
            element: Some("recordingconsent".to_owned()),
            yes: words(&["yes", "true", "1", "granted"]),
            no: words(&["no", "false", "0", "refused"]),
        }
    }
}
