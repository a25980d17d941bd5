//! What the caller gets on paper: the letter that answers a request, and the cover sheet of a copy before it is handed out.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::carry_out;
use super::reach::{audit_step, bound, reach_case, reach_chosen};
use crate::cases::case::{Asked, Case, Chosen, Decision, Ground, Outcome};
use crate::disclosure::letter::{Answer, Became, Letter, Line, Refusal, Request};
use crate::disclosure::sheet::Language;
use crate::http::access::{Actor, Permission};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::problem::Problem;
use crate::http::recordings::{audit, unanswered};
use crate::http::requests::handout::{HandOutBody, cover};
use crate::http::server::params::Params;
use crate::http::services::Services;
use axum::http::StatusCode;
use optag_core::id::{BadCallId, CallId};
use optag_core::private::Private;

/// Language and form of a document.
struct Form {
    language: Language,
    html: bool,
}

impl Form {
    fn of(params: &mut Params) -> Self {
        let language = match params.text("language").as_deref() {
            Some("da") => Language::Danish,
            None | Some("en") => Language::English,
            Some(_) => {
                params.wrong("language", "en or da is allowed");
                Language::English
            }
        };
        let html = match params.text("form").as_deref() {
            Some("html") => true,
            None | Some("text") => false,
            Some(_) => {
                params.wrong("form", "text or html is allowed");
                false
            }
        };
        Self { language, html }
    }

    fn answer(&self, text: impl FnOnce() -> String, html: impl FnOnce() -> String) -> Response {
        match self.html {
            true => {
                // Its own style, and nothing that runs or loads.
                let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                    frame-ancestors 'none'";
                let head = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)];
                (head, html()).into_response()
            }
            false => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text()).into_response(),
        }
    }
}

/// The letter to the caller: what was decided and what was done, as it is seen now.
#[utoipa::path(get, path = "/api/v1/cases/{case}/letter", tag = "cases", params(
    ("case" = String, Path),
    ("language" = Option<String>, Query, description = "en or da, otherwise en"),
    ("form" = Option<String>, Query, description = "text or html, otherwise text"),
), responses(
    (status = 200, content((String = "text/plain"), (String = "text/html")), description = "The letter"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn letter(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(number): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    actor.need(Permission::Cases)?;
    let form = Form::of(&mut params);
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    audit_step(&services, &actor, &case.row.number, "letter", None).await?;
    let case = carry_out::look_again(&services, &actor, case).await?;
    let closed =
        || Problem::new(StatusCode::CONFLICT, "the case is closed: nobody knows to whom a letter would go");
    let content = case.content.as_ref().ok_or_else(closed)?;
    let departments = services.requests.departments();
    let name =
        |id: &str| departments.iter().find(|one| one.id == id).map_or(id.to_owned(), |one| one.name.clone());
    let lines: Vec<Line> = content
        .chosen
        .iter()
        .map(|one| Line {
            department: name(&one.department),
            started_at: one.started_at,
            became: became(&case, one),
        })
        .collect();
    let today = services.cases.day_of(services.clock.wall());
    let letter = Letter {
        language: form.language,
        number: &case.row.number,
        name: content.told.name.as_ref().map(|name| name.reveal().as_str()),
        received_on: case.row.received_on.parse().unwrap_or(today),
        due_on: case.row.due_on.parse().unwrap_or(today),
        extended: content.extension_reason.as_ref().map(|reason| reason.reveal().as_str()),
        request: match Asked::from_name(&case.row.asked) {
            Some(Asked::Erase) => Request::Erase,
            Some(Asked::HandOut) => Request::HandOut,
            Some(Asked::Access) | None => Request::Access,
        },
        answer: answer(&case, content.reason.as_ref()),
        recordings: &lines,
        made_at: services.clock.wall(),
        owner: &services.owner,
    };
    Ok(form.answer(|| letter.text(), || letter.html()))
}

fn answer<'a>(case: &Case, reason: Option<&'a Private<String>>) -> Answer<'a> {
    match case.decision() {
        None => Answer::None,
        Some(Decision::Erase) => Answer::Erase,
        Some(Decision::HandOut) => Answer::HandOut,
        Some(Decision::Refuse) => {
            let refusal = match case.row.ground.as_deref().and_then(Ground::from_name) {
                Some(Ground::NotFound) => Refusal::NotFound,
                Some(Ground::NotIdentified) => Refusal::NotIdentified,
                Some(Ground::Held) => Refusal::Held,
                Some(Ground::TakenBack) => Refusal::TakenBack,
                Some(Ground::Other) | None => Refusal::Other,
            };
            Answer::Refuse(refusal, reason.map(|reason| reason.reveal().as_str()))
        }
    }
}

/// What was seen of a recording, in the letter's terms.
fn became(case: &Case, one: &Chosen) -> Became {
    let erases = case.decision() == Some(Decision::Erase);
    let Some(done) = &one.result else {
        return if erases { Became::Nothing } else { Became::NotHandedOut };
    };
    match done.outcome {
        Outcome::Erased => Became::Erased(done.at),
        Outcome::Erasing => Became::Erasing,
        Outcome::Held => Became::Held,
        Outcome::Gone => Became::Gone,
        Outcome::HandedOut => Became::HandedOut(done.at),
        Outcome::LinkOpen => Became::LinkSent,
        Outcome::Failed if erases => Became::Failed,
        Outcome::HandingOut | Outcome::BrokenOff | Outcome::LinkExpired | Outcome::Failed => {
            Became::NotHandedOut
        }
    }
}

/// The cover sheet that a copy of a chosen recording would have now.
#[utoipa::path(get, path = "/api/v1/cases/{case}/recordings/{id}/sheet", tag = "cases", params(
    ("case" = String, Path),
    ("id" = String, Path),
    ("language" = Option<String>, Query, description = "en or da, otherwise en"),
    ("form" = Option<String>, Query, description = "text or html, otherwise text"),
), responses(
    (status = 200, content((String = "text/plain"), (String = "text/html")), description = "The cover sheet"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn sheet(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path((number, id)): Path<(String, String)>,
    mut params: Params,
) -> Result<Response, Problem> {
    actor.need(Permission::Cases)?;
    actor.need(Permission::Export)?;
    let form = Form::of(&mut params);
    params.finish()?;
    let case = reach_case(&services, &actor, &number).await?;
    let id: CallId = id.parse().map_err(|error: BadCallId| Problem::field("id", error.to_string()))?;
    let recording = reach_chosen(&services, &bound(&case, &actor), &case, id).await?;
    let detail = format!("request {}", case.row.number);
    audit(&services, &actor, AuditAction::View, Some(Purpose::CallerRequest), Some(id), Some(detail)).await?;
    let unknown = |_| Problem::unavailable("the audit cannot be read, so the cover sheet cannot be made", 5);
    let uses = services.audit.about(id).await.map_err(unknown)?;
    let detail = services.library.get(recording).await.map_err(unanswered)?;
    let body = HandOutBody { language: form.language, ..HandOutBody::default() };
    let (text, html) = cover(&services, &detail, &uses, &body);
    Ok(form.answer(|| text, || html))
}
