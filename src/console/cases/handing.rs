//! What the caller gets: the letter, the cover sheet, the recording as a file, or a link that works once. A link is shown
//! once: the browser keeps it for the page that shows it, a few minutes, and Reload makes no other.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;
use serde_json::{Value, json};

use super::form::Wrong;
use super::page::{self, Notice};
use super::view::{api, case, is_number};
use super::{CasesTexts, HandingTexts};
use crate::console::ask::{Failure, address};
use crate::console::choices::{code, cookie};
use crate::console::frame::{Frame, Page, Sent};
use crate::console::parts::{field, input, select, wrong_id};

/// Keeps a link for the page that shows it.
const COOKIE: &str = "optag_link";
/// How long. Units: s.
const KEPT_S: u32 = 600;
/// How long links may hold, the first one unless something else is chosen. Units: hours.
const HOURS: [&str; 4] = ["72", "24", "168", "336"];

/// How a recording is handed out.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    format: String,
    own_voice_only: String,
    language: String,
    passphrase: String,
    hours: String,
}

impl Default for Given {
    fn default() -> Self {
        let (empty, hours) = (String::new(), HOURS[0].to_owned());
        Self {
            format: "wav".into(),
            own_voice_only: empty.clone(),
            language: empty.clone(),
            passphrase: empty,
            hours,
        }
    }
}

impl Given {
    /// What the API takes for a file and for a link.
    fn body(&self) -> Value {
        json!({
            "format": self.format, "own_voice_only": !self.own_voice_only.is_empty(), "language": self.language,
        })
    }
}

/// What an address asks for.
#[derive(Deserialize)]
pub(in crate::console) struct Wanted {
    #[serde(default)]
    language: String,
}

/// A link, as the API shows it once.
#[derive(Debug, Deserialize)]
struct Made {
    url: String,
    expires_at: jiff::Timestamp,
}

/// The letter as a document of its own.
pub(in crate::console) async fn letter(
    frame: Frame,
    Path(number): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    if !is_number(&number) {
        return frame.not_found();
    }
    document(&frame, &format!("{}/letter", api(&number)), &wanted).await
}

