//! Retention: how old recordings are and when the next ones expire, and the report that proves whether anything is older
//! than it may be, as a page to print.

mod texts;

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use maud::{Markup, html};
use serde::Deserialize;

use super::ask::{address, read};
use super::departments::Departments;
use super::frame::{Frame, Page};
use super::texts::FrameTexts;
use super::when::date;
pub(super) use texts::RetentionTexts;

/// Width of a bar of the histogram. Units: days.
const BAR_DAYS: i64 = 10;

#[derive(Deserialize)]
struct Ages {
    at: jiff::Timestamp,
    limit_days: i64,
    ages: Vec<Age>,
    expiries: Vec<Expiry>,
}

#[derive(Deserialize)]
struct Age {
    department: String,
    days: i64,
    count: u64,
}

#[derive(Deserialize)]
struct Expiry {
    department: String,
    day: Date,
    count: u64,
}

/// The page.
pub(super) async fn show(frame: Frame) -> Response {
    let text = RetentionTexts::of(frame.language);
    let (ages, departments) =
        match (frame.get::<Ages>("/api/v1/retention/ages", &[]).await, Departments::of(&frame).await) {
            (Ok(ages), Ok(departments)) => (ages, departments),
            (Err(failure), _) | (_, Err(failure)) => return frame.failed(&failure),
        };
    let total: u64 = ages.ages.iter().map(|age| age.count).sum();
    let over: u64 = ages.ages.iter().filter(|age| age.days > ages.limit_days).map(|age| age.count).sum();
    let content = html! {
        p {
            strong { (total) " " (text.recordings) } ", " (frame.time(ages.at)) ". "
            (text.limit) " " (ages.limit_days) " " (text.days) "."
        }
        @if over > 0 { p.bad role="alert" { (over) " " (text.over) } } @else { p.good { (text.none_over) } }
        p { a.button.main href="/retention/report" { (text.report_make) } }
        section { h2 { (text.ages) } (histogram(text, &ages)) }
        section { h2 { (text.by_department) } (by_department(text, &departments, &ages)) }
        section { h2 { (text.expiries) } (expiries(&frame, text, &departments, &ages)) }
    };
    frame.page(Page::of(FrameTexts::of(frame.language).retention), content)
}

/// Bars of ten days each; the last one has what is beyond the limit.
fn bars(ages: &Ages) -> Vec<(i64, i64, u64)> {
    let within = (0..ages.limit_days).step_by(BAR_DAYS as usize);
    let spans = within.map(|from| (from, (from + BAR_DAYS).min(ages.limit_days)));
    let count = |from: i64, to: i64| -> u64 {
        let those = ages.ages.iter().filter(|age| (from..=to).contains(&age.days));
        those.map(|age| age.count).sum()
    };
    // A recording expires in the course of the last day.
    let last = ages.limit_days - 1;
    spans
        .map(|(from, to)| if to > last { (from, ages.limit_days) } else { (from, to - 1) })
        .map(|(from, to)| (from, to, count(from, to)))
        .chain([(ages.limit_days + 1, i64::MAX, count(ages.limit_days + 1, i64::MAX))])
        .collect()
}

