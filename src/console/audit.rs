//! The audit log: searched, with the state of its chain, and with the listening that is worth asking about. The search is in
//! the page's address.

mod texts;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::ask::{Failure, address};
use super::frame::{Frame, Page};
use super::parts::{field, input, select};
use super::recordings::purpose;
use super::texts::FrameTexts;
pub(super) use texts::AuditTexts;

/// Entries on a page.
const PAGE_SIZE: &str = "50";
/// What an auditor looks for, by the names of the API.
const ACTIONS: [&str; 27] = [
    "playback",
    "view",
    "search",
    "export",
    "hand_out",
    "link",
    "preview",
    "erase",
    "import",
    "case",
    "hold",
    "report",
    "read_audit",
    "control",
    "access",
    "sign_in",
    "sign_out",
    "sign_in_failed",
    "sign_in_refused",
    "refused",
    "not_served",
    "broken_off",
    "confirm_clock",
    "replay_deletions",
    "drain",
    "test_store",
    "other",
];

/// The page's address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    actor: String,
    action: String,
    purpose: String,
    recording: String,
    text: String,
    from: String,
    to: String,
    before: String,
}

impl Given {
    fn address(&self, before: &str) -> String {
        let all = [
            ("actor", self.actor.as_str()),
            ("action", &self.action),
            ("purpose", &self.purpose),
            ("recording", &self.recording),
            ("text", &self.text),
            ("from", &self.from),
            ("to", &self.to),
            ("before", before),
        ];
        address("/audit", &all)
    }
}

#[derive(Deserialize)]
struct Found {
    entries: Vec<Numbered>,
    next: Option<u64>,
    chain: Chain,
}

#[derive(Deserialize)]
struct Numbered {
    sequence: u64,
    entry: Entry,
}

