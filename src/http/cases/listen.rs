//! The recordings of a case: candidates, listening to make sure that one is meant, and handing out.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::carry_out::note;
use super::reach::{audit_step, bound, failed, number_of, reach_case, reach_chosen};
use crate::cases::case::{Case, Decision, Done, Outcome, Told};
use crate::cases::register::CaseError;
use crate::cases::state::Step;
use crate::disclosure::links::LinkError;
use crate::disclosure::package::PASSPHRASE_CHARS;
use crate::http::access::{Actor, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::problem::Problem;
use crate::http::recordings::library::AudioFormat;
use crate::http::recordings::playback::{Wanted, serve};
use crate::http::recordings::{audit, unanswered};
use crate::http::requests::candidates::criteria;
use crate::http::requests::handout::{HandOutBody, HandedBy, Noted, package};
use crate::http::requests::handout_links::{LinkAnswer, LinkBody, make_link, noting};
use crate::http::requests::time_window::{self, TOLERANCE_MIN, TOLERANCE_MOST_MIN};
use crate::http::requests::{CandidatePage, CandidateQuery, ErasurePreview};
use crate::http::server::json::Body as JsonBody;
use crate::http::server::params::Params;
use crate::http::services::Services;
use crate::http::standing::Standing;
use jiff::tz::TimeZone;
use optag_core::id::{BadCallId, CallId};
use optag_core::private::Private;

/// Maximum number of candidates.
const MOST: usize = 50;
/// What is said in the audit log of an access in a case.
fn request(case: &Case) -> String {
    format!("request {}", case.row.number)
}

/// The recording of a path.
fn recording_of(text: &str) -> Result<CallId, Problem> {
    text.parse().map_err(|error: BadCallId| Problem::field("id", error.to_string()))
}

/// Errors: 409: the state of the case does not allow the step, or something else was decided.
fn allowed(case: &Case, step: Step) -> Result<(), Problem> {
    let decided = step != Step::HandOut || case.decision() == Some(Decision::HandOut);
    match case.state.allows(step) && decided {
        true => Ok(()),
        false => Err(failed(CaseError::NotNow(case.state))),
    }
}

/// Recordings that the caller may mean, by what the case says, the most likely first. With any of the parameters, by these
/// alone. Nothing is played.
#[utoipa::path(get, path = "/api/v1/cases/{case}/candidates", tag = "cases", params(
    ("case" = String, Path),
    ("number" = Option<String>, Query, description = "Instead of what was told: number called from"),
    ("called_number" = Option<String>, Query, description = "Number called"),
    ("name" = Option<String>, Query, description = "The caller's name"),
    ("date" = Option<String>, Query, description = "Day of the call"),
    ("time" = Option<String>, Query, description = "Time of day, with `date`"),
    ("tolerance_min" = Option<i64>, Query, description = "How far off it may be, otherwise 15 minutes"),
), responses(
    (status = 200, body = CandidatePage),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn candidates(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
) -> Result<Json<CandidatePage>, Problem> {
    actor.need(Permission::Cases)?;
    let tried = tried(&mut params);
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    allowed(&case, Step::Choose)?;
    let told = match tried == Told::default() {
        true => case.content.clone().unwrap_or_default().told,
        false => tried,
    };
    let zone = TimeZone::get(services.requests.time_zone()).unwrap_or(TimeZone::UTC);
    let tolerance = told.tolerance_min.unwrap_or(TOLERANCE_MIN);
    let window = told.date.and_then(|day| time_window::window(day, told.time, &zone, tolerance));
    let query = CandidateQuery {
        number: told.number,
        called_number: told.called_number,
        name: told.name,
        department: None,
        within: bound(&case, &actor).departments,
        window,
        most: MOST,
    };
    let detail = format!("{}: {}", request(&case), criteria(&services, &query));
    audit(&services, &actor, AuditAction::Search, Some(Purpose::CallerRequest), None, Some(detail)).await?;
    services.requests.candidates(query).await.map(Json).map_err(unanswered)
}

/// What is looked for instead of what was told.
fn tried(params: &mut Params) -> Told {
    let tried = Told {
        number: params.text("number").map(Private::new),
        called_number: params.text("called_number").map(Private::new),
        name: params.text("name").map(Private::new),
        date: params.parsed("date", "a day such as 2026-11-24"),
        time: params.parsed("time", "a time of day such as 14:30"),
        tolerance_min: params.parsed("tolerance_min", "minutes"),
        note: None,
    };
    if !(0..=TOLERANCE_MOST_MIN).contains(&tried.tolerance_min.unwrap_or(TOLERANCE_MIN)) {
        params.wrong("tolerance_min", format!("0 to {TOLERANCE_MOST_MIN} is allowed"));
    }
    let something = tried.number.is_some() || tried.called_number.is_some() || tried.name.is_some();
    if tried.date.is_none() && (tried.time.is_some() || (tried.tolerance_min.is_some() && !something)) {
        params.wrong("date", "a time of day needs its day");
    }
    tried
}

/// What an erasure of the chosen recordings would delete.
#[derive(Serialize, ToSchema)]
pub(crate) struct CasePreview {
    /// One for each.
    previews: Vec<ErasurePreview>,
}

/// Shows what an erasure of the chosen recordings would delete, and what a legal hold would keep. Nothing changes.
#[utoipa::path(get, path = "/api/v1/cases/{case}/preview", tag = "cases", params(("case" = String, Path)), responses(
    (status = 200, body = CasePreview),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn preview(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    params: Params,
) -> Result<Json<CasePreview>, Problem> {
    actor.need(Permission::Cases)?;
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let ids: Vec<CallId> = case.all_chosen().iter().map(|one| one.id).collect();
    let mut previews = Vec::with_capacity(ids.len());
    for one in bound(&case, &actor).reach_each(&services, &ids).await? {
        previews.push(match one {
            Err(id) => ErasurePreview::of_nothing(id),
            Ok(recording) => {
                let (id, detail) = (recording.id(), request(&case));
                let purpose = Some(Purpose::CallerRequest);
                audit(&services, &actor, AuditAction::Preview, purpose, Some(id), Some(detail)).await?;
                services.requests.preview(recording).await.map_err(unanswered)?
            }
        });
    }
    Ok(Json(CasePreview { previews }))
}

/// Plays a chosen recording, to make sure that it is the one that is meant.
#[utoipa::path(get, path = "/api/v1/cases/{case}/recordings/{id}/audio", tag = "cases", params(
    ("case" = String, Path),
    ("id" = String, Path),
    ("Range" = Option<String>, Header, description = "One range of bytes"),
), responses(
    (status = 200, content_type = "audio/ogg", description = "The recording"),
    (status = 206, content_type = "audio/ogg", description = "A part of it"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 416, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn listen(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    standing: Option<Extension<Standing>>,
    Path((number, id)): Path<(String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    actor.need(Permission::Cases)?;
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let recording = reach_chosen(&services, &actor, &case, recording_of(&id)?).await?;
    allowed(&case, Step::Listen)?;
    let wanted = Wanted {
        format: AudioFormat::Opus,
        channel: None,
        export: false,
        purpose: Some(Purpose::CallerRequest),
        detail: Some(request(&case)),
    };
    serve(&services, &actor, standing.map(|Extension(one)| one), recording, wanted, &headers).await
}

/// Hands a chosen recording out as a file, once that is decided. The case notes whether all of it was sent.
#[utoipa::path(post, path = "/api/v1/cases/{case}/recordings/{id}/handout", tag = "cases", params(
    ("case" = String, Path),
    ("id" = String, Path),
), request_body = HandOutBody, responses(
    (status = 200, content_type = "application/zip", description = "The package"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn hand_out(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    standing: Option<Extension<Standing>>,
    Path((number, id)): Path<(String, String)>,
    mut params: Params,
    JsonBody(body): JsonBody<HandOutBody>,
) -> Result<Response<Body>, Problem> {
    actor.need(Permission::Cases)?;
    actor.need(Permission::Export)?;
    let short =
        |phrase: &optag_core::private::Private<String>| phrase.reveal().chars().count() < PASSPHRASE_CHARS;
    if body.passphrase.as_ref().is_some_and(short) {
        params.wrong("passphrase", format!("at least {PASSPHRASE_CHARS} characters"));
    }
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let recording = reach_chosen(&services, &actor, &case, recording_of(&id)?).await?;
    allowed(&case, Step::HandOut)?;
    let begun = Done::new(Outcome::HandingOut, services.clock.wall());
    let noted = Noted {
        detail: Some(request(&case)),
        ended: Some(noting(&services, case.row.number.clone(), recording.id())),
    };
    let case = note(&services, case, &[(recording.id(), begun)]).await?;
    let by = HandedBy { actor: &actor.name, standing: standing.map(|Extension(standing)| standing) };
    let handed = package(&services, by, Some(Purpose::CallerRequest), recording, body, noted).await;
    if let Err(problem) = &handed {
        let outcome = if problem.status() == StatusCode::GONE { Outcome::Gone } else { Outcome::Failed };
        let done = Done::new(outcome, services.clock.wall()).because(problem.detail.clone());
        note(&services, case, &[(recording.id(), done)]).await?;
    }
    handed
}

/// Creates a single-use link by which the caller downloads a chosen recording, once handing out is decided. An unused link
/// that was made before is revoked.
#[utoipa::path(post, path = "/api/v1/cases/{case}/recordings/{id}/links", tag = "cases", params(
    ("case" = String, Path),
    ("id" = String, Path),
), request_body = LinkBody, responses(
    (status = 201, body = LinkAnswer),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
    (status = 501, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn link(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path((number, id)): Path<(String, String)>,
    mut params: Params,
    JsonBody(body): JsonBody<LinkBody>,
) -> Result<(StatusCode, Json<LinkAnswer>), Problem> {
    actor.need(Permission::Cases)?;
    actor.need(Permission::Export)?;
    body.check(&mut params);
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let recording = reach_chosen(&services, &actor, &case, recording_of(&id)?).await?;
    allowed(&case, Step::HandOut)?;
    withdraw_link(&services, &case, recording.id()).await?;
    let purpose = Some(Purpose::CallerRequest);
    let number = number_of(&case)?;
    let of_case = Some(number.to_string());
    let (sha256, answer) = make_link(&services, &actor, recording, body, purpose, of_case).await?;
    let made = Done::new(Outcome::LinkOpen, services.clock.wall()).because(answer.expires_at.to_string());
    let made = Done { link: Some(sha256.clone()), ..made };
    // Of two links that are made at once the case knows the later one: no other one works.
    let noted = services.cases.note_link(&number, recording.id(), made).await;
    if let Some(worthless) = noted.as_ref().map_or(Some(&sha256), Option::as_ref) {
        services.links.revoke(worthless).await.map_err(unread_links)?;
    }
    noted.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Revokes an unused link of a chosen recording.
#[utoipa::path(delete, path = "/api/v1/cases/{case}/recordings/{id}/links", tag = "cases", params(
    ("case" = String, Path),
    ("id" = String, Path),
), responses(
    (status = 204, description = "There is no unused link any more"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn revoke_link(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path((number, id)): Path<(String, String)>,
    params: Params,
) -> Result<StatusCode, Problem> {
    actor.need(Permission::Cases)?;
    actor.need(Permission::Export)?;
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let recording = reach_chosen(&services, &actor, &case, recording_of(&id)?).await?;
    allowed(&case, Step::HandOut)?;
    audit_step(&services, &actor, &case.row.number, "revoke_link", Some(("recording", id))).await?;
    if withdraw_link(&services, &case, recording.id()).await? {
        let done = Done::new(Outcome::LinkExpired, services.clock.wall());
        note(&services, case, &[(recording.id(), done)]).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns whether there was an unused link.
async fn withdraw_link(services: &Services, case: &Case, id: CallId) -> Result<bool, Problem> {
    let link = case.chosen(id).and_then(|one| one.result.as_ref()?.link.clone());
    let Some(link) = link else { return Ok(false) };
    services.links.revoke(&link).await.map_err(unread_links)
}

fn unread_links(_: LinkError) -> Problem {
    Problem::unavailable("the links cannot be read or written now", 5)
}
