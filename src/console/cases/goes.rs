//! What an erasure would delete of a recording.

use maud::{Markup, html};
use serde::Deserialize;

use super::StepsTexts;
use crate::console::frame::Frame;

/// What an erasure would delete of a recording.
#[derive(Debug, Deserialize)]
pub(in crate::console) struct Preview {
    /// The recording.
    pub id: String,
    state: String,
    copies: Vec<Copy>,
    store_answers: bool,
    spool_key: bool,
    index_row: bool,
    held_until: Option<jiff::Timestamp>,
}

/// A copy in the store.
#[derive(Debug, Deserialize)]
struct Copy {
    name: String,
    kind: String,
    size_bytes: u64,
}

impl Preview {
    /// What goes, in a list.
    pub(in crate::console) fn list(&self, frame: &Frame) -> Markup {
        let (one, steps) = (self, StepsTexts::of(frame.language));
        let kb: u64 = one.copies.iter().map(|copy| copy.size_bytes).sum::<u64>().div_ceil(1_000);
        html! {
            ul {
                @if let Some(until) = one.held_until {
                    li.bad { (steps.held_until) " " (frame.time(until)) }
                }
                @match one.state.as_str() {
                    "unknown" => { li { (steps.state_unknown) } },
                    "erased" => { li { (steps.state_erased) } },
                    "live" => { li.bad { (steps.state_live) } },
                    _ => {},
                }
                @if !one.store_answers { li.bad { (steps.store_away) } }
                @if !one.copies.is_empty() {
                    li {
                        (one.copies.len()) " " (steps.copies) " (" (kb) " kB)"
                        details { summary { (steps.copies_by_name) }
                            ul { @for copy in &one.copies { li { code { (copy.name) } " (" (kind(steps, &copy.kind)) ")" } } }
                        }
                    }
                }
                @if one.spool_key { li { (steps.spool_key) } }
                @if one.index_row { li { (steps.index_row) } }
            }
        }
    }
}

fn kind(steps: &StepsTexts, kind: &str) -> &'static str {
    match kind {
        "object" => steps.kind_object,
        "delete_marker" => steps.kind_marker,
        _ => steps.kind_upload,
    }
}