fn histogram(text: &RetentionTexts, ages: &Ages) -> Markup {
    let bars = bars(ages);
    let most = bars.iter().map(|(_, _, count)| *count).max().unwrap_or_default().max(1);
    html! {
        table.bars {
            thead { tr { th scope="col" { (text.age) } th.number scope="col" { (text.recordings) } td {} } }
            tbody {
                @for (from, to, count) in bars {
                    @let over = to == i64::MAX;
                    tr {
                        th scope="row" {
                            @if over { (text.more_than) " " (from - 1) " " (text.days) } @else { (from) "–" (to) " " (text.days) }
                        }
                        td.number.bad[over && count > 0] { (count) }
                        td aria-hidden="true" {
                            svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" {
                                rect.over[over] width=(count * 100 / most) height="10" {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn by_department(text: &RetentionTexts, departments: &Departments, ages: &Ages) -> Markup {
    let mut all: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
    for age in &ages.ages {
        let (count, oldest) = all.entry(&age.department).or_default();
        *count += age.count;
        *oldest = (*oldest).max(age.days);
    }
    html! {
        @if all.is_empty() { p { (text.none) } } @else {
            table.grid {
                thead { tr {
                    th scope="col" { (text.department) } th.number scope="col" { (text.recordings) }
                    th.number scope="col" { (text.oldest) }
                } }
                tbody { @for (id, (count, oldest)) in all { tr {
                    td data-head=(text.department) { (departments.name(id)) }
                    td.number data-head=(text.recordings) { (count) }
                    td.number data-head=(text.oldest) { (oldest) }
                } } }
            }
        }
    }
}

fn expiries(frame: &Frame, text: &RetentionTexts, departments: &Departments, ages: &Ages) -> Markup {
    html! {
        @if ages.expiries.is_empty() { p { (text.none_expire) } } @else {
            table.grid {
                thead { tr {
                    th scope="col" { (text.day) } th scope="col" { (text.department) }
                    th.number scope="col" { (text.recordings) }
                } }
                tbody { @for one in &ages.expiries { tr {
                    td data-head=(text.day) { (date(frame.language, one.day)) }
                    td data-head=(text.department) { (departments.name(&one.department)) }
                    td.number data-head=(text.recordings) { (one.count) }
                } } }
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    /// A report that is being made.
    job: String,
}

#[derive(Deserialize)]
struct Report {
    at: jiff::Timestamp,
    made_at: jiff::Timestamp,
    limit_days: u64,
    grace_s: u64,
    clean: bool,
    parts: Vec<Part>,
    held: Vec<Held>,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    answers: bool,
    there: u64,
    oldest_at: Option<jiff::Timestamp>,
    too_old: u64,
    amiss: u64,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Held {
    id: String,
    until: jiff::Timestamp,
    reason: String,
    lawful_basis: Option<String>,
}

#[derive(Deserialize)]
struct Progress {
    job: u64,
    looked_at: u64,
}

/// The report, to read and to print; while it is being made, how far it is.
pub(super) async fn report(frame: Frame, Query(given): Query<Given>) -> Response {
    let text = RetentionTexts::of(frame.language);
    let answer = frame.asking().get_answer("/api/v1/retention/report", &[("job", given.job.trim())]).await;
    let answer = match answer {
        Ok(answer) => answer,
        // One that is not known any more is made anew.
        Err(failure) if failure.status == StatusCode::NOT_FOUND && !given.job.is_empty() => {
            return frame.go("/retention/report");
        }
        Err(failure) => return frame.failed(&failure),
    };
    if let Ok(progress) = serde_json::from_slice::<Progress>(&answer.bytes) {
        let again = address("/retention/report", &[("job", &progress.job.to_string())]);
        let content = html! {
            p role="status" { (text.being_made) " " (progress.looked_at) " " (text.looked_at) }
            p { a.button.main href=(again) { (text.look_again) } " " a.button href="/retention" { (text.back) } }
        };
        return frame.page(Page::of(text.report), content);
    }
    match read::<Report>(&answer) {
        Ok(report) => frame.page(Page::of(text.report), whole(&frame, text, &report)),
        Err(failure) => frame.failed(&failure),
    }
}

fn whole(frame: &Frame, text: &RetentionTexts, report: &Report) -> Markup {
    html! {
        @if report.clean { p.good role="status" { strong { (text.clean) } } }
        @else { p.bad role="alert" { strong { (text.not_clean) } } }
        p.controls { button type="button" data-print hidden { (text.print) } a.button href="/retention" { (text.back) } }
        dl {
            dt { (text.state_at) } dd { (frame.time(report.at)) }
            dt { (text.made_at) } dd { (frame.time(report.made_at)) ", " bdi { (frame.me.name) } }
            dt { (text.limit) } dd { (report.limit_days) " " (text.days) }
            dt { (text.grace) } dd { (report.grace_s.div_ceil(60)) " min" }
        }
        div.wide { table.grid {
            thead { tr {
                th scope="col" { (text.part) } th scope="col" { (text.checked) } th.number scope="col" { (text.there) }
                th scope="col" { (text.oldest_at) } th.number scope="col" { (text.too_old) }
                th.number scope="col" { (text.amiss) } th scope="col" { (text.notes) }
            } }
            tbody { @for part in &report.parts { (row(frame, text, part)) } }
        } }
        @if !report.held.is_empty() {
            h2 { (text.held) }
            ul { @for one in &report.held { li {
                code { (one.id) } ", " (text.until) " " (frame.time(one.until)) ": " bdi { (one.reason) }
                @if let Some(basis) = &one.lawful_basis { " (" bdi { (basis) } ")" }
            } } }
        }
    }
}

fn row(frame: &Frame, text: &RetentionTexts, part: &Part) -> Markup {
    html! {
        tr {
            td data-head=(text.part) { (name(text, &part.name)) }
            td data-head=(text.checked) {
                @if part.answers { span.good { (text.yes) } } @else { span.bad { (text.no) } }
            }
            td.number data-head=(text.there) { (part.there) }
            td data-head=(text.oldest_at) { @if let Some(at) = part.oldest_at { (frame.time(at)) } }
            td.number data-head=(text.too_old) { span.bad[part.too_old > 0] { (part.too_old) } }
            td.number data-head=(text.amiss) { span.bad[part.amiss > 0] { (part.amiss) } }
            td data-head=(text.notes) {
                @if !part.notes.is_empty() { ul.bare lang="en" { @for note in &part.notes { li { bdi { (note) } } } } }
            }
        }
    }
}

/// A part of the recorder, in words.
fn name(text: &RetentionTexts, name: &str) -> &'static str {
    match name {
        "index" => text.part_index,
        "store" => text.part_store,
        "compared" => text.part_both,
        "bucket rules" => text.part_rules,
        "spool" => text.part_spool,
        "deletion log" => text.part_log,
        _ => text.part_clock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::Browser;
    use crate::http::access::Role;

    fn ages(days: &[(i64, u64)]) -> Ages {
        let age = |(days, count): &(i64, u64)| Age { department: "a".into(), days: *days, count: *count };
        let at = jiff::Timestamp::UNIX_EPOCH;
        Ages { at, limit_days: 90, ages: days.iter().map(age).collect(), expiries: Vec::new() }
    }

    #[test]
    fn bars_hold_every_recording_once_and_the_last_one_what_is_too_old() {
        let found = bars(&ages(&[(0, 1), (9, 2), (10, 4), (89, 8), (90, 16), (91, 32), (400, 64)]));
        assert_eq!(found.len(), 10);
        assert_eq!((found[0], found[1]), ((0, 9, 3), (10, 19, 4)));
        assert_eq!((found[8], found[9]), ((80, 90, 24), (91, i64::MAX, 96)));
    }

    #[tokio::test]
    async fn what_is_too_old_is_told_first_and_the_report_can_be_printed() {
        let mut browser = Browser::of(Role::Auditor).await;
        browser.post("/choose", "language=da&back=/").await;
        let page = browser.page("/retention").await;
        for shown in ["6 optagelser", "2 er ældre", "10–19", "Mere end 90", "10.02.1970", "Citizen service"]
        {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        let page = browser.page("/retention/report").await;
        for shown in
            ["Intet er ældre", "Registret", "data-print", "90 dage", &crate::http::fakes::id().to_string()]
        {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        let page = browser.page("/retention/report?job=7").await;
        assert!(page.contains("job=7") && page.contains("Se efter igen"), "{page}");
        let mut listener = browser.another(Role::Listener).await;
        assert_eq!(listener.get("/retention").await.status, 403);
    }
}
