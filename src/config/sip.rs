//! The `[sip]` section: from raw to checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::error::ConfigError;
use crate::config::raw::RawSip;
use crate::config::settings::SipConfig;
use crate::config::values::{number, wrong};
use optag_core::call::Department;
use optag_core::private::Private;
use optag_sip::sip::allow_list::AllowList;
use optag_sip::sip::tls::TlsFiles;
use optag_sip::siprec::parties::{PartyRules, Source};
use optag_sip::siprec::service::Listen;
use optag_sip::siprec::settings::{ConsentSignal, MediaSource, UnknownParty, UntilConsent, WhenUnavailable};

/// Checks the section; `departments` are checked already.
pub(super) fn check(raw: RawSip, departments: &[Department]) -> Result<SipConfig, ConfigError> {
    let tls = addresses("sip.listen_tls", &raw.listen_tls)?;
    let tls_files = match tls_files(&raw) {
        None if !tls.is_empty() => {
            return Err(wrong("sip.certificate_file", "required, with sip.key_file, for sip.listen_tls"));
        }
        files => files,
    };
    let known = |id: &str| id.is_empty() || departments.iter().any(|department| department.id == id);
    if !known(&raw.default_department) {
        return Err(wrong("sip.default_department", "the id of a department, or empty"));
    }
    let entries = raw.clients.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let clients = AllowList::parse(entries)
        .map_err(|_| wrong("sip.clients", "addresses and networks such as 192.0.2.0/24, with commas"))?;
    let rules = rules(&raw, &|key| format!("sip.{key}"))?;
    let clients_of_their_own = crate::config::sip_client::check(&raw, departments)?;
    let percent = |key: &str, value: i64| Ok(number(key, value, 1..=100)? as u8);
    Ok(SipConfig {
        listen: Listen {
            udp: addresses("sip.listen_udp", &raw.listen_udp)?,
            tcp: addresses("sip.listen_tcp", &raw.listen_tcp)?,
            tls,
            tls_files,
        },
        clients,
        user: user(&raw)?,
        default_department: Some(raw.default_department).filter(|id| !id.is_empty()),
        consent: ConsentSignal {
            header: name(&raw.consent_header),
            element: name(&raw.consent_element),
            ..ConsentSignal::default()
        },
        until_consent: until_consent("sip.until_consent", &raw.until_consent)?,
        rules,
        info_keys: raw.info_keys,
        plain_calls: raw.plain_calls,
        media_source: match raw.learn_rtp_source {
            true => MediaSource::Learned,
            false => MediaSource::Signalled,
        },
        when_unavailable: match raw.refuse_when_full {
            true => WhenUnavailable::Refuse,
            false => WhenUnavailable::Inactive,
        },
        unknown_party: unknown_party(raw.unknown_party_stays),
        max_sessions: number("sip.max_sessions", raw.max_sessions, 1..=100_000)? as usize,
        max_streams_percent: percent("sip.max_streams_percent", raw.max_streams_percent)?,
        max_client_streams_percent: percent(
            "sip.max_client_streams_percent",
            raw.max_client_streams_percent,
        )?,
        clients_of_their_own,
    })
}

/// The certificate of the section, where it names one with its key.
pub(super) fn tls_files(raw: &RawSip) -> Option<TlsFiles> {
    let file = |text: &str| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
    let (certificate, key) = file(&raw.certificate_file).zip(file(&raw.key_file))?;
    Some(TlsFiles { certificate, key, client_ca: file(&raw.client_ca_file) })
}

pub(super) fn unknown_party(stays: bool) -> UnknownParty {
    if stays { UnknownParty::Stay } else { UnknownParty::Pause }
}

/// A name in lower case, where there is one.
pub(super) fn name(text: &str) -> Option<String> {
    Some(text.trim().to_ascii_lowercase()).filter(|text| !text.is_empty())
}

pub(super) fn until_consent(key: &str, text: &str) -> Result<UntilConsent, ConfigError> {
    match text {
        "listen" => Ok(UntilConsent::Listen),
        "inactive" => Ok(UntilConsent::Inactive),
        _ => Err(wrong(key, "listen or inactive")),
    }
}

/// The owner's order of places, and the usual one where nothing is said. `key` names a key in full.
pub(super) fn rules(raw: &RawSip, key: &dyn Fn(&str) -> String) -> Result<PartyRules, ConfigError> {
    let usual = PartyRules::default();
    let read = |name: &str, text: &str, usual: Vec<Source>| {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let read: Result<Vec<Source>, _> = entries.map(str::parse).collect();
        match read {
            Ok(read) if read.is_empty() => Ok(usual),
            Ok(read) => Ok(read),
            Err(error) => Err(wrong(&key(name), &error)),
        }
    };
    Ok(PartyRules {
        caller: read("caller_from", &raw.caller_from, usual.caller)?,
        called: read("called_from", &raw.called_from, usual.called)?,
        name: read("name_from", &raw.name_from, usual.name)?,
        department: read("department_from", &raw.department_from, usual.department)?,
    })
}

pub(super) fn addresses(key: &str, text: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| entry.parse().map_err(|_| wrong(key, "address:port, several with commas, or empty")))
        .collect()
}

fn user(raw: &RawSip) -> Result<Option<(String, Private<String>)>, ConfigError> {
    if raw.user.is_empty() {
        return Ok(None);
    }
    if raw.password_file.is_empty() {
        return Err(wrong("sip.password_file", "required with sip.user"));
    }
    let path = PathBuf::from(&raw.password_file);
    let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::File { path, source })?;
    Ok(Some((raw.user.clone(), text.trim_end().to_owned().into())))
}
