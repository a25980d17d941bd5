//! Correcting what a caller said: a name that was misspelt would stand so in the letter.

use axum::Form;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use serde_json::json;

use super::CasesTexts;
use super::form::{GivenTold, Wrong, told, told_fields, wrong_told};
use super::steps::{refused, take};
use super::view::{case, revision};
use crate::console::frame::{Frame, Page, Sent};

/// What the form says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    revision: String,
    #[serde(flatten)]
    told: GivenTold,
}

/// Shows what was told, to be corrected.
pub(in crate::console) async fn ask(frame: Frame, Path(number): Path<String>) -> Response {
    match case(&frame, &number).await {
        Ok(case) if case.state == "closed" => frame.go(&format!("/cases/{number}")),
        Ok(case) => {
            let given = Given { revision: case.revision.to_string(), told: GivenTold::of_case(&case) };
            show(&frame, &number, &given, &Wrong::default())
        }
        Err(page) => page,
    }
}

fn show(frame: &Frame, number: &str, given: &Given, wrong: &Wrong) -> Response {
    let text = CasesTexts::of(frame.language);
    let content = html! {
        p { (text.case) " " a href={ "/cases/" (number) } { (number) } }
        @if !wrong.is_empty() { p.bad role="alert" { (text.wrong_fields) } }
        form.tall method="post" action={ "/cases/" (number) "/told" } {
            (frame.key())
            input type="hidden" name="revision" value=(given.revision);
            (told_fields(text, &given.told, wrong, true))
            div.controls { button.main { (text.identity_save) } a.button href={ "/cases/" (number) } { (text.cancel) } }
        }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.page(Page::of(text.told).status(status), content)
}

/// Saves what was corrected.
pub(in crate::console) async fn amend(
    frame: Frame,
    Path(number): Path<String>,
    Form(sent): Form<Sent<Given>>,
) -> Response {
    let text = CasesTexts::of(frame.language);
    let given = sent.fields;
    let mut wrong = Wrong::default();
    let told = told(text, &given.told, &mut wrong);
    if !wrong.is_empty() {
        return show(&frame, &number, &given, &wrong);
    }
    let from = revision(&given.revision);
    match take(&frame, &number, "told", &sent.key, &json!({"revision": from, "told": told})).await {
        Ok(_) => frame.go(&format!("/cases/{number}?done=told")),
        Err(failure) => match wrong_told(text, &given.told, &failure) {
            wrong if wrong.is_empty() => refused(&frame, &number, from, &failure, text.not_now).await,
            wrong => show(&frame, &number, &given, &wrong),
        },
    }
}
