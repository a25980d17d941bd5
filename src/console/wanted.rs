//! The page that somebody wanted who had to sign in first: kept in a cookie until the first page after signing in.

use axum::http::HeaderMap;

use super::choices::{cookie, here};

const NAME: &str = "optag_wanted";
/// How long it is kept. Units: s.
const KEPT_S: u32 = 600;

/// The cookie that keeps an address.
pub(super) fn remember(place: &str) -> String {
    let text: String = url::form_urlencoded::byte_serialize(place.as_bytes()).collect();
    format!("{NAME}={text}; Path=/; Max-Age={KEPT_S}; SameSite=Lax; HttpOnly")
}

/// The cookie that forgets it.
pub(super) fn forget() -> String {
    format!("{NAME}=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly")
}

/// The address that is kept.
pub(super) fn place(headers: &HeaderMap) -> Option<String> {
    let text = cookie(headers, NAME)?;
    let (place, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
    Some(here(&place)).filter(|place| place != "/")
}

#[cfg(test)]
mod tests {
    use axum::http::header::COOKIE;

    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was_and_leads_to_no_other_site() {
        let kept = |wanted: &str| {
            let set = remember(wanted);
            let cookie = set.split(';').next().unwrap().parse().unwrap();
            place(&HeaderMap::from_iter([(COOKIE, cookie)]))
        };
        let wanted = "/recordings?q=Bj%C3%B8rn+%26+co;x&from=2026-11-01";
        assert_eq!(kept(wanted).as_deref(), Some(wanted));
        assert_eq!(kept("//evil.example"), None);
        assert!(forget().starts_with("optag_wanted=; ") && forget().contains("Max-Age=0"));
    }
}
