//! `[[webhook]]`: from raw to checked.

use std::path::PathBuf;

use url::{Host, Url};

use crate::config::error::ConfigError;
use crate::config::raw::RawWebhook;
use crate::config::values::wrong;
use crate::index::EventKind;
use crate::webhooks::Target;

/// Maximum number of receivers.
const MOST: usize = 16;

/// Checks all blocks.
pub(super) fn check(raw: &[RawWebhook]) -> Result<Vec<Target>, ConfigError> {
    if raw.len() > MOST {
        return Err(wrong("webhook", &format!("at most {MOST} blocks")));
    }
    raw.iter().enumerate().map(|(at, one)| target(raw, one, at)).collect()
}

fn target(all: &[RawWebhook], raw: &RawWebhook, at: usize) -> Result<Target, ConfigError> {
    let wrong = |key: &str, allowed: &str| wrong(&format!("webhook[{at}].{key}"), allowed);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if raw.id.is_empty() || raw.id.len() > 64 || !raw.id.chars().all(plain) {
        return Err(wrong("id", "required: up to 64 letters, digits, - and _"));
    }
    if all.iter().take(at).any(|other| other.id == raw.id) {
        return Err(wrong("id", "used twice"));
    }
    let url = Url::parse(&raw.url).map_err(|_| wrong("url", "a URL such as https://example.org/events"))?;
    let is_https = match url.scheme() {
        "https" => true,
        "http" if raw.allow_http => false,
        _ => return Err(wrong("url", "https; http only with allow_http = true")),
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong("url", "no user, password or fragment: requests are signed"));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(wrong("url", "a URL with a host")),
    };
    let names = raw.events.split(',').map(str::trim).filter(|name| !name.is_empty());
    let kinds: Option<Vec<EventKind>> = names.map(EventKind::of).collect();
    let kinds = kinds.filter(|kinds| !kinds.is_empty());
    let kinds = kinds.ok_or_else(|| wrong("events", "stored, refused, failed, erased, with commas"))?;
    if raw.secret_file.is_empty() {
        return Err(wrong(
            "secret_file",
            "required: a file with a secret, whsec_ and 24 to 64 bytes in base64",
        ));
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(Target {
        id: raw.id.clone(),
        is_https,
        host,
        port: url.port_or_known_default().unwrap_or(443),
        path: format!("{}{query}", url.path()),
        kinds,
        secret_file: PathBuf::from(&raw.secret_file),
        ca_file: Some(PathBuf::from(&raw.ca_file)).filter(|path| !path.as_os_str().is_empty()),
        allows_private: raw.allow_private,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const ONE: &str = "[[webhook]]\nid = 'crm'\nurl = 'https://crm.example/events?x=1'\nsecret_file = '/s'\n";

    #[test]
    fn a_receiver_gets_everything_over_tls_at_public_addresses_unless_told_otherwise() {
        assert_eq!(Config::default().webhooks, []);
        let webhooks = Config::parse(ONE, []).unwrap().webhooks;
        let one = &webhooks[0];
        assert_eq!((one.host.as_str(), one.port, one.path.as_str()), ("crm.example", 443, "/events?x=1"));
        assert!(one.is_https && !one.allows_private && one.kinds == EventKind::ALL && one.ca_file.is_none());
        let inside = ONE.replace("https://crm.example/events?x=1", "http://[fd00::1]:8080")
            + "allow_http = true\nallow_private = true\nevents = 'erased'\n";
        let webhooks = Config::parse(&inside, []).unwrap().webhooks;
        let one = &webhooks[0];
        assert_eq!((one.host.as_str(), one.port, one.path.as_str()), ("fd00::1", 8080, "/"));
        assert!(!one.is_https && one.allows_private && one.kinds == [EventKind::Erased]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        for (text, key) in [
            (ONE.replace("'crm'", "''"), "webhook[0].id"),
            (ONE.replace("'crm'", "'a b'"), "webhook[0].id"),
            (format!("{ONE}{ONE}"), "webhook[1].id"),
            (ONE.replace("https://crm.example/events?x=1", "crm"), "webhook[0].url"),
            (ONE.replace("https", "http"), "webhook[0].url"),
            (ONE.replace("https", "ftp"), "webhook[0].url"),
            (ONE.replace("crm.example", "u:p@crm.example"), "webhook[0].url"),
            (ONE.replace("/s", ""), "webhook[0].secret_file"),
            (format!("{ONE}events = 'stored, sung'"), "webhook[0].events"),
            (format!("{ONE}events = ' '"), "webhook[0].events"),
        ] {
            let error = Config::parse(&text, []).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
