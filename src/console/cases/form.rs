//! Fields of the forms of a case: what a caller says, how identity was checked, and what is wrong with them.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::CasesTexts;
use super::view::{self, Case};
use crate::cases::case::IdentityCheck;
use crate::console::ask::Failure;
use crate::console::parts::{field, input, lines, select};

/// What the caller said, as written.
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

impl GivenTold {
    /// What the case says, as fields of a form.
    pub(super) fn of_case(case: &Case) -> Self {
        let told = case.told.clone().unwrap_or_default();
        Self {
            number: told.number.unwrap_or_default(),
            called_number: told.called_number.unwrap_or_default(),
            name: told.name.unwrap_or_default(),
            date: told.date.map(|day| day.to_string()).unwrap_or_default(),
            time: told.time.map(|time| time.strftime("%H:%M").to_string()).unwrap_or_default(),
            tolerance_min: told.tolerance_min.map(|minutes| minutes.to_string()).unwrap_or_default(),
            note: told.note.unwrap_or_default(),
        }
    }
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

/// Fields for what a caller says, and the note where it is wanted.
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

/// The body of a check of identity.
pub(super) fn identity_body(revision: i64, how: &str, note: &str) -> Value {
    let mut body = json!({"revision": revision, "how": how});
    if !note.trim().is_empty() {
        body["note"] = note.trim().into();
    }
    body
}

/// What the API finds wrong with what was told, in the reader's words, at the fields of the form.
pub(super) fn wrong_told(text: &'static CasesTexts, told: &GivenTold, failure: &Failure) -> Wrong {
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
            _ => {}
        }
    }
    wrong
}
