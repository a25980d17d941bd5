//! Signing in to the pages and out again. In: a form with name, password and code, or with an access token, once; or the answer
//! of the OpenID Connect provider (`provider`). Out: a
//! cookie that scripts cannot read and that the browser sends to this recorder alone. The forms work without script.
//!
//! What a page changes with the cookie must come from a page of this recorder, as the browser says, and must carry the key
//! that only such a page was told (`cookie`). Not here: how long it holds (`auth::sign_ins`).

pub(crate) mod cookie;
mod enrol;
mod enrol_page;
pub(in crate::http) mod own;
mod page;
mod provider;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;

use crate::auth::password_sign_in::{NotAdmitted, Typed};
use crate::auth::provider::settings::{BACK_CHANNEL, CALLBACK};
use crate::auth::sign_ins::NotSignedIn;
use crate::auth::tokens::Refusal;
use crate::disclosure::sheet::Language;
use crate::http::access::Actor;
use crate::http::audited::{AuditAction, AuditEntry};
use crate::http::problem::Problem;
use crate::http::recordings::audit;
use crate::http::server::client_address::{Peer, Proxies, Throttle, client_address, client_ip};
use crate::http::services::Services;
use crate::metrics::{self, AuthFailure, SignInResult};
use optag_core::private::Private;
use page::{Form as Shown, Message, Ways, going_on, language, page};

/// Attempts of one address at once; then [`REFILL_PER_S`].
const BURST: f64 = 10.0;
/// Attempts per second and address; more are refused. Nobody at another address waits for them.
const REFILL_PER_S: f64 = 0.5;
/// Failed sign-ins that are audited at once, and then per second; more are only counted, so that nobody fills the log.
const AUDITED: (f64, f64) = (60.0, 1.0);
/// Steps of sign-ins by the provider that one address may take at once, and then per second. Nothing can be guessed there, and
/// many people may sign in from one office.
const BY_PROVIDER: (f64, f64) = (200.0, 5.0);
/// Notices of the provider that one address may give at once, and then per second: a provider may end many sessions together.
const NOTICES: (f64, f64) = (500.0, 50.0);
/// Styles of this server alone, and forms that go here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the routes use.
#[derive(Clone)]
struct Door {
    services: Services,
    throttle: Arc<Throttle>,
    failures: Arc<Throttle<()>>,
    notices: Arc<Throttle>,
    by_provider: Arc<Throttle>,
    proxies: Proxies,
}

/// The forms: `secret` is an access token, the rest is of a user.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SignInForm {
    secret: Option<String>,
    name: String,
    password: String,
    code: String,
    lang: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    lang: Option<String>,
    /// `token`: the form for an access token.
    with: Option<String>,
}

