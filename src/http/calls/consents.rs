//! `/api/v1/consents`: an answer for a call identified by the client's own identifier, before the call is
//! announced here or during it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::access::{Actor, Permission};
use crate::http::calls::answers::{How, Said};
use crate::http::calls::body::Wrong;
use crate::http::calls::not_steered;
use crate::http::nodes::by_name::ByName;
use crate::http::problem::Problem;
use crate::http::server::json::Body;
use crate::http::server::request_guard::to_its_end;
use crate::http::services::Services;
use optag_core::call::Answer;
use optag_core::id::CallId;
use optag_core::limit;
use optag_core::private::Private;
use optag_sip::feed::{Control, Named};

/// An answer to the consent prompt of a call with this identifier. Exactly one identifier is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedConsentBody {
    /// SIP Call-ID of the recording session.
    #[schema(value_type = Option<String>)]
    call_id: Option<Private<String>>,
    /// Session-ID (RFC 7989) of the recorded call, either half.
    #[schema(value_type = Option<String>)]
    session_id: Option<Private<String>>,
    /// Universal call identifier, in hexadecimal or decimal.
    #[schema(value_type = Option<String>)]
    ucid: Option<Private<String>>,
    /// The identifier that the call was, or will be, announced with.
    #[schema(value_type = Option<String>)]
    external_id: Option<Private<String>>,
    /// `yes` or `no`.
    #[schema(value_type = String)]
    answer: Answer,
    /// The channel of the answer.
    how: How,
    /// The prompt that the caller heard.
    prompt_version: Option<String>,
    /// The member of staff who took the answer, if `how` is `staff`.
    staff: Option<String>,
}

/// The result of the answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamedConsentAnswer {
    /// Calls with this identifier that received it; empty: the answer is pending.
    #[schema(value_type = Vec<String>)]
    calls: Vec<CallId>,
    /// Calls with this identifier that did not receive it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missed: Vec<MissedCall>,
}

/// A call that did not receive an answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct MissedCall {
    /// Its id.
    #[schema(value_type = String)]
    call: CallId,
    /// The reason.
    why: String,
}

/// Reports the caller's answer by an identifier of the call. 200: it was given to the calls in `calls`, and
/// not to those in `missed`. 202: it is durable and pending for calls with this identifier that are announced
/// within `[consent] early_s` seconds: a yes for one call, a no for every one.
#[utoipa::path(post, path = "/api/v1/consents", tag = "calls", request_body = NamedConsentBody, responses(
    (status = 200, body = NamedConsentAnswer),
    (status = 202, body = NamedConsentAnswer),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn answer(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<NamedConsentBody>,
) -> Result<Response, Problem> {
    actor.need(Permission::Answer)?;
    actor.need_all_departments("a call that is known by a name may be of any; use its id")?;
    let mut wrong = Wrong(Vec::new());
    let names = [body.call_id, body.session_id, body.ucid, body.external_id];
    let mut given = names.into_iter().flatten();
    let name = match (given.next(), given.next()) {
        (Some(name), None) => name,
        _ => {
            wrong.add("call_id", "exactly one of call_id, session_id, ucid and external_id is needed");
            String::new().into()
        }
    };
    if wrong.0.is_empty() {
        wrong.text("call_id", name.reveal(), limit::TEXT_CHARS);
    }
    let said =
        Said { answer: body.answer, how: body.how, prompt_version: body.prompt_version, staff: body.staff };
    let control = said.check(&actor, &mut wrong)?;
    let given = to_its_end(async move { give(&services, name, control).await });
    let named = given.await??;
    let status = if named.reached.is_empty() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let missed = named.missed.into_iter().map(|(call, why)| MissedCall { call, why }).collect();
    Ok((status, Json(NamedConsentAnswer { calls: named.reached, missed })).into_response())
}

/// Gives an answer to the calls of a name, whichever node has them; if there are none, it is kept for them.
///
/// Errors: it is neither given nor kept.
pub(crate) async fn give(
    services: &Services,
    name: Private<String>,
    control: Control,
) -> Result<Named, Problem> {
    let feed = &*services.feed;
    match &services.nodes {
        None => feed.answer_by_name(name, control).await.map_err(not_steered),
        Some(nodes) => ByName { nodes, feed, name, control }.give().await,
    }
}
