//! The steps of a case: each names the revision that the reader saw, so that a second click changes nothing, and whoever
//! comes second is shown the case as it stands then.

use axum::Form;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use serde_json::{Value, json};

use super::form::{Wrong, identity_body, identity_fields};
use super::page::{self, Notice};
use super::view::{Case, api, case, is_number, revision};
use super::{CasesTexts, StepsTexts};
use crate::console::ask::Failure;
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, lines};

/// A step that needs nothing but the revision.
#[derive(Deserialize)]
pub(in crate::console) struct Seen {
    /// Revision of the case that was seen.
    #[serde(default)]
    pub(super) revision: String,
}

/// How identity was checked.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct GivenIdentity {
    revision: String,
    how: String,
    identity_note: String,
}

/// Why the time limit is extended.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct GivenExtension {
    revision: String,
    reason: String,
}

/// Takes a step.
///
/// Errors: what the API refuses.
pub(super) async fn take(
    frame: &Frame,
    number: &str,
    step: &str,
    key: &str,
    body: &Value,
) -> Result<Case, Failure> {
    if !is_number(number) {
        return Err(Failure { status: StatusCode::NOT_FOUND, fields: Vec::new(), detail: String::new() });
    }
    frame.change(Method::POST, &format!("{}/{step}", api(number)), key, Some(body)).await
}

/// The page after a step that was refused: where somebody else changed the case, that case with what happened.
pub(super) async fn refused(
    frame: &Frame,
    number: &str,
    from: i64,
    failure: &Failure,
    otherwise: &'static str,
) -> Response {
    let text = CasesTexts::of(frame.language);
    // A step that takes long goes on, though nobody waits for its answer any more.
    let may_go_on = failure.status == StatusCode::SERVICE_UNAVAILABLE;
    if failure.status != StatusCode::CONFLICT && !may_go_on {
        return frame.failed(failure);
    }
    match case(frame, number).await {
        Err(page) => page,
        Ok(case) if may_go_on && case.revision == from => frame.failed(failure),
        Ok(_) if may_go_on => frame.go(&format!("/cases/{number}?done=under_way")),
        Ok(case) => {
            let words = if case.revision == from { otherwise } else { text.changed };
            page::show(frame, &case, Notice::Bad(words)).await
        }
    }
}

/// Asks how identity was checked.
pub(in crate::console) async fn ask_identity(frame: Frame, Path(number): Path<String>) -> Response {
    let case = match case(&frame, &number).await {
        Ok(case) => case,
        Err(page) => return page,
    };
    let (how, note) = case.identity.as_ref().map_or((String::new(), String::new()), |identity| {
        (identity.how.clone(), identity.note.clone().unwrap_or_default())
    });
    let given = GivenIdentity { revision: case.revision.to_string(), how, identity_note: note };
    identity_page(&frame, &number, &given, &Wrong::default())
}

