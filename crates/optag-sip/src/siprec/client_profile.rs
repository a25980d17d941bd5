//! Settings of one client that differ from the general ones.
//!
//! In: a client's address. Out: the first matching profile, or the general
//! settings. Not here: how profiles are configured.

use std::net::IpAddr;
use std::time::Duration;

use crate::sip::allow_list::AllowList;
use crate::siprec::parties::{Departments, PartyRules};
use crate::siprec::settings::{
    Config, ConsentSignal, MediaSource, UnknownParty, UntilConsent, WhenUnavailable,
};

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

    pub(crate) fn departments_for(&self, ip: IpAddr) -> &Departments {
        self.profile(ip).map_or(&self.departments, |profile| &profile.departments)
    }

    pub(crate) fn rules_for(&self, ip: IpAddr) -> &PartyRules {
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

    pub(crate) fn media_source_for(&self, ip: IpAddr) -> MediaSource {
        self.profile(ip).map_or(self.media_source, |profile| profile.media_source)
    }

    pub(super) fn unknown_party_for(&self, ip: IpAddr) -> UnknownParty {
        self.profile(ip).map_or(self.unknown_party, |profile| profile.unknown_party)
    }

    pub(crate) fn info_keys_for(&self, ip: IpAddr) -> bool {
        self.profile(ip).map_or(self.info_keys, |profile| profile.info_keys)
    }
}
