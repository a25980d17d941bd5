//! The form that takes a caller's request down. In: what the caller tells, days and times as the caller's calendar and clock
//! have them. Out: a case. The form carries a key of its own, so that sending it twice opens one case.

use aws_lc_rs::rand;
use axum::Form;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use optag_core::hex::hex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::view::{self, Case, api, asked};
use super::{CasesTexts, steps};
use crate::cases::case::{Asked, IdentityCheck};
use crate::console::ask::Failure;
use crate::console::departments::Departments;
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, input, lines, select};

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

/// What the caller told, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GivenTold {
    /// Number called from.
    pub number: String,
    /// Number called.
    pub called_number: String,
    /// The name.
    pub name: String,
    /// Day of the call.
    pub date: String,
    /// Time of day.
    pub time: String,
    /// How far off the time may be.
    pub tolerance_min: String,
    /// The rest.
    pub note: String,
}

/// The fields that are wrong, with what is said of each.
#[derive(Debug, Default)]
pub(super) struct Wrong(Vec<(&'static str, &'static str)>);

impl Wrong {
    /// Notes one.
    pub(super) fn add(&mut self, name: &'static str, words: &'static str) {
        self.0.push((name, words));
    }

    /// What is said of a field.
    pub(super) fn of(&self, name: &str) -> Option<&'static str> {
        self.0.iter().find(|(one, _)| *one == name).map(|(_, words)| *words)
    }

    /// Whether all is well.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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
    let body = steps::identity_body(case.revision, &given.how, &given.identity_note);
    let address = format!("{}/identity", api(&case.number));
    match frame.change::<Value>(Method::POST, &address, &sent.key, Some(&body)).await {
        Err(failure) if failure.status != StatusCode::CONFLICT => frame.failed(&failure),
        _ => frame.go(&place),
    }
}

/// What was told, for the API; notes fields that cannot be read.
pub(super) fn told(text: &CasesTexts, given: &GivenTold, wrong: &mut Wrong) -> Value {
    let mut told = json!({});
    let texts = [
        ("number", &given.number),
        ("called_number", &given.called_number),
        ("name", &given.name),
        ("note", &given.note),
    ];
    for (name, value) in texts {
        if !value.trim().is_empty() {
            told[name] = value.trim().into();
        }
    }
    let (date, time, tolerance) = (given.date.trim(), given.time.trim(), given.tolerance_min.trim());
    if !date.is_empty() {
        match date.parse::<jiff::civil::Date>() {
            Ok(date) => told["date"] = date.to_string().into(),
            Err(_) => wrong.add("date", text.wrong_date),
        }
    }
    if !time.is_empty() {
        // Browsers send 14:30; written by hand it may be 14.30.
        match time.replace('.', ":").parse::<jiff::civil::Time>() {
            Ok(time) => told["time"] = time.to_string().into(),
            Err(_) => wrong.add("time", text.wrong_time),
        }
    }
    if !tolerance.is_empty() {
        match tolerance.parse::<i64>() {
            Ok(minutes) => told["tolerance_min"] = minutes.into(),
            Err(_) => wrong.add("tolerance_min", text.wrong_tolerance),
        }
    }
    told
}

/// What the API finds wrong, in the reader's words, at the fields of the form.
fn wrong_fields(text: &'static CasesTexts, given: &Given, failure: &Failure) -> Wrong {
    let told = &given.told;
    let nothing = [&told.number, &told.called_number, &told.name, &told.date];
    let nothing = nothing.iter().all(|value| value.trim().is_empty());
    let mut wrong = Wrong::default();
    for field in &failure.fields {
        match field.field.as_str() {
            "told.number" if nothing => wrong.add("number", text.wrong_told),
            "told.number" => wrong.add("number", text.wrong_text),
            "told.called_number" => wrong.add("called_number", text.wrong_text),
            "told.name" => wrong.add("name", text.wrong_text),
            "told.note" => wrong.add("note", text.wrong_note),
            "told.date" => wrong.add("date", text.wrong_time_alone),
            "told.tolerance_min" => wrong.add("tolerance_min", text.wrong_tolerance),
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

/// Fields for what a caller tells, and the note where it is wanted.
pub(super) fn told_fields(text: &CasesTexts, given: &GivenTold, wrong: &Wrong, note: bool) -> Markup {
    let line = |id: &str, label: &str, kind: &str, value: &str| {
        field(id, label, wrong.of(id), &input(id, kind, value, wrong.of(id)))
    };
    html! {
        p.quiet.row { (text.told_help) }
        (line("number", text.told_number, "text", &given.number))
        (line("name", text.told_name, "text", &given.name))
        (line("called_number", text.told_called, "text", &given.called_number))
        (line("date", text.told_date, "date", &given.date))
        (line("time", text.told_time, "time", &given.time))
        (line("tolerance_min", text.told_tolerance, "number", &given.tolerance_min))
        @if note { (field("note", text.told_note, wrong.of("note"), &lines("note", &given.note, wrong.of("note")))) }
    }
}

/// Fields for how identity was checked.
pub(super) fn identity_fields(
    text: &CasesTexts,
    nothing: Option<&str>,
    (how, note): (&str, &str),
    wrong: &Wrong,
) -> Markup {
    let ways: Vec<(&str, &str)> =
        IdentityCheck::ALL.iter().map(|(name, _)| (*name, view::identity(text, name))).collect();
    html! {
        (field("how", text.identity_how, wrong.of("how"), &select("how", nothing, &ways, how, wrong.of("how"))))
        (field("identity_note", text.identity_note, wrong.of("identity_note"),
            &lines("identity_note", note, wrong.of("identity_note"))))
    }
}
