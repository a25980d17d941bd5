//! Cases as the API shows them: whole to those who answer callers, without personal data to those who audit.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cases::case::{Asked, Case, Chosen, Decision, Ground, Identity, Outcome, Told};
use crate::cases::deadline;
use crate::cases::state::State;
use crate::http::access::{Actor, Permission};
use crate::http::services::Services;
use optag_core::clock::WallTime;
use optag_core::private::Private;

/// A case. Everything from `told` on is left out once it is closed, and for those who audit.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CaseView {
    /// Year and running number; it is the `request` of erasures and receipts.
    pub number: String,
    /// Department id; none: of all departments.
    pub department: Option<String>,
    /// `open`, `decided` or `closed`.
    #[schema(value_type = String)]
    pub state: State,
    /// To be named by the next step.
    pub revision: i64,
    /// What is asked for.
    pub asked: Option<Asked>,
    /// Day of receipt.
    pub received_on: String,
    /// Last day of the time limit.
    pub due_on: String,
    /// Days until then, negative afterwards; none once it is closed.
    pub days_left: Option<i64>,
    /// Whether it is open and the time limit is over.
    pub overdue: bool,
    /// Whether the time limit was extended by two months.
    pub extended: bool,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: WallTime,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Ground of a refusal.
    pub ground: Option<Ground>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<WallTime>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<WallTime>,
    /// How many recordings came to which outcome.
    #[schema(value_type = Object)]
    pub counts: BTreeMap<Outcome, u64>,
    /// What the caller said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// How identity was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The recordings that are meant, with what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recordings: Option<Vec<Chosen>>,
    /// Why the time limit was extended.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_reason: Option<Private<String>>,
    /// Why the request is refused.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Private<String>>,
}

/// Cases, the most urgent first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CaseList {
    /// The cases.
    pub cases: Vec<CaseView>,
    /// Whether there are more: `after` the last one.
    pub more: bool,
}

/// A case as an actor may see it.
pub(super) fn view(services: &Services, actor: &Actor, case: Case) -> CaseView {
    let today = services.cases.day_of(services.clock.wall());
    let counts = case.counts();
    let Case { row, state, content } = case;
    let is_open = state != State::Closed;
    let left = row.due_on.parse::<Date>().ok().map(|due| deadline::days_until(due, today));
    let content = content.filter(|_| actor.allows(Permission::Cases));
    let view = CaseView {
        asked: Asked::from_name(&row.asked),
        decision: row.decision.as_deref().and_then(Decision::from_name),
        ground: row.ground.as_deref().and_then(Ground::from_name),
        number: row.number,
        department: Some(row.department).filter(|id| !id.is_empty()),
        state,
        revision: row.revision,
        received_on: row.received_on,
        due_on: row.due_on,
        days_left: left.filter(|_| is_open),
        overdue: is_open && left.is_some_and(|left| left < 0),
        extended: row.extended,
        opened_by: row.opened_by,
        opened_at: row.opened_at,
        decided_by: row.decided_by,
        decided_at: row.decided_at,
        closed_by: row.closed_by,
        closed_at: row.closed_at,
        counts,
        told: None,
        identity: None,
        recordings: None,
        extension_reason: None,
        reason: None,
    };
    match content {
        None => view,
        Some(content) => CaseView {
            told: Some(content.told),
            identity: content.identity,
            recordings: Some(content.chosen.into_iter().map(without_link).collect()),
            extension_reason: content.extension_reason,
            reason: content.reason,
            ..view
        },
    }
}

/// By the hash of its token a link is recognised; whoever sees a case has no use for it.
fn without_link(mut chosen: Chosen) -> Chosen {
    if let Some(done) = &mut chosen.result {
        done.link = None;
    }
    chosen
}
