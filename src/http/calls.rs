//! `/api/v1/calls`: announce, control and show calls.

pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod consents;
pub(crate) mod offer;
pub(crate) mod stream_body;
pub(crate) mod streams;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::access::{Actor, Permission};
use super::problem::Problem;
use crate::http::audited::AuditAction;
use crate::http::calls::answers::{How, Said, evidence, way};
use crate::http::calls::body::{AdmittedBody, CallAnswer, CallBody, StreamPlace, Wrong};
use crate::http::nodes::listing;
use crate::http::recordings::audit;
use crate::http::server::json::{Body, MaybeBody};
use crate::http::server::params::{Id, Params};
use crate::http::server::request_guard::to_its_end;
use crate::http::services::Services;
use optag_core::call::Answer;
use optag_core::id::CallId;
use optag_core::limit;
use optag_sip::feed::{AdmitError, Control, ControlError};

/// Names the nodes whose calls a list lacks.
const NODES_MISSING: HeaderName = HeaderName::from_static("optag-nodes-missing");
/// Seconds after which a feed may retry a refused call.
const RETRY_S: u32 = 5;

/// An answer to the consent prompt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsentBody {
    /// `yes` or `no`.
    #[schema(value_type = String)]
    answer: Answer,
    /// The channel of the answer.
    how: How,
    /// The prompt that the caller heard.
    prompt_version: Option<String>,
    /// The member of staff who took the answer, if `how` is `staff`.
    staff: Option<String>,
}

/// A withdrawal. Every field is optional.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawBody {
    /// The channel of the withdrawal; default `system`.
    how: Option<How>,
    /// The member of staff who was told, if `how` is `staff`.
    staff: Option<String>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// A pause. Every field is optional.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// Why, for the audit log.
    reason: Option<String>,
}

/// A transfer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferBody {
    /// Id of the department that takes the call.
    department: String,
    /// The prompt that the caller hears there; default: the department's first.
    prompt_version: Option<String>,
}

/// Announces a call and opens a port for each stream.
#[utoipa::path(post, path = "/api/v1/calls", tag = "calls", request_body = CallBody, responses(
    (status = 201, body = AdmittedBody, headers(("Location" = String, description = "The call"))),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn announce(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<CallBody>,
) -> Result<Response, Problem> {
    actor.need(Permission::Calls)?;
    let (mut call, offers) = body.check(services.learn_rtp_source)?;
    if !actor.departments.cover(&call.department) {
        return Err(refused(AdmitError::UnknownDepartment(call.department)));
    }
    call.client = Some(actor.name);
    let labels: Vec<_> = call.streams.iter().map(|stream| stream.label.clone()).collect();
    let feed = services.feed;
    let admitted = to_its_end(async move { feed.admit(call).await }).await?.map_err(refused)?;
    let place = HeaderValue::try_from(format!("/api/v1/calls/{}", admitted.id))
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the call has no place"))?;
    let places = admitted.streams.into_iter().zip(offers);
    let streams = labels.into_iter().zip(places).map(|(label, (address, offer))| StreamPlace {
        label,
        address: address.ip(),
        port: address.port(),
        offer,
    });
    let body = AdmittedBody { id: admitted.id, consent: admitted.consent, streams: streams.collect() };
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(body)).into_response())
}

/// Calls in progress and recently ended ones, of all nodes, newest first. The header `Optag-Nodes-Missing` names nodes
/// whose calls are not listed because they did not answer.
/// With `parties`, numbers and names of those in progress, which is audited.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls", params(
    ("parties" = Option<bool>, Query, description = "true: with numbers and names"),
), responses((status = 200, body = Vec<CallAnswer>,
    headers(("Optag-Nodes-Missing" = String, description = "Numbers of nodes that did not answer: `2, 5`")))))]
