//! Links that hand a recording out once. A member of staff makes one; the citizen opens it
//! without a login, sees a page, and gets the package by its button: a program that merely looks at
//! links, as mail filters do, uses nothing up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Actor, Permission};
use super::audit::{AuditAction, Purpose};
use super::handout::{Format, HandOutBody, package};
use super::json::Body as JsonBody;
use super::params::{Id, Params};
use super::problem::Problem;
use super::recordings::{audit, unanswered};
use super::router::Services;
use crate::base::clock::WallTime;
use crate::disclosure::links::{Link, LinkError, MOST_HOURS, NewLink};
use crate::disclosure::sheet::Language;

/// Requests without a login that are answered at once; then [`REFILL_PER_S`].
const BURST: f64 = 30.0;
/// Requests without a login a second; more are answered 429.
const REFILL_PER_S: f64 = 3.0;
/// Life of a link where the request does not say. Units: hours.
const HOURS: u32 = 72;

/// What a link hands out. All of it may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkBody {
    /// `wav` or `opus`; otherwise `wav`.
    format: Option<Format>,
    /// Only the caller's own voice.
    own_voice_only: bool,
    /// Language of the cover sheet: `en` or `da`.
    #[schema(value_type = Option<String>)]
    language: Option<Language>,
    /// Hours that it works, 1 to 336; otherwise 72.
    expires_hours: Option<u32>,
}

/// A new link.
#[derive(Serialize, ToSchema)]
pub struct LinkAnswer {
    /// For the citizen. It is shown this once.
    url: String,
    /// When it stops working.
    #[schema(value_type = String, format = DateTime)]
    expires_at: WallTime,
}

/// Makes a link that hands the recording out once.
#[utoipa::path(post, path = "/api/v1/recordings/{id}/links", tag = "recordings", params(
    ("id" = String, Path),
    ("purpose" = String, Query, description = "caller_request or administration; or the header Optag-Purpose"),
), request_body = LinkBody, responses(
    (status = 201, body = LinkAnswer),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub async fn make(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
    JsonBody(body): JsonBody<LinkBody>,
) -> Result<(StatusCode, Json<LinkAnswer>), Problem> {
    actor.need(Permission::Export)?;
    let purpose = params.allowed_purpose(&actor)?;
    let hours = body.expires_hours.unwrap_or(HOURS);
    if !(1..=MOST_HOURS).contains(&hours) {
        params.wrong("expires_hours", format!("1 to {MOST_HOURS}"));
    }
    let wav = body.format != Some(Format::Opus);
    params.finish()?;
    if services.owner.public_url.is_empty() {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "links need disclosure.public_url in the configuration: where citizens reach this recorder",
        ));
    }
    services.library.get(id).await.map_err(unanswered)?;
    let now = services.clock.wall();
    let expires_at = now.plus_micros(i64::from(hours) * 3_600_000_000);
    let new = NewLink {
        recording: id,
        wav,
        own_voice_only: body.own_voice_only,
        language: body.language.unwrap_or(Language::English),
        made_by: actor.name.clone(),
        expires_at,
    };
    audit(&services, &actor, AuditAction::Link, purpose, Some(id), None).await?;
    let links = services.links.clone();
    let token = blocking(move || links.make(new, now)).await?;
    let url = format!("{}/handout/{token}", services.owner.public_url);
    Ok((StatusCode::CREATED, Json(LinkAnswer { url, expires_at })))
}

/// The routes that need no login.
pub(super) fn router(services: Services) -> Router {
    let bucket: Bucket = Arc::new(Mutex::new((BURST, Instant::now())));
    Router::new()
        .route("/handout/{token}", get(page).post(take))
        .route_layer(middleware::from_fn_with_state(bucket, hold_back))
        .with_state(services)
}

type Bucket = Arc<Mutex<(f64, Instant)>>;

async fn hold_back(State(bucket): State<Bucket>, request: Request, next: Next) -> Response {
    let allowed = {
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let level = (bucket.0 + now.duration_since(bucket.1).as_secs_f64() * REFILL_PER_S).min(BURST);
        *bucket = (if level >= 1.0 { level - 1.0 } else { level }, now);
        level >= 1.0
    };
    if !allowed {
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

/// Shows the button. Looking uses nothing up.
async fn page(State(services): State<Services>, Path(token): Path<String>) -> Result<Response, Problem> {
    let (links, now) = (services.links.clone(), services.clock.wall());
    let link = blocking(move || links.look(&token, now)).await?;
    let (lang, title, text, button) = match link.language {
        Language::Danish => (
            "da",
            "Kopi af din optagede samtale",
            "Linket virker én gang. Filen indeholder optagelsen og et ark om den.",
            "Hent filen",
        ),
        Language::English => (
            "en",
            "Copy of your recorded call",
            "The link works once. The file holds the recording and a sheet about it.",
            "Get the file",
        ),
    };
    Ok(Html(format!(
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>body{{font:18px/1.5 sans-serif;max-width:34em;\
         margin:3em auto;padding:0 1em}}button{{font:inherit;padding:.5em 1em}}</style></head><body><h1>{title}</h1>\
         <p>{text}</p><form method=\"post\"><button>{button}</button></form></body></html>"
    ))
    .into_response())
}

/// Hands out, for the one time. The link is at its end before the first byte, and that is durable.
async fn take(
    State(services): State<Services>,
    Path(token): Path<String>,
) -> Result<Response<Body>, Problem> {
    let (links, now) = (services.links.clone(), services.clock.wall());
    let link: Link = blocking(move || links.take(&token, now)).await?;
    let body = HandOutBody {
        format: if link.wav { Format::Wav } else { Format::Opus },
        own_voice_only: link.own_voice_only,
        language: link.language,
        passphrase: None,
    };
    let detail = Some(format!("by a link that {} made", link.made_by));
    package(&services, "holder of a link", Some(Purpose::CallerRequest), link.recording, body, detail).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LinkError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the change failed inside the recorder");
    done.map_err(failed)?.map_err(|error| match error {
        LinkError::Unknown => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        LinkError::TooMany | LinkError::Disk(_) => Problem::unavailable(error.to_string(), 5),
    })
}
