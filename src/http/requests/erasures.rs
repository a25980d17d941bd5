//! Erasure of recordings: one, several, or all of a caller; preview and progress. Each is audited before it
//! is answered.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::access::{Actor, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::nodes::erasures::AskedErasure;
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::library::{EraseReceipt, EraseState, LibraryError};
use crate::http::recordings::{audit, unanswered};
use crate::http::requests::{ErasurePreview, TARGETS_MOST};
use crate::http::server::json::{Body, MaybeBody};
use crate::http::server::params::{Id, Params};
use crate::http::server::request_guard::to_its_end;
use crate::http::services::Services;
use optag_core::id::CallId;
use optag_core::limit;
use optag_core::private::Private;

/// Maximum length of a request number. Units: characters.
const REQUEST_CHARS: usize = 64;

/// Why a recording is erased.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseBody {
    /// Stored in the audit log.
    reason: String,
    /// Reference number of the erasure request; shown in the receipt.
    request: Option<String>,
    /// Complete the erasure even if no object is found, because they were removed from the store by hand; the
    /// receipt records it.
    #[serde(default)]
    accept_missing: bool,
}

/// Which recordings are erased, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasuresBody {
    /// Recordings by id.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    recordings: Vec<CallId>,
    /// All recordings whose caller has exactly this number, in any spelling.
    #[schema(value_type = Option<String>)]
    caller_number: Option<Private<String>>,
    /// Stored in the audit log.
    reason: String,
    /// Reference number of the request.
    request: Option<String>,
    /// As for a single one.
    #[serde(default)]
    accept_missing: bool,
    /// Only show what would be deleted.
    #[serde(default)]
    dry_run: bool,
}

/// Results of several erasures.
#[derive(Serialize, ToSchema)]
pub(crate) struct Erasures {
    /// One per recording.
    erasures: Vec<EraseReceipt>,
}

/// Previews of several erasures.
#[derive(Serialize, ToSchema)]
pub(crate) struct Previews {
    /// One per recording.
    previews: Vec<ErasurePreview>,
}

