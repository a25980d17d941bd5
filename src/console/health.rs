//! The state of the recorder for whoever runs it: what works and what does not, in plain words, with a test of the store that
//! writes and removes a real object; the machines that announce calls; nodes; and why calls have no recording.

mod texts;

use axum::Form;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::departments::Departments;
use super::frame::{Frame, Page, Sent};
use super::texts::FrameTexts;
pub(super) use texts::HealthTexts;

#[derive(Deserialize)]
struct Health {
    checks: Vec<Check>,
    feeds: Vec<Feed>,
    calls: u64,
    nodes: Vec<Node>,
    outcomes: Option<Vec<Outcome>>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    ok: bool,
    optional: bool,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
struct Feed {
    name: String,
    last_used_at: Option<jiff::Timestamp>,
    expires_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct Node {
    number: u64,
    state: String,
    version: String,
    calls: u64,
    capacity_calls: u64,
    silent_s: u64,
}

#[derive(Deserialize)]
struct Outcome {
    department: String,
    outcome: String,
    cause: String,
    count: u64,
}

#[derive(Deserialize)]
struct Test {
    ok: bool,
    took_ms: u64,
    detail: Option<String>,
}

/// The page.
pub(super) async fn show(frame: Frame) -> Response {
    page(&frame, None).await
}

/// The page after a test of the store. The test changes nothing that stays, so that Reload may repeat it.
pub(super) async fn try_store(frame: Frame, Form(sent): Form<Sent<()>>) -> Response {
    match frame.change::<Test>(Method::POST, "/api/v1/health/store", &sent.key, None).await {
        Ok(test) => page(&frame, Some(&test)).await,
        Err(failure) => frame.failed(&failure),
    }
}

async fn page(frame: &Frame, test: Option<&Test>) -> Response {
    let text = HealthTexts::of(frame.language);
    let (health, departments) =
        match (frame.get::<Health>("/api/v1/health", &[]).await, Departments::of(frame).await) {
            (Ok(health), Ok(departments)) => (health, departments),
            (Err(failure), _) | (_, Err(failure)) => return frame.failed(&failure),
        };
    let records = health.checks.iter().all(|check| check.ok || check.optional);
    let all_well = health.checks.iter().all(|check| check.ok);
    let content = html! {
        @match (records, all_well) {
            (true, true) => p.good role="status" { strong { (text.all_well) } },
            (true, false) => p.bad role="alert" { strong { (text.degraded) } },
            (false, _) => p.bad role="alert" { strong { (text.not_recording) } },
        }
        p { (health.calls) " " (text.calls) ". " a.button href="/health" { (text.look_again) } }
        section { h2 { (text.parts) } (checks(text, &health.checks)) }
        section { h2 { (text.store) } (store(frame, text, test)) }
        section { h2 { (text.feeds) } (feeds(frame, text, &health.feeds)) }
        @if !health.nodes.is_empty() { section { h2 { (text.nodes) } (nodes(text, &health.nodes)) } }
        section { h2 { (text.outcomes) } (outcomes(text, &departments, health.outcomes.as_deref())) }
    };
    frame.page(Page::of(FrameTexts::of(frame.language).health), content)
}

fn checks(text: &HealthTexts, checks: &[Check]) -> Markup {
    html! {
        div.wide { table.grid {
            thead { tr { th scope="col" { (text.part) } th scope="col" { (text.state) } th scope="col" { (text.meaning) } } }
            tbody { @for check in checks {
                @let (name, meaning) = words(text, &check.name);
                tr {
                    td data-head=(text.part) { (name) }
                    td data-head=(text.state) {
                        @if check.ok { span.good { (text.works) } } @else { span.bad { (text.fails) } }
                    }
                    td data-head=(text.meaning) { @if !check.ok {
                        (meaning)
                        @if !check.detail.is_empty() { br; span.quiet lang="en" { (check.detail) } }
                    } }
                }
            } }
        } }
    }
}

/// A part in words, and what it means that it fails.
fn words(text: &HealthTexts, name: &str) -> (&'static str, &'static str) {
    match name {
        "accepting" => (text.accepting, text.accepting_fails),
        "spool" => (text.spool, text.spool_fails),
        "store" => (text.store, text.store_fails),
        "index" => (text.index, text.index_fails),
        "delivery" => (text.delivery, text.delivery_fails),
        "deletion_log" => (text.deletion_log, text.deletion_log_fails),
        "bucket_rules" => (text.bucket_rules, text.bucket_rules_fails),
        "clock" => (text.clock, text.clock_fails),
        "expiry" => (text.expiry, text.expiry_fails),
        "nodes" => (text.nodes, text.nodes_fail),
        _ => (text.started, text.started_fails),
    }
}

fn store(frame: &Frame, text: &HealthTexts, test: Option<&Test>) -> Markup {
    html! {
        p { (text.test_help) }
        form method="post" action="/health/store" {
            (frame.key())
            button { (text.test) }
            p role="status" data-busy=(text.testing) {}
        }
        @match test {
            None => {},
            Some(test) if test.ok => p.good role="status" { (text.test_passed) " (" (test.took_ms) " ms)" },
            Some(test) => div role="alert" {
                p.bad { (text.test_failed) }
                @if let Some(detail) = &test.detail { p lang="en" { (detail) } }
            },
        }
    }
}

fn feeds(frame: &Frame, text: &HealthTexts, feeds: &[Feed]) -> Markup {
    html! {
        @if feeds.is_empty() { p { (text.no_feeds) } } @else {
            table.grid {
                thead { tr { th scope="col" { (text.token) } th scope="col" { (text.last_used) } th scope="col" { (text.expires) } } }
                tbody { @for feed in feeds { tr {
                    td data-head=(text.token) { bdi { (feed.name) } }
                    td data-head=(text.last_used) {
                        @match feed.last_used_at { Some(at) => (frame.time(at)), None => span.bad { (text.never) } }
                    }
                    td data-head=(text.expires) { @if let Some(at) = feed.expires_at { (frame.time(at)) } }
                } } }
            }
        }
    }
}

fn nodes(text: &HealthTexts, nodes: &[Node]) -> Markup {
    html! {
        div.wide { table.grid {
            thead { tr {
                th scope="col" { (text.node) } th scope="col" { (text.state) } th.number scope="col" { (text.calls_of_node) }
                th scope="col" { (text.version) } th.number scope="col" { (text.silent) }
            } }
            tbody { @for node in nodes { tr {
                td data-head=(text.node) { (node.number) }
                td data-head=(text.state) {
                    @match node.state.as_str() {
                        "ready" => (text.ready), "draining" => (text.draining), _ => (text.starting),
                    }
                }
                td.number data-head=(text.calls_of_node) { (node.calls) " / " (node.capacity_calls) }
                td data-head=(text.version) { (node.version) }
                td.number data-head=(text.silent) { (node.silent_s) }
            } } }
        } }
    }
}

fn outcomes(text: &HealthTexts, departments: &Departments, outcomes: Option<&[Outcome]>) -> Markup {
    html! {
        @match outcomes {
            None => p.bad { (text.outcomes_unknown) },
            Some([]) => p { (text.no_calls) },
            Some(all) => div.wide { table.grid {
                thead { tr {
                    th scope="col" { (text.department) } th scope="col" { (text.outcome) } th.number scope="col" { (text.count) }
                } }
                tbody { @for one in all { tr {
                    td data-head=(text.department) { (departments.name(&one.department)) }
                    td data-head=(text.outcome) { (outcome(text, one)) }
                    td.number data-head=(text.count) { (one.count) }
                } } }
            } },
        }
    }
}

/// How calls ended, and where audio is missing, why and what to look at.
fn outcome(text: &HealthTexts, one: &Outcome) -> Markup {
    let bad = matches!(one.outcome.as_str(), "recorded_partly" | "no_audio" | "lost");
    let words = match one.outcome.as_str() {
        "recorded" => text.recorded,
        "recorded_partly" => text.recorded_partly,
        "refused" => text.refused,
        "no_answer" => text.no_answer,
        "withdrawn" => text.withdrawn,
        "not_selected" => text.not_selected,
        "no_audio" => text.no_audio,
        _ => text.lost,
    };
    let why = match one.cause.as_str() {
        "no_packets" => text.no_packets,
        "nothing_accepted" => text.nothing_accepted,
        "only_while_closed" => text.only_while_closed,
        "restart" => text.restart,
        "spool" => text.lost_spool,
        "damaged" => text.damaged,
        "fault" => text.fault,
        _ => "",
    };
    html! { span.bad[bad] { (words) } @if !why.is_empty() { br; (why) } }
}

#[cfg(test)]
mod tests {
    use crate::console::tests::{Browser, key, text};
    use crate::http::access::Role;
    use crate::http::audited::AuditAction;
    use crate::http::recordings::library::LibraryError;

