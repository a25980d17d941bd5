//! Who makes a request: by a bearer token (RFC 6750 §2.1), or by the cookie of somebody who is signed in.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::access::{Actor, RETRY_S, UNVERIFIED};
use super::problem::Problem;
use super::services::Services;
use super::standing::Standing;
use crate::auth::sign_ins::{NotSignedIn, SignIns, change_key};
use crate::auth::tokens::{Refusal, Tokens};
use crate::http::server::client_address::{Proxies, Throttle, client_address, client_ip};
use crate::http::sign_in::cookie;
use crate::metrics::{self, AuthFailure};

/// Consecutive failures of one address that are answered at once; then [`REFILL_PER_S`].
const BURST: f64 = 50.0;
/// Failed requests checked per second; more are answered with 429. Valid tokens are never slowed down.
const REFILL_PER_S: f64 = 10.0;

/// Authenticates tokens and counts failures.
#[derive(Clone)]
pub(super) struct Gate {
    tokens: Arc<Tokens>,
    sign_ins: Arc<SignIns>,
    throttle: Arc<Throttle>,
    proxies: Proxies,
}

impl Gate {
    pub(super) fn new(services: &Services, proxies: Proxies) -> Self {
        let (tokens, sign_ins) = (services.tokens.clone(), services.sign_ins.clone());
        Self { tokens, sign_ins, throttle: Arc::new(Throttle::new(BURST, REFILL_PER_S)), proxies }
    }

    fn refuse_token(&self, request: &Request, refusal: Refusal) -> Problem {
        let (cause, detail) = match refusal {
            Refusal::Unverified => return Problem::unavailable(UNVERIFIED, RETRY_S),
            Refusal::Unknown => (AuthFailure::Invalid, "the access token is not valid"),
            Refusal::Expired => (AuthFailure::Lapsed, "the access token has expired"),
            Refusal::Network => (AuthFailure::Network, "the access token may not be used from this address"),
        };
        self.refuse(request, cause, detail)
    }

    fn refuse(&self, request: &Request, cause: AuthFailure, detail: &str) -> Problem {
        metrics::auth_failed(cause);
        let client = client_ip(request.extensions(), request.headers(), &self.proxies);
        match self.throttle.allows(client, Instant::now()) {
            true => Problem::unauthorised(detail),
            false => Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests without a valid token")
                .header(RETRY_AFTER, 1.into()),
        }
    }
}

/// A request with the cookie of somebody who is signed in.
async fn by_cookie(gate: &Gate, mut request: Request, next: Next, secret: String) -> Response {
    let address = client_address(request.extensions(), request.headers(), &gate.proxies);
    let who = match gate.sign_ins.who(&secret, address).await {
        Ok(who) => who,
        Err(NotSignedIn::Index(_) | NotSignedIn::Token(Refusal::Unverified)) => {
            return Problem::unavailable(UNVERIFIED, RETRY_S).into_response();
        }
        Err(_) => return gate.refuse(&request, AuthFailure::Invalid, "sign in again").into_response(),
    };
    if !cookie::is_meant(request.method(), request.headers(), &secret) {
        metrics::auth_failed(AuthFailure::Forbidden);
        return Problem::forbidden("the request does not come from a page of this recorder").into_response();
    }
    let (sign_ins, change) = (Arc::clone(&gate.sign_ins), ChangeKey(change_key(&secret)));
    let before = who.actor.clone();
    let standing = Standing::new(move || {
        let (sign_ins, secret, before) = (Arc::clone(&sign_ins), secret.clone(), before.clone());
        // With other rights it might not have been answered.
        async move { sign_ins.who(&secret, address).await.is_ok_and(|now| now.actor == before) }.boxed()
    });
    let extensions = request.extensions_mut();
    extensions.insert(who.actor.clone());
    extensions.insert(who);
    extensions.insert(change);
    extensions.insert(standing);
    next.run(request).await
}

/// What a page must send with a change.
#[derive(Clone)]
pub(super) struct ChangeKey(pub String);

/// The middleware: adds the [`Actor`] of its token to a request. A request that already has an actor was made
/// inside this process, by a command.
pub(super) async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<Actor>().is_some() {
        return next.run(request).await;
    }
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(token) = token else {
        if let Some(secret) = cookie::secret(request.headers()) {
            return by_cookie(&gate, request, next, secret).await;
        }
        let detail = "an access token is required: Authorization: Bearer …";
        return gate.refuse(&request, AuthFailure::Missing, detail).into_response();
    };
    let token = token.to_owned();
    let address = client_address(request.extensions(), request.headers(), &gate.proxies);
    match gate.tokens.authenticate(&token, address).await {
        Err(refusal) => gate.refuse_token(&request, refusal).into_response(),
        Ok(actor) => {
            let tokens = Arc::clone(&gate.tokens);
            let standing = Standing::new(move || {
                let (tokens, token) = (Arc::clone(&tokens), token.clone());
                async move { tokens.authenticate(&token, address).await.is_ok_and(|actor| !actor.is_unverified()) }
                    .boxed()
            });
            request.extensions_mut().insert(actor);
            request.extensions_mut().insert(standing);
            next.run(request).await
        }
    }
}
