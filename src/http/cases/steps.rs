//! The steps of a case. Each names the revision that whoever takes it had seen: of two at once one counts, and the same one
//! sent twice counts once.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::carry_out::{self, look_again};
use super::intake::{NOTE_CHARS, check_told, proper};
use super::reach::{audit_step, begin, bound, change, failed, reach_case};
use super::views::{CaseView, view};
use crate::cases::case::{Case, Chosen, Decision, Ground, Identity, IdentityCheck, Told};
use crate::cases::register::{CaseError, Change};
use crate::cases::state::{State as CaseState, Step};
use crate::http::access::{Actor, Permission};
use crate::http::problem::Problem;
use crate::http::recordings::unanswered;
use crate::http::server::json::Body;
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Maximum number of recordings of a case.
const CHOSEN_MOST: usize = 100;

/// What the caller said, instead of what stands there.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmendBody {
    /// Revision of the case that was seen.
    revision: i64,
    /// All of it.
    told: Told,
}

/// How identity was checked.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityBody {
    /// Revision of the case that was seen.
    revision: i64,
    /// How.
    how: IdentityCheck,
    /// What else is to be known; required for `other`.
    #[schema(value_type = Option<String>)]
    note: Option<Private<String>>,
}

/// Which recordings are meant.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChooseBody {
    /// Revision of the case that was seen.
    revision: i64,
    /// All of them, by id; those that were chosen before and are not among them are not any more.
    #[schema(value_type = Vec<String>)]
    recordings: Vec<CallId>,
}

/// Why the time limit is extended.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendBody {
    /// Revision of the case that was seen.
    revision: i64,
    /// The reason, which the caller has to be told.
    #[schema(value_type = String)]
    reason: Private<String>,
}

/// What is to be done.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    /// Revision of the case that was seen.
    revision: i64,
    /// What.
    decision: Decision,
    /// Ground of a refusal.
    ground: Option<Ground>,
    /// Reason of a refusal, which the caller is told; required for the ground `other`.
    #[schema(value_type = Option<String>)]
    reason: Option<Private<String>>,
}

/// A step that needs nothing else.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepBody {
    /// Revision of the case that was seen.
    revision: i64,
}

/// Corrects or completes what the caller said.
#[utoipa::path(post, path = "/api/v1/cases/{case}/told", tag = "cases", params(("case" = String, Path)),
    request_body = AmendBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn amend(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
    Body(body): Body<AmendBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    check_told(&mut params, &body.told);
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let step = begin(&services, &actor, &case, (Step::Amend, body.revision), &body, None).await?;
    let set = |case: &mut Case| {
        if let Some(content) = &mut case.content {
            content.told = body.told;
        }
        Ok(())
    };
    let taken = services.cases.take(case, &step, set).await.map_err(failed)?;
    Ok(Json(view(&services, &actor, taken.case)))
}

/// Notes how the caller's identity was checked.
#[utoipa::path(post, path = "/api/v1/cases/{case}/identity", tag = "cases", params(("case" = String, Path)),
    request_body = IdentityBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn identify(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
    Body(body): Body<IdentityBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    if !body.note.as_ref().is_none_or(|note| proper(note, NOTE_CHARS)) {
        params.wrong("note", format!("1 to {NOTE_CHARS} characters"));
    } else if body.how == IdentityCheck::Other && body.note.is_none() {
        params.wrong("note", "required: how identity was checked");
    }
    params.finish()?;
    let how = Some(("how", body.how.name().to_owned()));
    let case = reach_case(&services, &actor, &number).await?;
    let step = begin(&services, &actor, &case, (Step::Identify, body.revision), &body, how).await?;
    let identity = Identity { how: body.how, note: body.note, by: actor.name.clone(), at: step.at };
    let set = |case: &mut Case| {
        if let Some(content) = &mut case.content {
            content.identity = Some(identity);
        }
        Ok(())
    };
    let taken = services.cases.take(case, &step, set).await.map_err(failed)?;
    Ok(Json(view(&services, &actor, taken.case)))
}

/// Chooses the recordings that are meant.
#[utoipa::path(post, path = "/api/v1/cases/{case}/recordings", tag = "cases", params(("case" = String, Path)),
    request_body = ChooseBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn choose(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
    Body(mut body): Body<ChooseBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    body.recordings.sort();
    body.recordings.dedup();
    if body.recordings.len() > CHOSEN_MOST {
        params.wrong("recordings", format!("at most {CHOSEN_MOST}"));
    }
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let count = Some(("recordings", body.recordings.len().to_string()));
    let step = begin(&services, &actor, &case, (Step::Choose, body.revision), &body, count).await?;
    let mut chosen = Vec::with_capacity(body.recordings.len());
    for (at, one) in
        bound(&case, &actor).reach_each(&services, &body.recordings).await?.into_iter().enumerate()
    {
        let gone = || Problem::field(format!("recordings[{at}]"), "there is no such recording");
        let recording = one.map_err(|_| gone())?;
        let summary = match services.library.get(recording).await {
            Ok(detail) => detail.summary,
            Err(error) => {
                let problem = unanswered(error);
                return Err(if problem.status().is_client_error() { gone() } else { problem });
            }
        };
        chosen.push(Chosen {
            id: recording.id(),
            department: summary.department,
            started_at: summary.started_at,
            duration_ms: summary.duration_ms,
            result: None,
        });
    }
    let set = |case: &mut Case| {
        if let Some(content) = &mut case.content {
            content.chosen = chosen;
        }
        Ok(())
    };
    let taken = services.cases.take(case, &step, set).await.map_err(failed)?;
    Ok(Json(view(&services, &actor, taken.case)))
}

