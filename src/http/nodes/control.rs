//! What other nodes may ask of this one: controls of its calls, by id or by name. In: a request over mutually
//! authenticated TLS, with the actor that the sender authenticated. Out: what the API answers. Nothing is sent on.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use tokio::sync::Semaphore;

use crate::http::calls::{self, not_steered, streams};
use crate::http::nodes::by_id::call_of;
use crate::http::nodes::by_name::{NamedAnswer, NamedResult};
use crate::http::nodes::callers::{self, CALLERS};
use crate::http::nodes::listing::CALLS;
use crate::http::nodes::{ACTOR, ANSWERS, NOT_HERE, read};
use crate::http::problem::Problem;
use crate::http::requests::erasures;
use crate::http::server::json::Body;
use crate::http::server::request_guard::{Guard, guard, method_not_allowed, not_found, to_its_end};
use crate::http::server::router::Limits;
use crate::http::services::Services;
use optag_core::limit;
use optag_sip::feed::ControlError;

/// The requests of other nodes. To be served to nobody else: whoever reaches this is believed who asks.
pub fn control_router(services: Services, limits: Limits) -> Router {
    let caps = Guard { requests: Arc::new(Semaphore::new(limits.requests)), timeout: limits.timeout };
    let by_id = Router::new()
        .route(CALLS, get(calls::list_here))
        .route("/api/v1/calls/{id}", get(calls::show))
        .route("/api/v1/calls/{id}/consent", post(calls::consent))
        .route("/api/v1/calls/{id}/withdraw", post(calls::withdraw))
        .route("/api/v1/calls/{id}/transfer", post(calls::transfer))
        .route("/api/v1/calls/{id}/pause", post(calls::pause))
        .route("/api/v1/calls/{id}/resume", post(calls::resume))
        .route("/api/v1/calls/{id}/end", post(calls::end))
        .route("/api/v1/recordings/{id}", delete(erasures::erase))
        .route(CALLERS, post(callers::waiting_here))
        .route("/api/v1/calls/{id}/streams", post(streams::join))
        .route("/api/v1/calls/{id}/streams/{label}", put(streams::change).delete(streams::drop_stream))
        .route_layer(middleware::from_fn_with_state(services.clone(), as_sent));
    by_id
        .route(ANSWERS, post(answer))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(services)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(limit::REQUEST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(caps, guard))
}

/// Takes the actor from the sender's word, and says of a call that is not here that it is not.
async fn as_sent(State(services): State<Services>, mut request: Request, next: Next) -> Response {
    let Some(actor) = read(request.headers().get(ACTOR)) else {
        return Problem::new(StatusCode::BAD_REQUEST, "the request does not say who asks").into_response();
    };
    match call_of(request.uri().path()) {
        Some(id) if services.feed.call(id).is_none() => {
            let problem = not_steered(ControlError::NoSuchCall(id));
            problem.header(NOT_HERE, HeaderValue::from_static("1")).into_response()
        }
        _ => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
    }
}

/// An answer for the calls of a name that are in progress here.
async fn answer(
    State(services): State<Services>,
    Body(NamedAnswer { name, answer }): Body<NamedAnswer>,
) -> Result<Json<NamedResult>, Problem> {
    let feed = services.feed;
    let given = to_its_end(async move { feed.answer_here(name, answer.into()).await }).await?;
    Ok(Json(NamedResult::of(given)))
}