/// The cover sheet as a document of its own.
pub(in crate::console) async fn sheet(
    frame: Frame,
    Path((number, id)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some(recording) = recording(&number, &id) else { return frame.not_found() };
    document(&frame, &format!("{recording}/sheet"), &wanted).await
}

async fn document(frame: &Frame, path: &str, wanted: &Wanted) -> Response {
    let language = if wanted.language.is_empty() { code(frame.language) } else { &wanted.language };
    let address = address(path, &[("language", language), ("form", "html")]);
    let answer = frame.asking().pass_on(Method::GET, &address, None, None).await;
    answer.unwrap_or_else(|failure| frame.failed(&failure))
}

/// Address of a recording of a case in the API; none if one of the two is none.
fn recording(number: &str, id: &str) -> Option<String> {
    let id: optag_core::id::CallId = id.parse().ok()?;
    is_number(number).then(|| format!("{}/recordings/{id}", api(number)))
}

/// Asks how a recording is handed out.
pub(in crate::console) async fn ask(frame: Frame, Path((number, id)): Path<(String, String)>) -> Response {
    let given = Given { language: code(frame.language).to_owned(), ..Given::default() };
    show(&frame, &number, &id, &given, &Wrong::default()).await
}

async fn show(frame: &Frame, number: &str, id: &str, given: &Given, wrong: &Wrong) -> Response {
    let text = HandingTexts::of(frame.language);
    let case = match case(frame, number).await {
        Ok(case) => case,
        Err(page) => return page,
    };
    let Some(one) = case.chosen().iter().find(|one| one.id == id) else { return frame.not_found() };
    if !case.is("hand_out") || case.state != "decided" {
        return frame.go(&format!("/cases/{number}"));
    }
    let place = |what: &str| format!("/cases/{number}/recordings/{id}/{what}");
    let formats = [("wav", text.wav), ("opus", text.opus)];
    let languages = [("da", "Dansk"), ("en", "English")];
    let hours: Vec<(&str, &str)> =
        HOURS.iter().copied().zip([text.hours_72, text.hours_24, text.hours_168, text.hours_336]).collect();
    let cases = CasesTexts::of(frame.language);
    let own = wrong.of("own_voice_only");
    let content = html! {
        p { (cases.case) " " a href={ "/cases/" (number) } { (number) } " · " (frame.time(one.started_at)) }
        @if !wrong.is_empty() { p.bad role="alert" { (cases.wrong_fields) } }
        p { (text.help) }
        form.tall method="post" action=(place("file")) {
            (frame.key())
            (field("format", text.format, None, &select("format", None, &formats, &given.format, None)))
            (field("language", text.language, None, &select("language", None, &languages, &given.language, None)))
            div.field.wrong[own.is_some()] {
                label.check {
                    input type="checkbox" id="own_voice_only" name="own_voice_only" value="yes" autofocus[own.is_some()]
                        checked[!given.own_voice_only.is_empty()] aria-describedby=[wrong_id("own_voice_only", own)];
                    (text.own_voice)
                }
                @if let Some(words) = own { p.bad id="own_voice_only-wrong" { (words) } }
            }
            fieldset {
                legend { (text.file) }
                p.row { (text.file_help) }
                (field("passphrase", text.passphrase, wrong.of("passphrase"),
                    &input("passphrase", "password", "", wrong.of("passphrase"))))
                button.main data-download { (text.download) }
                p.row role="status" data-busy=(text.downloading) {}
            }
            fieldset {
                legend { (text.link) }
                p.row { (text.link_help) }
                (field("hours", text.hours, None, &select("hours", None, &hours, &given.hours, None)))
                button.main formaction=(place("link")) { (text.make_link) }
            }
        }
        p { a.button href={ "/cases/" (number) } { (text.back) } }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.page(Page::of(text.make).status(status), content)
}

/// Leads back to the case from the address of a change, where a choice of language was made on the page that followed it.
pub(in crate::console) async fn back(frame: Frame, Path((number, _)): Path<(String, String)>) -> Response {
    if is_number(&number) { frame.go(&format!("/cases/{number}")) } else { frame.not_found() }
}

/// Hands a recording out as a file.
pub(in crate::console) async fn file(
    frame: Frame,
    Path((number, id)): Path<(String, String)>,
    Form(sent): Form<Sent<Given>>,
) -> Response {
    let Some(recording) = recording(&number, &id) else { return frame.not_found() };
    let mut body = sent.fields.body();
    if !sent.fields.passphrase.is_empty() {
        body["passphrase"] = sent.fields.passphrase.as_str().into();
    }
    let address = format!("{recording}/handout");
    match frame.asking().pass_on(Method::POST, &address, Some(&sent.key), Some(&body)).await {
        Ok(answer) => answer,
        Err(failure) => failed(&frame, &number, &id, &sent.fields, &failure).await,
    }
}

/// Makes a link, and goes to the page that shows it.
pub(in crate::console) async fn link(
    frame: Frame,
    Path((number, id)): Path<(String, String)>,
    Form(sent): Form<Sent<Given>>,
) -> Response {
    let Some(recording) = recording(&number, &id) else { return frame.not_found() };
    let mut body = sent.fields.body();
    body["expires_hours"] = sent.fields.hours.parse::<u32>().unwrap_or_default().into();
    let address = format!("{recording}/links");
    let made = match frame.change::<Made>(Method::POST, &address, &sent.key, Some(&body)).await {
        Ok(made) => made,
        Err(failure) => return failed(&frame, &number, &id, &sent.fields, &failure).await,
    };
    let place = format!("/cases/{number}/recordings/{id}/link");
    // Only the page that shows it gets it back.
    let kept = format!("{} {}", made.expires_at, made.url);
    let kept: String = url::form_urlencoded::byte_serialize(kept.as_bytes()).collect();
    let kept = format!("{COOKIE}={kept}; Path={place}; Max-Age={KEPT_S}; HttpOnly; SameSite=Strict");
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response();
    answer.headers_mut().extend(HeaderValue::try_from(kept).ok().map(|kept| (SET_COOKIE, kept)));
    answer
}

/// Shows a link that was made just now. One that was replaced or used since is not shown: it is worth nothing.
pub(in crate::console) async fn show_link(
    frame: Frame,
    Path((number, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let text = HandingTexts::of(frame.language);
    let case = match case(&frame, &number).await {
        Ok(case) => case,
        Err(page) => return page,
    };
    let Some(one) = case.chosen().iter().find(|one| one.id == id) else { return frame.not_found() };
    let open = one.result.as_ref().filter(|done| done.outcome == "link_open");
    let kept = kept(&headers).filter(|made| {
        let until = open.and_then(|done| done.detail.as_ref()?.parse::<jiff::Timestamp>().ok());
        until == Some(made.expires_at)
    });
    let content = html! {
        p { (CasesTexts::of(frame.language).case) " " a href={ "/cases/" (number) } { (number) } " · " (frame.time(one.started_at)) }
        @match &kept {
            Some(made) => {
                p.good role="status" { (text.link_made) " " (frame.time(made.expires_at)) "." }
                div.field {
                    label for="made" { (text.link) }
                    input type="text" id="made" readonly value=(made.url);
                }
                p.controls {
                    button type="button" data-copy="made" data-copied=(text.copied) hidden { (text.copy) }
                    span role="status" {}
                }
                p { (text.link_once) }
            },
            None => p { (text.link_not_shown) },
        }
        p.controls {
            a.button href={ "/cases/" (number) } { (text.back) }
            a.button href={ "/cases/" (number) "/recordings/" (id) "/hand-out" } { (text.make) }
        }
    };
    frame.page(Page::of(text.link), content)
}

fn kept(headers: &HeaderMap) -> Option<Made> {
    let text = cookie(headers, COOKIE)?;
    let (kept, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
    let (expires_at, url) = kept.split_once(' ')?;
    Some(Made { url: url.to_owned(), expires_at: expires_at.parse().ok()? })
}

/// Revokes an unused link.
pub(in crate::console) async fn revoke(
    frame: Frame,
    Path((number, id)): Path<(String, String)>,
    Form(sent): Form<Sent<()>>,
) -> Response {
    let Some(recording) = recording(&number, &id) else { return frame.not_found() };
    let address = format!("{recording}/links");
    match frame.asking().change(Method::DELETE, &address, &sent.key, None).await {
        Ok(_) => frame.go(&format!("/cases/{number}?done=revoke")),
        Err(failure) => conflict(&frame, &number, &failure).await,
    }
}

/// What is told where nothing was handed out.
async fn failed(frame: &Frame, number: &str, id: &str, given: &Given, failure: &Failure) -> Response {
    let text = HandingTexts::of(frame.language);
    let mut wrong = Wrong::default();
    if failure.of("passphrase").is_some() {
        wrong.add("passphrase", text.passphrase_short);
    }
    if failure.of("own_voice_only").is_some() {
        wrong.add("own_voice_only", text.no_own_voice);
    }
    match (wrong.is_empty(), failure.status) {
        (false, _) => show(frame, number, id, given, &wrong).await,
        (true, StatusCode::NOT_IMPLEMENTED) => {
            let content =
                html! { p { (text.no_links) } p { a.button href={ "/cases/" (number) } { (text.back) } } };
            frame.page(Page::of(text.link).status(failure.status), content)
        }
        (true, _) => conflict(frame, number, failure).await,
    }
}

async fn conflict(frame: &Frame, number: &str, failure: &Failure) -> Response {
    if failure.status != StatusCode::CONFLICT {
        return frame.failed(failure);
    }
    match case(frame, number).await {
        Ok(case) => page::show(frame, &case, Notice::Bad(CasesTexts::of(frame.language).not_now)).await,
        Err(page) => page,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::COOKIE as HEADER;

    use super::*;

    #[test]
    fn a_link_comes_back_from_the_browser_as_it_was_made() {
        let made = "2026-11-24T10:00:00.123456Z https://calls.example/handout/a1b2?c";
        let kept_as: String = url::form_urlencoded::byte_serialize(made.as_bytes()).collect();
        let cookie = format!("{COOKIE}={kept_as}").parse().unwrap();
        let back = kept(&HeaderMap::from_iter([(HEADER, cookie)])).unwrap();
        assert_eq!(format!("{} {}", back.expires_at, back.url), made);
        assert!(kept(&HeaderMap::new()).is_none());
    }
}
