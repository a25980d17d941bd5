//! The list of recordings: one search box, the department, the days. The search is in the page's address, so that it can
//! be kept, sent to a colleague of the same rights, and gone back to.

mod asked;
mod grid;
mod texts;

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{Frame, Page};
use super::me::Me;
use super::parts::field;
use super::texts::FrameTexts;
use super::when::date;
use crate::console::ask::Failure;
use crate::console::departments::Departments;
use asked::{Asked, Given, Wrong};
use grid::{Candidates, Found, Row};
pub(super) use texts::RecordingsTexts;

/// Recordings on a page.
const PAGE_SIZE: &str = "50";
/// Similar recordings at most.
const SIMILAR: &str = "50";

/// What a search found.
enum Outcome {
    /// Nothing was searched for yet, or a field is wrong.
    None,
    /// Rows that match.
    Found(Found),
    /// None matches; these are similar.
    Similar(Vec<Row>, bool),
    /// The search failed.
    Failed(Failure),
}

/// The page.
pub(super) async fn list(frame: Frame, Query(given): Query<Given>) -> Response {
    let departments = match Departments::of(&frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let purposes = purposes(&frame.me);
    let asked = Asked::of(&given, &frame.zone, &purposes);
    let outcome = match &asked {
        Ok(asked) => search(&frame, asked).await,
        Err(_) => Outcome::None,
    };
    if let Outcome::Failed(failure) = &outcome
        && failure.status == axum::http::StatusCode::UNAUTHORIZED
    {
        return frame.failed(failure);
    }
    let text = RecordingsTexts::of(frame.language);
    let wrong = asked.as_ref().err();
    let content = html! {
        (form(&frame, text, &given, &departments, &purposes, wrong))
        (quick(&frame, text, &given))
        @if wrong.is_some() { p.bad role="alert" { (text.not_searched) } }
        @if let Ok(asked) = &asked { (results(&frame, text, &given, asked, &departments, &outcome)) }
    };
    frame.page(Page::of(FrameTexts::of(frame.language).recordings), content)
}

/// The purposes for which somebody may search: listening first.
fn purposes(me: &Me) -> Vec<&str> {
    me.purposes.iter().map(String::as_str).collect()
}

async fn search(frame: &Frame, asked: &Asked) -> Outcome {
    let mut query = asked.query();
    query.push(("page_size", PAGE_SIZE));
    let found = match frame.get::<Found>("/api/v1/recordings", &query).await {
        Ok(found) => found,
        Err(failure) => return Outcome::Failed(failure),
    };
    let nobody = found.recordings.is_empty() && found.next.is_none() && asked.after.is_empty();
    if !nobody || (asked.number.is_empty() && asked.name.is_empty()) {
        return Outcome::Found(found);
    }
    let mut query = asked.query();
    query.push(("most", SIMILAR));
    // The caller's words may be a little off: a name misspelt, a digit wrong.
    match frame.get::<Candidates>("/api/v1/candidates", &query).await {
        Ok(similar) if similar.candidates.is_empty() => Outcome::Found(found),
        Ok(similar) => Outcome::Similar(similar.candidates, similar.truncated),
        Err(failure) => Outcome::Failed(failure),
    }
}

fn form(
    frame: &Frame,
    text: &RecordingsTexts,
    given: &Given,
    departments: &Departments,
    purposes: &[&str],
    wrong: Option<&Wrong>,
) -> Markup {
    let from_wrong = wrong.filter(|wrong| wrong.from).map(|_| text.wrong_day);
    let to_wrong = wrong.filter(|wrong| wrong.to).map(|_| text.wrong_day);
    let order_wrong = wrong.filter(|wrong| wrong.order).map(|_| text.wrong_order);
    let to_wrong = to_wrong.or(order_wrong);
    let day = |name: &str, value: &str, wrong: Option<&str>| {
        let said = super::parts::wrong_id(name, wrong);
        html! { input type="date" id=(name) name=(name) value=(value) aria-invalid=[wrong.map(|_| "true")] aria-describedby=[said]; }
    };
    let box_ = html! {
        input type="search" id="q" name="q" value=(given.q) size="28" maxlength="200" autocomplete="off" aria-describedby="q-help";
    };
    html! {
        form.search method="get" action="/recordings" role="search" {
            (field("q", text.box_label, None, &box_))
            (departments.choice(text.all_departments, text.department, &given.department))
            (field("from", text.from, from_wrong, &day("from", &given.from, from_wrong)))
            (field("to", text.to, to_wrong, &day("to", &given.to, to_wrong)))
            @if purposes.len() > 1 { (purpose_choice(frame, text, given, purposes)) }
            button.main { (text.search) }
            p.quiet.row id="q-help" { (text.box_help) }
        }
    }
}

fn purpose_choice(frame: &Frame, text: &RecordingsTexts, given: &Given, purposes: &[&str]) -> Markup {
    let control = html! {
        select id="purpose" name="purpose" {
            @for one in purposes { option value=(one) selected[given.purpose == *one] { (purpose(frame, one)) } }
        }
    };
    field("purpose", text.purpose, None, &control)
}

/// A purpose in words.
pub(super) fn purpose(frame: &Frame, name: &str) -> &'static str {
    let text = RecordingsTexts::of(frame.language);
    match name {
        "training" => text.training,
        "caller_request" => text.caller_request,
        _ => text.administration,
    }
}

