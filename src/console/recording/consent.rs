//! The caller's consent: what was asked, in the prompt's words, and every change with its key and time.

use maud::{Markup, html};
use serde::Deserialize;

use super::RecordingTexts;
use crate::console::departments::{Departments, Prompt};
use crate::console::frame::Frame;

/// A change of consent, as the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Consent {
    state: String,
    how: String,
    at: jiff::Timestamp,
    prompt_version: Option<String>,
    evidence: Evidence,
    terms: Option<Terms>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Evidence {
    keys: Option<String>,
    name: Option<String>,
    staff: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Terms {
    department: String,
    text_sha256: Option<String>,
}

impl Consent {
    /// The prompt that the caller heard, if the configuration still has these words.
    fn prompt<'a>(&self, departments: &'a Departments) -> Option<&'a Prompt> {
        let hash = self.terms.as_ref()?.text_sha256.as_ref()?;
        let all = departments.0.iter().flat_map(|department| &department.prompts);
        all.into_iter().find(|prompt| prompt.text_sha256 == *hash && !prompt.text.is_empty())
    }
}

/// Every change, in order.
pub(super) fn list(
    frame: &Frame,
    text: &RecordingTexts,
    all: &[Consent],
    departments: &Departments,
) -> Markup {
    let mut told: Vec<&str> = Vec::new();
    html! {
        ol.consent {
            @for one in all {
                @let prompt = one.prompt(departments);
                @let anew = prompt.is_some_and(|prompt| !told.contains(&prompt.text_sha256.as_str()));
                @if let (Some(prompt), true) = (prompt, anew) {
                    @let () = told.push(&prompt.text_sha256);
                    li {
                        (text.the_caller_heard) " (" (prompt.version) ")"
                        blockquote lang=(prompt.language) { (prompt.text) }
                    }
                } @else if prompt.is_none() {
                    @if let Some(version) = &one.prompt_version { li { (text.prompt_gone) " " code { (version) } } }
                }
                li {
                    strong { (state(text, &one.state)) } ", " (frame.time(one.at)) ": " (how(text, &one.how))
                    @if let Some(keys) = &one.evidence.keys { " " kbd { (keys) } }
                    @if let Some(staff) = one.evidence.staff.as_ref().or(one.evidence.name.as_ref()) { ", " bdi { (staff) } }
                    @if let Some(terms) = &one.terms { " · " (departments.name(&terms.department)) }
                }
            }
        }
    }
}

fn state(text: &RecordingTexts, state: &str) -> &'static str {
    match state {
        "granted" => text.granted,
        "refused" => text.refused,
        "asked" => text.asked,
        "withdrawn" => text.withdrawn,
        _ => text.not_asked,
    }
}

fn how(text: &RecordingTexts, how: &str) -> &'static str {
    match how {
        "key" => text.by_key,
        "system" => text.by_system,
        "staff" => text.by_staff,
        "timeout" => text.by_timeout,
        "call_ended" => text.by_end,
        "transfer" => text.by_transfer,
        _ => text.by_import,
    }
}
