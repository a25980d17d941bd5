//! `/healthz`, `/readyz` and `/metrics`, on a separate listener.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

/// Health checks of the parts.
pub trait Readiness: Send + Sync {
    /// One check per part.
    fn checks(&self) -> BoxFuture<'_, Vec<Check>>;
}

/// Result of a health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// The part, for example `store`.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// Whether calls can be recorded without it for now: the recorder stays ready, but degraded.
    pub optional: bool,
    /// A stable word for why not, if there are several reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The error, without personal data.
    pub detail: String,
}

#[derive(Serialize)]
struct Readied {
    status: &'static str,
    checks: Vec<Check>,
}

/// The process is alive.
pub(in crate::http) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 if calls can be recorded, otherwise 503; with every check in both cases.
pub(in crate::http) async fn readyz(State(readiness): State<Arc<dyn Readiness>>) -> Response {
    let checks = readiness.checks().await;
    let (code, status) =
        match (checks.iter().all(|one| one.ok), checks.iter().all(|one| one.ok || one.optional)) {
            (true, _) => (StatusCode::OK, "ready"),
            (false, true) => (StatusCode::OK, "degraded"),
            (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
        };
    (code, Json(Readied { status, checks })).into_response()
}

/// Every metric as text. Source: Prometheus exposition format 0.0.4.
pub(in crate::http) fn metrics_page(text: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