/// Extends the time limit of one month by two further months; the caller has to be told, with the reason, within the first
/// one.
#[utoipa::path(post, path = "/api/v1/cases/{case}/extension", tag = "cases", params(("case" = String, Path)),
    request_body = ExtendBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn extend(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
    Body(body): Body<ExtendBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    if !proper(&body.reason, NOTE_CHARS) {
        params.wrong("reason", format!("required: 1 to {NOTE_CHARS} characters"));
    }
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let step = begin(&services, &actor, &case, (Step::Extend, body.revision), &body, None).await?;
    let taken = services.cases.extend(case, &step, body.reason.into_inner()).await.map_err(failed)?;
    Ok(Json(view(&services, &actor, taken.case)))
}

/// Decides what is done. An erasure is carried out at once: one act with one result for each chosen recording.
#[utoipa::path(post, path = "/api/v1/cases/{case}/decision", tag = "cases", params(("case" = String, Path)),
    request_body = DecisionBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn decide(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
    Body(body): Body<DecisionBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    check_decision(&mut params, &body);
    let case = reach_case(&services, &actor, &number).await?;
    // What is wrong with the case itself is judged by what it was when the step was first taken.
    if case.state == CaseState::Open && body.decision != Decision::Refuse {
        if case.all_chosen().is_empty() {
            params.wrong("recordings", "choose the recordings that are meant first, or refuse");
        }
        if case.content.as_ref().is_some_and(|content| content.identity.is_none()) {
            params.wrong("identity", "note first how the caller's identity was checked");
        }
    }
    params.finish()?;
    if body.decision == Decision::Erase {
        actor.need(Permission::Erase)?;
    }
    let decision = body.decision;
    let what = Some(("decision", decision.name().to_owned()));
    let step = begin(&services, &actor, &case, (Step::Decide, body.revision), &body, what).await?;
    let taken = services.cases.take(case, &step, |case| decided(case, &step, body)).await.map_err(failed)?;
    // Sent twice, or by another window at the same moment: whoever was first carries it out.
    let case = match (taken.again, decision) {
        (false, Decision::Erase) => carry_out::erase(&services, &actor, taken.case).await?,
        _ => taken.case,
    };
    Ok(Json(view(&services, &actor, case)))
}

fn check_decision(params: &mut Params, body: &DecisionBody) {
    if !body.reason.as_ref().is_none_or(|reason| proper(reason, NOTE_CHARS)) {
        params.wrong("reason", format!("1 to {NOTE_CHARS} characters"));
    }
    match (body.decision, body.ground) {
        (Decision::Refuse, None) => params.wrong("ground", "required for a refusal"),
        (Decision::Refuse, Some(Ground::Other)) if body.reason.is_none() => {
            params.wrong("reason", "required: why the request is refused");
        }
        (Decision::Erase | Decision::HandOut, Some(_)) => params.wrong("ground", "only for a refusal"),
        _ => {}
    }
}

fn decided(case: &mut Case, step: &Change, body: DecisionBody) -> Result<(), CaseError> {
    case.state = CaseState::Decided;
    case.row.decision = Some(body.decision.name().to_owned());
    case.row.ground = body.ground.map(|ground| ground.name().to_owned());
    (case.row.decided_by, case.row.decided_at) = (Some(step.by.clone()), Some(step.at));
    if let Some(content) = &mut case.content {
        content.reason = body.reason;
    }
    Ok(())
}

/// Erases once more what an erasure did not reach: after a failure, or after a hold has ended.
#[utoipa::path(post, path = "/api/v1/cases/{case}/carry-out", tag = "cases", params(("case" = String, Path)),
    request_body = StepBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn repeat(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    params: Params,
    Body(body): Body<StepBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    actor.need(Permission::Erase)?;
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let step = begin(&services, &actor, &case, (Step::CarryOut, body.revision), &body, None).await?;
    let only_erasures = |case: &mut Case| match case.decision() {
        Some(Decision::Erase) => Ok(()),
        _ => Err(CaseError::NotNow(case.state)),
    };
    let taken = services.cases.take(case, &step, only_erasures).await.map_err(failed)?;
    let case = match taken.again {
        true => taken.case,
        false => carry_out::erase(&services, &actor, taken.case).await?,
    };
    Ok(Json(view(&services, &actor, case)))
}

/// Closes a case once each result is final: nothing of what the caller said is left.
#[utoipa::path(post, path = "/api/v1/cases/{case}/close", tag = "cases", params(("case" = String, Path)),
    request_body = StepBody, responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn close(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    params: Params,
    Body(body): Body<StepBody>,
) -> Result<Json<CaseView>, Problem> {
    actor.need(Permission::Cases)?;
    params.finish()?;
    let seen = reach_case(&services, &actor, &number).await?;
    let mut step = change(&services, &actor, Step::Close, body.revision, &body);
    let number = seen.row.number.clone();
    let before = seen.row.revision;
    let case = look_again(&services, &actor, seen).await?;
    // What was seen just now is no step of anyone else.
    if before == body.revision {
        step.from = case.row.revision;
    }
    audit_step(&services, &actor, &number, step.step.name(), None).await?;
    let taken = services.cases.close(case, &step).await.map_err(failed)?;
    Ok(Json(view(&services, &actor, taken.case)))
}
