//! Language and theme of the pages. In: cookies, and what the browser prefers. Out: what a page is shown in. A choice
//! keeps the page on which it was made.

use axum::Form;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::disclosure::sheet::Language;

const LANGUAGE: &str = "optag_language";
const THEME: &str = "optag_theme";
/// How long a choice is kept. Units: s.
const KEPT_S: u32 = 365 * 86_400;

/// Colours of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the system is set.
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// Its name in cookies and pages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The languages.
pub(super) const LANGUAGES: [Language; 2] = [Language::Danish, Language::English];

/// The code of a language. Source: BCP 47.
pub(super) const fn code(language: Language) -> &'static str {
    match language {
        Language::Danish => "da",
        Language::English => "en",
    }
}

/// The language of a page: the one chosen, else the first of the browser's that there is.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let known = |tag: &str| LANGUAGES.into_iter().find(|one| tag.trim().get(..2) == Some(code(*one)));
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let chosen = cookie(headers, LANGUAGE).and_then(known);
    chosen.or_else(|| accepted.split(',').find_map(known)).unwrap_or(Language::English)
}

/// The theme of a page.
pub(super) fn theme(headers: &HeaderMap) -> Theme {
    let chosen = cookie(headers, THEME);
    Theme::ALL.into_iter().find(|theme| chosen == Some(theme.name())).unwrap_or(Theme::Auto)
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// A choice, as a form of the page's head sends it.
#[derive(Deserialize)]
pub(super) struct Choice {
    language: Option<String>,
    theme: Option<String>,
    #[serde(default)]
    back: String,
}

/// Keeps a choice and goes back to the page.
pub(super) async fn choose(Form(choice): Form<Choice>) -> Response {
    let language = choice.language.filter(|given| LANGUAGES.iter().any(|one| code(*one) == given));
    let theme = choice.theme.filter(|given| Theme::ALL.iter().any(|one| one.name() == given));
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, here(&choice.back))]).into_response();
    for (name, value) in [(LANGUAGE, language), (THEME, theme)] {
        let Some(value) = value else { continue };
        let cookie = format!("{name}={value}; Path=/; Max-Age={KEPT_S}; SameSite=Lax; HttpOnly");
        answer.headers_mut().extend(HeaderValue::try_from(cookie).ok().map(|cookie| (SET_COOKIE, cookie)));
    }
    answer
}

/// An address of this recorder, or the first page where the text is none: a redirect must not lead elsewhere.
pub(super) fn here(address: &str) -> String {
    let bytes = address.as_bytes();
    let local = bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
    let plain = bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
    if local && plain { address.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_choice_counts_more_than_what_the_browser_prefers() {
        let danish = [("accept-language", "de-DE, da;q=0.8, en;q=0.5")];
        assert_eq!(language(&headers(&danish)), Language::Danish);
        assert_eq!(language(&headers(&[danish[0], ("cookie", "a=b; optag_language=en")])), Language::English);
        assert_eq!(language(&headers(&[("cookie", "optag_language=xx")])), Language::English);
        assert_eq!(theme(&headers(&[("cookie", "optag_theme=dark")])), Theme::Dark);
        assert_eq!(theme(&headers(&[("cookie", "optag_theme=\"><script>")])), Theme::Auto);
    }

    #[test]
    fn no_choice_leads_to_another_site() {
        for local in ["/recordings?q=a%2Fb&page=2", "/", "/recordings/x#t=12"] {
            assert_eq!(here(local), local);
        }
        for other in
            ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nx: y", "javascript:1"]
        {
            assert_eq!(here(other), "/", "{other}");
        }
    }
}
