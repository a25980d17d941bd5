//! The order to drain: audited before it is carried out.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::drains::DrainState;
use crate::http::problem::Problem;
use crate::http::recordings::audit;
use crate::http::server::params::Params;
use crate::http::services::Services;

/// The longest that calls in progress may go on. Units: s.
const LONGEST_S: u64 = 86_400;

/// Drains the recorder: no new calls are taken, calls in progress go on until they end or the limit is reached, what
/// was recorded is delivered, and the process ends, as after SIGTERM. Repeating the request shows how far it is; with
/// `limit_s` it sets the limit anew.
#[utoipa::path(post, path = "/api/v1/admin/drain", tag = "oversight", params(
    ("limit_s" = Option<u64>, Query, description = "How long calls in progress go on from now, at most 86400; otherwise `shutdown.drain_limit_s`. 0 ends them at once"),
), responses((status = 202, body = DrainState)))]
pub(crate) async fn drain(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<(StatusCode, Json<DrainState>), Problem> {
    actor.need(Permission::Administer)?;
    actor.need_all_departments("all calls end")?;
    let limit_s: Option<u64> = params.parsed("limit_s", "a whole number");
    if limit_s.is_some_and(|limit_s| limit_s > LONGEST_S) {
        params.wrong("limit_s", format!("0 to {LONGEST_S} is allowed"));
    }
    params.finish()?;
    let detail = limit_s.map(|limit_s| format!("limit {limit_s} s"));
    audit(&services, &actor, AuditAction::Drain, None, None, detail).await?;
    let state = services.drains.drain(limit_s.map(Duration::from_secs));
    Ok((StatusCode::ACCEPTED, Json(state)))
}
