//! The form that takes a caller's request down. In: what the caller says, days and times as the caller's calendar and clock
//! have them. Out: a case. The form carries a key of its own, so that sending it twice opens one case.

use aws_lc_rs::rand;
use axum::Form;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use optag_core::hex::hex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::CasesTexts;
use super::form::{GivenTold, Wrong, identity_body, identity_fields, told, told_fields, wrong_told};
use super::view::{Case, api, asked};
use crate::cases::case::{Asked, IdentityCheck};
use crate::console::ask::Failure;
use crate::console::departments::Departments;
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, input, select};

/// Length of the form's key. Units: bytes.
const KEY_BYTES: usize = 16;

/// What the form says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    /// The form's own key.
    form: String,
    department: String,
    asked: String,
    received_on: String,
    #[serde(flatten)]
    told: GivenTold,
    how: String,
    identity_note: String,
}

/// The empty form.
pub(in crate::console) async fn ask(frame: Frame) -> Response {
    let mut key = [0; KEY_BYTES];
    if rand::fill(&mut key).is_err() {
        return frame.failed(&Failure::unreadable());
    }
    let today = frame.zone.day(jiff::Timestamp::now()).to_string();
    let given = Given { form: hex(&key), received_on: today, ..Given::default() };
    show(&frame, &given, &Wrong::default()).await
}

/// Opens the case, with the check of identity where there was one.
pub(in crate::console) async fn open(frame: Frame, Form(sent): Form<Sent<Given>>) -> Response {
    let text = CasesTexts::of(frame.language);
    let given = &sent.fields;
    let mut wrong = Wrong::default();
    let told = told(text, &given.told, &mut wrong);
    if given.how == IdentityCheck::Other.name() && given.identity_note.trim().is_empty() {
        wrong.add("identity_note", text.identity_note_needed);
    }
    if !wrong.is_empty() {
        return show(&frame, given, &wrong).await;
    }
    let mut body = json!({"key": given.form, "asked": given.asked, "told": told});
    for (name, value) in [("department", &given.department), ("received_on", &given.received_on)] {
        if !value.trim().is_empty() {
            body[name] = value.trim().into();
        }
    }
    let opened = frame.change::<Case>(Method::POST, "/api/v1/cases", &sent.key, Some(&body)).await;
    let case = match opened {
        Ok(case) => case,
        Err(failure) => match wrong_fields(text, given, &failure) {
            wrong if wrong.is_empty() => return frame.failed(&failure),
            wrong => return show(&frame, given, &wrong).await,
        },
    };
    let place = format!("/cases/{}?done=open", case.number);
    // The same form sent again finds what was done since.
    if given.how.is_empty() || case.identity.is_some() || case.state != "open" {
        return frame.go(&place);
    }
    let body = identity_body(case.revision, &given.how, &given.identity_note);
    let address = format!("{}/identity", api(&case.number));
    match frame.change::<Value>(Method::POST, &address, &sent.key, Some(&body)).await {
        Err(failure) if failure.status != StatusCode::CONFLICT => frame.failed(&failure),
        _ => frame.go(&place),
    }
}

/// What the API finds wrong, in the reader's words, at the fields of the form.
fn wrong_fields(text: &'static CasesTexts, given: &Given, failure: &Failure) -> Wrong {
    let mut wrong = wrong_told(text, &given.told, failure);
    for field in &failure.fields {
        match field.field.as_str() {
            "received_on" => wrong.add("received_on", text.wrong_received),
            "department" => wrong.add("department", text.wrong_department),
            "asked" => wrong.add("asked", text.wrong_value),
            _ => {}
        }
    }
    wrong
}

async fn show(frame: &Frame, given: &Given, wrong: &Wrong) -> Response {
    let text = CasesTexts::of(frame.language);
    let departments = match Departments::of(frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let kinds: Vec<(&str, &str)> = Asked::ALL.iter().map(|(name, _)| (*name, asked(text, name))).collect();
    let received = input("received_on", "date", &given.received_on, wrong.of("received_on"));
    let content = html! {
        p { (text.intake_help) }
        @if !wrong.is_empty() { p.bad role="alert" { (text.wrong_fields) } }
        form.tall method="post" action="/cases/new" {
            (frame.key())
            input type="hidden" name="form" value=(given.form);
            (field("asked", text.asked, wrong.of("asked"), &select("asked", None, &kinds, &given.asked, wrong.of("asked"))))
            (department(frame, text, &departments, given, wrong))
            (field("received_on", text.received, wrong.of("received_on"), &received))
            fieldset { legend { (text.told) } (told_fields(text, &given.told, wrong, true)) }
            fieldset { legend { (text.identity) }
                (identity_fields(text, Some(text.not_yet), (&given.how, &given.identity_note), wrong))
            }
            div.controls { button.main { (text.intake_save) } a.button href="/cases" { (text.cancel) } }
        }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.page(Page::of(text.new_case).status(status), content)
}

fn department(
    frame: &Frame,
    text: &CasesTexts,
    departments: &Departments,
    given: &Given,
    wrong: &Wrong,
) -> Markup {
    let all: Vec<(&str, &str)> =
        departments.0.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
    let nothing = match (frame.me.departments.are_all(), all.len()) {
        (true, _) => Some(text.all_departments),
        (false, 1) => None,
        (false, _) => Some(text.choose_department),
    };
    let wrong = wrong.of("department");
    field(
        "department",
        text.department,
        wrong,
        &select("department", nothing, &all, &given.department, wrong),
    )
}