#[derive(Deserialize)]
struct Entry {
    at: jiff::Timestamp,
    actor: String,
    action: String,
    purpose: Option<String>,
    recording: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Chain {
    intact: bool,
    first: u64,
    last: u64,
    checkpoints: u64,
    fault: Option<String>,
}

#[derive(Deserialize)]
struct Unusual {
    days: i64,
    found: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    kind: String,
    actor: String,
    at: jiff::Timestamp,
    count: u64,
    usual: Option<u64>,
    recordings: Vec<String>,
}

/// The search.
pub(super) async fn list(frame: Frame, Query(given): Query<Given>) -> Response {
    let text = AuditTexts::of(frame.language);
    let day = |text: &str, after: i64| -> Result<String, ()> {
        if text.trim().is_empty() {
            return Ok(String::new());
        }
        let day: jiff::civil::Date = text.trim().parse().map_err(drop)?;
        let day = day.checked_add(jiff::Span::new().days(after)).map_err(drop)?;
        Ok(frame.zone.begin(day).ok_or(())?.to_string())
    };
    // The last day is whole.
    let (from, to) = (day(&given.from, 0), day(&given.to, 1));
    let (from_wrong, to_wrong) = (from.is_err(), to.is_err());
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    let query = [
        ("actor", given.actor.trim()),
        ("action", given.action.trim()),
        ("for_purpose", given.purpose.trim()),
        ("recording", given.recording.trim()),
        ("text", given.text.trim()),
        ("from", from.as_str()),
        ("to", to.as_str()),
        ("before", given.before.trim()),
        ("most", PAGE_SIZE),
    ];
    let found = match from_wrong || to_wrong {
        true => None,
        false => Some(frame.get::<Found>("/api/v1/audit/entries", &query).await),
    };
    let failure = match &found {
        Some(Err(failure)) if failure.fields.is_empty() => return frame.failed(failure),
        Some(Err(failure)) => Some(failure),
        _ => None,
    };
    let wrong = failure.is_some() || found.is_none();
    let content = html! {
        p { a href="/audit/unusual" { (text.unusual) } }
        (form(&frame, text, &given, (from_wrong, to_wrong), failure))
        @if wrong { p.bad role="alert" { (text.not_searched) } }
        @if let Some(Ok(found)) = &found { (results(&frame, text, &given, found)) }
    };
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    frame.page(Page::of(FrameTexts::of(frame.language).audit).status(status), content)
}

fn form(
    frame: &Frame,
    text: &AuditTexts,
    given: &Given,
    (from_wrong, to_wrong): (bool, bool),
    failure: Option<&Failure>,
) -> Markup {
    let wrong = |name: &str, words: &'static str| failure.and_then(|one| one.of(name)).map(|_| words);
    let actions: Vec<(&str, &str)> =
        ACTIONS.iter().filter(|name| **name != "other").map(|name| (*name, action(text, name))).collect();
    let purposes = ["training", "caller_request", "administration"].map(|name| (name, purpose(frame, name)));
    let from_wrong = from_wrong.then_some(text.wrong_day);
    let to_wrong = to_wrong.then_some(text.wrong_day);
    let line = |id: &'static str, label: &str, kind: &str, value: &str, wrong: Option<&'static str>| {
        field(id, label, wrong, &input(id, kind, value, wrong))
    };
    let unknown = wrong("action", text.wrong_value);
    html! {
        form.search method="get" action="/audit" role="search" {
            (line("actor", text.actor, "text", &given.actor, wrong("actor", text.wrong_value)))
            (field("action", text.action, unknown, &select("action", Some(text.any), &actions, &given.action, unknown)))
            (field("purpose", text.purpose, None, &select("purpose", Some(text.any), &purposes, &given.purpose, None)))
            (line("from", text.from, "date", &given.from, from_wrong))
            (line("to", text.to, "date", &given.to, to_wrong))
            (line("recording", text.recording_id, "text", &given.recording, wrong("recording", text.wrong_id)))
            (line("text", text.detail_has, "text", &given.text, wrong("text", text.wrong_value)))
            button.main { (text.search) }
        }
    }
}

fn results(frame: &Frame, text: &AuditTexts, given: &Given, found: &Found) -> Markup {
    html! {
        (chain(text, &found.chain))
        @if found.entries.is_empty() && found.next.is_none() { p role="status" { (text.none_found) } }
        @if !found.entries.is_empty() {
            div.wide { table.grid {
                thead { tr {
                    th.number scope="col" { (text.number) } th scope="col" { (text.at) } th scope="col" { (text.actor) }
                    th scope="col" { (text.action) } th scope="col" { (text.purpose) } th scope="col" { (text.recording) }
                    th scope="col" { (text.detail) }
                } }
                tbody { @for one in &found.entries { (row(frame, text, one)) } }
            } }
        }
        nav.pages aria-label=(text.pages) {
            @if !given.before.is_empty() { a.button href=(given.address("")) { (text.newest) } }
            @if let Some(next) = found.next {
                a.button rel="next" href=(given.address(&next.to_string())) { (text.older) }
            }
        }
    }
}

fn chain(text: &AuditTexts, chain: &Chain) -> Markup {
    html! {
        @if chain.intact {
            p.good role="status" {
                strong { (text.intact) } " "
                @if chain.last > 0 {
                    (text.entries) " " (chain.first) " – " (chain.last) ", " (chain.checkpoints) " " (text.checkpoints)
                }
            }
        } @else {
            div.card role="alert" {
                p.bad { strong { (text.broken) } }
                p { (text.broken_help) }
                @if let Some(fault) = &chain.fault { p lang="en" { (fault) } }
            }
        }
    }
}

fn row(frame: &Frame, text: &AuditTexts, one: &Numbered) -> Markup {
    let entry = &one.entry;
    html! {
        tr {
            td.number data-head=(text.number) { (one.sequence) }
            td data-head=(text.at) { (frame.time(entry.at)) }
            td data-head=(text.actor) { bdi { (entry.actor) } }
            td data-head=(text.action) { (action(text, &entry.action)) }
            td data-head=(text.purpose) { @if let Some(name) = &entry.purpose { (purpose(frame, name)) } }
            td data-head=(text.recording) { @if let Some(id) = &entry.recording { (recording(id)) } }
            td data-head=(text.detail) { @if let Some(detail) = &entry.detail { bdi { (detail) } } }
        }
    }
}

/// A recording by the end of its id, with a link to everything about it.
fn recording(id: &str) -> Markup {
    let short = id.rsplit('-').next().unwrap_or(id);
    html! { a href=(address("/audit", &[("recording", id)])) title=(id) { code { "…" (short) } } }
}

/// Listening that is worth asking about.
pub(super) async fn unusual(frame: Frame) -> Response {
    let text = AuditTexts::of(frame.language);
    let unusual = match frame.get::<Unusual>("/api/v1/audit/unusual", &[]).await {
        Ok(unusual) => unusual,
        Err(failure) => return frame.failed(&failure),
    };
    let content = html! {
        p { a href="/audit" { (text.to_search) } }
        p { (text.unusual_help) " " (unusual.days) " " (text.days) "." }
        ul { li { (text.rule_volume) } li { (text.rule_hours) } li { (text.rule_own_name) } li { (text.rule_same_caller) } }
        @if unusual.found.is_empty() { p.good role="status" { (text.nothing_unusual) } }
        @else {
            div.wide { table.grid {
                thead { tr {
                    th scope="col" { (text.actor) } th scope="col" { (text.what) } th scope="col" { (text.last) }
                    th scope="col" { (text.recording) }
                } }
                tbody { @for one in &unusual.found { tr {
                    td data-head=(text.actor) { bdi { (one.actor) } }
                    td data-head=(text.what) { (finding(text, one)) }
                    td data-head=(text.last) { (frame.time(one.at)) }
                    td data-head=(text.recording) { ul.bare { @for id in &one.recordings { li { (recording(id)) } } } }
                } } }
            } }
        }
    };
    frame.page(Page::of(text.unusual), content)
}

fn finding(text: &AuditTexts, one: &Finding) -> Markup {
    let words = match one.kind.as_str() {
        "volume" => text.found_volume,
        "hours" => text.found_hours,
        "own_name" => text.found_own_name,
        _ => text.found_same_caller,
    };
    html! {
        (words) ": " (one.count)
        @if let Some(usual) = one.usual { " (" (text.usually) " " (usual) ")" }
    }
}

/// What was done, in words.
fn action(text: &AuditTexts, action: &str) -> &'static str {
    match action {
        "playback" => text.playback,
        "view" => text.view,
        "search" => text.search_action,
        "export" => text.export,
        "hand_out" => text.hand_out,
        "link" => text.link,
        "preview" => text.preview,
        "erase" => text.erase,
        "import" => text.import,
        "case" => text.case,
        "hold" => text.hold,
        "report" => text.report,
        "read_audit" => text.read_audit,
        "control" => text.control,
        "access" => text.access,
        "sign_in" => text.sign_in,
        "sign_out" => text.sign_out,
        "sign_in_failed" => text.sign_in_failed,
        "sign_in_refused" => text.sign_in_refused,
        "refused" => text.refused,
        "not_served" => text.not_served,
        "broken_off" => text.broken_off,
        "confirm_clock" => text.confirm_clock,
        "replay_deletions" => text.replay_deletions,
        "test_store" => text.test_store,
        "drain" => text.drain,
        _ => text.other,
    }
}

