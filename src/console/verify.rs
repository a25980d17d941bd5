//! `/verify`: whether a receipt of an erasure is ours, for everybody, without signing in. In: a receipt, as a file or
//! pasted. Out: in plain words, what its signature covers. The API limits how often one address may ask.

mod texts;

use axum::Form;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::ask::{Api, Asking, Failure};
use super::choices::{self, Theme};
use super::layout::{self, Shell};
use super::parts::{field, wrong_id};
use super::when::Zone;
use crate::disclosure::sheet::Language;
pub(super) use texts::VerifyTexts;

/// Somebody who need not be signed in.
pub(super) struct Visitor {
    language: Language,
    theme: Theme,
    asking: Asking,
}

impl FromRequestParts<Api> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let (language, theme) = (choices::language(&parts.headers), choices::theme(&parts.headers));
        Ok(Self { language, theme, asking: api.of(parts) })
    }
}

/// What is to be verified.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    receipt: String,
}

#[derive(Deserialize)]
struct Verified {
    receipts: Vec<Receipt>,
    time_zone: String,
}

#[derive(Deserialize)]
struct Receipt {
    verdict: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    recording: String,
    request: Option<String>,
    ordered_at: jiff::Timestamp,
    verified_gone_at: jiff::Timestamp,
    deleted: u64,
    accepted_missing: bool,
}

/// The empty form.
pub(super) async fn ask(visitor: Visitor) -> Response {
    show(&visitor, "", None, html! {}, StatusCode::OK)
}

/// Verifies.
pub(super) async fn verify(visitor: Visitor, Form(given): Form<Given>) -> Response {
    let text = VerifyTexts::of(visitor.language);
    let receipt = given.receipt.trim();
    if receipt.is_empty() {
        let wrong = Some(text.empty);
        return show(&visitor, receipt, wrong, html! {}, StatusCode::UNPROCESSABLE_ENTITY);
    }
    match visitor.asking.post_text::<Verified>("/api/v1/receipts/verify", receipt).await {
        Ok(verified) => show(&visitor, receipt, None, results(&visitor, text, &verified), StatusCode::OK),
        Err(failure) => refused(&visitor, text, receipt, &failure),
    }
}

fn refused(visitor: &Visitor, text: &VerifyTexts, receipt: &str, failure: &Failure) -> Response {
    let wrong = match failure.status {
        StatusCode::UNPROCESSABLE_ENTITY => text.none,
        StatusCode::PAYLOAD_TOO_LARGE => text.too_large,
        StatusCode::TOO_MANY_REQUESTS => text.too_many,
        _ => text.away,
    };
    show(visitor, receipt, Some(wrong), html! {}, failure.status)
}

fn show(
    visitor: &Visitor,
    receipt: &str,
    wrong: Option<&'static str>,
    results: Markup,
    status: StatusCode,
) -> Response {
    let text = VerifyTexts::of(visitor.language);
    let control = html! {
        textarea id="receipt" name="receipt" rows="6" spellcheck="false" autocomplete="off" autofocus[wrong.is_some()]
            aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong_id("receipt", wrong)] { (receipt) }
    };
    let content = html! {
        p { (text.help) }
        (results)
        form.tall method="post" action="/verify" {
            div.field hidden data-file="receipt" {
                label for="file" { (text.file) }
                input type="file" id="file" accept="application/json,.json,text/plain";
                p role="status" data-read=(text.read) data-unread=(text.too_large) {}
            }
            (field("receipt", text.receipt, wrong, &control))
            button.main { (text.verify) }
        }
        p.quiet { (text.nothing_kept) }
    };
    let shell = Shell { language: visitor.language, theme: visitor.theme, me: None, place: "/verify" };
    (status, layout::page(&shell, text.title, &["verify"], &content)).into_response()
}

fn results(visitor: &Visitor, text: &VerifyTexts, verified: &Verified) -> Markup {
    let zone = Zone::of(&verified.time_zone);
    html! {
        div role="status" {
            @for (at, one) in verified.receipts.iter().enumerate() {
                section.card {
                    h2 {
                        @if verified.receipts.len() > 1 { (text.number) " " (at + 1) ": " }
                        (verdict(text, &one.verdict))
                    }
                    p.good[one.verdict == "valid"].bad[one.verdict != "valid"] { (explained(text, &one.verdict)) }
                    @if let Some(content) = &one.content { (covered(visitor.language, text, &zone, content)) }
                }
            }
        }
    }
}

fn verdict(text: &VerifyTexts, verdict: &str) -> &'static str {
    match verdict {
        "valid" => text.valid,
        "forged" => text.forged,
        "other_key" => text.other_key,
        _ => text.no_receipt,
    }
}

fn explained(text: &VerifyTexts, verdict: &str) -> &'static str {
    match verdict {
        "valid" => text.valid_help,
        "forged" => text.forged_help,
        "other_key" => text.other_key_help,
        _ => text.no_receipt_help,
    }
}

fn covered(language: Language, text: &VerifyTexts, zone: &Zone, content: &Content) -> Markup {
    html! {
        dl {
            dt { (text.ordered) } dd { (zone.time(language, content.ordered_at)) }
            dt { (text.gone) } dd { (zone.time(language, content.verified_gone_at)) }
            dt { (text.deleted) } dd { (content.deleted) }
            @if let Some(request) = &content.request { dt { (text.request) } dd { bdi { (request) } } }
            dt { (text.recording) } dd { code { (content.recording) } }
        }
        @if content.accepted_missing { p { (text.accepted_missing) } }
    }
}

#[cfg(test)]
mod tests {
    use crate::console::tests::{Browser, text};

    #[tokio::test]
    async fn everybody_may_have_a_receipt_verified_and_not_without_end() {
        let mut browser = Browser::new();
        let page = browser.page("/verify").await;
        assert!(page.contains("name=\"receipt\"") && !page.contains("sign-out"), "{page}");
        browser.post("/choose", "language=da&back=/verify").await;
        let empty = browser.post("/verify", "receipt=+").await;
        assert!(empty.status == 422 && text(&empty).contains("id=\"receipt-wrong\""), "{}", text(&empty));
        let shown = browser.post("/verify", "receipt=%3Cscript%3E").await;
        assert_eq!(shown.status, 200);
        let page = text(&shown);
        assert!(page.contains("Ikke en kvittering") && page.contains("&lt;script&gt;"), "{page}");
        let mut last = shown;
        for _ in 0..30 {
            last = browser.post("/verify", "receipt=x").await;
        }
        assert_eq!(last.status, 429);
        assert!(text(&last).contains("Vent et øjeblik"), "{}", text(&last));
        let large = browser.post("/verify", &format!("receipt={}", "x".repeat(100_000))).await;
        assert!([413, 429].contains(&large.status.as_u16()), "{}", large.status);
    }
}