/// Erases a recording everywhere. 200: every copy is deleted, with the signed receipt. 202: the order is
/// durable, and copies that could not be reached will be deleted later.
#[utoipa::path(delete, path = "/api/v1/recordings/{id}", tag = "erasures", params(
    ("id" = String, Path),
    ("reason" = Option<String>, Query, description = "Required here or in the body"),
    ("request" = Option<String>, Query, description = "Number of the request by which someone asked"),
    ("purpose" = Option<String>, Query, description = "As for a search, but not required"),
), request_body = Option<EraseBody>, responses(
    (status = 200, body = EraseReceipt),
    (status = 202, body = EraseReceipt),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn erase(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
    MaybeBody(body): MaybeBody<EraseBody>,
) -> Result<Response, Problem> {
    actor.need(Permission::Erase)?;
    let (mut reason, mut request) = (params.text("reason"), params.text("request"));
    let purpose = params.stated_purpose(&actor, Permission::Erase)?;
    let mut accept_missing = false;
    if let Some(body) = body {
        (reason, request) = (Some(body.reason), body.request.or(request));
        accept_missing = body.accept_missing;
    }
    let reason = reason.unwrap_or_default();
    check(&mut params, &reason, request.as_deref());
    params.finish()?;
    let recording = actor.reach(&services, id).await?;
    let detail = why(&reason, request.as_deref(), accept_missing);
    audit(&services, &actor, AuditAction::Erase, purpose, Some(id), Some(detail)).await?;
    let asked = AskedErasure { actor, purpose, reason, request, accept_missing };
    let receipt = to_its_end(async move { erase_one(&services, recording, &asked).await }).await??;
    Ok((status([&receipt]), Json(receipt)).into_response())
}

/// Erases several recordings, or all of a caller, also those that another node has not delivered yet; or previews that.
/// Recordings that cannot be erased (a call in progress, a legal hold) are listed as refused, with the reason. 503, and
/// nothing is erased: a node that may have recordings of the caller cannot be reached.
#[utoipa::path(post, path = "/api/v1/erasures", tag = "erasures", request_body = ErasuresBody, responses(
    (status = 200, body = Erasures, description = "With `dry_run`: `previews`"),
    (status = 202, body = Erasures),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn erase_several(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
    Body(body): Body<ErasuresBody>,
) -> Result<Response, Problem> {
    actor.need(Permission::Erase)?;
    let purpose = params.stated_purpose(&actor, Permission::Erase)?.or(Some(Purpose::CallerRequest));
    check(&mut params, &body.reason, body.request.as_deref());
    if body.recordings.is_empty() && body.caller_number.is_none() {
        params.wrong("recordings", "recordings or a caller's number are required");
    }
    if body.recordings.len() > TARGETS_MOST {
        params.wrong("recordings", format!("at most {TARGETS_MOST}"));
    }
    params.finish()?;
    let mut ids = body.recordings;
    let mut elsewhere = HashSet::new();
    if let Some(number) = body.caller_number {
        let sought = format!("{{\"caller\":\"{}\"}}", services.audit.pseudonym(number.reveal()));
        audit(&services, &actor, AuditAction::Search, purpose, None, Some(sought)).await?;
        // Before the index is asked: what is delivered meanwhile has its row by then.
        if let Some(nodes) = &services.nodes {
            elsewhere = nodes.waiting_of_caller(&number, &actor).await?;
            ids.extend(&elsewhere);
        }
        ids.extend(services.requests.of_caller(number, actor.departments.clone()).await.map_err(unanswered)?);
    }
    ids.sort();
    ids.dedup();
    let all = actor.reach_each_or(&services, &ids, &elsewhere).await?;
    let detail = why(&body.reason, body.request.as_deref(), body.accept_missing);
    if body.dry_run {
        let mut previews = Vec::with_capacity(all.len());
        for one in all {
            let Ok(recording) = one else {
                previews.extend(one.err().map(ErasurePreview::of_nothing));
                continue;
            };
            let (id, detail) = (recording.id(), detail.clone());
            audit(&services, &actor, AuditAction::Preview, purpose, Some(id), Some(detail)).await?;
            let mut preview = services.requests.preview(recording).await.map_err(unanswered)?;
            if preview.state == "unknown" && elsewhere.contains(&id) {
                (preview.state, preview.spool_key) = ("spooled", true);
            }
            previews.push(preview);
        }
        return Ok(Json(Previews { previews }).into_response());
    }
    for recording in all.iter().flatten() {
        let (id, detail) = (recording.id(), detail.clone());
        audit(&services, &actor, AuditAction::Erase, purpose, Some(id), Some(detail)).await?;
    }
    let ErasuresBody { reason, request, accept_missing, .. } = body;
    let asked = AskedErasure { actor, purpose, reason, request, accept_missing };
    let erasing = async move {
        let mut erasures = Vec::with_capacity(all.len());
        for one in all {
            erasures.push(match one {
                Err(id) => refused(id, LibraryError::NotFound.to_string()),
                Ok(recording) => {
                    let erased = erase_one(&services, recording, &asked).await;
                    erased.unwrap_or_else(|problem| refused(recording.id(), problem.detail))
                }
            });
        }
        erasures
    };
    let erasures = to_its_end(erasing).await?;
    Ok((status(&erasures), Json(Erasures { erasures })).into_response())
}

/// A recording whose erasure is only looked at, which is in the audit log by then.
async fn looked_at(
    services: &Services,
    actor: &Actor,
    id: CallId,
    mut params: Params,
) -> Result<Reached, Problem> {
    actor.need(Permission::Erase)?;
    let purpose = params.stated_purpose(actor, Permission::Erase)?;
    params.finish()?;
    let recording = actor.reach(services, id).await?;
    audit(services, actor, AuditAction::Preview, purpose, Some(id), None).await?;
    Ok(recording)
}

/// Preview of an erasure: every copy in the store, the spool key, the index row.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/erasure/preview", tag = "erasures", params(
    ("id" = String, Path),
    ("purpose" = Option<String>, Query, description = "As for a search, but not required"),
), responses((status = 200, body = ErasurePreview)))]
pub(crate) async fn preview(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    params: Params,
) -> Result<Json<ErasurePreview>, Problem> {
    let recording = looked_at(&services, &actor, id, params).await?;
    services.requests.preview(recording).await.map(Json).map_err(unanswered)
}

