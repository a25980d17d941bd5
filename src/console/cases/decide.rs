//! The decision on a case, on a page that says what goes and what stays before anything happens.

use axum::Form;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::form::Wrong;
use super::goes::Preview;
use super::page::{self, Notice};
use super::steps::{refused, take};
use super::view::{Case, api, case, ground, revision};
use super::{CasesTexts, StepsTexts};
use crate::cases::case::Ground;
use crate::console::ask::Failure;
use crate::console::departments::Departments;
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, length, lines, select};

/// What is decided, as the form sends it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    revision: String,
    ground: String,
    reason: String,
}

/// A decision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Erase,
    HandOut,
    Refuse,
}

impl Decision {
    /// By its name in addresses.
    fn of(name: &str) -> Option<Self> {
        match name {
            "erase" => Some(Self::Erase),
            "hand-out" => Some(Self::HandOut),
            "refuse" => Some(Self::Refuse),
            _ => None,
        }
    }

    /// Its name in addresses, and in the API.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Erase => ("erase", "erase"),
            Self::HandOut => ("hand-out", "hand_out"),
            Self::Refuse => ("refuse", "refuse"),
        }
    }
}

#[derive(Deserialize)]
struct Previews {
    previews: Vec<Preview>,
}

/// Asks for a decision.
pub(in crate::console) async fn ask(
    frame: Frame,
    Path((number, decision)): Path<(String, String)>,
) -> Response {
    let Some(decision) = Decision::of(&decision) else { return frame.not_found() };
    match case(&frame, &number).await {
        Ok(case) if case.state == "open" => {
            let given = Given { revision: case.revision.to_string(), ..Given::default() };
            show(&frame, &case, decision, &given, &Wrong::default()).await
        }
        // Decided meanwhile, by a second click or by somebody else.
        Ok(_) => frame.go(&format!("/cases/{number}")),
        Err(page) => page,
    }
}

/// Decides.
pub(in crate::console) async fn decide(
    frame: Frame,
    Path((number, decision)): Path<(String, String)>,
    Form(sent): Form<Sent<Given>>,
) -> Response {
    let (text, steps) = (CasesTexts::of(frame.language), StepsTexts::of(frame.language));
    let Some(decision) = Decision::of(&decision) else { return frame.not_found() };
    let given = sent.fields;
    let from = revision(&given.revision);
    let mut body = json!({"revision": from, "decision": decision.names().1});
    if decision == Decision::Refuse {
        for (name, value) in [("ground", &given.ground), ("reason", &given.reason)] {
            if !value.trim().is_empty() {
                body[name] = value.trim().into();
            }
        }
    }
    let failure = match take(&frame, &number, "decision", &sent.key, &body).await {
        Ok(_) => {
            let done = match decision {
                Decision::Erase => "decide",
                Decision::HandOut => "hand_out",
                Decision::Refuse => "refuse",
            };
            return frame.go(&format!("/cases/{number}?done={done}"));
        }
        Err(failure) => failure,
    };
    if failure.fields.is_empty() {
        return refused(&frame, &number, from, &failure, text.not_now).await;
    }
    let seen = match case(&frame, &number).await {
        Ok(case) => case,
        Err(page) => return page,
    };
    let mut wrong = Wrong::default();
    if failure.of("ground").is_some() {
        wrong.add("ground", steps.ground_needed);
    }
    if failure.of("reason").is_some() {
        wrong.add("reason", steps.reason_wrong);
    }
    if wrong.is_empty() {
        return page::show(&frame, &seen, Notice::Bad(text.decide_not_yet)).await;
    }
    show(&frame, &seen, decision, &given, &wrong).await
}

async fn show(frame: &Frame, case: &Case, decision: Decision, given: &Given, wrong: &Wrong) -> Response {
    let (text, steps) = (CasesTexts::of(frame.language), StepsTexts::of(frame.language));
    let departments = match Departments::of(frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let (title, button) = match decision {
        Decision::Erase => (steps.erase_title, steps.erase_now),
        Decision::HandOut => (steps.hand_out_title, steps.hand_out_now),
        Decision::Refuse => (steps.refuse_title, steps.refuse_now),
    };
    let what = match decision {
        Decision::Erase => match goes(frame, steps, case, &departments).await {
            Ok(goes) => goes,
            Err(failure) => return frame.failed(&failure),
        },
        Decision::HandOut => html! {
            p { (steps.hand_out_help) }
            ul { @for one in case.chosen() {
                li { (departments.name(&one.department)) ", " (frame.time(one.started_at)) ", " (length(one.duration_ms)) }
            } }
        },
        Decision::Refuse => html! { p { (steps.refuse_help) } },
    };
    let grounds: Vec<(&str, &str)> =
        Ground::ALL.iter().map(|(name, _)| (*name, ground(text, name))).collect();
    let content = html! {
        p { (text.case) " " a href={ "/cases/" (case.number) } { (case.number) } }
        (what)
        form.tall method="post" action={ "/cases/" (case.number) "/decide/" (decision.names().0) } {
            (frame.key())
            input type="hidden" name="revision" value=(given.revision);
            @if decision == Decision::Refuse {
                (field("ground", steps.ground, wrong.of("ground"),
                    &select("ground", Some(steps.choose_ground), &grounds, &given.ground, wrong.of("ground"))))
                (field("reason", steps.refuse_reason, wrong.of("reason"), &lines("reason", &given.reason, wrong.of("reason"))))
            }
            div.controls {
                button.danger[decision == Decision::Erase].main[decision != Decision::Erase] { (button) }
                a.button href={ "/cases/" (case.number) } { (text.cancel) }
            }
            p role="status" data-busy=(steps.busy) {}
        }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.page(Page::of(title).status(status), content)
}

/// What an erasure deletes, and what stays.
async fn goes(
    frame: &Frame,
    steps: &StepsTexts,
    case: &Case,
    departments: &Departments,
) -> Result<Markup, Failure> {
    let Previews { previews } = frame.get(&format!("{}/preview", api(&case.number)), &[]).await?;
    let call = |id: &str| case.chosen().iter().find(|one| one.id == id);
    Ok(html! {
        p { strong { (steps.erase_help) } }
        h2 { (steps.goes) }
        ul.goes {
            @for one in &previews {
                li {
                    @if let Some(call) = call(&one.id) {
                        strong { (departments.name(&call.department)) ", " (frame.time(call.started_at)) ", " (length(call.duration_ms)) }
                    }
                    (one.list(frame))
                }
            }
        }
        h2 { (steps.stays) }
        ul { li { (steps.stays_case) } li { (steps.stays_log) } li { (steps.stays_others) } }
    })
}
