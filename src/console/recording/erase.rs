//! Erasing a recording outside of a caller's request, by whoever may: a page that says what goes, asks why, and afterwards
//! tells what was seen.

use axum::Form;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::EraseTexts;
use crate::console::ask::Failure;
use crate::console::cases::{CasesTexts, Preview, StepsTexts};
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, input};

/// Why, and on which request.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    reason: String,
    request: String,
}

/// An erasure.
#[derive(Deserialize)]
struct Erasure {
    state: String,
}

/// An id becomes part of an address.
fn api(id: &str) -> Option<String> {
    id.parse::<optag_core::id::CallId>().ok().map(|id| format!("/api/v1/recordings/{id}"))
}

/// Says what goes, and asks why.
pub(in crate::console) async fn ask(frame: Frame, Path(id): Path<String>) -> Response {
    show(&frame, &id, &Given::default(), None).await
}

async fn show(frame: &Frame, id: &str, given: &Given, failure: Option<&Failure>) -> Response {
    let (text, steps) = (EraseTexts::of(frame.language), StepsTexts::of(frame.language));
    let Some(path) = api(id) else { return frame.not_found() };
    let preview = match frame.get::<Preview>(&format!("{path}/erasure/preview"), &[]).await {
        Ok(preview) => preview,
        Err(failure) => return frame.failed(&failure),
    };
    let wrong = |name: &str, words: &'static str| failure.and_then(|failure| failure.of(name)).map(|_| words);
    let (reason, request) = (wrong("reason", text.reason_wrong), wrong("request", text.request_wrong));
    let kept = failure.is_some_and(|failure| failure.status == StatusCode::CONFLICT);
    let content = html! {
        @if kept { p.bad role="alert" { (text.kept) } }
        p { strong { (steps.erase_help) } " " (text.help) }
        h2 { (steps.goes) }
        (preview.list(frame))
        h2 { (steps.stays) }
        ul { li { (steps.stays_log) } li { (steps.stays_others) } }
        form.tall method="post" action={ "/recordings/" (id) "/erase" } {
            (frame.key())
            (field("reason", text.reason, reason, &input("reason", "text", &given.reason, reason)))
            (field("request", text.request, request, &input("request", "text", &given.request, request)))
            div.controls { button.danger { (steps.erase_now) } a.button href={ "/recordings/" (id) } { (text.cancel) } }
            p role="status" data-busy=(steps.busy) {}
        }
    };
    let status = failure.map_or(StatusCode::OK, |failure| failure.status);
    frame.page(Page::of(text.title).status(status), content)
}

/// Erases.
pub(in crate::console) async fn erase(
    frame: Frame,
    Path(id): Path<String>,
    Form(sent): Form<Sent<Given>>,
) -> Response {
    let Some(path) = api(&id) else { return frame.not_found() };
    let given = sent.fields;
    let mut body = json!({"reason": given.reason.trim()});
    if !given.request.trim().is_empty() {
        body["request"] = given.request.trim().into();
    }
    match frame.change::<Value>(Method::DELETE, &path, &sent.key, Some(&body)).await {
        Ok(_) => frame.go(&format!("/recordings/{id}/erased")),
        Err(failure) if !failure.fields.is_empty() || failure.status == StatusCode::CONFLICT => {
            show(&frame, &id, &given, Some(&failure)).await
        }
        Err(failure) => frame.failed(&failure),
    }
}

/// Tells how far an erasure is.
pub(in crate::console) async fn erased(frame: Frame, Path(id): Path<String>) -> Response {
    let (text, cases) = (EraseTexts::of(frame.language), CasesTexts::of(frame.language));
    let Some(path) = api(&id) else { return frame.not_found() };
    let erasure = match frame.get::<Erasure>(&format!("{path}/erasure"), &[]).await {
        Ok(erasure) => erasure,
        Err(failure) => return frame.failed(&failure),
    };
    let content: Markup = match erasure.state.as_str() {
        "done" => html! {
            p.good role="status" { (cases.erased) "." }
            p { a.button href={ (path) "/erasure/receipt" } download={ "receipt-" (id) ".json" } { (cases.receipt) } }
            p { (cases.receipt_help) " " a href="/verify" { "/verify" } "." }
        },
        _ => html! {
            p role="status" { (cases.erasing) "." }
            p { a.button href={ "/recordings/" (id) "/erased" } { (cases.look_again) } }
        },
    };
    frame.page(Page::of(text.erased), html! { (content) p { a href="/recordings" { (text.back) } } })
}

#[cfg(test)]
mod tests {
    use crate::console::tests::{Browser, key, text};
    use crate::http::access::Role;
    use crate::http::fakes::id;

    #[tokio::test]
    async fn an_erasure_says_what_goes_asks_why_and_tells_what_was_seen() {
        let mut browser = Browser::of(Role::Admin).await;
        let place = format!("/recordings/{}", id());
        assert!(browser.page(&place).await.contains(&format!("{place}/erase")));
        let page = browser.page(&format!("{place}/erase")).await;
        assert!(page.contains("What goes") && page.contains("in the index"), "{page}");
        let form = format!("key={}", key(&page));
        let wrong = browser.post(&format!("{place}/erase"), &format!("{form}&request=Ada+Lovelace")).await;
        let page = text(&wrong);
        assert_eq!(wrong.status, 422);
        assert!(page.contains("id=\"reason-wrong\"") && page.contains("id=\"request-wrong\""), "{page}");
        assert!(browser.api.fake.erased.lock().unwrap().is_empty());
        let done = browser.post(&format!("{place}/erase"), &format!("{form}&reason=wrong+queue")).await;
        assert_eq!(done.header("location"), format!("{place}/erased"));
        let page = browser.page(&format!("{place}/erased")).await;
        assert!(page.contains("verified as gone") && page.contains("/erasure/receipt"), "{page}");
        let mut listener = browser.another(Role::Listener).await;
        assert!(!listener.page(&place).await.contains("/erase\""));
        assert_eq!(listener.get(&format!("{place}/erase")).await.status, 403);
    }
}
