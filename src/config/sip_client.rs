//! `[[sip.client]]`: overrides for clients at given addresses.

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::raw::{RawSip, RawSipClient};
use crate::config::settings::SipClient;
use crate::config::sip::{name, rules, unknown_party, until_consent};
use crate::config::values::{number, wrong};
use optag_core::call::Department;
use optag_sip::sip::allow_list::AllowList;
use optag_sip::siprec::settings::{ConsentSignal, MediaSource, WhenUnavailable};

/// Checks all of them, in their order.
pub(crate) fn check(raw: &RawSip, departments: &[Department]) -> Result<Vec<SipClient>, ConfigError> {
    let mut all = Vec::new();
    for (at, client) in raw.client.iter().enumerate() {
        let key = |key: &str| format!("sip.client[{at}].{key}");
        all.push(one(raw, client, &key, departments)?);
    }
    Ok(all)
}

fn one(
    raw: &RawSip,
    client: &RawSipClient,
    key: &dyn Fn(&str) -> String,
    departments: &[Department],
) -> Result<SipClient, ConfigError> {
    let entries = client.addresses.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entries: Vec<&str> = entries.collect();
    let clients = AllowList::parse(entries.iter().copied()).ok().filter(|_| !entries.is_empty());
    let clients = clients.ok_or_else(|| {
        wrong(&key("addresses"), "required: addresses and networks such as 192.0.2.0/24, with commas")
    })?;
    let text = |own: &Option<String>, usual: &String| own.clone().unwrap_or_else(|| usual.clone());
    let default_department = text(&client.default_department, &raw.default_department);
    if !default_department.is_empty() && !departments.iter().any(|one| one.id == default_department) {
        return Err(wrong(&key("default_department"), "the id of a department, or empty"));
    }
    let places = RawSip {
        caller_from: text(&client.caller_from, &raw.caller_from),
        called_from: text(&client.called_from, &raw.called_from),
        name_from: text(&client.name_from, &raw.name_from),
        department_from: text(&client.department_from, &raw.department_from),
        ..RawSip::default()
    };
    let silence = client.rtp_timeout_s.map(|s| number(&key("rtp_timeout_s"), s, 5..=86_400)).transpose()?;
    Ok(SipClient {
        clients,
        departments: Some(default_department).filter(|id| !id.is_empty()),
        consent: ConsentSignal {
            header: name(&text(&client.consent_header, &raw.consent_header)),
            element: name(&text(&client.consent_element, &raw.consent_element)),
            ..ConsentSignal::default()
        },
        until_consent: until_consent(
            &key("until_consent"),
            &text(&client.until_consent, &raw.until_consent),
        )?,
        rules: rules(&places, key)?,
        info_keys: client.info_keys.unwrap_or(raw.info_keys),
        plain_calls: client.plain_calls.unwrap_or(raw.plain_calls),
        media_source: match client.learn_rtp_source.unwrap_or(raw.learn_rtp_source) {
            true => MediaSource::Learned,
            false => MediaSource::Signalled,
        },
        when_unavailable: match client.refuse_when_full.unwrap_or(raw.refuse_when_full) {
            true => WhenUnavailable::Refuse,
            false => WhenUnavailable::Inactive,
        },
        unknown_party: unknown_party(client.unknown_party_stays.unwrap_or(raw.unknown_party_stays)),
        silence: silence.map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_sip::siprec::parties::PartyRules;
    use optag_sip::siprec::settings::UnknownParty;

    fn read(text: &str) -> Result<Vec<SipClient>, String> {
        let raw: RawSip = toml::from_str(text).map_err(|error| error.to_string())?;
        check(&raw, &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_block_leaves_out_is_as_in_the_section() {
        let all = read(
            "info_keys = false\nconsent_header = 'X-All'\n[[client]]\naddresses = '192.0.2.0/24'\n\
             [[client]]\naddresses = '::1, 10.0.0.1'\nconsent_header = ''\nlearn_rtp_source = true\n\
             caller_from = 'header:x-a'\nrtp_timeout_s = 300\nrefuse_when_full = true\nunknown_party_stays = true\n",
        )
        .unwrap();
        assert_eq!((all[0].consent.header.as_deref(), all[0].info_keys), (Some("x-all"), false));
        assert_eq!((all[0].rules.clone(), all[0].silence), (PartyRules::default(), None));
        assert_eq!((all[1].consent.header.as_deref(), all[1].info_keys), (None, false));
        assert_eq!(all[1].media_source, MediaSource::Learned);
        assert_eq!(all[1].when_unavailable, WhenUnavailable::Refuse);
        assert_eq!([0, 1].map(|n| all[n].unknown_party), [UnknownParty::Pause, UnknownParty::Stay]);
        assert_eq!(all[1].silence, Some(Duration::from_secs(300)));
        assert_eq!(all[1].rules.caller, ["header:x-a".parse().unwrap()]);
        assert_eq!(all[1].rules.called, PartyRules::default().called);
    }

    #[test]
    fn a_wrong_block_is_named_with_its_place_and_key() {
        for (block, says) in [
            ("", "sip.client[1].addresses"),
            ("addresses = 'everywhere'", "sip.client[1].addresses"),
            ("addresses = '::1'\ndefault_department = 'none'", "sip.client[1].default_department"),
            ("addresses = '::1'\nuntil_consent = 'never'", "sip.client[1].until_consent"),
            ("addresses = '::1'\ncaller_from = 'somewhere'", "sip.client[1].caller_from"),
            ("addresses = '::1'\nrtp_timeout_s = 1", "sip.client[1].rtp_timeout_s"),
            ("adresses = '::1'", "adresses"),
        ] {
            let error = read(&format!("[[client]]\naddresses = '::1'\n[[client]]\n{block}\n")).unwrap_err();
            assert!(error.contains(says), "{block}: {error}");
        }
    }
}