fn identity_page(frame: &Frame, number: &str, given: &GivenIdentity, wrong: &Wrong) -> Response {
    let text = CasesTexts::of(frame.language);
    let content = html! {
        p { (text.case) " " a href={ "/cases/" (number) } { (number) } }
        form.tall method="post" action={ "/cases/" (number) "/identity" } {
            (frame.key())
            input type="hidden" name="revision" value=(given.revision);
            (identity_fields(text, Some(text.not_yet), (&given.how, &given.identity_note), wrong))
            div.controls { button.main { (text.identity_save) } a.button href={ "/cases/" (number) } { (text.cancel) } }
        }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.page(Page::of(text.identity).status(status), content)
}

/// Notes how identity was checked.
pub(in crate::console) async fn identify(
    frame: Frame,
    Path(number): Path<String>,
    Form(sent): Form<Sent<GivenIdentity>>,
) -> Response {
    let text = CasesTexts::of(frame.language);
    let given = sent.fields;
    let mut wrong = Wrong::default();
    if given.how.is_empty() {
        wrong.add("how", text.identity_needed);
        return identity_page(&frame, &number, &given, &wrong);
    }
    let from = revision(&given.revision);
    let body = identity_body(from, &given.how, &given.identity_note);
    match take(&frame, &number, "identity", &sent.key, &body).await {
        Ok(_) => frame.go(&format!("/cases/{number}?done=identity")),
        Err(failure) if failure.of("note").is_some() => {
            let empty = given.identity_note.trim().is_empty();
            wrong.add("identity_note", if empty { text.identity_note_needed } else { text.wrong_note });
            identity_page(&frame, &number, &given, &wrong)
        }
        Err(failure) if failure.of("how").is_some() => {
            wrong.add("how", text.identity_needed);
            identity_page(&frame, &number, &given, &wrong)
        }
        Err(failure) => refused(&frame, &number, from, &failure, text.not_now).await,
    }
}

/// Asks why the time limit is extended.
pub(in crate::console) async fn ask_extension(frame: Frame, Path(number): Path<String>) -> Response {
    match case(&frame, &number).await {
        Ok(case) => {
            let given = GivenExtension { revision: case.revision.to_string(), ..GivenExtension::default() };
            extension_page(&frame, &number, &given, None)
        }
        Err(page) => page,
    }
}

fn extension_page(
    frame: &Frame,
    number: &str,
    given: &GivenExtension,
    wrong: Option<&'static str>,
) -> Response {
    let (text, steps) = (CasesTexts::of(frame.language), StepsTexts::of(frame.language));
    let content = html! {
        p { (text.case) " " a href={ "/cases/" (number) } { (number) } }
        p { (steps.extend_help) }
        form.tall method="post" action={ "/cases/" (number) "/extension" } {
            (frame.key())
            input type="hidden" name="revision" value=(given.revision);
            (field("reason", steps.extend_reason, wrong, &lines("reason", &given.reason, wrong)))
            div.controls { button.main { (text.extend) } a.button href={ "/cases/" (number) } { (text.cancel) } }
        }
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    frame.page(Page::of(text.extend).status(status), content)
}

/// Extends the time limit.
pub(in crate::console) async fn extend(
    frame: Frame,
    Path(number): Path<String>,
    Form(sent): Form<Sent<GivenExtension>>,
) -> Response {
    let (text, steps) = (CasesTexts::of(frame.language), StepsTexts::of(frame.language));
    let given = sent.fields;
    let from = revision(&given.revision);
    let body = json!({"revision": from, "reason": given.reason.trim()});
    match take(&frame, &number, "extension", &sent.key, &body).await {
        Ok(_) => frame.go(&format!("/cases/{number}?done=extend")),
        Err(failure) if failure.of("reason").is_some() => {
            extension_page(&frame, &number, &given, Some(steps.reason_wrong))
        }
        Err(failure) => refused(&frame, &number, from, &failure, text.too_late).await,
    }
}

/// Leads back to the case from the address of a step, where a choice of language was made on the page that followed it.
pub(in crate::console) async fn back(frame: Frame, Path(number): Path<String>) -> Response {
    if is_number(&number) { frame.go(&format!("/cases/{number}")) } else { frame.not_found() }
}

/// Erases once more what an erasure did not reach.
pub(in crate::console) async fn repeat(
    frame: Frame,
    Path(number): Path<String>,
    Form(sent): Form<Sent<Seen>>,
) -> Response {
    plain(&frame, &number, "carry-out", "again", &sent).await
}

/// Closes the case.
pub(in crate::console) async fn close(
    frame: Frame,
    Path(number): Path<String>,
    Form(sent): Form<Sent<Seen>>,
) -> Response {
    plain(&frame, &number, "close", "close", &sent).await
}

async fn plain(frame: &Frame, number: &str, step: &str, done: &str, sent: &Sent<Seen>) -> Response {
    let text = CasesTexts::of(frame.language);
    let from = revision(&sent.fields.revision);
    match take(frame, number, step, &sent.key, &json!({"revision": from})).await {
        Ok(_) => frame.go(&format!("/cases/{number}?done={done}")),
        Err(failure) => {
            let words = if step == "close" { text.not_complete } else { text.not_now };
            refused(frame, number, from, &failure, words).await
        }
    }
}
