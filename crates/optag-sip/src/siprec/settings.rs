//! What an owner may decide about SIPREC, checked.

use std::net::IpAddr;

use crate::sip::digest::Credentials;
use crate::siprec::client_profile::Profile;
use crate::siprec::parties::{Departments, PartyRules};

/// Settings of the recording server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which clients are listened to.
    pub clients: AllowList,
    /// Whom else to believe than the address: user names and passwords.
    pub credentials: Option<Credentials>,
    /// The address that answers name for SIP and RTP; `None` names the one that was called.
    pub advertised: Option<IpAddr>,
    /// The departments.
    pub departments: Departments,
    /// Where numbers stand.
    pub rules: PartyRules,
    /// How signalling says that consent was given.
    pub consent: ConsentSignal,
    /// What becomes of the streams until the caller has consented.
    pub until_consent: UntilConsent,
    /// Whether an INVITE without any sign of SIPREC is a call to record as well.
    pub plain_calls: bool,
    /// What an INVITE gets while no call can be taken.
    pub when_unavailable: WhenUnavailable,
    /// Whose packets are believed.
    pub media_source: MediaSource,
    /// Whether keys that a client relays by INFO count as the caller's.
    pub info_keys: bool,
    /// What becomes of a recording whose call is with someone of no known department.
    pub unknown_party: UnknownParty,
    /// What differs for some clients; the first that names an address counts.
    pub profiles: Vec<Profile>,
    /// The most streams of all recording sessions, and of those of one client: others find RTP ports
    /// too.
    pub streams_max: usize,
    /// See `streams_max`.
    pub streams_per_client: usize,
    /// The most recording sessions at once.
    pub sessions_max: usize,
    /// 32 random bytes, new at each start: tags, branches and nonces come from them.
    pub secret: [u8; 32],
}

/// Networks whose clients are listened to. From elsewhere, datagrams are dropped without an
/// answer and connections closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<(IpAddr, u8)>);

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

impl Default for AllowList {
    /// This machine alone.
    fn default() -> Self {
        Self::parse(["127.0.0.0/8", "::1"]).unwrap_or(Self(Vec::new()))
    }
}

impl AllowList {
    /// Reads addresses and networks such as `192.0.2.0/24`.
    ///
    /// Errors: the entry that is none.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |entry: &str| {
            let (address, bits) = entry.split_once('/').unwrap_or((entry, ""));
            let ip: IpAddr = address.trim().parse().ok()?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = if bits.is_empty() { most } else { bits.trim().parse().ok()? };
            (bits <= most).then_some((ip, bits))
        };
        let all = entries.into_iter().map(|entry| read(entry).ok_or_else(|| entry.to_owned()));
        all.collect::<Result<_, _>>().map(Self)
    }

    /// The networks of both lists.
    pub fn with(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Whether a client at `ip` is listened to.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|(network, bits)| match (network, ip) {
            (IpAddr::V4(n), IpAddr::V4(ip)) => same(n.to_bits().into(), ip.to_bits().into(), *bits, 32),
            (IpAddr::V6(n), IpAddr::V6(ip)) => same(n.to_bits(), ip.to_bits(), *bits, 128),
            _ => false,
        })
    }
}

/// Whether the first `bits` of two addresses of `width` bits agree.
fn same(one: u128, other: u128, bits: u8, width: u8) -> bool {
    let shift = u32::from(width - bits);
    (one ^ other).checked_shr(shift).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_matched_by_their_leading_bits() {
        let list = AllowList::parse(["192.0.2.0/25", "2001:db8::/32", "198.51.100.7"]).unwrap();
        for (ip, expect) in [
            ("192.0.2.127", true),
            ("192.0.2.128", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.0.2.1", true),
        ] {
            assert_eq!(list.allows(ip.parse().unwrap()), expect, "{ip}");
        }
        assert!(AllowList::parse(["0.0.0.0/0"]).unwrap().allows("8.8.8.8".parse().unwrap()));
        assert!(!AllowList::default().allows("10.0.0.1".parse().unwrap()));
        assert_eq!(AllowList::parse(["10.0.0.0/33"]), Err("10.0.0.0/33".to_owned()));
    }
}
