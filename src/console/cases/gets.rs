//! Where a case offers what the caller gets: the letter, and for each recording the cover sheet, a file or a link.

use maud::{Markup, html};

use super::view::{Case, Chosen};
use super::{CasesTexts, HandingTexts};
use crate::console::choices::code;
use crate::console::frame::Frame;
use crate::disclosure::sheet::Language;

fn other(language: Language) -> Language {
    match language {
        Language::Danish => Language::English,
        Language::English => Language::Danish,
    }
}

/// The letter, in both languages.
pub(super) fn answer(frame: &Frame, text: &CasesTexts, case: &Case) -> Markup {
    let place = |language| format!("/cases/{}/letter?language={}", case.number, code(language));
    html! {
        section {
            h2 { (text.answer) }
            p { (text.letter_help) }
            p.controls {
                a.button href=(place(frame.language)) { (text.letter) }
                a.button href=(place(other(frame.language))) { (text.letter_other) }
            }
        }
    }
}

/// What may be done to hand a recording out.
pub(super) fn part(frame: &Frame, _: &CasesTexts, case: &Case, one: &Chosen) -> Markup {
    let text = HandingTexts::of(frame.language);
    let place = |what: &str| format!("/cases/{}/recordings/{}/{what}", case.number, one.id);
    let at = frame.zone.text(frame.language, one.started_at);
    let open = one.result.as_ref().is_some_and(|done| done.outcome == "link_open");
    html! {
        div.controls {
            @if frame.me.may("export") && case.state == "decided" {
                a.button href=(place("hand-out")) { (text.make) span.hidden { " " (at) } }
                @if open {
                    form method="post" action=(place("revoke")) {
                        (frame.key())
                        button { (text.revoke) span.hidden { " " (at) } }
                    }
                }
            }
            a href={ (place("sheet")) "?language=" (code(frame.language)) } { (text.sheet) span.hidden { " " (at) } }
        }
    }
}
