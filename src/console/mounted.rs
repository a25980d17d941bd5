//! Pages whose content a script makes by asking the API itself. They become pages like the others one by one.

use axum::response::Response;
use maud::html;

use super::frame::{Frame, Page};
use super::texts::FrameTexts;

/// Requests from callers.
pub(super) async fn requests(frame: Frame) -> Response {
    mounted(&frame, "requests", FrameTexts::of(frame.language).requests)
}

fn mounted(frame: &Frame, name: &str, title: &str) -> Response {
    let text = FrameTexts::of(frame.language);
    let content = html! {
        noscript { p { (text.needs_script) } }
        div id="view" data-page=(name) {}
        p id="message" role="status" {}
    };
    frame.page(Page::of(title).scripts(&["main"]), content)
}