pub(super) async fn list(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Response, Problem> {
    actor.need(Permission::SeeCalls)?;
    let parties = params.parsed("parties", "true or false").unwrap_or(false);
    params.finish()?;
    if parties {
        audit(&services, &actor, AuditAction::Search, None, None, Some("calls in progress".into())).await?;
    }
    let here = calls_here(&services, &actor, parties)?;
    let Some(nodes) = &services.nodes else { return Ok(Json(here).into_response()) };
    let (all, missing) = listing::of_all(nodes, &actor, here, parties).await;
    let mut answer = Json(all).into_response();
    if !missing.is_empty() {
        let numbers: Vec<String> = missing.iter().map(u16::to_string).collect();
        let numbers = HeaderValue::try_from(numbers.join(", "));
        answer.headers_mut().extend(numbers.ok().map(|numbers| (NODES_MISSING, numbers)));
    }
    Ok(answer)
}

/// The calls of this node, for another one.
pub(super) async fn list_here(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Json<Vec<Box<RawValue>>>, Problem> {
    actor.need(Permission::SeeCalls)?;
    // The node that was asked has an entry in its audit log.
    let parties = params.parsed("parties", "true or false").unwrap_or(false);
    calls_here(&services, &actor, parties).map(Json)
}

/// The calls of this node that an actor may see.
fn calls_here(services: &Services, actor: &Actor, parties: bool) -> Result<Vec<Box<RawValue>>, Problem> {
    let calls = services.feed.calls().into_iter().filter(|call| actor.departments.cover(&call.department));
    let answer = if parties { CallAnswer::with_parties } else { CallAnswer::from };
    let texts = calls.map(|view| to_raw_value(&answer(view)));
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a call cannot be shown");
    texts.collect::<Result<_, _>>().map_err(failed)
}

/// A call in progress or recently ended.
#[utoipa::path(get, path = "/api/v1/calls/{id}", tag = "calls", params(("id" = String, Path)), responses(
    (status = 200, body = CallAnswer),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need_any(&[Permission::SeeCalls, Permission::Answer])?;
    actor.reach_call(&services, id)?;
    let view = services.feed.call(id).ok_or_else(|| not_steered(ControlError::NoSuchCall(id)))?;
    Ok(Json(view.into()))
}

/// Reports the caller's answer to the consent prompt.
#[utoipa::path(post, path = "/api/v1/calls/{id}/consent", tag = "calls", params(("id" = String, Path)),
    request_body = ConsentBody, responses(
    (status = 200, body = CallAnswer),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn consent(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    Body(body): Body<ConsentBody>,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Answer)?;
    actor.reach_call(&services, id)?;
    steer(&services, id, said_by(&actor, body)?).await
}

/// The control for an answer.
///
/// Errors: every invalid field.
pub(super) fn said_by(actor: &Actor, body: ConsentBody) -> Result<Control, Problem> {
    let ConsentBody { answer, how, prompt_version, staff } = body;
    Said { answer, how, prompt_version, staff }.check(actor, &mut Wrong(Vec::new()))
}

/// Withdraws consent: capture stops, and the recording is erased.
#[utoipa::path(post, path = "/api/v1/calls/{id}/withdraw", tag = "calls", params(("id" = String, Path)),
    request_body = Option<WithdrawBody>, responses((status = 200, body = CallAnswer)))]
pub(super) async fn withdraw(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    MaybeBody(body): MaybeBody<WithdrawBody>,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Withdraw)?;
    actor.reach_call(&services, id)?;
    let reason = body.as_ref().and_then(|body| body.reason.clone());
    let steered = steer(&services, id, withdrawn_by(&actor, body)?).await?;
    note(&services, &actor, id, "withdraw", reason).await;
    Ok(steered)
}

/// Writes into the audit log what a person did to a call in progress. It is done: what the caller wants does not wait for the
/// log.
async fn note(services: &Services, actor: &Actor, id: CallId, what: &str, reason: Option<String>) {
    if !actor.roles.are_of_a_machine() {
        let detail = reason.map_or_else(|| what.to_owned(), |reason| format!("{what}: {reason}"));
        let _ = audit(services, actor, AuditAction::Control, None, Some(id), Some(detail)).await;
    }
}

/// The control for a withdrawal.
///
/// Errors: every invalid field.
pub(super) fn withdrawn_by(actor: &Actor, body: Option<WithdrawBody>) -> Result<Control, Problem> {
    let body = body.unwrap_or_default();
    let mut wrong = Wrong(Vec::new());
    if let Some(reason) = &body.reason {
        wrong.text("reason", reason, limit::TEXT_CHARS);
    }
    let evidence = evidence(actor, body.staff, &mut wrong)?;
    Ok(Control::Withdraw { how: way(actor, body.how).into(), evidence })
}

