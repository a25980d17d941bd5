//! The cookie of who is signed in, and whether a request comes from a page of this recorder.

use std::time::Duration;

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use crate::auth::sign_ins::change_key;

/// Name of the cookie.
const NAME: &str = "optag_session";
/// Header with the key of a change.
const CHANGE: &str = "optag-change";
/// Where the browser says that a request comes from. Source: Fetch Metadata Request Headers §2.4.
const SITE: &str = "sec-fetch-site";

/// The secret in the cookie of a request.
pub(in crate::http) fn secret(headers: &HeaderMap) -> Option<String> {
    named(headers, NAME)
}

/// The value of a cookie.
pub(super) fn named(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
}

/// The value of `Set-Cookie` for a sign-in that is under way at the provider, whose redirect comes from another site; without
/// a value, the cookie ends.
pub(super) fn attempt(name: &str, sealed: Option<&str>, age_s: i64, secure: bool) -> String {
    let age_s = sealed.map_or(0, |_| age_s);
    let secure = if secure { "; Secure" } else { "" };
    let sealed = sealed.unwrap_or_default();
    format!("{name}={sealed}; Path=/sign-in/oidc; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}")
}

/// Whether a request is the browser's own wish or one of our pages', and no other site's.
pub(super) fn is_wished(headers: &HeaderMap) -> bool {
    let site = headers.get(SITE).map(|site| site.as_bytes());
    site.is_none_or(|site| [b"same-origin".as_slice(), b"none"].contains(&site))
}

/// The value of `Set-Cookie` for a secret that holds for this long; without one, the cookie ends.
pub(super) fn set(secret: Option<&str>, longest: Duration, secure: bool) -> String {
    let age_s = secret.map_or(0, |_| longest.as_secs());
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{NAME}={}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}",
        secret.unwrap_or_default()
    )
}

/// Whether a form was sent by a page of this recorder, as the browser says. Browsers without Fetch Metadata send the
/// origin of a form.
pub(super) fn is_of_our_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(SITE), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text(HOST.as_str())
        }
        (None, None) => false,
    }
}

/// Whether a request with the cookie may be what whoever is signed in wants: a look from nowhere else, or a change by a page
/// that was told the key.
pub(in crate::http) fn is_meant(method: &Method, headers: &HeaderMap, secret: &str) -> bool {
    if method.is_safe() {
        return is_wished(headers);
    }
    let key = change_key(secret);
    let told = headers.get(CHANGE).map(|told| told.as_bytes()).unwrap_or_default();
    let known = aws_lc_rs::constant_time::verify_slices_are_equal(told, key.as_bytes()).is_ok();
    known && is_of_our_page(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_secret_is_found_among_other_cookies_and_scripts_cannot_read_it() {
        assert_eq!(secret(&headers(&[("cookie", "a=b; optag_session=abc; c=d")])), Some("abc".into()));
        assert_eq!(secret(&headers(&[("cookie", "optag_sessions=abc")])), None);
        assert_eq!(secret(&headers(&[])), None);
        let cookie = set(Some("abc"), Duration::from_secs(60), true);
        for part in ["optag_session=abc", "HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
            assert!(cookie.split("; ").any(|one| one == part), "{cookie}: {part}");
        }
        assert!(set(None, Duration::from_secs(60), false).contains("optag_session=; Path=/; Max-Age=0"));
    }

    #[test]
    fn a_change_needs_the_key_and_comes_from_our_own_page() {
        let key = change_key("abc");
        let meant =
            |method: Method, pairs: &[(&'static str, &str)]| is_meant(&method, &headers(pairs), "abc");
        assert!(meant(Method::POST, &[("sec-fetch-site", "same-origin"), ("optag-change", &key)]));
        assert!(meant(Method::POST, &[("origin", "http://a:1"), ("host", "a:1"), ("optag-change", &key)]));
        for wrong in [
            [("sec-fetch-site", "same-origin"), ("optag-change", "")].as_slice(),
            &[("sec-fetch-site", "same-origin"), ("optag-change", &change_key("other"))],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-site"), ("optag-change", &key)],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://a"),
                ("host", "a"),
                ("optag-change", &key),
            ],
            &[("origin", "http://evil"), ("host", "a"), ("optag-change", &key)],
            &[("optag-change", &key)],
        ] {
            assert!(!meant(Method::POST, wrong), "{wrong:?}");
            assert!(!meant(Method::DELETE, wrong), "{wrong:?}");
        }
        assert!(meant(Method::GET, &[]) && meant(Method::GET, &[("sec-fetch-site", "none")]));
        assert!(!meant(Method::GET, &[("sec-fetch-site", "cross-site")]));
    }
}
