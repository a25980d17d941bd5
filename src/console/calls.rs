//! Calls in progress: who talks, in which department, where consent stands, what arrives; pausing, and a withdrawal on the
//! caller's word. A script brings the rows up to date and leaves alone whatever has the focus.

mod row;
mod steps;
mod texts;

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::ask::{Answer, Failure, read};
use super::departments::Departments;
use super::frame::{Frame, Page};
use super::texts::FrameTexts;
use row::Call;
pub(super) use steps::{answer, answer_by_name, ask_pause, ask_withdraw, pause, resume, withdraw};
pub(super) use texts::CallsTexts;

/// Rows on the page.
const MOST: usize = 200;
/// Names the nodes whose calls are missing.
const NODES_MISSING: &str = "optag-nodes-missing";

/// What the address says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    /// What was done just now: a key of the texts.
    done: String,
    /// The newest call that the reader's page has.
    newest: String,
}

/// The calls in progress.
struct Calls {
    /// Newest first.
    live: Vec<Call>,
    /// Nodes that did not answer.
    missing: Option<String>,
}

async fn calls(frame: &Frame, parties: bool) -> Result<Calls, Failure> {
    let wanted = if parties { "true" } else { "" };
    let answer: Answer = frame.asking().get_answer("/api/v1/calls", &[("parties", wanted)]).await?;
    let mut live: Vec<Call> = read(&answer)?;
    live.retain(Call::is_live);
    let missing = answer.headers.get(NODES_MISSING).and_then(|value| value.to_str().ok());
    Ok(Calls { live, missing: missing.map(str::to_owned) })
}

/// The page.
pub(super) async fn list(frame: Frame, Query(given): Query<Given>) -> Response {
    let text = CallsTexts::of(frame.language);
    let (found, departments) = match (calls(&frame, true).await, Departments::of(&frame).await) {
        (Ok(found), Ok(departments)) => (found, departments),
        (Err(failure), _) | (_, Err(failure)) => return frame.failed(&failure),
    };
    let content = html! {
        @if let Some(done) = steps::done(text, &given.done) { p.good role="status" { (done) } }
        noscript { p { a.button href="/calls" { (text.refresh) } } }
        div id="live" data-part="/calls/part" data-failed=(text.not_up_to_date) { (table(&frame, text, &departments, &found)) }
        p.bad id="said" role="status" {}
        @if frame.me.may("answer") && frame.me.departments.are_all() { (steps::by_name(&frame, text)) }
    };
    frame.page(Page::of(FrameTexts::of(frame.language).calls).scripts(&["live"]), content)
}

/// The rows alone. Numbers and names are asked for, and audited, only where there is a call that the reader's page has not.
pub(super) async fn part(frame: Frame, Query(given): Query<Given>) -> Response {
    let text = CallsTexts::of(frame.language);
    let departments = match Departments::of(&frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let found = match calls(&frame, false).await {
        Ok(found) if found.live.iter().any(|call| call.id.as_str() > given.newest.as_str()) => {
            calls(&frame, true).await
        }
        found => found,
    };
    match found {
        Ok(found) => frame.part(table(&frame, text, &departments, &found)),
        Err(failure) => frame.failed(&failure),
    }
}

fn table(frame: &Frame, text: &CallsTexts, departments: &Departments, found: &Calls) -> Markup {
    let newest = found.live.iter().map(|call| call.id.as_str()).max().unwrap_or_default();
    html! {
        p id="count" role="status" { strong { (found.live.len()) " " (text.in_progress) } }
        @if let Some(missing) = &found.missing { p.bad { (text.nodes_missing) " " (missing) } }
        div.wide {
            table.grid data-newest=(newest) hidden[found.live.is_empty()] {
                thead { tr {
                    th scope="col" { (text.began) }
                    th scope="col" { (text.caller) }
                    th scope="col" { (text.department) }
                    th scope="col" { (text.consent) }
                    th scope="col" { (text.packets) }
                    th scope="col" { (text.steps) }
                } }
                tbody { @for call in found.live.iter().take(MOST) { (call.row(frame, text, departments)) } }
            }
        }
        @if found.live.len() > MOST { p { (text.newest_only) " " (MOST) } }
    }
}