/// Transfers the call to another department. Unless the caller's yes covers it, nothing is kept until a new
/// answer; if the department is not recorded, nothing is kept while it has the call.
#[utoipa::path(post, path = "/api/v1/calls/{id}/transfer", tag = "calls", params(("id" = String, Path)),
    request_body = TransferBody, responses(
    (status = 200, body = CallAnswer),
    (status = 422, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn transfer(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    Body(body): Body<TransferBody>,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Calls)?;
    actor.reach_call(&services, id)?;
    let mut wrong = Wrong(Vec::new());
    wrong.text("department", &body.department, limit::TEXT_CHARS);
    if let Some(version) = &body.prompt_version {
        wrong.text("prompt_version", version, limit::TEXT_CHARS);
    }
    let evidence = evidence(&actor, None, &mut wrong)?;
    if !actor.departments.cover(&body.department) {
        return Err(not_steered(ControlError::UnknownDepartment(body.department)));
    }
    let control =
        Control::Transfer { department: body.department, prompt_version: body.prompt_version, evidence };
    steer(&services, id, control).await
}

/// Keeps nothing until resumed; the time axis continues.
#[utoipa::path(post, path = "/api/v1/calls/{id}/pause", tag = "calls", params(("id" = String, Path)),
    request_body = Option<PauseBody>, responses((status = 200, body = CallAnswer)))]
pub(super) async fn pause(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    MaybeBody(body): MaybeBody<PauseBody>,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Pause)?;
    actor.reach_call(&services, id)?;
    let reason = body.unwrap_or_default().reason;
    let mut wrong = Wrong(Vec::new());
    if let Some(reason) = &reason {
        wrong.text("reason", reason, limit::TEXT_CHARS);
    }
    if !wrong.0.is_empty() {
        return Err(Problem::fields(wrong.0));
    }
    let steered = steer(&services, id, Control::Pause).await?;
    note(&services, &actor, id, "pause", reason).await;
    Ok(steered)
}

/// Resumes after a pause.
#[utoipa::path(post, path = "/api/v1/calls/{id}/resume", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = CallAnswer)))]
pub(super) async fn resume(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Pause)?;
    actor.reach_call(&services, id)?;
    if !actor.roles.are_of_a_machine() {
        audit(&services, &actor, AuditAction::Control, None, Some(id), Some("resume".into())).await?;
    }
    steer(&services, id, Control::Resume).await
}

/// Ends the call.
#[utoipa::path(post, path = "/api/v1/calls/{id}/end", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = CallAnswer)))]
pub(super) async fn end(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
) -> Result<Json<CallAnswer>, Problem> {
    actor.need(Permission::Calls)?;
    actor.reach_call(&services, id)?;
    steer(&services, id, Control::End).await
}

pub(super) async fn steer(
    services: &Services,
    id: CallId,
    control: Control,
) -> Result<Json<CallAnswer>, Problem> {
    let feed = services.feed.clone();
    let steered = to_its_end(async move { feed.control(id, control).await }).await?;
    steered.map(|view| Json(view.into())).map_err(not_steered)
}

fn refused(error: AdmitError) -> Problem {
    let detail = error.to_string();
    match error {
        AdmitError::UnknownDepartment(_) => Problem::field("department", detail),
        AdmitError::BadStreams(_) => Problem::field("streams", detail),
        AdmitError::PortsUsedUp | AdmitError::Quota | AdmitError::Overloaded(_) | AdmitError::Draining => {
            Problem::unavailable(detail, RETRY_S)
        }
    }
}

pub(super) fn not_steered(error: ControlError) -> Problem {
    let detail = error.to_string();
    match error {
        ControlError::NoSuchCall(_) => Problem::new(StatusCode::NOT_FOUND, detail),
        ControlError::UnknownDepartment(_) => Problem::field("department", detail),
        ControlError::Consent(_) | ControlError::AnotherHasIt => Problem::new(StatusCode::CONFLICT, detail),
        ControlError::Unsupported(_) => Problem::new(StatusCode::NOT_IMPLEMENTED, detail),
        ControlError::BadStream(_) => Problem::field("label", detail),
        ControlError::PortsUsedUp
        | ControlError::Quota
        | ControlError::NotDurable
        | ControlError::TooManyPending => Problem::unavailable(detail, RETRY_S),
    }
}