/// Progress of an erasure, with the signed receipt if it is complete.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/erasure", tag = "erasures", params(
    ("id" = String, Path),
    ("purpose" = Option<String>, Query, description = "As for a search, but not required"),
), responses(
    (status = 200, body = EraseReceipt),
    (status = 202, body = EraseReceipt),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn progress(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    params: Params,
) -> Result<Response, Problem> {
    let recording = looked_at(&services, &actor, id, params).await?;
    let receipt = services.requests.receipt(recording).await.map_err(unanswered)?;
    Ok((status([&receipt]), Json(receipt)).into_response())
}

/// The signed receipt of a completed erasure: the bytes that were signed, as a file to keep or to give to the caller.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/erasure/receipt", tag = "erasures", params(
    ("id" = String, Path),
    ("purpose" = Option<String>, Query, description = "As for a search, but not required"),
), responses(
    (status = 200, content_type = "application/json", body = Object, description = "The receipt"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn receipt(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    params: Params,
) -> Result<Response, Problem> {
    let recording = looked_at(&services, &actor, id, params).await?;
    let receipt = services.requests.receipt(recording).await.map_err(unanswered)?.receipt;
    let pending =
        || Problem::new(StatusCode::CONFLICT, "the erasure is not complete: there is no receipt yet");
    // As it was signed: a program that reads and writes it anew may change it.
    let bytes = receipt.ok_or_else(pending)?.get().to_owned();
    let name = format!("attachment; filename=\"receipt-{id}.json\"");
    Ok(([(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_DISPOSITION, name)], bytes).into_response())
}

fn check(params: &mut Params, reason: &str, request: Option<&str>) {
    let proper = !reason.trim().is_empty()
        && reason.chars().count() <= limit::TEXT_CHARS
        && optag_core::call::text::is_plain(reason);
    if !proper {
        params.wrong("reason", format!("required: 1 to {} characters", limit::TEXT_CHARS));
    }
    // A reference number, without room for a name: receipts are passed around.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
    let is_number = |text: &str| {
        (1..=REQUEST_CHARS).contains(&text.len())
            && text.chars().all(plain)
            && text.chars().any(|c| c.is_ascii_digit())
    };
    if request.is_some_and(|text| !is_number(text)) {
        params.wrong(
            "request",
            format!("1 to {REQUEST_CHARS} letters, digits and -_/. with a digit among them"),
        );
    }
}

/// The audit entry's detail.
fn why(reason: &str, request: Option<&str>, accept_missing: bool) -> String {
    let reason = match request {
        Some(request) => format!("request {request}: {reason}"),
        None => reason.to_owned(),
    };
    if accept_missing { format!("accepted where nothing is found: {reason}") } else { reason }
}

fn status<'a>(receipts: impl IntoIterator<Item = &'a EraseReceipt>) -> StatusCode {
    match receipts.into_iter().any(|receipt| receipt.state == EraseState::Pending) {
        true => StatusCode::ACCEPTED,
        false => StatusCode::OK,
    }
}

fn refused(id: CallId, why: String) -> EraseReceipt {
    EraseReceipt { id, state: EraseState::Refused, steps: Vec::new(), receipt: None, refused: Some(why) }
}

/// Erases a recording; one of which nothing is known here is asked for at the node that recorded the call.
pub(in crate::http) async fn erase_one(
    services: &Services,
    recording: Reached,
    asked: &AskedErasure,
) -> Result<EraseReceipt, Problem> {
    match (
        services.requests.erase(recording, asked.request.clone(), asked.accept_missing).await,
        &services.nodes,
    ) {
        (Err(LibraryError::NotFound), Some(nodes)) => nodes
            .erase(recording.id(), asked)
            .await
            .unwrap_or_else(|| Err(unanswered(LibraryError::NotFound))),
        (erased, _) => erased.map_err(unanswered),
    }
}
