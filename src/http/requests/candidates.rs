//! `/api/v1/candidates`: recordings that a caller may mean, by number, name, day and time as remembered.
//! Audited before it is answered; nothing is played.

use axum::extract::State;
use axum::{Extension, Json};
use jiff::tz::TimeZone;

use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::{audit, bounds, unanswered};
use crate::http::requests::time_window::{self, TOLERANCE_MIN, TOLERANCE_MOST_MIN, Window};
use crate::http::requests::{CandidatePage, CandidateQuery};
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::private::Private;

/// Default number of candidates.
const MOST: usize = 20;
/// Maximum number of candidates.
const MOST_MOST: usize = 200;

/// Finds recordings that a caller may mean. A known fact that differs excludes a call; a withheld number or
/// missing name does not.
#[utoipa::path(get, path = "/api/v1/candidates", tag = "recordings", params(
    ("number" = Option<String>, Query, description = "Number called from, in any format; its last digits, or with one digit wrong"),
    ("called_number" = Option<String>, Query, description = "Number called, the department's or an employee's, as `number`"),
    ("name" = Option<String>, Query, description = "The caller's name, perhaps misspelt"),
    ("department" = Option<String>, Query, description = "Department id"),
    ("date" = Option<String>, Query, description = "Day of the call, as the caller's calendar has it; required where there is neither number nor name"),
    ("time" = Option<String>, Query, description = "Time of day, with `date`: 14:30"),
    ("tz" = Option<String>, Query, description = "The caller's time zone, otherwise the configured one"),
    ("from" = Option<String>, Query, description = "Instead of a day: earliest time, RFC 3339, together with `to`"),
    ("to" = Option<String>, Query, description = "First time that is too late"),
    ("tolerance_min" = Option<i64>, Query, description = "How far off it may be, otherwise 15 minutes"),
    ("most" = Option<usize>, Query, description = "1 to 200 candidates, otherwise 20"),
    ("purpose" = String, Query, description = "As for a search"),
), responses((status = 200, body = CandidatePage), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn find(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
) -> Result<Json<CandidatePage>, Problem> {
    actor.need(Permission::Search)?;
    let number = params.text("number").map(Private::new);
    let called_number = params.text("called_number").map(Private::new);
    let name = params.text("name").map(Private::new);
    let department = params.text("department");
    let date = params.parsed("date", "a day such as 2026-11-24");
    let time: Option<jiff::civil::Time> = params.parsed("time", "a time of day such as 14:30");
    let zone = params.text("tz").unwrap_or_else(|| services.requests.time_zone().to_owned());
    let tolerance = params.parsed("tolerance_min", "minutes").unwrap_or(TOLERANCE_MIN);
    let most = params.parsed("most", "a whole number").unwrap_or(MOST);
    let (from, to) = (params.time("from"), params.time("to"));
    if (from.is_some() || to.is_some()) && date.is_some() {
        params.wrong("date", "either a day, or from and to");
    }
    if from.is_some() != to.is_some() || from.zip(to).is_some_and(|(from, to)| from >= to) {
        params.wrong("to", "from and to belong together, in this order");
    }
    let zone = TimeZone::get(&zone).map_err(|_| params.wrong("tz", "a time zone such as Europe/Copenhagen"));
    if !(0..=TOLERANCE_MOST_MIN).contains(&tolerance) {
        params.wrong("tolerance_min", format!("0 to {TOLERANCE_MOST_MIN} is allowed"));
    }
    if !(1..=MOST_MOST).contains(&most) {
        params.wrong("most", format!("1 to {MOST_MOST} is allowed"));
    }
    if time.is_some() && date.is_none() {
        params.wrong("date", "a time of day needs its day");
    } else if number.is_none()
        && called_number.is_none()
        && name.is_none()
        && date.is_none()
        && from.is_none()
    {
        params.wrong("date", "a number, a name or a day is required");
    }
    let purpose = params.allowed_purpose(&actor, Permission::Search)?;
    params.finish()?;
    let window = match (date, zone) {
        (Some(day), Ok(zone)) => Some(
            time_window::window(day, time, &zone, tolerance)
                .ok_or_else(|| Problem::field("date", "beyond the calendar"))?,
        ),
        _ => from.zip(to).map(|(from, to)| Window { from, to: to.plus_micros(-1), around: None }),
    };
    let within = actor.departments.clone();
    let query = CandidateQuery { number, called_number, name, department, within, window, most };
    let detail = criteria(&services, &query);
    audit(&services, &actor, AuditAction::Search, purpose, None, Some(detail)).await?;
    services.requests.candidates(query).await.map(Json).map_err(unanswered)
}

/// The search criteria for the audit, with numbers and names as keyed hashes.
pub(in crate::http) fn criteria(services: &Services, query: &CandidateQuery) -> String {
    let hidden = |value: &Option<Private<String>>| {
        value.as_ref().map(|value| services.audit.pseudonym(value.reveal()))
    };
    let all = [
        ("number", hidden(&query.number)),
        ("called_number", hidden(&query.called_number)),
        ("name", hidden(&query.name)),
        ("department", query.department.clone()),
        ("within", bounds(&query.within)),
        ("from", query.window.map(|window| window.from.to_string())),
        ("to", query.window.map(|window| window.to.to_string())),
    ];
    let given = all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    serde_json::Value::Object(given.collect()).to_string()
}
