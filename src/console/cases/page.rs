//! A case: its time limit, what the caller said, and its steps in their order.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::CasesTexts;
use super::gets;
use super::view::{self, Case, Chosen, Done, seen};
use crate::console::departments::Departments;
use crate::console::frame::{Frame, Page};
use crate::console::parts::{length, name};
use crate::console::when::date;

/// What the address says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    /// What was done just now: a key of the texts.
    done: String,
}

/// What is told above the case.
#[derive(Clone, Copy)]
pub(super) enum Notice {
    None,
    Good(&'static str),
    Bad(&'static str),
}

fn done(text: &'static CasesTexts, done: &str) -> Notice {
    match done {
        "open" => Notice::Good(text.done_open),
        "told" => Notice::Good(text.done_told),
        "identity" => Notice::Good(text.done_identity),
        "choose" => Notice::Good(text.done_choose),
        "extend" => Notice::Good(text.done_extend),
        "decide" => Notice::Good(text.done_decide),
        "hand_out" => Notice::Good(text.done_hand_out),
        "refuse" => Notice::Good(text.done_refuse),
        "under_way" => Notice::Good(text.done_under_way),
        "again" => Notice::Good(text.done_again),
        "close" => Notice::Good(text.done_close),
        "revoke" => Notice::Good(text.done_revoke),
        _ => Notice::None,
    }
}

/// The page.
pub(in crate::console) async fn page(
    frame: Frame,
    Path(number): Path<String>,
    Query(given): Query<Given>,
) -> Response {
    match view::case(&frame, &number).await {
        Ok(case) => show(&frame, &case, done(CasesTexts::of(frame.language), &given.done)).await,
        Err(page) => page,
    }
}

/// The page of a case, with what is told above it.
pub(super) async fn show(frame: &Frame, case: &Case, notice: Notice) -> Response {
    let text = CasesTexts::of(frame.language);
    let departments = match Departments::of(frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let may = frame.me.may("cases");
    let content = html! {
        @match notice {
            Notice::None => {},
            Notice::Good(words) => p.good role="status" { (words) },
            Notice::Bad(words) => p.bad role="alert" { (words) },
        }
        (facts(frame, text, case, &departments))
        @match (case.state.as_str(), may) {
            ("closed", _) => { p { (text.closed_help) } (counts(text, case)) },
            (_, false) => { p { (text.no_detail) } (counts(text, case)) },
            _ => {
                section { h2 { (text.told) } (told(frame, text, case)) }
                section { h2 { (text.identity) } (identity(frame, text, case)) }
                section { h2 { (text.recordings) } (recordings(frame, text, case, &departments)) }
                section { h2 { (text.decision) } (decision(frame, text, case)) }
                (gets::answer(frame, text, case))
                @if case.state == "decided" { (close(frame, text, case)) }
            },
        }
    };
    let status = if matches!(notice, Notice::Bad(_)) { StatusCode::CONFLICT } else { StatusCode::OK };
    frame.page(Page::of(&format!("{} {}", text.case, case.number)).status(status), content)
}

fn facts(frame: &Frame, text: &CasesTexts, case: &Case, departments: &Departments) -> Markup {
    let open = case.state != "closed";
    html! {
        dl {
            dt { (text.due) } dd {
                (case.clock(frame, text))
                @if case.extended { br; (match &case.extension_reason {
                    Some(reason) => html! { (text.extended_because) " " bdi { (reason) } },
                    None => html! { (text.extended) },
                }) }
                @if open && !case.extended && case.days_left.is_some_and(|left| left >= 0) && frame.me.may("cases") {
                    " " a href={ "/cases/" (case.number) "/extension" } { (text.extend) }
                }
            }
            dt { (text.received) } dd { (date(frame.language, case.received_on)) }
            @if let Some(asked) = &case.asked { dt { (text.asked) } dd { (view::asked(text, asked)) } }
            dt { (text.department) } dd {
                (case.department.as_deref().map_or(text.all_departments, |id| departments.name(id)))
            }
            dt { (text.opened) } dd { (frame.time(case.opened_at)) ", " (text.by) " " bdi { (case.opened_by) } }
            @if let Some(decided) = &case.decision {
                dt { (text.decision) } dd {
                    (view::decision(text, decided))
                    @if let Some(ground) = &case.ground { ": " (view::ground(text, ground)) }
                    @if let (Some(at), Some(by)) = (case.decided_at, &case.decided_by) {
                        ", " (frame.time(at)) ", " (text.by) " " bdi { (by) }
                    }
                    @if let Some(reason) = &case.reason { br; bdi.lines { (reason) } }
                }
            }
            @if let (Some(at), Some(by)) = (case.closed_at, &case.closed_by) {
                dt { (text.closed) } dd { (frame.time(at)) ", " (text.by) " " bdi { (by) } }
            }
        }
    }
}

/// How many recordings came to which outcome.
fn counts(text: &CasesTexts, case: &Case) -> Markup {
    html! {
        @if !case.counts.is_empty() {
            h2 { (text.results) }
            ul { @for (outcome, count) in &case.counts { li { (view::outcome(text, outcome)) ": " (count) } } }
        }
    }
}

fn told(frame: &Frame, text: &CasesTexts, case: &Case) -> Markup {
    let told = case.told.clone().unwrap_or_default();
    html! {
        dl {
            @if let Some(number) = &told.number { dt { (text.told_number) } dd { bdi { (number) } } }
            @if let Some(caller) = &told.name { dt { (text.told_name) } dd { (name(caller)) } }
            @if let Some(number) = &told.called_number { dt { (text.told_called) } dd { bdi { (number) } } }
            @if let Some(day) = told.date { dt { (text.told_date) } dd { (date(frame.language, day)) } }
            @if let Some(time) = told.time {
                dt { (text.told_time) } dd {
                    (time.strftime("%H:%M"))
                    @if let Some(minutes) = told.tolerance_min { " ± " (minutes) " min" }
                }
            }
            @if let Some(note) = &told.note { dt { (text.told_note) } dd { bdi.lines { (note) } } }
        }
        p { a href={ "/cases/" (case.number) "/told" } { (text.told_change) } }
    }
}

fn identity(frame: &Frame, text: &CasesTexts, case: &Case) -> Markup {
    let place = format!("/cases/{}/identity", case.number);
    html! {
        @match &case.identity {
            None if case.state == "open" => p { a.button href=(place) { (text.next_identity) } },
            None => p { (text.not_yet) },
            Some(identity) => p {
                (view::identity(text, &identity.how)) ", " (frame.time(identity.at)) ", " (text.by) " " bdi { (identity.by) }
                @if let Some(note) = &identity.note { br; bdi.lines { (note) } }
                @if case.state == "open" { " " a href=(place) { (text.identity_change) } }
            },
        }
    }
}

fn recordings(frame: &Frame, text: &CasesTexts, case: &Case, departments: &Departments) -> Markup {
    let place = format!("/cases/{}/candidates", case.number);
    let open = case.state == "open";
    html! {
        @if case.chosen().is_empty() {
            p { (text.none_chosen) @if open { " " a.button href=(place) { (text.find) } } }
        } @else {
            div.wide { table.grid {
                thead { tr {
                    th scope="col" { (text.began) } th scope="col" { (text.department) } th.number scope="col" { (text.length) }
                    @if open { th scope="col" { (text.audio) } } @else { th scope="col" { (text.result) } }
                } }
                tbody { @for one in case.chosen() { tr data-recording=(one.id) {
                    td data-head=(text.began) { (frame.time(one.started_at)) }
                    td data-head=(text.department) { (departments.name(&one.department)) }
                    td.number data-head=(text.length) { (length(one.duration_ms)) }
                    @if open { td data-head=(text.audio) { (audio(frame, text, case, one)) } }
                    @else { td data-head=(text.result) { (result(frame, text, case, one)) } }
                } } }
            } }
            @if open {
                p { (text.listen_help) }
                p { a.button href=(place) { (text.change_choice) } }
            }
        }
    }
}

fn audio(frame: &Frame, text: &CasesTexts, case: &Case, one: &Chosen) -> Markup {
    let at = frame.zone.text(frame.language, one.started_at);
    html! {
        audio controls preload="none" src={ (view::api(&case.number)) "/recordings/" (one.id) "/audio" }
            aria-label={ (text.listen) " " (at) } {}
    }
}

/// What became of a recording, and what may be done with it.
fn result(frame: &Frame, text: &CasesTexts, case: &Case, one: &Chosen) -> Markup {
    html! {
        @match &one.result {
            Some(done) => (became(frame, text, done)),
            None if case.is("erase") => span.quiet { (text.no_result) },
            None => {},
        }
        @if let Some(done) = &one.result { @if done.outcome == "erased" {
            " " a.button href={ "/api/v1/recordings/" (one.id) "/erasure/receipt" } download={ "receipt-" (one.id) ".json" } {
                (text.receipt)
                span.hidden { " " (text.receipt_of) " " (frame.zone.text(frame.language, one.started_at)) }
            }
        } }
        @if case.is("hand_out") { (gets::part(frame, text, case, one)) }
    }
}

fn became(frame: &Frame, text: &CasesTexts, done: &Done) -> Markup {
    let good = matches!(done.outcome.as_str(), "erased" | "handed_out");
    // A hold and a link end at a time; a failure is told in the recorder's own words.
    let until = done.detail.as_deref().and_then(|detail| detail.parse::<jiff::Timestamp>().ok());
    html! {
        span.good[good].bad[done.outcome == "failed" || done.outcome == "broken_off"] {
            (view::outcome(text, &done.outcome))
            @if let Some(until) = until { " " (text.until) " " (frame.time(until)) }
        }
        span.quiet { " " (frame.time(done.at)) }
        @if until.is_none() { @if let Some(detail) = &done.detail { " " span lang="en" { (detail) } } }
    }
}

fn decision(frame: &Frame, text: &CasesTexts, case: &Case) -> Markup {
    let place = |what: &str| format!("/cases/{}/decide/{what}", case.number);
    let ready = case.identity.is_some() && !case.chosen().is_empty();
    html! {
        @if case.state == "open" {
            p { @if ready { (text.decide_help) } @else { (text.decide_not_yet) } }
            p.controls {
                @if ready {
                    @if frame.me.may("erase") { a.button href=(place("erase")) { (text.erase_ask) } }
                    @if frame.me.may("export") { a.button href=(place("hand-out")) { (text.hand_out_ask) } }
                }
                a.button href=(place("refuse")) { (text.refuse_ask) }
            }
        } @else {
            p { strong { (view::decision(text, case.decision.as_deref().unwrap_or_default())) } }
            @if case.is("erase") {
                @let again = |one: &Chosen| one.result.as_ref().is_none_or(Done::may_be_repeated);
                @if case.chosen().iter().any(again) {
                    form method="post" action={ "/cases/" (case.number) "/carry-out" } {
                        (frame.key()) (seen(case))
                        button { (text.try_again) } a.button href={ "/cases/" (case.number) } { (text.look_again) }
                    }
                }
                @if case.chosen().iter().any(|one| one.result.as_ref().is_some_and(|done| done.outcome == "erased")) {
                    p { (text.receipt_help) " " a href="/verify" { "/verify" } "." }
                }
            }
        }
    }
}

fn close(frame: &Frame, text: &CasesTexts, case: &Case) -> Markup {
    html! {
        section {
            h2 { (text.close) }
            @if case.is_complete() {
                p { (text.close_help) }
                form method="post" action={ "/cases/" (case.number) "/close" } {
                    (frame.key()) (seen(case))
                    button.danger { (text.close) }
                }
            } @else {
                p { (text.not_complete) }
                p { a.button href={ "/cases/" (case.number) } { (text.look_again) } }
            }
        }
    }
}
