//! Recordings in rows.

use maud::{Markup, html};
use serde::Deserialize;

use super::RecordingsTexts;
use crate::console::ask::address;
use crate::console::departments::Departments;
use crate::console::frame::Frame;
use crate::console::parts::{length, name};

/// A recording in a list, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    id: String,
    department: String,
    started_at: jiff::Timestamp,
    duration_ms: u64,
    caller_number: String,
    called_number: String,
    caller_name: Option<String>,
    #[serde(default)]
    verdicts: Vec<String>,
}

/// A page of matches.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    /// The rows.
    pub recordings: Vec<Row>,
    /// Matches on all pages.
    pub total: u64,
    /// Whether there may be more.
    pub total_is_least: bool,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Similar recordings.
#[derive(Debug, Deserialize)]
pub(super) struct Candidates {
    /// The most similar first.
    pub candidates: Vec<Row>,
    /// Whether more could not be compared.
    pub truncated: bool,
}

/// The rows, each with a link to its recording.
pub(super) fn grid(
    frame: &Frame,
    text: &RecordingsTexts,
    departments: &Departments,
    rows: &[Row],
    purpose: &str,
) -> Markup {
    html! {
        div.wide {
            table.grid {
                thead { tr {
                    th scope="col" { (text.began) }
                    th scope="col" { (text.department) }
                    th scope="col" { (text.caller) }
                    th scope="col" { (text.caller_name) }
                    th scope="col" { (text.called) }
                    th.number scope="col" { (text.length) }
                    th scope="col" { (text.audio) }
                } }
                tbody { @for row in rows { (line(frame, text, departments, row, purpose)) } }
            }
        }
    }
}

fn line(
    frame: &Frame,
    text: &RecordingsTexts,
    departments: &Departments,
    row: &Row,
    purpose: &str,
) -> Markup {
    let place = address(&format!("/recordings/{}", row.id), &[("purpose", purpose)]);
    let whole = row.verdicts.iter().all(|verdict| verdict == "ok");
    html! {
        tr data-recording=(row.id) {
            td data-head=(text.began) { a href=(place) { (frame.time(row.started_at)) } }
            td data-head=(text.department) { (departments.name(&row.department)) }
            td data-head=(text.caller) { bdi { (row.caller_number) } }
            td data-head=(text.caller_name) { @if let Some(caller) = &row.caller_name { (name(caller)) } }
            td data-head=(text.called) { bdi { (row.called_number) } }
            td.number data-head=(text.length) { (length(row.duration_ms)) }
            td data-head=(text.audio) { @if whole { (text.whole) } @else { span.bad { (text.not_whole) } } }
        }
    }
}
