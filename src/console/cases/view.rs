//! A case as the API shows it, and the words for what it says.

use axum::response::Response;
use jiff::civil::Date;
use maud::{Markup, html};
use serde::Deserialize;

use super::CasesTexts;
use crate::console::frame::Frame;
use crate::console::when::date;

/// A case. What the caller said, and all that follows, is there for whoever answers callers, until it is closed.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    /// Year and running number.
    pub number: String,
    /// A department's id; none: all.
    pub department: Option<String>,
    /// `open`, `decided` or `closed`.
    pub state: String,
    /// To be named by the next step.
    pub revision: i64,
    /// What is asked for.
    pub asked: Option<String>,
    /// Day of receipt.
    pub received_on: Date,
    /// Last day of the time limit.
    pub due_on: Date,
    /// Days until then.
    pub days_left: Option<i64>,
    /// Whether the time limit was extended.
    pub extended: bool,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    pub opened_at: jiff::Timestamp,
    /// What was decided.
    pub decision: Option<String>,
    /// Ground of a refusal.
    pub ground: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<jiff::Timestamp>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// When.
    pub closed_at: Option<jiff::Timestamp>,
    /// How many recordings came to which outcome.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// What the caller said.
    pub told: Option<Told>,
    /// How identity was checked.
    pub identity: Option<Identity>,
    /// The recordings that are meant.
    pub recordings: Option<Vec<Chosen>>,
    /// Why the time limit was extended.
    pub extension_reason: Option<String>,
    /// Why the request is refused.
    pub reason: Option<String>,
}

/// What a caller said.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Told {
    /// Number called from.
    pub number: Option<String>,
    /// Number called.
    pub called_number: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Day of the call.
    pub date: Option<Date>,
    /// Time of day.
    pub time: Option<jiff::civil::Time>,
    /// How far off it may be.
    pub tolerance_min: Option<i64>,
    /// Where to answer, and what else was told.
    pub note: Option<String>,
}

/// How identity was checked.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    /// How.
    pub how: String,
    /// What else is to be known.
    pub note: Option<String>,
    /// Who checked it.
    pub by: String,
    /// When.
    pub at: jiff::Timestamp,
}

/// A recording that is meant.
#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    /// Its id.
    pub id: String,
    /// A department's id.
    pub department: String,
    /// When the call began.
    pub started_at: jiff::Timestamp,
    /// Length of the audio.
    pub duration_ms: u64,
    /// What was done with it.
    pub result: Option<Done>,
}

/// What was done with a recording.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    /// What.
    pub outcome: String,
    /// When that was seen.
    pub at: jiff::Timestamp,
    /// End of a hold or of a link, or what failed.
    pub detail: Option<String>,
}

impl Done {
    /// Whether nothing more is to come.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.outcome.as_str(), "erased" | "held" | "gone" | "handed_out" | "link_expired")
    }

    /// Whether doing it once more may help.
    pub(super) fn may_be_repeated(&self) -> bool {
        matches!(self.outcome.as_str(), "failed" | "held" | "erasing")
    }
}

impl Case {
    /// The recordings that are meant.
    pub(super) fn chosen(&self) -> &[Chosen] {
        self.recordings.as_deref().unwrap_or_default()
    }

    /// Whether something is decided.
    pub(super) fn is(&self, decision: &str) -> bool {
        self.decision.as_deref() == Some(decision)
    }

    /// Whether each result is final, so that it may be closed.
    pub(super) fn is_complete(&self) -> bool {
        let all = |one: &Chosen| one.result.as_ref().is_some_and(Done::is_final);
        self.state == "decided" && (self.is("refuse") || self.chosen().iter().all(all))
    }

    /// What is to be done next, in a word or two.
    pub(super) fn next(&self, text: &CasesTexts) -> &'static str {
        match (self.state.as_str(), &self.recordings) {
            ("closed", _) => text.state_closed,
            ("open", None) => text.state_open,
            ("open", _) if self.identity.is_none() => text.next_identity,
            ("open", Some(chosen)) if chosen.is_empty() => text.next_choose,
            ("open", _) => text.next_decide,
            (_, None) => text.state_decided,
            _ if self.is_complete() => text.next_close,
            _ if self.is("erase") => text.next_erase,
            _ => text.next_hand_out,
        }
    }

    /// The last day, and how far it is.
    pub(super) fn clock(&self, frame: &Frame, text: &CasesTexts) -> Markup {
        let due = date(frame.language, self.due_on);
        html! {
            (due)
            @if let Some(left) = self.days_left {
                " · "
                @match left {
                    0 => strong.bad { (text.due_today) },
                    1 => strong { (text.one_day_left) },
                    left if left > 0 => { strong { (left) " " (text.days_left) } },
                    -1 => strong.bad { (text.one_day_over) },
                    left => strong.bad { (-left) " " (text.days_over) },
                }
            }
        }
    }
}

/// What is asked for, in words.
pub(super) fn asked(text: &CasesTexts, asked: &str) -> &'static str {
    match asked {
        "erase" => text.asked_erase,
        "hand_out" => text.asked_hand_out,
        _ => text.asked_access,
    }
}

/// What was decided, in words.
pub(super) fn decision(text: &CasesTexts, decision: &str) -> &'static str {
    match decision {
        "erase" => text.decided_erase,
        "hand_out" => text.decided_hand_out,
        _ => text.decided_refuse,
    }
}

/// How identity was checked, in words.
pub(super) fn identity(text: &CasesTexts, how: &str) -> &'static str {
    match how {
        "called_back" => text.called_back,
        "knows_the_call" => text.knows_the_call,
        "digital_id" => text.digital_id,
        "in_person" => text.in_person,
        _ => text.identity_other,
    }
}

/// The ground of a refusal, in words.
pub(super) fn ground(text: &CasesTexts, ground: &str) -> &'static str {
    match ground {
        "not_found" => text.ground_not_found,
        "not_identified" => text.ground_not_identified,
        "held" => text.ground_held,
        "taken_back" => text.ground_taken_back,
        _ => text.ground_other,
    }
}

/// What became of a recording, in words.
pub(super) fn outcome(text: &CasesTexts, outcome: &str) -> &'static str {
    match outcome {
        "erased" => text.erased,
        "erasing" => text.erasing,
        "held" => text.held,
        "gone" => text.gone,
        "handed_out" => text.handed_out,
        "handing_out" => text.handing_out,
        "broken_off" => text.broken_off,
        "link_open" => text.link_open,
        "link_expired" => text.link_expired,
        _ => text.failed,
    }
}

/// Whether a text is the number of a case, which becomes part of an address.
pub(super) fn is_number(text: &str) -> bool {
    text.parse::<crate::cases::case::CaseNumber>().is_ok()
}

/// The address of a case in the API.
pub(super) fn api(number: &str) -> String {
    format!("/api/v1/cases/{number}")
}

/// The revision in a form; none is none that a case has.
pub(super) fn revision(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// The hidden field that names the revision.
pub(super) fn seen(case: &Case) -> Markup {
    html! { input type="hidden" name="revision" value=(case.revision); }
}

/// The case of an address.
///
/// Errors: the page to show instead.
pub(super) async fn case(frame: &Frame, number: &str) -> Result<Case, Response> {
    if !is_number(number) {
        return Err(frame.not_found());
    }
    frame.get::<Case>(&api(number), &[]).await.map_err(|failure| frame.failed(&failure))
}
