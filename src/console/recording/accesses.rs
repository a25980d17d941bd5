//! Who listened, newest first. Requests for parts of one listening are told as one.

use maud::{Markup, html};
use serde::Deserialize;

use super::RecordingTexts;
use crate::console::frame::Frame;
use crate::console::recordings::purpose;

/// Time between two accesses of the same person that count as one. Units: s.
const TOGETHER_S: i64 = 1_800;
/// Rows that are shown at once.
const AT_ONCE: usize = 20;

/// An access, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Access {
    at: jiff::Timestamp,
    actor: String,
    action: String,
    purpose: String,
}

/// Accesses told as one: the first, with the time of the last.
struct Together<'a> {
    first: &'a Access,
    last: jiff::Timestamp,
}

fn together(all: &[Access]) -> Vec<Together<'_>> {
    let mut rows: Vec<Together<'_>> = Vec::new();
    for access in all {
        let same = |row: &&mut Together<'_>| {
            let (one, other) = (row.first, access);
            one.actor == other.actor
                && one.action == other.action
                && one.purpose == other.purpose
                && other.at.as_second() - row.last.as_second() < TOGETHER_S
        };
        match rows.iter_mut().rev().find(same) {
            Some(row) => row.last = access.at,
            None => rows.push(Together { first: access, last: access.at }),
        }
    }
    rows.reverse();
    rows
}

/// The list.
pub(super) fn list(frame: &Frame, text: &RecordingTexts, all: &[Access]) -> Markup {
    let (viewed, heard): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|access| access.action == "viewed");
    let heard_rows = together(&heard);
    let viewed_rows = together(&viewed);
    html! {
        @if heard_rows.is_empty() { p { (text.nobody_listened) } } @else { (table(frame, text, &heard_rows)) }
        @if !viewed_rows.is_empty() {
            details { summary { (text.who_viewed) " (" (viewed_rows.len()) ")" } (table(frame, text, &viewed_rows)) }
        }
    }
}

fn table(frame: &Frame, text: &RecordingTexts, rows: &[Together<'_>]) -> Markup {
    let (shown, more) = rows.split_at(rows.len().min(AT_ONCE));
    html! {
        (part(frame, text, shown))
        @if !more.is_empty() { details { summary { (text.earlier) " (" (more.len()) ")" } (part(frame, text, more)) } }
    }
}

fn part(frame: &Frame, text: &RecordingTexts, rows: &[Together<'_>]) -> Markup {
    html! {
        ul.accesses {
            @for row in rows {
                li {
                    strong { bdi { (row.first.actor) } } " " (action(text, &row.first.action))
                    br; span.quiet {
                        (frame.time(row.first.at))
                        @if row.last != row.first.at { " – " (frame.time(row.last)) }
                        @if !row.first.purpose.is_empty() { " · " (purpose(frame, &row.first.purpose)) }
                    }
                }
            }
        }
    }
}

fn action(text: &RecordingTexts, action: &str) -> &'static str {
    match action {
        "heard" => text.heard,
        "handed_out" => text.handed_out,
        "broken_off" => text.broken_off,
        "imported" => text.imported,
        _ => text.viewed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(at: &str, actor: &str, action: &str) -> Access {
        let at = format!("2026-11-24T{at}Z").parse().unwrap();
        Access { at, actor: actor.into(), action: action.into(), purpose: "training".into() }
    }

    #[test]
    fn parts_of_one_listening_are_told_as_one() {
        let all = [
            access("10:00:00", "ada", "heard"),
            access("10:00:10", "ole", "heard"),
            access("10:01:00", "ada", "heard"),
            access("10:20:00", "ada", "heard"),
            access("10:21:00", "ada", "handed_out"),
            access("11:00:00", "ada", "heard"),
        ];
        let rows = together(&all);
        let told: Vec<_> =
            rows.iter().map(|row| (row.first.actor.as_str(), row.first.at, row.last)).collect();
        let at = |n: usize| all[n].at;
        assert_eq!(
            told,
            [("ada", at(5), at(5)), ("ada", at(4), at(4)), ("ole", at(1), at(1)), ("ada", at(0), at(3))]
        );
    }
}
