//! Single-use hand-out links. A member of staff creates one; the citizen opens it without a login, sees a
//! page, and downloads the package with its button. Programs that only fetch links, such as mail filters, do
//! not use them up.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, COOKIE as COOKIE_HEADER, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cases::case::{Done, Outcome};
use crate::disclosure::links::{AGAIN_MIN, Link, LinkError, MOST_HOURS, secret};
use crate::disclosure::sheet::Language;
use crate::http::access::{Actor, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::{audit, unanswered};
use crate::http::requests::handout::{Ended, Format, HandOutBody, HandedBy, NoteEnd, Noted, package};
use crate::http::server::client_address::{Proxies, Throttle, client_ip};
use crate::http::server::json::Body as JsonBody;
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Unauthenticated requests that one address may make at once; then [`REFILL_PER_S`].
const BURST: f64 = 30.0;
/// Unauthenticated requests per second and address; more are answered with 429.
const REFILL_PER_S: f64 = 3.0;
/// Cookie by which the browser that used a link may use it again.
const COOKIE: &str = "optag_handout";
/// Default lifetime of a link. Units: hours.
const HOURS: u32 = 72;

/// Options of a link. Every field is optional.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LinkBody {
    /// `wav` or `opus`; default `wav`.
    format: Option<Format>,
    /// Only the caller's own voice.
    own_voice_only: bool,
    /// Language of the cover sheet: `en` or `da`.
    #[schema(value_type = Option<String>)]
    language: Option<Language>,
    /// Lifetime in hours, 1 to 336; default 72.
    expires_hours: Option<u32>,
}

/// A new link.
#[derive(Serialize, ToSchema)]
pub(crate) struct LinkAnswer {
    /// The link for the citizen. It cannot be shown again.
    pub url: String,
    /// When it expires.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: WallTime,
}

/// Creates a single-use link to the package.
#[utoipa::path(post, path = "/api/v1/recordings/{id}/links", tag = "recordings", params(
    ("id" = String, Path),
    ("purpose" = String, Query, description = "caller_request or administration; or the header Optag-Purpose"),
), request_body = LinkBody, responses(
    (status = 201, body = LinkAnswer),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn make(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
    JsonBody(body): JsonBody<LinkBody>,
) -> Result<(StatusCode, Json<LinkAnswer>), Problem> {
    actor.need(Permission::Export)?;
    let purpose = params.allowed_purpose(&actor, Permission::Export)?;
    body.check(&mut params);
    params.finish()?;
    let recording = actor.reach(&services, id).await?;
    let (_, answer) = make_link(&services, &actor, recording, body, purpose, None).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

impl LinkBody {
    /// Notes what is wrong with it.
    pub(in crate::http) fn check(&self, params: &mut Params) {
        if !(1..=MOST_HOURS).contains(&self.expires_hours.unwrap_or(HOURS)) {
            params.wrong("expires_hours", format!("1 to {MOST_HOURS}"));
        }
    }
}

/// Audits, then makes a link, for a case if one is given; also returns the hash of its token.
///
/// Errors: links are not configured, the recording is gone, or the link is not durable.
pub(in crate::http) async fn make_link(
    services: &Services,
    actor: &Actor,
    recording: Reached,
    body: LinkBody,
    purpose: Option<Purpose>,
    case: Option<String>,
) -> Result<(String, LinkAnswer), Problem> {
    let id = recording.id();
    if services.owner.public_url.is_empty() {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "links need disclosure.public_url in the configuration: where citizens reach this recorder",
        ));
    }
    services.library.get(recording).await.map_err(unanswered)?;
    let now = services.clock.wall();
    let hours = body.expires_hours.unwrap_or(HOURS);
    let expires_at = now.plus_micros(i64::from(hours) * 3_600_000_000);
    let link = Link {
        recording: id,
        wav: body.format != Some(Format::Opus),
        own_voice_only: body.own_voice_only,
        language: body.language.unwrap_or(Language::English),
        made_by: actor.name.clone(),
        case,
    };
    let detail = link.case.as_ref().map(|number| format!("request {number}"));
    audit(services, actor, AuditAction::Link, purpose, Some(id), detail).await?;
    let made = services.links.make(&link, expires_at, now).await.map_err(refused)?;
    let url = format!("{}/handout/{}", services.owner.public_url, made.token);
    Ok((made.sha256, LinkAnswer { url, expires_at }))
}

/// The routes without authentication.
pub(in crate::http) fn router(services: Services, proxies: Proxies) -> Router {
    let door = Door { throttle: Arc::new(Throttle::new(BURST, REFILL_PER_S)), proxies };
    Router::new()
        .route("/handout/{token}", get(page).post(take))
        .route_layer(middleware::from_fn_with_state(door, hold_back))
        .with_state(services)
}

/// Rate limits of the public routes.
#[derive(Clone)]
struct Door {
    throttle: Arc<Throttle>,
    proxies: Proxies,
}

async fn hold_back(State(door): State<Door>, request: Request, next: Next) -> Response {
    let client = client_ip(request.extensions(), request.headers(), &door.proxies);
    if !door.throttle.allows(client, Instant::now()) {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again shortly")
            .header(RETRY_AFTER, 2.into())
            .into_response();
    }
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    answer
}

/// The secret of the browser that used the link, if it is this one.
fn browser(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE_HEADER).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, secret)| secret.to_owned())
}

/// Whether the client is a person's browser, which gets a page, rather than a program.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"))
}

