//! `/api/v1/receipts/verify`: whether a receipt of an erasure is ours, for everyone: no token is needed. In: a receipt, in
//! whatever it was handed around in. Out: what its signature covers. Nothing else of a recording is told, and nothing is
//! written down.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;

use crate::http::problem::Problem;
use crate::http::recordings::unanswered;
use crate::http::requests::receipts::Verified;
use crate::http::server::client_address::{Proxies, Throttle, client_ip};
use crate::http::services::Services;

/// Receipts that one address may have verified at once; then [`REFILL_PER_S`].
const BURST: f64 = 20.0;
/// Receipts per second and address; more are answered with 429.
const REFILL_PER_S: f64 = 1.0;
/// Rate limit.
#[derive(Clone)]
struct Door {
    throttle: Arc<Throttle>,
    proxies: Proxies,
}

/// The route, which needs no token.
pub(in crate::http) fn router(services: Services, proxies: Proxies) -> Router {
    let door = Door { throttle: Arc::new(Throttle::new(BURST, REFILL_PER_S)), proxies };
    Router::new()
        .route("/api/v1/receipts/verify", post(verify))
        .route_layer(middleware::from_fn_with_state(door, hold_back))
        .with_state(services)
}

async fn hold_back(State(door): State<Door>, request: Request, next: Next) -> Response {
    let client = client_ip(request.extensions(), request.headers(), &door.proxies);
    if !door.throttle.allows(client, Instant::now()) {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again shortly")
            .header(RETRY_AFTER, 2.into())
            .into_response();
    }
    next.run(request).await
}

/// What is known of the receipts in a document.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    verified: Verified,
    /// Name of the time zone in which the installation's days are.
    time_zone: String,
}

/// Verifies the receipts in a document.
async fn verify(State(services): State<Services>, text: String) -> Result<Json<Answer>, Problem> {
    let none = || Problem::field("receipt", "there is no receipt in this text, or there are more than 100");
    let verified = services.requests.verify(text).await.map_err(unanswered)?.ok_or_else(none)?;
    Ok(Json(Answer { verified, time_zone: services.requests.time_zone().to_owned() }))
}
