//! Cases as they are taken down, listed and read.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::civil::Date;
use serde::Deserialize;
use utoipa::ToSchema;

use super::carry_out;
use super::reach::{SEE, audit_step, failed, reach_case};
use super::views::{CaseList, CaseView, view};
use crate::cases::case::{Asked, Told};
use crate::cases::deadline::{RECEIVED_DAYS, days_until};
use crate::cases::register::NewCase;
use crate::cases::state::{State as CaseState, Step};
use crate::http::access::{Actor, Departments, Permission};
use crate::http::problem::Problem;
use crate::http::requests::time_window::TOLERANCE_MOST_MIN;
use crate::http::server::json::Body;
use crate::http::server::params::Params;
use crate::http::services::Services;
use crate::index::CaseQuery;
use optag_core::limit;
use optag_core::private::Private;

/// Default and maximum number of cases in a list.
const MOST: i64 = 100;
/// Maximum length of a note. Units: characters.
pub(super) const NOTE_CHARS: usize = 2_000;
/// Length of a key. Units: characters.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 8..=64;

/// A request of a caller.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenBody {
    /// 8 to 64 random letters and digits: the same key opens one case, however often it is sent.
    pub key: Option<String>,
    /// Department id. It may be left out by whoever answers for a single department; otherwise the case is of all
    /// departments, which takes the right to all.
    pub department: Option<String>,
    /// What the caller asks for.
    pub asked: Asked,
    /// Day on which the request was received, otherwise today.
    #[schema(value_type = Option<String>, format = Date)]
    pub received_on: Option<Date>,
    /// What the caller said.
    #[serde(default)]
    pub told: Told,
}

/// Opens a case.
#[utoipa::path(post, path = "/api/v1/cases", tag = "cases", request_body = OpenBody, responses(
    (status = 201, body = CaseView),
    (status = 422, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn open(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
    Body(body): Body<OpenBody>,
) -> Result<(StatusCode, Json<CaseView>), Problem> {
    actor.need(Permission::Cases)?;
    let now = services.clock.wall();
    let today = services.cases.day_of(now);
    let received_on = body.received_on.unwrap_or(today);
    if !(0..=RECEIVED_DAYS).contains(&days_until(today, received_on)) {
        params.wrong("received_on", "a day of the last year, not after today");
    }
    let random =
        |key: &String| KEY_CHARS.contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric());
    if !body.key.as_ref().is_none_or(random) {
        params.wrong("key", "8 to 64 letters and digits");
    }
    let department = department(&services, &actor, &mut params, body.department);
    check_told(&mut params, &body.told);
    params.finish()?;
    let asked = body.asked;
    let new = NewCase { key: body.key, department, asked, received_on, told: body.told };
    audit_step(&services, &actor, "new", Step::Open.name(), Some(("asked", asked.name().to_owned()))).await?;
    let case = services.cases.open(new, &actor.name, now).await.map_err(failed)?;
    // The same key may have been used by someone else, of another department.
    let case = reach_case(&services, &actor, &case.row.number).await?;
    Ok((StatusCode::CREATED, Json(view(&services, &actor, case))))
}

/// The department of a new case.
fn department(
    services: &Services,
    actor: &Actor,
    params: &mut Params,
    given: Option<String>,
) -> Option<String> {
    let Some(id) = given else {
        return match &actor.departments {
            Departments::All => None,
            Departments::Only(ids) if ids.len() == 1 => ids.first().cloned(),
            Departments::Only(_) => {
                params.wrong("department", "required: one of your departments");
                None
            }
        };
    };
    let known = services.requests.departments().iter().any(|one| one.id == id);
    if !known || !actor.departments.cover(&id) {
        params.wrong("department", "there is no such department");
    }
    Some(id)
}

/// Whether a text may stand in a case.
pub(super) fn proper(text: &Private<String>, most: usize) -> bool {
    let text = text.reveal();
    let lines = || text.lines().all(optag_core::call::text::is_plain);
    !text.trim().is_empty() && text.chars().count() <= most && lines()
}

pub(super) fn check_told(params: &mut Params, told: &Told) {
    let texts = [
        ("told.number", &told.number, limit::TEXT_CHARS),
        ("told.called_number", &told.called_number, limit::TEXT_CHARS),
        ("told.name", &told.name, limit::TEXT_CHARS),
        ("told.note", &told.note, NOTE_CHARS),
    ];
    for (field, text, most) in texts {
        if !text.as_ref().is_none_or(|text| proper(text, most)) {
            params.wrong(field, format!("1 to {most} characters, no control characters"));
        }
    }
    if told.tolerance_min.is_some_and(|minutes| !(0..=TOLERANCE_MOST_MIN).contains(&minutes)) {
        params.wrong("told.tolerance_min", format!("0 to {TOLERANCE_MOST_MIN} is allowed"));
    }
    if told.time.is_some() && told.date.is_none() {
        params.wrong("told.date", "a time of day needs its day");
    } else if told.number.is_none()
        && told.called_number.is_none()
        && told.name.is_none()
        && told.date.is_none()
    {
        params.wrong("told.number", "a number, a name or a day is required");
    }
}

/// Cases of the actor's departments, the most urgent first; without personal data for those who audit.
#[utoipa::path(get, path = "/api/v1/cases", tag = "cases", params(
    ("state" = Option<String>, Query, description = "open, decided or closed; otherwise those that are not closed"),
    ("after" = Option<String>, Query, description = "Number of the last case of the page before"),
    ("most" = Option<i64>, Query, description = "1 to 100 cases, otherwise 100"),
), responses((status = 200, body = CaseList)))]
pub(crate) async fn list(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Json<CaseList>, Problem> {
    actor.need_any(&SEE)?;
    let state: Option<String> = params.text("state");
    let state = state.map(|name| name.parse::<CaseState>());
    if let Some(Err(())) = state {
        params.wrong("state", "open, decided or closed is allowed");
    }
    let after = params.text("after");
    let most = params.parsed("most", "a whole number").unwrap_or(MOST);
    if !(1..=MOST).contains(&most) {
        params.wrong("most", format!("1 to {MOST} is allowed"));
    }
    params.finish()?;
    let states = match state {
        Some(Ok(state)) => vec![state],
        _ => vec![CaseState::Open, CaseState::Decided],
    };
    let states = states.into_iter().map(|state| state.name().to_owned()).collect();
    audit_step(&services, &actor, "all", "list", None).await?;
    let query = CaseQuery { within: actor.departments.clone(), states, after, most: most + 1 };
    let mut cases = services.cases.list(&query).await.map_err(failed)?;
    let more = cases.len() as i64 > most;
    cases.truncate(most as usize);
    let cases = cases.into_iter().map(|case| view(&services, &actor, case)).collect();
    Ok(Json(CaseList { cases, more }))
}

/// A case, with what became of its recordings by now.
#[utoipa::path(get, path = "/api/v1/cases/{case}", tag = "cases", params(("case" = String, Path)), responses(
    (status = 200, body = CaseView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn show(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    params: Params,
) -> Result<Json<CaseView>, Problem> {
    actor.need_any(&SEE)?;
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    audit_step(&services, &actor, &case.row.number, "look", None).await?;
    let case = match actor.allows(Permission::Cases) {
        true => carry_out::look_again(&services, &actor, case).await?,
        false => case,
    };
    Ok(Json(view(&services, &actor, case)))
}