/// The page shown for a link that is not valid, or cannot be used now.
fn worn_out(problem: Problem, headers: &HeaderMap) -> Response {
    if !wants_page(headers) {
        return problem.into_response();
    }
    let (title, text) = match problem.status() {
        StatusCode::SERVICE_UNAVAILABLE => (
            "Prøv igen om lidt",
            "<p lang=\"da\">Filen kan ikke hentes lige nu. Linket er ikke brugt: prøv igen om lidt i samme \
             browser.</p><p lang=\"en\">The file cannot be downloaded right now. The link has not been used up: \
             try again shortly in the same browser.</p>",
        ),
        _ => (
            "Linket virker ikke",
            "<p lang=\"da\">Linket er ugyldigt eller allerede brugt. Kontakt afsenderen, hvis du har brug \
             for et nyt link.</p><p lang=\"en\">This link is invalid or has already been used. \
             Contact the sender if you need a new one.</p>",
        ),
    };
    (problem.status(), Html(document("da", title, text))).into_response()
}

fn document(lang: &str, title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>body{{font:18px/1.5 sans-serif;max-width:34em;\
         margin:3em auto;padding:0 1em}}button{{font:inherit;padding:.5em 1em}}</style></head><body><h1>{title}</h1>\
         {body}</body></html>"
    )
}

/// Shows the button. This does not use the link up.
async fn page(State(services): State<Services>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    let (now, browser) = (services.clock.wall(), browser(&headers));
    let link = match services.links.look(&token, browser.as_deref(), now).await {
        Ok(link) => link,
        Err(error) => return worn_out(refused(error), &headers),
    };
    let (lang, title, text, button) = match link.language {
        Language::Danish => (
            "da",
            "Kopi af din optagede samtale",
            "Linket virker én gang. Filen indeholder optagelsen og et følgebrev med oplysninger om den. Hvis \
             overførslen afbrydes, kan du hente filen igen i samme browser inden for 15 minutter.",
            "Hent filen",
        ),
        Language::English => (
            "en",
            "Copy of your recorded call",
            "The link works once. The file contains the recording and a cover sheet with information about it. \
             If the download is interrupted, you can download the file again in the same browser within 15 minutes.",
            "Download the file",
        ),
    };
    let body = format!("<p>{text}</p><form method=\"post\"><button>{button}</button></form>");
    Html(document(lang, title, &body)).into_response()
}

/// Hands out the package, once. The link is used up once the audit entry is durable and the first block is
/// ready, before that is sent; the browser gets a secret for retries, also where it is not known whether that worked.
async fn take(State(services): State<Services>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    let secret = match browser(&headers).map_or_else(secret, Ok) {
        Ok(secret) => secret,
        Err(error) => return worn_out(Problem::unavailable(error.to_string(), 5), &headers),
    };
    let (mut answer, keeps) = match hand_over(&services, &token, &secret).await {
        Ok(answer) => (answer, true),
        Err(problem) => {
            let may_try_again = problem.status() == StatusCode::SERVICE_UNAVAILABLE;
            (worn_out(problem, &headers), may_try_again)
        }
    };
    if keeps {
        let secure = if services.owner.public_url.starts_with("https:") { "; Secure" } else { "" };
        let cookie = format!(
            "{COOKIE}={secret}; Path=/handout/{token}; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            AGAIN_MIN * 60
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
    }
    answer
}

/// Errors: 503 if the link may have been used up for this browser all the same.
async fn hand_over(services: &Services, token: &str, browser: &str) -> Result<Response, Problem> {
    let now = services.clock.wall();
    let link = services.links.look(token, Some(browser), now).await.map_err(refused)?;
    let body = HandOutBody {
        format: if link.wav { Format::Wav } else { Format::Opus },
        own_voice_only: link.own_voice_only,
        language: link.language,
        passphrase: None,
    };
    let of_case = link.case.as_ref().map(|number| format!(", request {number}")).unwrap_or_default();
    let detail = Some(format!("by a link that {} made{of_case}", link.made_by));
    let ended = link.case.map(|number| noting(services, number, link.recording));
    let noted = Noted { detail, ended };
    let by = HandedBy { actor: "holder of a link", standing: None };
    let (purpose, recording) = (Some(Purpose::CallerRequest), Reached::after_check(link.recording));
    let answer = package(services, by, purpose, recording, body, noted).await?;
    services.links.take(token, browser, now).await.map_err(refused)?;
    Ok(answer)
}

/// Notes in a case how a hand-out ended.
pub(in crate::http) fn noting(services: &Services, number: String, recording: CallId) -> NoteEnd {
    let (cases, clock) = (Arc::clone(&services.cases), Arc::clone(&services.clock));
    Box::new(move |ended| {
        let outcome = match ended {
            Ended::Whole => Outcome::HandedOut,
            Ended::NotServed => Outcome::Failed,
            Ended::BrokenOff => Outcome::BrokenOff,
        };
        async move {
            let Ok(number) = number.parse() else { return };
            let done = Done::new(outcome, clock.wall());
            if let Err(error) = cases.note(&number, &[(recording, done)]).await {
                tracing::warn!(%error, "cannot note in its case how a hand-out ended");
            }
        }
        .boxed()
    })
}

fn refused(error: LinkError) -> Problem {
    match error {
        LinkError::Unknown => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        LinkError::Index(_) => Problem::unavailable("the links cannot be read or written now", 5),
        LinkError::TooMany | LinkError::Disk(_) => Problem::unavailable(error.to_string(), 5),
    }
}
