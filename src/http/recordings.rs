//! `/api/v1/recordings`: search and read. Each is audited before it is answered.

pub(crate) mod accesses;
pub mod library;
pub(crate) mod playback;
pub(crate) mod waveform;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::access::{Actor, Departments, Permission};
use super::problem::Problem;
use crate::http::audited::{AuditAction, AuditEntry, Purpose};
use crate::http::recordings::library::{LibraryError, Page, RecordingDetail, SearchQuery};
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;
use crate::metrics;
use optag_core::call::verdict::VerdictWanted;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Default page size.
const PAGE_SIZE: u16 = 50;
/// Maximum page size.
const PAGE_SIZE_MOST: u16 = 200;
/// Last page that can be requested.
const PAGE_MOST: u32 = 100_000;

/// Finds recordings, newest first. All criteria must match.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "recordings", params(
    ("number" = Option<String>, Query, description = "Number called from or called, in any spelling"),
    ("name" = Option<String>, Query, description = "The caller's name or a part of it"),
    ("department" = Option<String>, Query, description = "Department id"),
    ("from" = Option<String>, Query, description = "Earliest start: RFC 3339, or a day in UTC"),
    ("to" = Option<String>, Query, description = "First instant that is too late"),
    ("verdict" = Option<String>, Query, description = format!("A stream's verdict; ok: all of them. {}", VerdictWanted::words())),
    ("after" = Option<String>, Query, description = "Where the page begins: `next` of the page before"),
    ("page" = Option<u32>, Query, description = "From 1; pages deep in are found sooner by `after`, which takes no other page"),
    ("page_size" = Option<u16>, Query, description = "1 to 200, otherwise 50"),
    ("purpose" = String, Query, description = "training, caller_request or administration; or the header Optag-Purpose"),
), responses((status = 200, body = Page), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub async fn search(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Json<Page>, Problem> {
    actor.need(Permission::Search)?;
    let query = SearchQuery {
        number: params.text("number").map(Private::new),
        name: params.text("name").map(Private::new),
        department: params.text("department"),
        within: actor.departments.clone(),
        from: params.time("from"),
        to: params.time("to"),
        verdict: params.parsed("verdict", "a verdict on a stream, or `fault`"),
        after: params.parsed("after", "`next` of the page before"),
        page: params.parsed("page", "a whole number").unwrap_or(1),
        page_size: params.parsed("page_size", "a whole number").unwrap_or(PAGE_SIZE),
    };
    if !(1..=PAGE_MOST).contains(&query.page) {
        params.wrong("page", format!("1 to {PAGE_MOST} is allowed"));
    }
    if query.after.is_some() && query.page != 1 {
        params.wrong("page", "`after` says where the page begins");
    }
    if !(1..=PAGE_SIZE_MOST).contains(&query.page_size) {
        params.wrong("page_size", format!("1 to {PAGE_SIZE_MOST} is allowed"));
    }
    let purpose = params.allowed_purpose(&actor, Permission::Search)?;
    params.finish()?;
    audit(&services, &actor, AuditAction::Search, purpose, None, Some(criteria(&services, &query))).await?;
    services.library.search(query).await.map(Json).map_err(unanswered)
}

/// All details of a recording.
#[utoipa::path(get, path = "/api/v1/recordings/{id}", tag = "recordings", params(
    ("id" = String, Path),
    ("purpose" = String, Query, description = "As for a search"),
), responses(
    (status = 200, body = RecordingDetail),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
) -> Result<Json<RecordingDetail>, Problem> {
    actor.need(Permission::Search)?;
    let purpose = params.allowed_purpose(&actor, Permission::Search)?;
    params.finish()?;
    let reached = actor.reach(&services, id).await?;
    audit(&services, &actor, AuditAction::View, purpose, Some(id), None).await?;
    services.library.get(reached).await.map(Json).map_err(unanswered)
}

/// Makes an audit entry durable. Errors: 503, and nothing may be returned.
pub(super) async fn audit(
    services: &Services,
    actor: &Actor,
    action: AuditAction,
    purpose: Option<Purpose>,
    recording: Option<CallId>,
    detail: Option<String>,
) -> Result<(), Problem> {
    let entry = AuditEntry {
        at: services.clock.wall(),
        actor: actor.name.clone(),
        action,
        purpose,
        recording,
        detail: detail.map(Private::new),
    };
    services.audit.append(entry).await.map_err(|error| {
        metrics::audit_failed();
        tracing::error!(%error, "a request was refused: no audit");
        Problem::unavailable("the audit cannot be written, so nothing is shown", 5)
    })
}

/// Records that the access audited last was not served, or not completely: the person recorded is told about
/// accesses. If it cannot be written, the earlier entry stands.
pub(super) async fn audit_failure(
    services: &Services,
    actor: &Actor,
    action: AuditAction,
    purpose: Option<Purpose>,
    recording: CallId,
) {
    let _ = audit(services, actor, action, purpose, Some(recording), None).await;
}

/// The library's errors as problems.
pub(super) fn unanswered(error: LibraryError) -> Problem {
    use axum::http::header::CONTENT_RANGE;
    let detail = error.to_string();
    match error {
        LibraryError::NotFound => Problem::new(StatusCode::NOT_FOUND, detail),
        LibraryError::Erased => Problem::new(StatusCode::GONE, detail),
        LibraryError::NotReady => Problem::new(StatusCode::CONFLICT, detail),
        LibraryError::Held { .. } | LibraryError::HoldRefused(_) => {
            Problem::new(StatusCode::CONFLICT, detail)
        }
        LibraryError::NoSuchChannel { .. } => Problem::field("channel", detail),
        LibraryError::OutOfRange { total_bytes } => {
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail);
            match format!("bytes */{total_bytes}").try_into() {
                Ok(value) => problem.header(CONTENT_RANGE, value),
                Err(_) => problem,
            }
        }
        LibraryError::Sealed => Problem::new(StatusCode::GONE, detail),
        LibraryError::Damaged | LibraryError::Newer => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
        LibraryError::IndexDown
        | LibraryError::StoreDown
        | LibraryError::OutOfStep
        | LibraryError::Apart(_)
        | LibraryError::Busy => Problem::unavailable(detail, 5),
    }
}

/// The departments that bound a search, for the audit; none where all are searched.
pub(super) fn bounds(within: &Departments) -> Option<String> {
    (!within.are_all()).then(|| within.to_string())
}

/// The search criteria for the audit: numbers and names as keyed hashes, which only show whether a known
/// number or name was looked up.
fn criteria(services: &Services, query: &SearchQuery) -> String {
    let hidden = |value: &Option<Private<String>>| {
        value.as_ref().map(|value| services.audit.pseudonym(value.reveal()))
    };
    let all = [
        ("number", hidden(&query.number)),
        ("name", hidden(&query.name)),
        ("department", query.department.clone()),
        ("within", bounds(&query.within)),
        ("from", query.from.map(|at| at.to_string())),
        ("to", query.to.map(|at| at.to_string())),
        ("verdict", query.verdict.map(|verdict| verdict.name().to_owned())),
        ("after", query.after.map(|after| after.to_string())),
        ("page", Some(query.page.to_string())),
    ];
    let given = all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    serde_json::Value::Object(given.collect()).to_string()
}