/// Links to usual spans of days, which keep the rest of the search.
fn quick(frame: &Frame, text: &RecordingsTexts, given: &Given) -> Markup {
    let today = frame.zone.day(jiff::Timestamp::now());
    let before = |days: i64| today.checked_sub(jiff::Span::new().days(days)).unwrap_or(today);
    let spans = [
        (text.today, today, today),
        (text.yesterday, before(1), before(1)),
        (text.last_7_days, before(6), today),
        (text.last_30_days, before(29), today),
    ];
    html! {
        ul.quick aria-label=(text.quick) {
            @for (name, from, to) in spans {
                @let (from, to) = (from.to_string(), to.to_string());
                li {
                    a.button href=(given.address(&[("from", &from), ("to", &to), ("after", "")]))
                        aria-current=[(given.from == from && given.to == to).then_some("true")] { (name) }
                }
            }
            @if !given.from.is_empty() || !given.to.is_empty() {
                li { a.button href=(given.address(&[("from", ""), ("to", ""), ("after", "")])) { (text.all_days) } }
            }
        }
    }
}

fn results(
    frame: &Frame,
    text: &RecordingsTexts,
    given: &Given,
    asked: &Asked,
    departments: &Departments,
    outcome: &Outcome,
) -> Markup {
    match outcome {
        Outcome::None => html! {},
        Outcome::Failed(failure) => {
            let (title, words) = super::errors::words(frame.language, failure.status);
            html! { div.card role="alert" { h2 { (title) } p { (words) } p.bad { (text.failed) } } }
        }
        Outcome::Similar(rows, truncated) => html! {
            p role="status" { strong { (text.similar) } " " (text.similar_help) @if *truncated { " " (text.similar_truncated) } }
            (grid::grid(frame, text, departments, rows, &asked.purpose))
        },
        Outcome::Found(found) if found.recordings.is_empty() && found.next.is_none() => html! {
            p role="status" { strong { (text.none_found) } " " (text.none_help) }
            @if !asked.after.is_empty() { (first_page(text, given)) }
        },
        Outcome::Found(found) => html! {
            p role="status" { strong { (count(text, found)) } (span(frame, text, given)) }
            (grid::grid(frame, text, departments, &found.recordings, &asked.purpose))
            nav.pages aria-label=(text.pages) {
                @if !asked.after.is_empty() { (first_page(text, given)) }
                @if let Some(next) = &found.next {
                    a.button rel="next" href=(given.address(&[("after", next)])) { (text.next_page) }
                } @else { span.quiet { (text.last_page) } }
            }
        },
    }
}

fn first_page(text: &RecordingsTexts, given: &Given) -> Markup {
    html! { a.button href=(given.address(&[("after", "")])) { (text.first_page) } }
}

/// How many there are: exactly, or more than.
fn count(text: &RecordingsTexts, found: &Found) -> String {
    let number = grouped(found.total.max(found.recordings.len() as u64));
    match (found.total_is_least, found.total) {
        (true, _) => format!("{} {number}", text.more_than),
        (false, 1) => text.one_found.to_owned(),
        (false, _) => format!("{number} {}", text.found),
    }
}

/// A number with thin spaces between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join("\u{202f}")
}

/// The days that were searched, in words.
fn span(frame: &Frame, text: &RecordingsTexts, given: &Given) -> String {
    let day = |text: &str| text.parse().ok().map(|day| date(frame.language, day));
    match (day(&given.from), day(&given.to)) {
        (None, None) => String::new(),
        (Some(from), Some(to)) if from == to => format!(", {from}"),
        (from, to) => format!(
            ", {} – {}",
            from.unwrap_or_else(|| text.from_the_first.to_owned()),
            to.unwrap_or_else(|| text.until_now.to_owned())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1\u{202f}234\u{202f}567"]);
    }
}
