//! Administration: the retention report, confirmation of the clock, the audit log, the installation's public
//! key.

pub mod drain;
pub(crate) mod holds;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::{audit, unanswered};
use crate::http::requests::{AuditPage, ClockView, ReportAnswer, ReportProgress, RetentionReport};
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::id::CallId;

/// Default number of audit lines in a response.
const LINES: usize = 1_000;
/// Maximum number of audit lines in a response.
const LINES_MOST: usize = 10_000;

/// Whether anything was older than allowed at a given time, and whether index and store have the same
/// recordings. If the report takes longer than some seconds it continues in the background: the response is
/// 202 with its number, and the same request with `job` waits for it.
#[utoipa::path(get, path = "/api/v1/retention/report", tag = "oversight", params(
    ("at" = Option<String>, Query, description = "The moment; otherwise now. A past one tells of then, a future one what would be"),
    ("job" = Option<u64>, Query, description = "The number of a report that is being made; it is kept until some newer ones are"),
), responses(
    (status = 200, body = RetentionReport),
    (status = 202, body = ReportProgress),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub async fn retention(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Response, Problem> {
    actor.need(Permission::Report)?;
    let at = params.time("at");
    let job = params.parsed("job", "a whole number");
    params.finish()?;
    // A request that continues to wait was audited when the report was started.
    if job.is_none() {
        audit(&services, &actor, AuditAction::Report, None, None, at.map(|at| at.to_string())).await?;
    }
    match services.requests.retention_report(at, job).await.map_err(unanswered)? {
        ReportAnswer::Done(report) => {
            Ok(Json(bounded_report(&services, &actor, report).await?).into_response())
        }
        ReportAnswer::Running(progress) => {
            Ok((StatusCode::ACCEPTED, [(RETRY_AFTER, "1")], Json(progress)).into_response())
        }
    }
}

/// Confirms that the machine's wall clock is correct after a jump that no second source could confirm.
#[utoipa::path(post, path = "/api/v1/retention/clock", tag = "oversight", responses((status = 200, body = ClockView)))]
pub async fn confirm_clock(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<ClockView>, Problem> {
    actor.need(Permission::Administer)?;
    actor.need_all_departments("there is one clock")?;
    params.finish()?;
    audit(&services, &actor, AuditAction::ConfirmClock, None, None, None).await?;
    services.requests.confirm_clock().await.map(Json).map_err(unanswered)
}

/// The audit log, line by line as stored, with its signed checkpoints.
#[utoipa::path(get, path = "/api/v1/audit", tag = "oversight", params(
    ("after" = Option<u64>, Query, description = "Lines after this number; otherwise from the first"),
    ("most" = Option<usize>, Query, description = "1 to 10000 lines, otherwise 1000"),
), responses((status = 200, body = AuditPage)))]
pub async fn audit_trail(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Json<AuditPage>, Problem> {
    actor.need(Permission::Audit)?;
    let after = params.parsed("after", "a whole number").unwrap_or(0);
    let most = params.parsed("most", "a whole number").unwrap_or(LINES);
    if !(1..=LINES_MOST).contains(&most) {
        params.wrong("most", format!("1 to {LINES_MOST} is allowed"));
    }
    params.finish()?;
    audit(&services, &actor, AuditAction::ReadAudit, None, None, Some(format!("after {after}"))).await?;
    let page = services.requests.audit_page(after, most).await.map_err(unanswered)?;
    bounded_page(&services, &actor, page).await.map(Json)
}

/// The report as an actor bound to some departments may see it: holds of these, and numbers; not the remarks, which name
/// recordings.
async fn bounded_report(
    services: &Services,
    actor: &Actor,
    mut report: RetentionReport,
) -> Result<RetentionReport, Problem> {
    if actor.departments.are_all() {
        return Ok(report);
    }
    let covered = actor.covered(services, report.held.iter().map(|hold| hold.id).collect()).await?;
    report.held.retain(|hold| covered.contains(&hold.id));
    for part in &mut report.parts {
        part.notes.clear();
    }
    Ok(report)
}

/// An entry of the audit log, as far as it tells whose it is.
#[derive(Deserialize)]
struct About {
    entry: AboutEntry,
}

#[derive(Deserialize)]
struct AboutEntry {
    #[serde(default)]
    recording: Option<CallId>,
}

/// The lines that an actor bound to some departments may see: those about recordings of these. The page may be short,
/// or empty, while there are more.
async fn bounded_page(services: &Services, actor: &Actor, mut page: AuditPage) -> Result<AuditPage, Problem> {
    if actor.departments.are_all() {
        return Ok(page);
    }
    let about = |line: &RawValue| serde_json::from_str::<About>(line.get()).ok()?.entry.recording;
    let mut ids: Vec<CallId> = page.lines.iter().filter_map(|line| about(line)).collect();
    ids.sort();
    ids.dedup();
    let covered = actor.covered(services, ids).await?;
    page.lines.retain(|line| about(line).is_some_and(|id| covered.contains(&id)));
    page.checkpoints.clear();
    Ok(page)
}

/// The key that verifies receipts and checkpoints. No token is needed.
pub(super) fn public_key(key: &str) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "algorithm": "Ed25519", "public_key": key }))
}
