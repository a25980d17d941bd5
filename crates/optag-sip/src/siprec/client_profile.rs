//! Settings of one client that differ from the general ones.
//!
//! In: a client's address. Out: the first matching profile, or the general
//! settings. Not here: how profiles are configured.

use std::net::IpAddr;
use std::time::Duration;

use crate::feed::{NewCall, NewStream};
use crate::sip::allow_list::AllowList;
use crate::siprec::parties::{Departments, Parties, PartyRules};
use crate::siprec::server::{Server, SessionId};
use crate::siprec::session::Session;
use crate::siprec::settings::{
    Config, ConsentSignal, MediaSource, UnknownParty, UntilConsent, WhenUnavailable,
};
use optag_core::call::text::clean;
use optag_core::limit::{NUMBER_CHARS, TEXT_CHARS};
use optag_core::owner::owner;

/// The values for the clients at some addresses. What the owner left out is as for all. `D`: the departments,
/// or what is written of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile<D = Departments> {
    /// Whom it is for. They are listened to, whether the general list has them or not.
    pub clients: AllowList,
    /// The departments, with the one that takes this client's calls that no number decides.
    pub departments: D,
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
    /// Whether keys that the client relays by INFO count as the caller's.
    pub info_keys: bool,
    /// What becomes of a recording whose call is with someone of no known department.
    pub unknown_party: UnknownParty,
    /// How long a call may be silent; `None` for as long as any.
    pub silence: Option<Duration>,
}

impl<D> Profile<D> {
    /// The same with the departments that `of` makes.
    pub fn with_departments<T>(self, of: impl FnOnce(D) -> T) -> Profile<T> {
        Profile {
            clients: self.clients,
            departments: of(self.departments),
            rules: self.rules,
            consent: self.consent,
            until_consent: self.until_consent,
            plain_calls: self.plain_calls,
            when_unavailable: self.when_unavailable,
            media_source: self.media_source,
            info_keys: self.info_keys,
            unknown_party: self.unknown_party,
            silence: self.silence,
        }
    }
}

impl Config {
    /// The first profile that matches `ip`.
    pub fn profile(&self, ip: IpAddr) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.clients.allows(ip))
    }

    /// Whether a client at `ip` is allowed.
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.clients.allows(ip) || self.profile(ip).is_some()
    }

    pub(super) fn departments_for(&self, ip: IpAddr) -> &Departments {
        self.profile(ip).map_or(&self.departments, |profile| &profile.departments)
    }

    pub(super) fn rules_for(&self, ip: IpAddr) -> &PartyRules {
        self.profile(ip).map_or(&self.rules, |profile| &profile.rules)
    }

    pub(super) fn consent_for(&self, ip: IpAddr) -> &ConsentSignal {
        self.profile(ip).map_or(&self.consent, |profile| &profile.consent)
    }

    pub(super) fn until_consent_for(&self, ip: IpAddr) -> UntilConsent {
        self.profile(ip).map_or(self.until_consent, |profile| profile.until_consent)
    }

    pub(super) fn plain_calls_for(&self, ip: IpAddr) -> bool {
        self.profile(ip).map_or(self.plain_calls, |profile| profile.plain_calls)
    }

    pub(super) fn refuses_for(&self, ip: IpAddr) -> bool {
        let when = self.profile(ip).map_or(self.when_unavailable, |profile| profile.when_unavailable);
        when == WhenUnavailable::Refuse
    }

    pub(super) fn media_source_for(&self, ip: IpAddr) -> MediaSource {
        self.profile(ip).map_or(self.media_source, |profile| profile.media_source)
    }

    pub(super) fn unknown_party_for(&self, ip: IpAddr) -> UnknownParty {
        self.profile(ip).map_or(self.unknown_party, |profile| profile.unknown_party)
    }

    pub(super) fn info_keys_for(&self, ip: IpAddr) -> bool {
        self.profile(ip).map_or(self.info_keys, |profile| profile.info_keys)
    }
}

impl Server {
    /// The client's address when the session began.
    pub(super) fn client_of(&self, id: SessionId) -> IpAddr {
        let client = self.sessions.get(&id).and_then(|session| session.saved.client.parse().ok());
        client.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    /// Calls with a silence timeout of their own.
    pub fn silences(&self) -> Vec<(optag_core::id::CallId, Duration)> {
        let live = self.sessions.iter().filter(|(_, session)| !session.is_over());
        live.filter_map(|(id, session)| {
            let silence = self.config.profile(self.client_of(*id))?.silence?;
            Some((session.saved.call?, silence))
        })
        .collect()
    }

    /// Whether a client has as many streams as one may, or all of SIPREC as many as it may: others'
    /// calls find ports too.
    pub(super) fn is_over_quota(&self, client: IpAddr) -> bool {
        let (all, own) = self.streams_taken(client);
        all > self.config.streams_max || own > self.config.streams_per_client
    }

    /// Streams that a client may still add.
    pub(super) fn streams_left(&self, client: IpAddr) -> usize {
        let (all, own) = self.streams_taken(client);
        let of_all = self.config.streams_max.saturating_sub(all);
        of_all.min(self.config.streams_per_client.saturating_sub(own))
    }

    /// Streams that sessions of SIPREC have or have asked for, of all clients and of the one at `ip`.
    fn streams_taken(&self, ip: IpAddr) -> (usize, usize) {
        let client = owner(ip);
        let mut taken = (0, 0);
        for session in self.sessions.values().filter(|session| !session.is_over()) {
            let lines = &session.saved.ours.lines;
            let taken_lines =
                lines.iter().filter(|line| line.taken.is_some_and(|taken| taken.stream.is_some())).count();
            let own = taken_lines + session.controls.streams_pending();
            taken.0 += own;
            let theirs = session.saved.client.parse().is_ok_and(|address| owner(address) == client);
            taken.1 += if theirs { own } else { 0 };
        }
        taken
    }
}

/// Streams with sanitised labels, unique within their call.
fn cleaned(mut streams: Vec<NewStream>) -> Vec<NewStream> {
    for at in 0..streams.len() {
        let mut label = clean(&streams[at].label, TEXT_CHARS);
        if label.is_empty() || streams[..at].iter().any(|other| other.label == label) {
            label = format!("{label}#{at}");
        }
        streams[at].label = label;
    }
    streams
}

/// The call to admit, with every text sanitised.
pub(super) fn new_call(
    department: String,
    parties: &Parties,
    streams: Vec<NewStream>,
    session: &Session,
    raw: Vec<optag_core::call::RawBody>,
) -> NewCall {
    NewCall {
        prompt_version: None,
        department,
        caller_number: clean(&parties.caller_number, NUMBER_CHARS).into(),
        called_number: clean(&parties.called_number, NUMBER_CHARS).into(),
        caller_name: parties.caller_name.as_deref().map(|name| clean(name, TEXT_CHARS).into()),
        external_id: Some(clean(&session.saved.dialog.call_id, TEXT_CHARS).into()),
        streams: cleaned(streams),
        context: session.context(parties, raw),
        client: None,
    }
}
