//! `/api/v1/recordings/{id}/accesses`: who listened, for everybody who may see the recording.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::disclosure::sheet::Action;
use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::audit;
use crate::http::requests::handout::uses;
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;
use crate::metrics;
use optag_core::clock::WallTime;

/// An access to a recording.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: WallTime,
    /// Who.
    actor: String,
    /// `viewed`, `heard`, `handed_out`, `broken_off` (a hand-out that was not completed) or `imported`.
    action: &'static str,
    /// What for.
    purpose: &'static str,
}

/// Every access to a recording on all nodes, oldest first. Accesses for which nothing was served are left out.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/accesses", tag = "recordings", params(("id" = String, Path)),
    responses(
        (status = 200, body = Vec<AccessView>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    params: Params,
) -> Result<Json<Vec<AccessView>>, Problem> {
    actor.need_any(&[Permission::Search, Permission::Audit])?;
    params.finish()?;
    actor.reach(&services, id).await?;
    audit(&services, &actor, AuditAction::ReadAudit, None, Some(id), None).await?;
    let audited = services.audit.about(id).await.map_err(|error| {
        metrics::audit_failed();
        tracing::error!(%error, "accesses to a recording cannot be read");
        Problem::unavailable("the audit cannot be read", 5)
    })?;
    let view = |one: crate::disclosure::sheet::Use| AccessView {
        at: one.at,
        actor: one.actor,
        action: match one.action {
            Action::Viewed => "viewed",
            Action::Heard => "heard",
            Action::BrokenOff => "broken_off",
            Action::HandedOut => "handed_out",
            Action::Imported => "imported",
        },
        purpose: one.purpose,
    };
    Ok(Json(uses(&audited).into_iter().map(view).collect()))
}
