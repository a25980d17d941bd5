//! One recording: the player at the top, what is missing and why, the consent, who listened.

mod accesses;
mod consent;
mod erase;
mod player;
mod texts;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::ask::address;
use super::departments::Departments;
use super::frame::{Frame, Page};
use super::parts::{length, name};
use super::recordings::purpose;
use accesses::Access;
use consent::Consent;
pub(super) use erase::{ask as ask_erase, erase, erased};
use player::{Gap, Lane};
pub(super) use texts::{EraseTexts, RecordingTexts};

/// What the page's address says besides the recording.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    purpose: String,
}

/// A recording, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Detail {
    id: String,
    department: String,
    started_at: jiff::Timestamp,
    recording_started_at: jiff::Timestamp,
    ended_at: Option<jiff::Timestamp>,
    duration_ms: u64,
    caller_number: String,
    called_number: String,
    caller_name: Option<String>,
    external_id: Option<String>,
    expires_at: jiff::Timestamp,
    verdicts: Vec<String>,
    streams: Vec<Lane>,
    gaps: Vec<Gap>,
    consent: Vec<Consent>,
}

/// The page.
pub(super) async fn show(frame: Frame, Path(id): Path<String>, Query(given): Query<Given>) -> Response {
    let stated = match given.purpose.as_str() {
        "" => frame.me.purposes.first().cloned().unwrap_or_default(),
        stated => stated.to_owned(),
    };
    // The id becomes part of an address.
    if !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return frame.not_found();
    }
    let path = format!("/api/v1/recordings/{id}");
    let detail = match frame.get::<Detail>(&path, &[("purpose", &stated)]).await {
        Ok(detail) => detail,
        Err(failure) if failure.status == StatusCode::CONFLICT => return not_ready(&frame),
        Err(failure) => return frame.failed(&failure),
    };
    let departments = match Departments::of(&frame).await {
        Ok(departments) => departments,
        Err(failure) => return frame.failed(&failure),
    };
    let accesses = frame.get::<Vec<Access>>(&format!("{path}/accesses"), &[]).await;
    let text = RecordingTexts::of(frame.language);
    let title = format!("{} · {}", text.recording, frame.zone.text(frame.language, detail.started_at));
    let content = html! {
        @if frame.me.may("listen") { (player::player(&frame, text, &detail, &stated)) }
        @else { p { (text.no_listening) } }
        div.columns {
            div {
                section { h2 { (text.facts) } (facts(&frame, text, &detail, &departments, &stated)) }
                section { h2 { (text.consent) } (consent::list(&frame, text, &detail.consent, &departments)) }
                section { h2 { (text.missing) } (player::gaps(text, &detail)) }
                @if frame.me.may("erase") {
                    p { a.button href={ "/recordings/" (detail.id) "/erase" } { (EraseTexts::of(frame.language).ask) } }
                }
            }
            section {
                h2 { (text.who_listened) }
                @match &accesses {
                    Ok(all) => (accesses::list(&frame, text, all)),
                    Err(failure) => p.bad role="alert" { (super::errors::words(frame.language, failure.status).1) },
                }
            }
        }
    };
    frame.page(Page::of(&title).scripts(&["player"]), content)
}

fn not_ready(frame: &Frame) -> Response {
    let text = RecordingTexts::of(frame.language);
    let content =
        html! { p { (text.not_ready_help) } p { a.button href=(frame.place()) { (text.look_again) } } };
    frame.page(Page::of(text.not_ready).status(StatusCode::CONFLICT), content)
}

fn facts(
    frame: &Frame,
    text: &RecordingTexts,
    detail: &Detail,
    departments: &Departments,
    stated: &str,
) -> Markup {
    let search = |q: &str| address("/recordings", &[("q", q), ("purpose", stated)]);
    html! {
        dl {
            dt { (text.department) } dd { (departments.name(&detail.department)) }
            dt { (text.caller) } dd {
                bdi { (detail.caller_number) }
                @if let Some(caller) = &detail.caller_name { ", " (name(caller)) }
                @if !detail.caller_number.is_empty() {
                    " " a href=(search(&detail.caller_number)) { (text.other_calls) }
                }
            }
            dt { (text.called) } dd { bdi { (detail.called_number) } }
            dt { (text.began) } dd { (frame.time(detail.started_at)) }
            @if let Some(ended) = detail.ended_at { dt { (text.ended) } dd { (frame.time(ended)) } }
            dt { (text.length) } dd { (length(detail.duration_ms)) }
            dt { (text.expires) } dd { (frame.time(detail.expires_at)) }
            @if let Some(external) = &detail.external_id { dt { (text.external) } dd { bdi { (external) } } }
            dt { (text.purpose) } dd { (purpose(frame, stated)) }
            dt { (text.id) } dd { code { (detail.id) } }
        }
    }
}
