//! Assembles the routes: two routers, for two listeners.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router, middleware};
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::admin::{drain, holds};
use crate::http::auth::{Gate, authenticate};
use crate::http::calls::{consents, streams};
use crate::http::nodes::by_id;
use crate::http::oversight::{ages, audit_entries, health as oversight_health};
use crate::http::recordings::{accesses, playback, waveform};
use crate::http::requests::{candidates, erasures, handout, handout_links, verify};
use crate::http::server::client_address::Proxies;
use crate::http::server::health::{Readiness, healthz, metrics_page, readyz};
use crate::http::server::openapi;
use crate::http::server::request_guard::{Guard, guard, method_not_allowed, not_found};
use crate::http::services::Services;
use crate::http::{admin, calls, cases, departments, me, recordings, sign_in, users};
use crate::metrics::exporter::Exporter;
use optag_core::limit;

/// Limits for all requests together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent requests; more are answered with 503.
    pub requests: usize,
    /// Time until a response begins.
    pub timeout: Duration,
    /// Trusted proxies.
    pub proxies: Proxies,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 256, timeout: Duration::from_secs(30), proxies: Proxies::default() }
    }
}

/// The API. Besides a listener it can be used in-process: a request with an
/// [`Actor`](crate::http::access::Actor) extension needs no token.
pub fn router(services: Services, limits: Limits) -> Router {
    let gate = Gate::new(&services, limits.proxies.clone());
    let open = handout_links::router(services.clone(), limits.proxies.clone())
        .merge(verify::router(services.clone(), limits.proxies.clone()))
        .merge(sign_in::router(services.clone(), limits.proxies));
    let caps = Guard { requests: Arc::new(Semaphore::new(limits.requests)), timeout: limits.timeout };
    let (guarded, mut document) = OpenApiRouter::new()
        .routes(routes!(me::me))
        .routes(routes!(sign_in::own::list))
        .routes(routes!(sign_in::own::end))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::set_roles))
        .routes(routes!(users::reset))
        .routes(routes!(users::disable))
        .routes(routes!(users::enable))
        .routes(routes!(users::requests))
        .routes(routes!(users::confirm))
        .routes(routes!(users::deny))
        .routes(routes!(departments::list))
        .routes(routes!(calls::announce, calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::consent))
        .routes(routes!(consents::answer))
        .routes(routes!(calls::withdraw))
        .routes(routes!(calls::transfer))
        .routes(routes!(calls::pause))
        .routes(routes!(calls::resume))
        .routes(routes!(calls::end))
        .routes(routes!(streams::join))
        .routes(routes!(streams::change, streams::drop_stream))
        .routes(routes!(recordings::search))
        .routes(routes!(candidates::find))
        .routes(routes!(recordings::show, erasures::erase))
        .routes(routes!(playback::audio))
        .routes(routes!(waveform::show))
        .routes(routes!(accesses::list))
        .routes(routes!(handout::hand_out))
        .routes(routes!(handout_links::make))
        .routes(routes!(erasures::erase_several))
        .routes(routes!(erasures::preview))
        .routes(routes!(erasures::progress))
        .routes(routes!(erasures::receipt))
        .merge(cases::routes())
        .routes(routes!(holds::place, holds::lift))
        .routes(routes!(holds::list))
        .routes(routes!(admin::retention))
        .routes(routes!(admin::confirm_clock))
        .routes(routes!(admin::audit_trail))
        .routes(routes!(audit_entries::entries))
        .routes(routes!(audit_entries::unusual))
        .routes(routes!(ages::ages))
        .routes(routes!(oversight_health::show))
        .routes(routes!(oversight_health::try_store))
        .routes(routes!(drain::drain))
        .split_for_parts();
    openapi::complete(&mut document);
    let public_key = services.requests.public_key();
    let guarded = guarded
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(middleware::from_fn_with_state(services.clone(), by_id::forward))
        .route_layer(middleware::from_fn_with_state(gate, authenticate))
        .with_state(services);
    guarded
        .merge(open)
        .route("/api/openapi.json", get(move || std::future::ready(Json(document.clone()))))
        .route("/api/v1/public-key", get(move || std::future::ready(admin::public_key(&public_key))))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(limit::REQUEST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(caps, guard))
}

/// `/metrics`, `/healthz`, `/readyz`: without authentication, so keep it on an internal network.
pub fn health_router(readiness: Arc<dyn Readiness>, exporter: Exporter) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(move || std::future::ready(metrics_page(exporter.render()))))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(readiness)
}
