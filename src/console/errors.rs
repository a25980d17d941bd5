//! What a reader is told of a failure, in the reader's language. In: a status. Out: a page. Answers of the API to
//! programs stay as they are.

use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::layout::Shell;
use super::texts::FrameTexts;
use super::{choices, layout, page_headers};
use crate::disclosure::sheet::Language;

/// Headers of an answer that its page keeps.
const KEPT: [axum::http::HeaderName; 3] = [ALLOW, RETRY_AFTER, SET_COOKIE];

/// Title and explanation of a failure.
pub(super) fn words(language: Language, status: StatusCode) -> (&'static str, &'static str) {
    let text = FrameTexts::of(language);
    match status {
        StatusCode::UNAUTHORIZED => (text.signed_out, text.signed_out_help),
        StatusCode::FORBIDDEN => (text.forbidden, text.forbidden_help),
        StatusCode::NOT_FOUND => (text.not_found, text.not_found_help),
        StatusCode::METHOD_NOT_ALLOWED => (text.wrong_way, text.wrong_way_help),
        StatusCode::CONFLICT => (text.conflict, text.conflict_help),
        StatusCode::GONE => (text.gone, text.gone_help),
        StatusCode::PAYLOAD_TOO_LARGE => (text.too_large, text.too_large_help),
        StatusCode::TOO_MANY_REQUESTS => (text.too_many, text.too_many_help),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => (text.away, text.away_help),
        status if status.is_client_error() => (text.unclear, text.unclear_help),
        _ => (text.failed, text.failed_help),
    }
}

/// Where a reader may go from a failure.
pub(super) fn ways_on(language: Language) -> Markup {
    html! { p { a href="/" { (FrameTexts::of(language).to_start) } } }
}

/// The page of a failure for whoever is not known to be signed in.
pub(super) fn page(headers: &HeaderMap, status: StatusCode) -> Response {
    let (language, theme) = (choices::language(headers), choices::theme(headers));
    let (title, content) = words(language, status);
    let shell = Shell { language, theme, me: None, place: "/" };
    let content = html! { p { (content) } (ways_on(language)) };
    let mut answer = (status, layout::page(&shell, title, &[], &content)).into_response();
    page_headers(answer.headers_mut());
    answer
}

/// An address that does not take a method.
pub(super) async fn method_not_allowed(headers: HeaderMap) -> Response {
    page(&headers, StatusCode::METHOD_NOT_ALLOWED)
}

/// The layer: a failure that is no page becomes one where the browser shows it as one.
pub(super) async fn as_pages(request: Request, next: Next) -> Response {
    let wants_page = !request.uri().path().starts_with("/api/") && accepts_pages(request.headers());
    let headers = wants_page.then(|| request.headers().clone());
    let answer = next.run(request).await;
    let Some(headers) = headers else { return answer };
    let failed = answer.status().is_client_error() || answer.status().is_server_error();
    if !failed || is_page(&answer) {
        return answer;
    }
    let mut page = page(&headers, answer.status());
    for name in KEPT {
        page.headers_mut().extend(answer.headers().get(&name).cloned().map(|value| (name, value)));
    }
    page
}

fn accepts_pages(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"))
}

fn is_page(answer: &Response) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}
