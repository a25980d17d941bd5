//! The web pages: what staff see of calls and recordings. In: nothing. Out: files, the same
//! for everyone. All that they show they ask of the API, as whoever is signed in (`http::sign_in`). Not here: who may see
//! what (`http`).

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// Scripts, styles and requests of this server alone; audio from memory; no frames, no forms to
/// elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    media-src blob:; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Each file with its address and type.
const FILES: [(&str, &str, &str); 8] = [
    ("/", "text/html; charset=utf-8", include_str!("page.html")),
    ("/console/style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("/console/main.js", "text/javascript; charset=utf-8", include_str!("main.js")),
    ("/console/api.js", "text/javascript; charset=utf-8", include_str!("api.js")),
    ("/console/texts.js", "text/javascript; charset=utf-8", include_str!("texts.js")),
    ("/console/calls.js", "text/javascript; charset=utf-8", include_str!("calls.js")),
    ("/console/recordings.js", "text/javascript; charset=utf-8", include_str!("recordings.js")),
    ("/console/requests.js", "text/javascript; charset=utf-8", include_str!("requests.js")),
];

/// The pages, for the API's listener: they ask it by relative addresses.
pub fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move || std::future::ready(file(kind, text))))
    })
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
        (opener, "same-origin"),
    ];
    (headers, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_in_a_name(text: &str) -> bool {
        text.chars().last().is_some_and(char::is_alphanumeric)
    }

    #[test]
    fn every_text_is_there_in_both_languages_and_nothing_is_inline() {
        let texts = include_str!("texts.js");
        let keys = |language: &str| -> Vec<&str> {
            let (_, rest) = texts.split_once(&format!("export const {language} = {{")).unwrap();
            let (block, _) = rest.split_once("\n};").unwrap();
            block.lines().filter_map(|line| line.trim().split_once(": ").map(|(key, _)| key)).collect()
        };
        assert_eq!(keys("en"), keys("da"));
        for (path, _, text) in FILES {
            for (at, _) in text.match_indices("t(\"").filter(|(at, _)| !ends_in_a_name(&text[..*at])) {
                let key = text[at + 3..].split('"').next().unwrap();
                assert!(keys("en").contains(&key), "{key} of {path} is not in texts.js");
            }
        }
        for (path, _, text) in FILES {
            for bad in ["innerHTML", "style=\"", "onclick=", "eval("] {
                assert!(!text.contains(bad), "{path}: {bad}");
            }
        }
        assert!(!include_str!("page.html").contains("<script>"));
    }
}
