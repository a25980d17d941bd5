//! What was decided is done, and looked at: results are what was seen of each recording, not what was asked for.

use super::reach::{bound, failed, number_of};
use crate::cases::case::{Case, Chosen, Done, Outcome};
use crate::disclosure::links::LinkState;
use crate::http::access::Actor;
use crate::http::audited::{AuditAction, Purpose};
use crate::http::nodes::erasures::AskedErasure;
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::audit;
use crate::http::recordings::library::EraseState;
use crate::http::requests::erasures::erase_one;
use crate::http::server::request_guard::to_its_end;
use crate::http::services::Services;
use axum::http::StatusCode;
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// The reason that stands in the audit log.
const REASON: &str = "asked for by the caller";

/// Erases the chosen recordings that are not erased: one act with one list of results.
///
/// Errors: nothing more is ordered where an audit entry is not durable; what was ordered before stands in the case.
pub(super) async fn erase(services: &Services, actor: &Actor, case: Case) -> Result<Case, Problem> {
    let due = |one: &&Chosen| one.result.as_ref().is_none_or(|done| done.outcome.may_be_repeated());
    let ids: Vec<CallId> = case.all_chosen().iter().filter(due).map(|one| one.id).collect();
    let reached = bound(&case, actor).reach_each(services, &ids).await?;
    let purpose = Some(Purpose::CallerRequest);
    let number = case.row.number.clone();
    for recording in reached.iter().flatten() {
        let detail = format!("request {number}: {REASON}");
        audit(services, actor, AuditAction::Erase, purpose, Some(recording.id()), Some(detail)).await?;
    }
    let asked = AskedErasure {
        actor: actor.clone(),
        purpose,
        reason: REASON.to_owned(),
        request: Some(number),
        accept_missing: false,
    };
    let doing = services.clone();
    // It goes on where its client does not wait for it, and its results are noted.
    to_its_end(async move {
        let services = doing;
        let mut results = Vec::with_capacity(reached.len());
        for one in reached {
            results.push(match one {
                Err(id) => (id, Done::new(Outcome::Gone, services.clock.wall())),
                Ok(recording) => (recording.id(), erased(&services, recording, &asked).await),
            });
        }
        note(&services, case, &results).await
    })
    .await?
}

async fn erased(services: &Services, recording: Reached, asked: &AskedErasure) -> Done {
    let done = erase_one(services, recording, asked).await;
    let at = services.clock.wall();
    match done {
        Ok(receipt) => match receipt.state {
            EraseState::Done => Done::new(Outcome::Erased, at),
            EraseState::Pending => Done::new(Outcome::Erasing, at),
            EraseState::Refused => {
                Done::new(Outcome::Failed, at).because(receipt.refused.unwrap_or_default())
            }
        },
        Err(problem) => match problem.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => Done::new(Outcome::Gone, at),
            StatusCode::CONFLICT => match held_until(services, recording).await {
                Some(until) => Done::new(Outcome::Held, at).because(until.to_string()),
                None => Done::new(Outcome::Failed, at).because(problem.detail),
            },
            _ => Done::new(Outcome::Failed, at).because(problem.detail),
        },
    }
}

async fn held_until(services: &Services, recording: Reached) -> Option<WallTime> {
    services.requests.preview(recording).await.ok()?.held_until
}

/// Enters results into a case.
pub(super) async fn note(services: &Services, case: Case, done: &[(CallId, Done)]) -> Result<Case, Problem> {
    if done.is_empty() {
        return Ok(case);
    }
    let noted = services.cases.note(&number_of(&case)?, done).await.map_err(failed)?;
    Ok(noted.unwrap_or(case))
}

/// Looks what became of erasures that were under way and of links that were not used.
pub(super) async fn look_again(services: &Services, actor: &Actor, case: Case) -> Result<Case, Problem> {
    let is = |one: &Chosen, outcome| one.result.as_ref().is_some_and(|done| done.outcome == outcome);
    let chosen = case.all_chosen().iter();
    let erasing: Vec<CallId> =
        chosen.clone().filter(|one| is(one, Outcome::Erasing)).map(|one| one.id).collect();
    let links = chosen.filter(|one| is(one, Outcome::LinkOpen));
    let links: Vec<(CallId, Option<String>)> =
        links.map(|one| (one.id, one.result.as_ref().and_then(|done| done.link.clone()))).collect();
    let mut seen = Vec::new();
    let now = services.clock.wall();
    for recording in bound(&case, actor).reach_each(services, &erasing).await?.into_iter().flatten() {
        let receipt = services.requests.receipt(recording).await;
        if receipt.is_ok_and(|receipt| receipt.state == EraseState::Done) {
            seen.push((recording.id(), Done::new(Outcome::Erased, now)));
        }
    }
    for (id, link) in links {
        let Some(link) = link else { continue };
        match services.links.state(&link, now).await {
            Ok(LinkState::Used(at)) => seen.push((id, Done::new(Outcome::HandedOut, at))),
            Ok(LinkState::Gone) => seen.push((id, Done::new(Outcome::LinkExpired, now))),
            Ok(LinkState::Open) | Err(_) => {}
        }
    }
    note(services, case, &seen).await
}