#[cfg(test)]
mod tests {
    use super::ACTIONS;
    use crate::auth::Departments;
    use crate::console::tests::{Browser, text};
    use crate::http::access::Role;
    use crate::http::audited::AuditAction;

    #[test]
    fn every_action_that_is_offered_is_one_of_the_log() {
        for name in ACTIONS.iter().filter(|name| **name != "other") {
            assert!(serde_json::from_value::<AuditAction>((*name).into()).is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_log_is_searched_with_the_state_of_its_chain_and_wrong_fields_are_told() {
        let mut browser = Browser::of(Role::Auditor).await;
        browser.post("/choose", "language=da&back=/").await;
        let page = browser.page("/audit?actor=ada&action=playback&from=2026-11-24&to=2026-11-24").await;
        for shown in ["Loggen er uændret", "Gennemlytning", "Uddannelse", "request 2026-0042", "1 – 7"] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        let asked = browser.api.fake.sought.lock().unwrap().last().cloned().unwrap();
        assert_eq!((asked.actor.as_deref(), asked.action), (Some("ada"), Some(AuditAction::Playback)));
        assert_eq!(asked.from.unwrap().to_string(), "2026-11-23T23:00:00Z");
        assert_eq!(asked.to.unwrap().to_string(), "2026-11-24T23:00:00Z");
        for (query, field) in [("from=x", "from"), ("recording=x", "recording"), ("action=burn", "action")] {
            let answer = browser.get(&format!("/audit?{query}")).await;
            let page = text(&answer);
            assert!(
                answer.status == 422 && page.contains(&format!("id=\"{field}-wrong\"")),
                "{query}: {page}"
            );
            assert!(!page.contains("<tbody>"), "{page}");
        }
        let page = browser.page("/audit/unusual").await;
        assert!(page.contains("eget navn") && page.contains("seneste 30 dage"), "{page}");
        let mut contact = browser.another(Role::Contact).await;
        assert_eq!(contact.get("/audit").await.status, 403);
    }

    #[tokio::test]
    async fn a_supervisor_sees_entries_about_recordings_of_own_departments_alone() {
        let row = |number: &str| format!("data-head=\"No.\">{number}</td>");
        for (department, seen) in [("demo", true), ("elsewhere", false)] {
            let mut browser = Browser::within(Role::Supervisor, Departments::only([department])).await;
            let page = browser.page("/audit").await;
            assert_eq!(page.contains(&row("7")), seen, "{department}: {page}");
            assert!(!page.contains(&row("6")), "a search is about no recording: {page}");
        }
    }

    #[tokio::test]
    async fn a_log_that_was_changed_is_an_alert() {
        let mut browser = Browser::of(Role::Auditor).await;
        *browser.api.fake.broken.lock().unwrap() = Some("audit entry 4 was modified".into());
        let page = browser.page("/audit").await;
        assert!(page.contains("role=\"alert\"") && page.contains("audit entry 4 was modified"), "{page}");
        assert!(!page.contains("The log is unchanged"), "{page}");
    }
}
