//! Recordings that a caller may mean, by what the case says or by something else that is tried, and the choice of them.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::form::{GivenTold, Wrong, told, told_fields};
use super::steps::{refused, take};
use super::view::{Case, Chosen, api, case, revision, seen};
use super::{CasesTexts, StepsTexts};
use crate::console::departments::Departments;
use crate::console::frame::{Frame, Page};
use crate::console::parts::{length, name};

/// What is looked for instead of what the case says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    /// Whether something else is tried.
    other: String,
    #[serde(flatten)]
    told: GivenTold,
}

/// A page of candidates.
#[derive(Debug, Deserialize)]
struct Found {
    candidates: Vec<Candidate>,
    total: u64,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Candidate {
    id: String,
    department: String,
    started_at: jiff::Timestamp,
    duration_ms: u64,
    caller_number: String,
    called_number: String,
    caller_name: Option<String>,
    fit: Fit,
}

#[derive(Debug, Deserialize)]
struct Fit {
    score: f64,
    minutes_off: Option<i64>,
    reasons: Vec<String>,
}

/// The candidates.
pub(in crate::console) async fn list(
    frame: Frame,
    Path(number): Path<String>,
    Query(given): Query<Given>,
) -> Response {
    let text = CasesTexts::of(frame.language);
    let case = match case(&frame, &number).await {
        Ok(case) if case.state == "open" => case,
        Ok(_) => return frame.go(&format!("/cases/{number}")),
        Err(page) => return page,
    };
    let departments = match Departments::of(&frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let differs = !given.other.is_empty();
    let tried = if differs { given.told.clone() } else { GivenTold::of_case(&case) };
    let mut wrong = Wrong::default();
    let read = told(text, &tried, &mut wrong);
    let mut found = None;
    if wrong.is_empty() {
        let query: Vec<(&str, String)> = match differs {
            false => Vec::new(),
            true => ["number", "called_number", "name", "date", "time", "tolerance_min"]
                .into_iter()
                .map(|name| (name, read[name].as_str().map_or_else(|| read[name].to_string(), str::to_owned)))
                .filter(|(_, value)| value != "null")
                .collect(),
        };
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match frame.get::<Found>(&format!("{}/candidates", api(&number)), &query).await {
            Ok(all) => found = Some(all),
            Err(failure) if failure.of("date").is_some() => wrong.add("date", text.wrong_time_alone),
            Err(failure) if failure.of("tolerance_min").is_some() => {
                wrong.add("tolerance_min", text.wrong_tolerance);
            }
            Err(failure) => return frame.failed(&failure),
        }
    }
    let steps = StepsTexts::of(frame.language);
    let content = html! {
        p { (text.case) " " a href={ "/cases/" (number) } { (number) } }
        @if let Some(found) = &found { (choice(&frame, text, steps, &case, &departments, found)) }
        details open[differs] {
            summary { (steps.try_other) }
            p { (steps.try_other_help) }
            form.tall method="get" action={ "/cases/" (number) "/candidates" } {
                input type="hidden" name="other" value="1";
                (told_fields(text, &tried, &wrong, false))
                div.controls {
                    button { (steps.find_again) }
                    @if differs { a.button href={ "/cases/" (number) "/candidates" } { (steps.as_told) } }
                }
            }
        }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.page(Page::of(steps.choose_title).status(status), content)
}

fn choice(
    frame: &Frame,
    text: &CasesTexts,
    steps: &StepsTexts,
    case: &Case,
    departments: &Departments,
    found: &Found,
) -> Markup {
    let chosen = |id: &str| case.chosen().iter().any(|one| one.id == id);
    let listed = |one: &&Chosen| !found.candidates.iter().any(|other| other.id == one.id);
    let others: Vec<&Chosen> = case.chosen().iter().filter(listed).collect();
    html! {
        p role="status" {
            @match found.total {
                0 => strong { (steps.nobody) },
                1 => strong { (steps.one_found) },
                total => strong { (total) " " (steps.found) },
            }
            @if found.total > found.candidates.len() as u64 { " " (steps.best_only) " " (found.candidates.len()) "." }
            @if found.truncated { " " (steps.too_many) }
        }
        @if !found.candidates.is_empty() || !others.is_empty() {
            form method="post" action={ "/cases/" (case.number) "/candidates" } {
                (frame.key()) (seen(case))
                div.wide.row { table.grid {
                    thead { tr {
                        th scope="col" { (steps.choose) } th scope="col" { (steps.fit) } th scope="col" { (text.began) }
                        th scope="col" { (text.department) } th scope="col" { (steps.caller) } th scope="col" { (steps.called) }
                        th.number scope="col" { (text.length) }
                    } }
                    tbody {
                        @for one in &found.candidates { (row(frame, text, steps, departments, one, chosen(&one.id))) }
                        @for one in others { (other_row(frame, text, steps, departments, one)) }
                    }
                } }
                p.row { (steps.choose_help) }
                div.controls { button.main { (steps.choose_now) } a.button href={ "/cases/" (case.number) } { (text.cancel) } }
            }
        }
    }
}

fn row(
    frame: &Frame,
    text: &CasesTexts,
    steps: &StepsTexts,
    departments: &Departments,
    one: &Candidate,
    chosen: bool,
) -> Markup {
    html! {
        tr data-recording=(one.id) {
            td data-head=(steps.choose) {
                label.check {
                    input type="checkbox" name="one" value=(one.id) checked[chosen];
                    span.hidden { (steps.choose) " " (departments.name(&one.department)) ", " (frame.time(one.started_at)) }
                }
            }
            td data-head=(steps.fit) {
                strong { ((one.fit.score * 100.0).round()) " %" }
                ul.bare { @for reason in &one.fit.reasons { li { (why(steps, reason, one.fit.minutes_off)) } } }
            }
            td data-head=(text.began) { (frame.time(one.started_at)) }
            td data-head=(text.department) { (departments.name(&one.department)) }
            td data-head=(steps.caller) {
                bdi { (one.caller_number) } @if let Some(caller) = &one.caller_name { ", " (name(caller)) }
            }
            td data-head=(steps.called) { bdi { (one.called_number) } }
            td.number data-head=(text.length) { (length(one.duration_ms)) }
        }
    }
}

/// One that was chosen before and is not among those that were found now.
fn other_row(
    frame: &Frame,
    text: &CasesTexts,
    steps: &StepsTexts,
    departments: &Departments,
    one: &Chosen,
) -> Markup {
    html! {
        tr data-recording=(one.id) {
            td data-head=(steps.choose) {
                label.check {
                    input type="checkbox" name="one" value=(one.id) checked;
                    span.hidden { (steps.choose) " " (departments.name(&one.department)) ", " (frame.time(one.started_at)) }
                }
            }
            td data-head=(steps.fit) { (steps.chosen_before) }
            td data-head=(text.began) { (frame.time(one.started_at)) }
            td data-head=(text.department) { (departments.name(&one.department)) }
            td data-head=(steps.caller) {} td data-head=(steps.called) {}
            td.number data-head=(text.length) { (length(one.duration_ms)) }
        }
    }
}

/// Why a candidate fits.
fn why(steps: &StepsTexts, reason: &str, minutes: Option<i64>) -> Markup {
    let words = match reason {
        "number_same" => steps.number_same,
        "number_ending" => steps.number_ending,
        "number_one_digit_off" => steps.number_off,
        "number_unknown" => steps.number_unknown,
        "called_number_same" => steps.called_same,
        "called_number_ending" => steps.called_ending,
        "called_number_one_digit_off" => steps.called_off,
        "called_number_unknown" => steps.called_unknown,
        "name_exact" => steps.name_exact,
        "name_near" => steps.name_near,
        "name_unknown" => steps.name_unknown,
        "time_within" => steps.time_within,
        _ => steps.time_near,
    };
    html! {
        (words)
        @if reason == "time_near" { @if let Some(minutes) = minutes { " (" (minutes) " min)" } }
    }
}

/// Saves the choice: all that are ticked, instead of those before.
pub(in crate::console) async fn choose(
    frame: Frame,
    Path(number): Path<String>,
    Form(sent): Form<Vec<(String, String)>>,
) -> Response {
    let text = CasesTexts::of(frame.language);
    let one = |name: &str| sent.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let from = revision(one("revision"));
    let all: Vec<&str> =
        sent.iter().filter(|(key, _)| key == "one").map(|(_, value)| value.as_str()).collect();
    let body = json!({"revision": from, "recordings": all});
    match take(&frame, &number, "recordings", one("key"), &body).await {
        Ok(_) => frame.go(&format!("/cases/{number}?done=choose")),
        Err(failure) => refused(&frame, &number, from, &failure, text.not_now).await,
    }
}