/// The routes, which need no token.
pub(in crate::http) fn router(services: Services, proxies: Proxies) -> Router {
    let throttle = Arc::new(Throttle::new(BURST, REFILL_PER_S));
    let failures = Arc::new(Throttle::new(AUDITED.0, AUDITED.1));
    let notices = Arc::new(Throttle::new(NOTICES.0, NOTICES.1));
    let by_provider = Arc::new(Throttle::new(BY_PROVIDER.0, BY_PROVIDER.1));
    let door = Door { services, throttle, failures, notices, by_provider, proxies };
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/enrol/{link}", get(enrol::show).post(enrol::take))
        .route("/sign-in/oidc", get(provider::begin))
        .route(CALLBACK, get(provider::finish))
        .route(BACK_CHANNEL, post(provider::logout))
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
async fn show(State(door): State<Door>, Query(asked): Query<Asked>, headers: HeaderMap) -> Html<String> {
    let form = if asked.with.as_deref() == Some("token") { Shown::Token } else { Shown::Password };
    Html(page(language(asked.lang.as_deref(), &headers), form, Message::None, &door.ways()))
}

/// Signs in, and goes on to the pages.
async fn sign_in(
    State(door): State<Door>,
    extensions: Extensions,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Response {
    let language = language(form.lang.as_deref(), &headers);
    let shown = if form.secret.is_some() { Shown::Token } else { Shown::Password };
    let refused = if !cookie::is_of_our_page(&headers) {
        Err((StatusCode::FORBIDDEN, Message::Elsewhere))
    } else if !door.services.sign_ins.settings().local {
        Err((StatusCode::FORBIDDEN, Message::NotThisWay))
    } else if let Some(token) = &form.secret {
        door.by_token(token.trim(), &extensions, &headers).await
    } else {
        door.by_password(&form, &extensions, &headers).await
    };
    match refused {
        Ok(secret) => {
            door.end_earlier(&extensions, &headers).await;
            door.signed_in(&secret, &extensions, &headers)
        }
        Err((status, message)) => door.told(language, shown, status, message),
    }
}

/// Signs out, and goes back to the form. Without a sign-in it only ends the cookie.
async fn sign_out(State(door): State<Door>, extensions: Extensions, headers: HeaderMap) -> Response {
    if !cookie::is_of_our_page(&headers) {
        return Problem::forbidden("the request does not come from a page of this recorder").into_response();
    }
    let address = client_address(&extensions, &headers, &door.proxies);
    let mut onwards = None;
    if let Some(secret) = cookie::secret(&headers)
        && let Ok(who) = door.services.sign_ins.who(&secret, address).await
    {
        let ended = door.services.sign_ins.end(&who, &who.id).await;
        let noted = note(&door.services, &who.actor, AuditAction::SignOut).await;
        if ended.is_err() || noted.is_err() {
            return Problem::unavailable("you are still signed in, as the index does not answer", 2)
                .into_response();
        }
        if let Some(provider) = &door.services.provider {
            onwards = provider.logout_address(&who).await;
        }
    }
    let cookie = door.cookie(None, &extensions, &headers);
    match onwards {
        Some(address) => {
            with_cookie(Html(signing_out(language(None, &headers), &address)).into_response(), cookie)
        }
        None => gone_to("/sign-in", cookie),
    }
}

/// The page from which a browser goes on to sign out at the provider. A redirect would not do: the policy of the page with the
/// form lets forms lead here alone.
fn signing_out(language: Language, address: &str) -> String {
    let (title, text, link) = match language {
        Language::English => {
            ("Signed out", "You are signed out here.", "Sign out of the sign-in service as well")
        }
        Language::Danish => ("Logget ud", "Du er logget ud her.", "Log også ud af login-tjenesten"),
    };
    going_on(language, title, text, link, address)
}

impl Door {
    fn told(&self, language: Language, form: Shown, status: StatusCode, message: Message) -> Response {
        (status, Html(page(language, form, message, &self.ways()))).into_response()
    }

    fn ways(&self) -> Ways<'_> {
        let provider = self.services.provider.as_ref().map(|provider| (provider.name(), provider.is_up()));
        Ways { settings: self.services.sign_ins.settings(), provider }
    }

    fn signed_in(&self, secret: &str, extensions: &Extensions, headers: &HeaderMap) -> Response {
        gone_to("/", self.cookie(Some(secret), extensions, headers))
    }

    fn cookie(&self, secret: Option<&str>, extensions: &Extensions, headers: &HeaderMap) -> String {
        let longest = self.services.sign_ins.settings().longest;
        cookie::set(secret, longest, self.is_secure(extensions, headers))
    }

    /// Whether the browser talks TLS, as a trusted proxy says.
    fn is_secure(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        let by_proxy = extensions.get::<Peer>().is_some_and(|peer| self.proxies.allows(peer.0.ip()));
        by_proxy && headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
    }

    fn is_slowed(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        !self.throttle.allows(client_ip(extensions, headers, &self.proxies), Instant::now())
    }

    /// The secret of a new sign-in with an access token.
    async fn by_token(
        &self,
        token: &str,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Result<String, (StatusCode, Message)> {
        if self.is_slowed(extensions, headers) {
            return Err((StatusCode::TOO_MANY_REQUESTS, Message::TooMany));
        }
        let address = client_address(extensions, headers, &self.proxies);
        let (failure, status, message) = match self.services.sign_ins.open(token, address).await {
            // If it cannot be audited, the secret is told to nobody.
            Ok((actor, secret)) => return self.noted(&actor, AuditAction::SignIn).await.map(|()| secret),
            Err(NotSignedIn::Machine(actor)) => {
                self.noted(&actor, AuditAction::SignInRefused).await?;
                (AuthFailure::Forbidden, StatusCode::FORBIDDEN, Message::Machine)
            }
            Err(NotSignedIn::Token(Refusal::Unknown) | NotSignedIn::Ended) => {
                (AuthFailure::Invalid, StatusCode::UNAUTHORIZED, Message::Wrong)
            }
            Err(NotSignedIn::Token(Refusal::Expired)) => {
                (AuthFailure::Lapsed, StatusCode::UNAUTHORIZED, Message::Expired)
            }
            Err(NotSignedIn::Token(Refusal::Network)) => {
                (AuthFailure::Network, StatusCode::UNAUTHORIZED, Message::Network)
            }
            Err(NotSignedIn::Token(Refusal::Unverified) | NotSignedIn::Index(_) | NotSignedIn::NoRandom) => {
                return Err(AWAY);
            }
        };
        metrics::auth_failed(failure);
        Err((status, message))
    }

    /// The secret of a new sign-in with name, password and code.
    async fn by_password(
        &self,
        form: &SignInForm,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Result<String, (StatusCode, Message)> {
        let address = client_address(extensions, headers, &self.proxies);
        let typed = Typed { name: &form.name, password: &form.password, code: &form.code };
        let user = match self.services.passwords.admit(typed, address, Instant::now()).await {
            Ok(user) => user,
            Err(NotAdmitted::Wrong(user)) => {
                metrics::sign_in(SignInResult::Wrong);
                metrics::auth_failed(AuthFailure::Invalid);
                self.note_failure(user).await?;
                return Err((StatusCode::UNAUTHORIZED, Message::WrongPassword));
            }
            Err(NotAdmitted::NoRole(name)) => {
                metrics::sign_in(SignInResult::NoRole);
                self.noted_as(name, AuditAction::SignInRefused).await?;
                return Err((StatusCode::FORBIDDEN, Message::NoRole));
            }
            Err(NotAdmitted::Slowed) => {
                metrics::sign_in(SignInResult::Slowed);
                return Err((StatusCode::TOO_MANY_REQUESTS, Message::TooMany));
            }
            // It was counted where it was refused.
            Err(NotAdmitted::Busy(_)) => return Err((StatusCode::SERVICE_UNAVAILABLE, Message::Busy)),
            Err(NotAdmitted::Index(_)) => return Err(AWAY),
        };
        let (actor, secret) = self.services.sign_ins.open_for(&user).await.map_err(|_| AWAY)?;
        self.noted(&actor, AuditAction::SignIn).await?;
        metrics::sign_in(SignInResult::SignedIn);
        Ok(secret)
    }

    /// Audits a failure, unless there are very many. What was typed as a name may be a password: a name that nobody has
    /// is not noted.
    async fn note_failure(&self, user: Option<String>) -> Result<(), (StatusCode, Message)> {
        if !self.failures.allows((), Instant::now()) {
            return Ok(());
        }
        self.noted_as(user.unwrap_or_else(|| "unknown".into()), AuditAction::SignInFailed).await
    }

    async fn noted(&self, actor: &Actor, action: AuditAction) -> Result<(), (StatusCode, Message)> {
        note(&self.services, actor, action).await.map_err(|_| AWAY)
    }

    async fn noted_as(&self, actor: String, action: AuditAction) -> Result<(), (StatusCode, Message)> {
        self.noted_why(actor, action, None).await
    }

    async fn noted_why(
        &self,
        actor: String,
        action: AuditAction,
        detail: Option<String>,
    ) -> Result<(), (StatusCode, Message)> {
        let at = self.services.clock.wall();
        let detail = detail.map(Private::new);
        let entry = AuditEntry { at, actor, action, purpose: None, recording: None, detail };
        self.services.audit.append(entry).await.map_err(|_| AWAY)
    }

    /// Ends what the browser was signed in to before: a new sign-in has a new secret.
    async fn end_earlier(&self, extensions: &Extensions, headers: &HeaderMap) {
        let address = client_address(extensions, headers, &self.proxies);
        if let Some(secret) = cookie::secret(headers)
            && let Ok(who) = self.services.sign_ins.who(&secret, address).await
        {
            // Where this fails, it ends by itself.
            let _ = self.services.sign_ins.end(&who, &who.id).await;
        }
    }
}

/// Nobody can be signed in at the moment.
const AWAY: (StatusCode, Message) = (StatusCode::SERVICE_UNAVAILABLE, Message::Away);

async fn note(services: &Services, actor: &Actor, action: AuditAction) -> Result<(), Problem> {
    audit(services, actor, action, None, None, None).await
}

fn gone_to(place: &'static str, cookie: String) -> Response {
    with_cookie((StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response(), cookie)
}

fn with_cookie(mut answer: Response, cookie: String) -> Response {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}