    #[tokio::test]
    async fn what_works_and_what_does_not_is_told_in_plain_words_and_the_store_is_tested() {
        let mut browser = Browser::of(Role::Administrator).await;
        browser.post("/choose", "language=da&back=/").await;
        let page = browser.page("/health").await;
        for shown in ["Alt virker", "Afspillet", "Citizen service", "2 / 100"] {
            assert!(page.contains(shown) != (shown == "Afspillet"), "{shown}: {page}");
        }
        let form = format!("key={}", key(&page));
        let tested = browser.post("/health/store", &form).await;
        assert!(tested.status == 200 && text(&tested).contains("12 ms"), "{}", text(&tested));
        *browser.api.fake.fail.lock().unwrap() = Some(LibraryError::StoreDown);
        let tested = text(&browser.post("/health/store", &form).await);
        assert!(
            tested.contains("403 Forbidden") && tested.contains("Optagelser venter på disken"),
            "{tested}"
        );
        assert!(tested.contains("Opkald optages stadig") && !tested.contains("Alt virker"), "{tested}");
        let audited = browser.api.fake.audited.lock().unwrap().clone();
        let tests = audited.iter().filter(|entry| entry.action == AuditAction::TestStore).count();
        assert_eq!(tests, 2);
        assert_eq!(browser.post("/health/store", "key=other").await.status, 403);
        *browser.api.fake.fail.lock().unwrap() = None;
        let mut auditor = browser.another(Role::Auditor).await;
        assert_eq!(auditor.get("/health").await.status, 403);
    }
}
