//! Scripts and styles: the same for everyone. They are asked for again at each visit, and sent again only where they are
//! another version's.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use optag_core::hex::hex;

/// A file: its address, type and text.
pub(super) type File = (&'static str, &'static str, &'static str);

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file.
pub(super) const FILES: &[File] = &[
    ("/console/style.css", STYLE, include_str!("assets/style.css")),
    ("/console/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("/console/player.js", SCRIPT, include_str!("assets/player.js")),
    ("/console/forms.js", SCRIPT, include_str!("assets/forms.js")),
    ("/console/verify.js", SCRIPT, include_str!("assets/verify.js")),
    ("/console/live.js", SCRIPT, include_str!("assets/live.js")),
];

/// By which a browser knows whether it has this version.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    FILES.iter().for_each(|(_, _, text)| hash.update(text.as_bytes()));
    format!("\"{}\"", &hex(hash.finish().as_ref())[..16])
});

/// Serves them.
pub(super) fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move |headers: HeaderMap| std::future::ready(file(&headers, kind, text))))
    })
}

fn file(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tags| tags.as_bytes() == TAG.as_bytes());
    let head = [
        (CONTENT_TYPE, kind),
        (ETAG, TAG.as_str()),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    if known { (StatusCode::NOT_MODIFIED, head).into_response() } else { (head, text).into_response() }
}
