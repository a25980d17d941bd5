//! The layer around every request: concurrency limit, timeout, metrics, a log line, and headers that prevent
//! caching.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::http::problem::Problem;
use crate::metrics;

/// Limits of a request.
#[derive(Clone)]
pub(in crate::http) struct Guard {
    pub requests: Arc<Semaphore>,
    pub timeout: Duration,
}

/// The middleware.
pub(in crate::http) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut answer = match guard.requests.clone().try_acquire_owned() {
        Err(_) => Problem::unavailable("too many requests at a time", 1).into_response(),
        Ok(_permit) => match tokio::time::timeout(guard.timeout, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => Problem::unavailable("the answer took too long", 5).into_response(),
        },
    };
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    metrics::http_answered(&route, answer.status().as_u16(), started.elapsed());
    let took_ms = started.elapsed().as_millis() as u64;
    tracing::debug!(%method, route, status = answer.status().as_u16(), took_ms, "answered");
    answer
}

/// Lets a change complete even if its client disconnects or its timeout passes.
///
/// Errors: 500 if it panicked.
pub(in crate::http) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(change).await;
    done.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the change failed inside the recorder"))
}

/// 404 for a path that does not exist.
pub(in crate::http) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// 405 for a method that a path does not have.
pub(in crate::http) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}
