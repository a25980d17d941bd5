//! Which cases, and which of their recordings, an actor may know of; the audit entries of steps; errors as problems.

use axum::http::StatusCode;

use crate::cases::case::{Case, CaseNumber};
use crate::cases::register::{CaseError, Change};
use crate::cases::state::Step;
use crate::http::access::{Actor, Departments, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::library::LibraryError;
use crate::http::recordings::{audit, unanswered};
use crate::http::services::Services;
use crate::metrics::{self, AuthFailure};
use optag_core::id::CallId;

/// Who may see cases: those who answer callers, and those who audit, without personal data.
pub(super) const SEE: [Permission; 2] = [Permission::Cases, Permission::Audit];

/// The number of a case, from its row.
pub(super) fn number_of(case: &Case) -> Result<CaseNumber, Problem> {
    case.row.number.parse().map_err(|_| no_such_case())
}

fn no_such_case() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such case")
}

/// A case of the actor's departments.
///
/// Errors: 404, the same as for one that does not exist, and an entry in the audit log.
pub(super) async fn reach_case(services: &Services, actor: &Actor, number: &str) -> Result<Case, Problem> {
    let number: CaseNumber = number.parse().map_err(|_| no_such_case())?;
    let case = services.cases.get(&number).await.map_err(failed)?.ok_or_else(no_such_case)?;
    let covered = match case.row.department.as_str() {
        "" => actor.departments.are_all(),
        department => actor.departments.cover(department),
    };
    if covered {
        return Ok(case);
    }
    metrics::auth_failed(AuthFailure::Department);
    audit(services, actor, AuditAction::Refused, None, None, Some(said(&case.row.number, "look", None)))
        .await?;
    Err(no_such_case())
}

/// The departments of the recordings that a case may be about.
fn departments_of(case: &Case, actor: &Actor) -> Departments {
    match case.row.department.as_str() {
        "" => actor.departments.clone(),
        department => actor.departments.and(&Departments::only([department])),
    }
}

/// A recording that a case is about.
///
/// Errors: 404: it was not chosen, or is out of reach.
pub(super) async fn reach_chosen(
    services: &Services,
    actor: &Actor,
    case: &Case,
    id: CallId,
) -> Result<Reached, Problem> {
    if case.chosen(id).is_none() {
        return Err(unanswered(LibraryError::NotFound));
    }
    bound(case, actor).reach(services, id).await
}

/// The actor, bound to the departments of a case too.
pub(super) fn bound(case: &Case, actor: &Actor) -> Actor {
    Actor { departments: departments_of(case, actor), ..actor.clone() }
}

/// What the audit log says of a step.
fn said(number: &str, step: &str, what: Option<(&str, String)>) -> String {
    let mut said = serde_json::json!({ "case": number, "step": step });
    if let Some((key, value)) = what {
        said[key] = value.into();
    }
    said.to_string()
}

/// Makes the audit entry of a step durable.
pub(super) async fn audit_step(
    services: &Services,
    actor: &Actor,
    number: &str,
    step: &str,
    what: Option<(&str, String)>,
) -> Result<(), Problem> {
    let detail = Some(said(number, step, what));
    audit(services, actor, AuditAction::Case, Some(Purpose::CallerRequest), None, detail).await
}

/// A step from the revision that its client saw.
pub(super) fn change(
    services: &Services,
    actor: &Actor,
    step: Step,
    from: i64,
    asked: &impl serde::Serialize,
) -> Change {
    let asked = serde_json::to_string(asked).unwrap_or_default();
    Change { step, from, by: actor.name.clone(), at: services.clock.wall(), asked }
}

/// A step from the revision that its client saw, which is in the audit log by then, with `what` it does.
pub(super) async fn begin(
    services: &Services,
    actor: &Actor,
    case: &Case,
    (step, from): (Step, i64),
    asked: &impl serde::Serialize,
    what: Option<(&str, String)>,
) -> Result<Change, Problem> {
    let change = change(services, actor, step, from, asked);
    audit_step(services, actor, &case.row.number, step.name(), what).await?;
    Ok(change)
}

/// Errors of the cases as problems.
pub(super) fn failed(error: CaseError) -> Problem {
    let detail = error.to_string();
    match error {
        CaseError::Changed | CaseError::NotNow(_) | CaseError::Unfinished | CaseError::TooLate => {
            Problem::new(StatusCode::CONFLICT, detail)
        }
        CaseError::Calendar => Problem::field("received_on", detail),
        CaseError::NotForgotten => Problem::unavailable(detail, 5),
        CaseError::Index(error) => {
            tracing::error!(%error, "a case cannot be read or written");
            unanswered(LibraryError::IndexDown)
        }
        CaseError::Unreadable(_) | CaseError::Unwritable(_) => {
            tracing::error!(detail, "a case cannot be read or written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    }
}
