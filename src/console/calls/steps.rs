//! What people do to a call in progress: each step on a page of its own that says what goes and what stays.

use axum::Form;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::CallsTexts;
use super::row::Call;
use crate::console::ask::Failure;
use crate::console::departments::Departments;
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, wrong_id};

/// A step that asks for a reason.
#[derive(Clone, Copy)]
enum Step {
    Pause,
    Withdraw,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Withdraw => "withdraw",
        }
    }
}

/// Why.
#[derive(Deserialize)]
pub(in crate::console) struct Why {
    #[serde(default)]
    reason: String,
}

/// An answer on the caller's word.
#[derive(Deserialize)]
pub(in crate::console) struct Said {
    answer: String,
}

/// The same for a call that is known by a name.
#[derive(Deserialize)]
pub(in crate::console) struct SaidByName {
    kind: String,
    name: String,
    answer: String,
}

/// What is told after a step.
pub(super) fn done(text: &CallsTexts, done: &str) -> Option<&'static str> {
    match done {
        "pause" => Some(text.done_pause),
        "resume" => Some(text.done_resume),
        "withdraw" => Some(text.done_withdraw),
        "answer" => Some(text.done_answer),
        "kept" => Some(text.done_kept),
        _ => None,
    }
}

/// Asks for the reason of a pause.
pub(in crate::console) async fn ask_pause(frame: Frame, Path(id): Path<String>) -> Response {
    ask(&frame, &id, Step::Pause, None).await
}

/// Asks for the reason of a withdrawal.
pub(in crate::console) async fn ask_withdraw(frame: Frame, Path(id): Path<String>) -> Response {
    ask(&frame, &id, Step::Withdraw, None).await
}

/// Pauses.
pub(in crate::console) async fn pause(
    frame: Frame,
    Path(id): Path<String>,
    Form(sent): Form<Sent<Why>>,
) -> Response {
    with_reason(&frame, &id, Step::Pause, &sent).await
}

/// Passes on that the caller withdrew.
pub(in crate::console) async fn withdraw(
    frame: Frame,
    Path(id): Path<String>,
    Form(sent): Form<Sent<Why>>,
) -> Response {
    with_reason(&frame, &id, Step::Withdraw, &sent).await
}

/// Goes on after a pause.
pub(in crate::console) async fn resume(
    frame: Frame,
    Path(id): Path<String>,
    Form(sent): Form<Sent<()>>,
) -> Response {
    match change(&frame, &id, "resume", &sent.key, None).await {
        Ok(_) => frame.go("/calls?done=resume"),
        Err(failure) => frame.failed(&failure),
    }
}

/// Passes on the caller's answer.
pub(in crate::console) async fn answer(
    frame: Frame,
    Path(id): Path<String>,
    Form(sent): Form<Sent<Said>>,
) -> Response {
    let body = json!({"answer": sent.fields.answer, "how": "staff", "staff": frame.me.name});
    match change(&frame, &id, "consent", &sent.key, Some(&body)).await {
        Ok(_) => frame.go("/calls?done=answer"),
        Err(failure) => frame.failed(&failure),
    }
}

/// Passes on the answer of a caller whose call is known by a name.
pub(in crate::console) async fn answer_by_name(frame: Frame, Form(sent): Form<Sent<SaidByName>>) -> Response {
    let SaidByName { kind, name, answer } = &sent.fields;
    let body = json!({kind: name.trim(), "answer": answer, "how": "staff", "staff": frame.me.name});
    match frame.change::<Value>(Method::POST, "/api/v1/consents", &sent.key, Some(&body)).await {
        // No call of this name is known yet.
        Ok(given) if given["calls"].as_array().is_none_or(Vec::is_empty) => frame.go("/calls?done=kept"),
        Ok(_) => frame.go("/calls?done=answer"),
        Err(failure) => frame.failed(&failure),
    }
}

async fn ask(frame: &Frame, id: &str, step: Step, wrong: Option<&str>) -> Response {
    let text = CallsTexts::of(frame.language);
    if !is_id(id) {
        return frame.not_found();
    }
    let call = match frame.get::<Call>(&format!("/api/v1/calls/{id}"), &[]).await {
        Ok(call) => call,
        Err(failure) => return frame.failed(&failure),
    };
    let departments = match Departments::of(frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let (title, goes, button) = match step {
        Step::Pause => (text.pause_title, text.pause_help, text.pause),
        Step::Withdraw => (text.withdraw_title, text.withdraw_help, text.withdraw_now),
    };
    let said = wrong_id("reason", wrong);
    let reason = html! {
        input id="reason" name="reason" size="50" maxlength="200" required autocomplete="off" aria-describedby=[said]
            aria-invalid=[wrong.map(|_| "true")];
    };
    let content = html! {
        p {
            (frame.time(call.started_at)) " · " (departments.name(&call.department)) " · " (call.consent_in_words(text))
        }
        p { (goes) }
        form method="post" action={ "/calls/" (id) "/" (step.name()) } {
            (frame.key())
            (field("reason", text.reason, wrong, &reason))
            button.danger[matches!(step, Step::Withdraw)].main[matches!(step, Step::Pause)] { (button) }
            a.button href="/calls" { (text.cancel) }
        }
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    frame.page(Page::of(title).status(status), content)
}

async fn with_reason(frame: &Frame, id: &str, step: Step, sent: &Sent<Why>) -> Response {
    let text = CallsTexts::of(frame.language);
    let reason = sent.fields.reason.trim();
    if reason.is_empty() {
        return ask(frame, id, step, Some(text.reason_needed)).await;
    }
    let body = match step {
        Step::Pause => json!({"reason": reason}),
        Step::Withdraw => json!({"how": "staff", "staff": frame.me.name, "reason": reason}),
    };
    match change(frame, id, step.name(), &sent.key, Some(&body)).await {
        Ok(_) => frame.go(&format!("/calls?done={}", step.name())),
        Err(failure) if failure.of("reason").is_some() => ask(frame, id, step, Some(text.reason_wrong)).await,
        Err(failure) => frame.failed(&failure),
    }
}

async fn change(
    frame: &Frame,
    id: &str,
    step: &str,
    key: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    if !is_id(id) {
        return Err(Failure { status: StatusCode::NOT_FOUND, fields: Vec::new(), detail: String::new() });
    }
    frame.change(Method::POST, &format!("/api/v1/calls/{id}/{step}"), key, body).await
}

/// An id becomes part of an address.
fn is_id(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The form for employees whose telephone shows a name of the call.
pub(super) fn by_name(frame: &Frame, text: &CallsTexts) -> Markup {
    let kinds = [
        ("external_id", text.kind_external),
        ("ucid", "UCID"),
        ("call_id", "Call-ID"),
        ("session_id", "Session-ID"),
    ];
    let kind = html! { select id="kind" name="kind" { @for (value, name) in kinds { option value=(value) { (name) } } } };
    let name = html! { input id="name" name="name" required maxlength="200" autocomplete="off"; };
    html! {
        section.card {
            h2 { (text.by_name) }
            form method="post" action="/calls/answer" {
                (frame.key())
                (field("kind", text.name_kind, None, &kind))
                (field("name", text.name, None, &name))
                button name="answer" value="yes" { (text.says_yes) }
                button name="answer" value="no" { (text.says_no) }
            }
        }
    }
}
