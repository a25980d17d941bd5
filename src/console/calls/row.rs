//! A call in a row.

use maud::{Markup, html};
use serde::Deserialize;

use super::CallsTexts;
use crate::console::departments::Departments;
use crate::console::frame::Frame;
use crate::console::parts::name;

/// A call, as the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Call {
    /// Its id.
    pub id: String,
    pub(super) department: String,
    pub(super) started_at: jiff::Timestamp,
    ended_at: Option<jiff::Timestamp>,
    pub(super) consent: String,
    pub(super) paused: bool,
    parties: Option<Parties>,
    streams: Vec<Stream>,
}

#[derive(Debug, Deserialize)]
struct Parties {
    caller_number: String,
    called_number: String,
    caller_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    label: String,
    role: String,
    counts: Counts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    received: u64,
    lost: u64,
    late: u64,
}

impl Call {
    /// Whether it is in progress.
    pub(super) fn is_live(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Its row. A cell whose content is not known here is marked as kept: a script leaves it as it is.
    pub(super) fn row(&self, frame: &Frame, text: &CallsTexts, departments: &Departments) -> Markup {
        html! {
            tr data-call=(self.id) {
                td data-head=(text.began) { (frame.time(self.started_at)) }
                td data-head=(text.caller) data-kept[self.parties.is_none()] { (self.who()) }
                td data-head=(text.department) { (departments.name(&self.department)) }
                td data-head=(text.consent) { (self.consent_in_words(text)) }
                td data-head=(text.packets) { (self.packets(text)) }
                td.act data-head=(text.steps) { (self.steps(frame, text)) }
            }
        }
    }

    /// Numbers and name.
    pub(super) fn who(&self) -> Markup {
        html! {
            @if let Some(parties) = &self.parties {
                bdi { (parties.caller_number) }
                @if let Some(caller) = &parties.caller_name { ", " (name(caller)) }
                " → " bdi { (parties.called_number) }
            }
        }
    }

    /// Where consent stands, and whether it is paused.
    pub(super) fn consent_in_words(&self, text: &CallsTexts) -> Markup {
        let words = match self.consent.as_str() {
            "granted" => text.granted,
            "refused" => text.refused,
            "asked" => text.asked,
            "withdrawn" => text.withdrawn,
            _ => text.not_asked,
        };
        html! { strong { (words) } @if self.paused { ", " (text.paused) } }
    }

    fn packets(&self, text: &CallsTexts) -> Markup {
        html! {
            ul.bare {
                @for stream in &self.streams {
                    li {
                        @match stream.role.as_str() {
                            "caller" => (text.leg_caller),
                            "employee" => (text.leg_employee),
                            _ => bdi { (stream.label) },
                        }
                        ": " (stream.counts.received)
                        @if stream.counts.received == 0 { " " span.bad { (text.nothing_arrives) } }
                        @if stream.counts.lost > 0 { ", " (stream.counts.lost) " " (text.lost) }
                        @if stream.counts.late > 0 { ", " (stream.counts.late) " " (text.late) }
                    }
                }
            }
        }
    }

    fn steps(&self, frame: &Frame, text: &CallsTexts) -> Markup {
        let place = |step: &str| format!("/calls/{}/{step}", self.id);
        let recorded = self.consent == "granted";
        html! {
            @if recorded && frame.me.may("pause") {
                @if self.paused {
                    form method="post" action=(place("resume")) { (frame.key()) button { (text.resume) } }
                } @else { a.button href=(place("pause")) { (text.pause) } }
            }
            @if recorded && frame.me.may("withdraw") { " " a.button href=(place("withdraw")) { (text.withdraw) } }
            @if self.consent == "asked" && frame.me.may("answer") {
                form method="post" action=(place("answer")) {
                    (frame.key())
                    button name="answer" value="yes" { (text.says_yes) }
                    button name="answer" value="no" { (text.says_no) }
                }
            }
        }
    }
}
