//! `/api/v1/audit/entries` and `/api/v1/audit/unusual`: the audit log for people who read it: searched, with the state of its
//! chain, and with the listening that is worth asking about. Each look is itself an entry.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::access::{Actor, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::oversight::audit_search::{AuditFound, AuditQuery, Unusual};
use crate::http::problem::Problem;
use crate::http::recordings::{audit, unanswered};
use crate::http::server::params::Params;
use crate::http::services::Services;

/// Default number of entries.
const MOST: usize = 50;
/// Maximum number of entries.
const MOST_MOST: usize = 500;

/// Entries of the audit log of this node, newest first, and whether the log is as it was written. To whoever is bound to
/// some departments: entries about recordings of these, so that a page may be short while there are more.
#[utoipa::path(get, path = "/api/v1/audit/entries", tag = "oversight", params(
    ("actor" = Option<String>, Query, description = "Who, or a part of the name"),
    ("action" = Option<String>, Query, description = "What, as entries name it: `playback`, `erase`"),
    ("for_purpose" = Option<String>, Query, description = "What for, as entries name it"),
    ("recording" = Option<String>, Query, description = "Id of a recording"),
    ("text" = Option<String>, Query, description = "A part of the detail, such as the number of a case"),
    ("from" = Option<String>, Query, description = "Earliest time, RFC 3339"),
    ("to" = Option<String>, Query, description = "First time that is too late"),
    ("before" = Option<u64>, Query, description = "`next` of the page before"),
    ("most" = Option<usize>, Query, description = "1 to 500 entries, otherwise 50"),
), responses((status = 200, body = AuditFound)))]
pub(crate) async fn entries(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Json<AuditFound>, Problem> {
    actor.need(Permission::Audit)?;
    let named = |name: String| serde_json::from_value::<AuditAction>(name.into());
    let action = params.text("action").map(named);
    if let Some(Err(_)) = action {
        params.wrong("action", "there is no such action");
    }
    let purpose = params.text("for_purpose").map(|name| Purpose::from_name(&name));
    if purpose == Some(None) {
        params.wrong("for_purpose", format!("one of {} is allowed", Purpose::NAMES.join(", ")));
    }
    let query = AuditQuery {
        actor: params.text("actor"),
        action: action.and_then(Result::ok),
        purpose: purpose.flatten(),
        recording: params.parsed("recording", "an id"),
        text: params.text("text"),
        from: params.time("from"),
        to: params.time("to"),
        before: params.parsed("before", "a whole number"),
        most: params.parsed("most", "a whole number").unwrap_or(MOST),
    };
    if !(1..=MOST_MOST).contains(&query.most) {
        params.wrong("most", format!("1 to {MOST_MOST} is allowed"));
    }
    params.finish()?;
    audit(&services, &actor, AuditAction::ReadAudit, None, query.recording, Some(said(&query))).await?;
    let mut found = services.oversight.audit_search(query).await.map_err(unanswered)?;
    if !actor.departments.are_all() {
        let ids = found.entries.iter().filter_map(|one| one.entry.recording).collect();
        let covered = actor.covered(&services, ids).await?;
        found.entries.retain(|one| one.entry.recording.is_some_and(|id| covered.contains(&id)));
    }
    Ok(Json(found))
}

/// What was asked for, in the log.
fn said(query: &AuditQuery) -> String {
    let action = query.action.and_then(|action| serde_json::to_value(action).ok());
    let all = [
        ("actor", query.actor.clone().map(Into::into)),
        ("action", action),
        ("purpose", query.purpose.map(|purpose| purpose.name().into())),
        ("text", query.text.clone().map(Into::into)),
        ("from", query.from.map(|at| at.to_string().into())),
        ("to", query.to.map(|at| at.to_string().into())),
        ("before", query.before.map(Into::into)),
    ];
    let given = all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    serde_json::Value::Object(given.collect()).to_string()
}

/// Listening that is worth asking about.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnusualFound {
    /// How far back was looked.
    days: i64,
    /// The newest first.
    found: Vec<Unusual>,
}

/// Listening of the last 30 days that is worth asking about: far more recordings on a day than usual, at night, of a caller
/// with the listener's own name, several of one caller. It proves nothing, and tells no caller's number or name.
#[utoipa::path(get, path = "/api/v1/audit/unusual", tag = "oversight", responses((status = 200, body = UnusualFound)))]
pub(crate) async fn unusual(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<UnusualFound>, Problem> {
    actor.need(Permission::Audit)?;
    params.finish()?;
    audit(&services, &actor, AuditAction::ReadAudit, None, None, Some("unusual".to_owned())).await?;
    let within = actor.departments.clone();
    let (days, found) =
        services.oversight.unusual(services.clock.wall(), within).await.map_err(unanswered)?;
    Ok(Json(UnusualFound { days, found }))
}
