//! The first page: the one that was wanted before signing in, else the first of the main pages that is for this person.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use maud::html;

use super::frame::{Frame, Page};
use super::texts::FrameTexts;
use super::{navigation, wanted};

/// Goes on to a page.
pub(super) async fn home(frame: Frame, headers: HeaderMap) -> Response {
    if let Some(place) = wanted::place(&headers) {
        let mut answer = frame.go(&place);
        answer
            .headers_mut()
            .extend(HeaderValue::try_from(wanted::forget()).ok().map(|value| (SET_COOKIE, value)));
        return answer;
    }
    if let Some(first) = navigation::entries(&frame.me).next() {
        return frame.go(first.path);
    }
    let text = FrameTexts::of(frame.language);
    frame.page(Page::of(text.no_pages), html! { p { (text.no_pages_for) " " (frame.me.roles.join(", ")) } })
}
