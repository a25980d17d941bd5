//! Requests of callers: the list of cases with their clock, the form that takes one down, a case with its steps, and what the
//! caller gets. What a page shows and does is the API's (`http::cases`), which audits each look and each step.

mod amend;
mod candidates;
mod decide;
mod form;
mod gets;
mod goes;
mod handing;
mod intake;
mod page;
mod steps;
#[cfg(test)]
mod tests;
mod texts;
mod view;

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::ask::{Api, address};
use super::departments::Departments;
use super::frame::{Frame, Page};
use super::parts::name;
use super::texts::FrameTexts;
use super::when::date;
pub(super) use goes::Preview;
pub(super) use texts::{CasesTexts, HandingTexts, StepsTexts};
use view::{Case, asked, outcome};

/// The pages with their addresses.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/cases", get(list))
        .route("/cases/new", get(intake::ask).post(intake::open))
        .route("/cases/{case}", get(page::page))
        .route("/cases/{case}/told", get(amend::ask).post(amend::amend))
        .route("/cases/{case}/identity", get(steps::ask_identity).post(steps::identify))
        .route("/cases/{case}/extension", get(steps::ask_extension).post(steps::extend))
        .route("/cases/{case}/candidates", get(candidates::list).post(candidates::choose))
        .route("/cases/{case}/decide/{decision}", get(decide::ask).post(decide::decide))
        .route("/cases/{case}/carry-out", get(steps::back).post(steps::repeat))
        .route("/cases/{case}/close", get(steps::back).post(steps::close))
        .route("/cases/{case}/letter", get(handing::letter))
        .route("/cases/{case}/recordings/{id}/sheet", get(handing::sheet))
        .route("/cases/{case}/recordings/{id}/hand-out", get(handing::ask))
        .route("/cases/{case}/recordings/{id}/file", get(handing::back).post(handing::file))
        .route("/cases/{case}/recordings/{id}/link", get(handing::show_link).post(handing::link))
        .route("/cases/{case}/recordings/{id}/revoke", get(handing::back).post(handing::revoke))
}

/// What the address says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Given {
    /// `closed`, or those that are not.
    state: String,
    /// Number of the last case of the page before.
    after: String,
}

/// A page of cases.
#[derive(Deserialize)]
struct List {
    cases: Vec<Case>,
    more: bool,
}

async fn list(frame: Frame, Query(given): Query<Given>) -> Response {
    let text = CasesTexts::of(frame.language);
    let closed = given.state == "closed";
    let state = if closed { "closed" } else { "" };
    let query = [("state", state), ("after", given.after.as_str())];
    let (list, departments) =
        match (frame.get::<List>("/api/v1/cases", &query).await, Departments::of(&frame).await) {
            (Ok(list), Ok(departments)) => (list, departments),
            (Err(failure), _) | (_, Err(failure)) => return frame.failed(&failure),
        };
    let place = |after: &str| address("/cases", &[("state", state), ("after", after)]);
    let content = html! {
        @if frame.me.may("cases") { p { a.button.main href="/cases/new" { (text.new_case) } } }
        ul.quick aria-label=(text.which) {
            li { a.button href="/cases" aria-current=[(!closed).then_some("true")] { (text.open_cases) } }
            li { a.button href="/cases?state=closed" aria-current=[closed.then_some("true")] { (text.closed_cases) } }
        }
        @if list.cases.is_empty() { p role="status" { @if closed { (text.none_closed) } @else { (text.none_open) } } }
        @else { (table(&frame, text, &departments, &list.cases, closed)) }
        p.controls {
            @if !given.after.is_empty() { a.button href=(place("")) { (text.first_page) } }
            @if let (true, Some(last)) = (list.more, list.cases.last()) {
                a.button rel="next" href=(place(&last.number)) { (text.next_page) }
            }
        }
    };
    frame.page(Page::of(FrameTexts::of(frame.language).requests), content)
}

fn table(
    frame: &Frame,
    text: &CasesTexts,
    departments: &Departments,
    cases: &[Case],
    closed: bool,
) -> Markup {
    html! {
        div.wide { table.grid {
            thead { tr {
                th scope="col" { (text.number) } th scope="col" { (text.asked) } th scope="col" { (text.caller) }
                th scope="col" { (text.department) } th scope="col" { (text.received) }
                th scope="col" { @if closed { (text.closed) } @else { (text.due) } }
                th scope="col" { @if closed { (text.results) } @else { (text.next) } }
            } }
            tbody { @for case in cases { (row(frame, text, departments, case)) } }
        } }
    }
}

fn row(frame: &Frame, text: &CasesTexts, departments: &Departments, case: &Case) -> Markup {
    let told = case.told.as_ref();
    let closed = case.closed_at;
    html! {
        tr data-case=(case.number) {
            td data-head=(text.number) { a href={ "/cases/" (case.number) } { (case.number) } }
            td data-head=(text.asked) { @if let Some(what) = &case.asked { (asked(text, what)) } }
            td data-head=(text.caller) {
                @if let Some(caller) = told.and_then(|told| told.name.as_ref()) { (name(caller)) " " }
                @if let Some(number) = told.and_then(|told| told.number.as_ref()) { bdi { (number) } }
            }
            td data-head=(text.department) {
                (case.department.as_deref().map_or(text.all_departments, |id| departments.name(id)))
            }
            td data-head=(text.received) { (date(frame.language, case.received_on)) }
            @if let Some(at) = closed { td data-head=(text.closed) { (frame.time(at)) } }
            @else { td data-head=(text.due) { (case.clock(frame, text)) } }
            @if closed.is_some() {
                td data-head=(text.results) {
                    @if let Some(decided) = &case.decision { (view::decision(text, decided)) }
                    @for (what, count) in &case.counts { br; (outcome(text, what)) ": " (count) }
                }
            } @else { td data-head=(text.next) { (case.next(text)) } }
        }
    }
}
