//! Signing in to the pages and out again. In: a form with an access token, once. Out: a cookie that scripts cannot read and
//! that the browser sends to this recorder alone. The form works without script.
//!
//! What a page changes with the cookie must come from a page of this recorder, as the browser says, and must carry the key
//! that only such a page was told (`cookie`). Not here: how long it holds (`auth::sign_ins`).

pub(crate) mod cookie;
mod page;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::sign_ins::{NotSignedIn, SignedIn};
use crate::auth::tokens::Refusal;
use crate::http::access::Actor;
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::audit;
use crate::http::server::client_address::{Peer, Proxies, Throttle, client_address, client_ip};
use crate::http::server::params::Params;
use crate::http::services::Services;
use crate::metrics::{self, AuthFailure};
use optag_core::clock::WallTime;
use page::{Message, language, page};

/// Attempts of one address at once; then [`REFILL_PER_S`].
const BURST: f64 = 10.0;
/// Attempts per second and address; more are refused. Nobody at another address waits for them.
const REFILL_PER_S: f64 = 0.5;
/// Styles of this server alone, and forms that go here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the routes use.
#[derive(Clone)]
struct Door {
    services: Services,
    throttle: Arc<Throttle>,
    proxies: Proxies,
}

/// The form.
#[derive(Deserialize)]
struct SignInForm {
    secret: String,
    #[serde(default)]
    lang: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    lang: Option<String>,
}

/// The routes, which need no token.
pub(in crate::http) fn router(services: Services, proxies: Proxies) -> Router {
    let door = Door { services, throttle: Arc::new(Throttle::new(BURST, REFILL_PER_S)), proxies };
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route_layer(middleware::from_fn(with_headers))
        .with_state(door)
}

async fn with_headers(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let set = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    answer.headers_mut().extend(set.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

/// Shows the form.
async fn show(Query(asked): Query<Asked>, headers: HeaderMap) -> Html<String> {
    Html(page(language(asked.lang.as_deref(), &headers), Message::None))
}

/// Signs in, and goes on to the pages.
async fn sign_in(
    State(door): State<Door>,
    extensions: Extensions,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Response {
    let language = language(form.lang.as_deref(), &headers);
    let told = |status, message| (status, Html(page(language, message))).into_response();
    if !cookie::is_of_our_page(&headers) {
        return told(StatusCode::FORBIDDEN, Message::Elsewhere);
    }
    let client = client_ip(&extensions, &headers, &door.proxies);
    if !door.throttle.allows(client, Instant::now()) {
        return told(StatusCode::TOO_MANY_REQUESTS, Message::TooMany);
    }
    let address = client_address(&extensions, &headers, &door.proxies);
    match door.services.sign_ins.open(form.secret.trim(), address).await {
        Ok((actor, secret)) => match note(&door.services, &actor, AuditAction::SignIn).await {
            // The secret is told to nobody.
            Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, Message::Away),
            Ok(()) => gone_to("/", cookie::set(Some(&secret), door.is_secure(&extensions, &headers))),
        },
        Err(NotSignedIn::Machine(actor)) => {
            metrics::auth_failed(AuthFailure::Forbidden);
            match note(&door.services, &actor, AuditAction::SignInRefused).await {
                Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, Message::Away),
                Ok(()) => told(StatusCode::FORBIDDEN, Message::Machine),
            }
        }
        Err(NotSignedIn::Token(Refusal::Unknown)) | Err(NotSignedIn::Ended) => {
            metrics::auth_failed(AuthFailure::Invalid);
            told(StatusCode::UNAUTHORIZED, Message::Wrong)
        }
        Err(NotSignedIn::Token(Refusal::Expired)) => {
            metrics::auth_failed(AuthFailure::Lapsed);
            told(StatusCode::UNAUTHORIZED, Message::Expired)
        }
        Err(NotSignedIn::Token(Refusal::Network)) => {
            metrics::auth_failed(AuthFailure::Network);
            told(StatusCode::UNAUTHORIZED, Message::Network)
        }
        Err(NotSignedIn::Token(Refusal::Unverified) | NotSignedIn::Index(_) | NotSignedIn::NoRandom) => {
            told(StatusCode::SERVICE_UNAVAILABLE, Message::Away)
        }
    }
}

/// Signs out, and goes back to the form. Without a sign-in it only ends the cookie.
async fn sign_out(State(door): State<Door>, extensions: Extensions, headers: HeaderMap) -> Response {
    if !cookie::is_of_our_page(&headers) {
        return Problem::forbidden("the request does not come from a page of this recorder").into_response();
    }
    let address = client_address(&extensions, &headers, &door.proxies);
    if let Some(secret) = cookie::secret(&headers)
        && let Ok(who) = door.services.sign_ins.who(&secret, address).await
    {
        let ended = door.services.sign_ins.end(&who, &who.id).await;
        let noted = note(&door.services, &who.actor, AuditAction::SignOut).await;
        if ended.is_err() || noted.is_err() {
            return Problem::unavailable("you are still signed in, as the index does not answer", 2)
                .into_response();
        }
    }
    gone_to("/sign-in", cookie::set(None, door.is_secure(&extensions, &headers)))
}

impl Door {
    /// Whether the browser talks TLS, as a trusted proxy says.
    fn is_secure(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        let by_proxy = extensions.get::<Peer>().is_some_and(|peer| self.proxies.allows(peer.0.ip()));
        by_proxy && headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
    }
}

async fn note(services: &Services, actor: &Actor, action: AuditAction) -> Result<(), Problem> {
    audit(services, actor, action, None, None, None).await
}

fn gone_to(place: &'static str, cookie: String) -> Response {
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response();
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// A browser in which the current user is signed in.
#[derive(Serialize, ToSchema)]
pub(super) struct SignInView {
    /// Its name.
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created_at: WallTime,
    /// When it was last used, to within a minute.
    #[schema(value_type = String, format = DateTime)]
    used_at: WallTime,
    /// When it ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: WallTime,
}

/// Where the current user is signed in; empty for a program that uses a token.
#[utoipa::path(get, path = "/api/v1/sign-ins", tag = "access", responses((status = 200, body = Vec<SignInView>)))]
pub(super) async fn list(
    State(services): State<Services>,
    who: Option<Extension<SignedIn>>,
    params: Params,
) -> Result<Json<Vec<SignInView>>, Problem> {
    params.finish()?;
    let Some(Extension(who)) = who else { return Ok(Json(Vec::new())) };
    let all = services.sign_ins.own(&who).await.map_err(away)?.into_iter();
    let view = |one: crate::auth::sign_ins::OwnSignIn| SignInView {
        current: one.id == who.id,
        id: one.id,
        created_at: one.created_at,
        used_at: one.used_at,
        expires_at: one.expires_at,
    };
    Ok(Json(all.map(view).collect()))
}

/// Signs the current user out of one of these.
#[utoipa::path(delete, path = "/api/v1/sign-ins/{sign_in}", tag = "access", params(("sign_in" = String, Path)),
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn end(
    State(services): State<Services>,
    who: Option<Extension<SignedIn>>,
    Path(sign_in): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "there is no such sign-in of yours");
    let Extension(who) = who.ok_or_else(none)?;
    if !services.sign_ins.end(&who, &sign_in).await.map_err(away)? {
        return Err(none());
    }
    note(&services, &who.actor, AuditAction::SignOut).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn away(_: crate::index::IndexError) -> Problem {
    Problem::unavailable("the index does not answer", 2)
}
