//! Placing and lifting of legal holds. Each is audited before it is answered.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::{audit, unanswered};
use crate::http::requests::{HoldView, NewHold};
use crate::http::server::json::Body;
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;
use optag_core::limit;

/// Holds a recording: it neither expires nor is erased on request until the hold ends or is lifted. Beyond
/// the recording's own limit only on a lawful basis listed in the configuration.
#[utoipa::path(put, path = "/api/v1/recordings/{id}/hold", tag = "holds", params(("id" = String, Path)),
    request_body = NewHold, responses(
    (status = 200, body = HoldView),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn place(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
    Body(hold): Body<NewHold>,
) -> Result<Json<HoldView>, Problem> {
    actor.need(Permission::Hold)?;
    for (field, text) in [("reason", Some(&hold.reason)), ("lawful_basis", hold.lawful_basis.as_ref())] {
        let proper = |text: &String| {
            !text.trim().is_empty()
                && text.chars().count() <= limit::TEXT_CHARS
                && optag_core::call::text::is_plain(text)
        };
        if text.is_some_and(|text| !proper(text)) {
            params.wrong(field, format!("1 to {} characters", limit::TEXT_CHARS));
        }
    }
    params.finish()?;
    let recording = actor.reach(&services, id).await?;
    let basis = hold.lawful_basis.as_deref().unwrap_or("none");
    let detail = format!("until {}, lawful basis {basis}: {}", hold.until, hold.reason);
    audit(&services, &actor, AuditAction::Hold, None, Some(id), Some(detail)).await?;
    services.requests.hold(recording, hold, actor).await.map(Json).map_err(unanswered)
}

/// Lifts a hold. If the recording has expired in the meantime, the next sweep erases it.
#[utoipa::path(delete, path = "/api/v1/recordings/{id}/hold", tag = "holds", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn lift(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    params: Params,
) -> Result<StatusCode, Problem> {
    actor.need(Permission::Hold)?;
    params.finish()?;
    let recording = actor.reach(&services, id).await?;
    audit(&services, &actor, AuditAction::Hold, None, Some(id), Some("lifted".into())).await?;
    match services.requests.release(recording).await.map_err(unanswered)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(StatusCode::NOT_FOUND, "the recording is not held")),
    }
}

/// All holds on recordings of the actor's departments.
#[utoipa::path(get, path = "/api/v1/holds", tag = "holds", responses((status = 200, body = Vec<HoldView>)))]
pub(crate) async fn list(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<Vec<HoldView>>, Problem> {
    actor.need(Permission::Hold)?;
    params.finish()?;
    audit(&services, &actor, AuditAction::Hold, None, None, Some("listed".into())).await?;
    let mut holds = services.requests.holds().await.map_err(unanswered)?;
    let covered = actor.covered(&services, holds.iter().map(|hold| hold.id).collect()).await?;
    holds.retain(|hold| covered.contains(&hold.id));
    Ok(Json(holds))
}
