//! Signing in by the OpenID Connect provider. In: the wish to, the provider's answer, and its notice that somebody signed out.
//! Out: redirects, cookies, the page that leads on.
//!
//! The answer comes by a redirect from another site, so what the browser keeps for it is a cookie of `SameSite=Lax`, sealed and
//! short-lived. The cookie of whoever is signed in is `Strict`: the browser sends it after a step that our own page makes.

use std::time::Instant;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::http::header::LOCATION;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::page::{Form as Shown, Message, going_on, language};
use super::{Door, cookie, with_cookie};
use crate::auth::provider::{
    ATTEMPT_S, NoLogout, NoRights, NotByProvider, ProviderSignIns, Returned, cookie_of,
};
use crate::auth::sign_ins::NotSignedIn;
use crate::disclosure::sheet::Language;
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::metrics::{self, AuthFailure, ProviderLogout, ProviderSignIn};

type Refused = (StatusCode, Message);

#[derive(Deserialize)]
pub(super) struct Asked {
    lang: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    code: Option<String>,
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Notice {
    logout_token: String,
}

/// Sends the browser to the provider.
pub(super) async fn begin(
    State(door): State<Door>,
    Query(asked): Query<Asked>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let language = language(asked.lang.as_deref(), &headers);
    let told = |status, message| door.told(language, Shown::Password, status, message);
    let Some(provider) = &door.services.provider else {
        return told(StatusCode::NOT_FOUND, Message::NotThisWay);
    };
    if !cookie::is_wished(&headers) {
        return told(StatusCode::FORBIDDEN, Message::Elsewhere);
    }
    if door.is_slowed_there(&extensions, &headers) {
        return told(StatusCode::TOO_MANY_REQUESTS, Message::TooMany);
    }
    match provider.begin(code(language)).await {
        Ok(begun) => {
            let secure = provider.is_secure() || door.is_secure(&extensions, &headers);
            let cookie = cookie::attempt(&begun.cookie, Some(&begun.sealed), ATTEMPT_S, secure);
            with_cookie((StatusCode::SEE_OTHER, [(LOCATION, begun.address)]).into_response(), cookie)
        }
        Err(NotByProvider::Away(_)) => {
            metrics::provider_sign_in(ProviderSignIn::Away);
            told(StatusCode::SERVICE_UNAVAILABLE, Message::ProviderAway)
        }
        Err(_) => told(super::AWAY.0, super::AWAY.1),
    }
}

/// Takes the provider's answer, and goes on to the pages.
pub(super) async fn finish(
    State(door): State<Door>,
    Query(answer): Query<Answer>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let Some(provider) = door.services.provider.clone() else {
        let language = language(None, &headers);
        return door.told(language, Shown::Password, StatusCode::NOT_FOUND, Message::NotThisWay);
    };
    let Answer { code, state, iss, error } = answer;
    let kept = cookie_of(&state);
    let sealed = kept.as_deref().and_then(|name| cookie::named(&headers, name)).unwrap_or_default();
    let returned = Returned { code, state, iss, error };
    let asked = provider.language_of(&returned, &sealed);
    let language = language(asked.as_deref(), &headers);
    let secure = provider.is_secure() || door.is_secure(&extensions, &headers);
    let done = match door.is_slowed_there(&extensions, &headers) {
        true => Err((StatusCode::TOO_MANY_REQUESTS, Message::TooMany)),
        false => door.through(&provider, &returned, &sealed).await,
    };
    let answer = match done {
        Ok(secret) => {
            door.end_earlier(&extensions, &headers).await;
            let longest = door.services.sign_ins.settings().longest;
            let page = Html(signed_in(language)).into_response();
            with_cookie(page, cookie::set(Some(&secret), longest, secure))
        }
        Err((status, message)) => door.told(language, Shown::Password, status, message),
    };
    match kept {
        Some(name) => with_cookie(answer, cookie::attempt(&name, None, ATTEMPT_S, secure)),
        None => answer,
    }
}

/// Ends the sign-ins of whoever signed out at the provider. Source: Back-Channel Logout 1.0 §2.8.
pub(super) async fn logout(
    State(door): State<Door>,
    extensions: Extensions,
    headers: HeaderMap,
    notice: Result<Form<Notice>, FormRejection>,
) -> Response {
    let Some(provider) = &door.services.provider else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no provider").into_response();
    };
    let client = super::client_ip(&extensions, &headers, &door.proxies);
    if !door.notices.allows(client, Instant::now()) {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many logout tokens").into_response();
    }
    let token = notice.map_or_else(|_| String::new(), |Form(notice)| notice.logout_token);
    let (result, why) = match provider.logout(&token).await {
        Ok(names) => {
            for name in &names {
                let detail = Some("signed out at the provider".to_owned());
                // They are out already; what cannot be noted is told to the provider, which may try again.
                if door.noted_why(name.clone(), AuditAction::SignOut, detail).await.is_err() {
                    metrics::provider_logout(ProviderLogout::Failed);
                    return refused("the sign-out could not be noted");
                }
            }
            let result = if names.is_empty() { ProviderLogout::Nobody } else { ProviderLogout::Ended };
            metrics::provider_logout(result);
            return StatusCode::OK.into_response();
        }
        Err(NoLogout::Invalid(why)) => (ProviderLogout::Invalid, why),
        Err(NoLogout::Replayed) => (ProviderLogout::Replayed, NoLogout::Replayed.to_string()),
        Err(NoLogout::Away(_) | NoLogout::Index(_)) => {
            (ProviderLogout::Failed, "the sign-out is not possible at the moment".to_owned())
        }
    };
    metrics::provider_logout(result);
    if door.failures.allows((), Instant::now()) {
        tracing::warn!(why, "logout token refused");
    }
    refused(&why)
}

fn refused(why: &str) -> Response {
    let told = json!({"error": "invalid_request", "error_description": why});
    (StatusCode::BAD_REQUEST, Json(told)).into_response()
}

impl Door {
    fn is_slowed_there(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        !self.by_provider.allows(super::client_ip(extensions, headers, &self.proxies), Instant::now())
    }

    /// The secret of a new sign-in by the provider.
    async fn through(
        &self,
        provider: &ProviderSignIns,
        returned: &Returned,
        sealed: &str,
    ) -> Result<String, Refused> {
        let finished = match provider.finish(returned, sealed).await {
            Ok(finished) => finished,
            Err(why) => return Err(self.not_by_provider(why).await),
        };
        let user = &finished.admitted.user;
        let (actor, secret) = match self.services.sign_ins.open_provided(user, &finished.of).await {
            Ok(opened) => opened,
            Err(NotSignedIn::Ended) => {
                metrics::provider_sign_in(ProviderSignIn::LoggedOut);
                return Err((StatusCode::FORBIDDEN, Message::LoggedOut));
            }
            Err(_) => return Err(super::AWAY),
        };
        let waits = if finished.admitted.waits { "; more waits for a second administrator" } else { "" };
        let detail = format!("by the provider: {}{waits}", user.rights);
        // If it cannot be audited, the secret is told to nobody.
        self.noted_why(actor.name, AuditAction::SignIn, Some(detail)).await?;
        metrics::provider_sign_in(ProviderSignIn::SignedIn);
        Ok(secret)
    }

    /// Counts, audits and words why nobody is signed in.
    async fn not_by_provider(&self, why: NotByProvider) -> Refused {
        let detail = why.to_string();
        let (result, action, actor, refused) = match why {
            NotByProvider::Stale => {
                metrics::provider_sign_in(ProviderSignIn::Stale);
                return (StatusCode::BAD_REQUEST, Message::Stale);
            }
            NotByProvider::Away(away) => {
                tracing::warn!(error = away.0, "sign-in provider away in the middle of a sign-in");
                metrics::provider_sign_in(ProviderSignIn::Away);
                return (StatusCode::SERVICE_UNAVAILABLE, Message::ProviderAway);
            }
            NotByProvider::NoRandom | NotByProvider::Index(_) => return super::AWAY,
            NotByProvider::Declined(_) => (
                ProviderSignIn::Declined,
                AuditAction::SignInFailed,
                None,
                (StatusCode::UNAUTHORIZED, Message::Declined),
            ),
            NotByProvider::Invalid(_) => (
                ProviderSignIn::Invalid,
                AuditAction::SignInFailed,
                None,
                (StatusCode::UNAUTHORIZED, Message::Invalid),
            ),
            NotByProvider::NoRights { name, why } => {
                let message = match why {
                    NoRights::NoMapping(_) => Message::NoMapping,
                    NoRights::LeftOut => Message::GroupsLeftOut,
                    NoRights::Mixed { .. } => Message::Mixed,
                };
                let refused = (StatusCode::FORBIDDEN, message);
                (ProviderSignIn::NoRights, AuditAction::SignInRefused, Some(name), refused)
            }
            NotByProvider::Disabled(name) => {
                let refused = (StatusCode::FORBIDDEN, Message::Disabled);
                (ProviderSignIn::Disabled, AuditAction::SignInRefused, Some(name), refused)
            }
            NotByProvider::NoRole(name) => {
                let refused = (StatusCode::FORBIDDEN, Message::Waits);
                (ProviderSignIn::Waits, AuditAction::SignInRefused, Some(name), refused)
            }
        };
        metrics::provider_sign_in(result);
        if result == ProviderSignIn::Invalid {
            metrics::auth_failed(AuthFailure::Invalid);
            tracing::warn!(why = detail, "answer of the sign-in provider refused");
        }
        // Very many are counted alone, so that nobody fills the log.
        if self.failures.allows((), Instant::now()) {
            let actor = actor.unwrap_or_else(|| "unknown".to_owned());
            if let Err(refused) =
                self.noted_why(actor, action, Some(format!("by the provider: {detail}"))).await
            {
                return refused;
            }
        }
        refused
    }
}

/// The page after signing in, from which the browser goes on by itself.
fn signed_in(language: Language) -> String {
    let (title, text, link) = match language {
        Language::English => ("Signed in", "You are signed in.", "Go on"),
        Language::Danish => ("Logget ind", "Du er logget ind.", "Gå videre"),
    };
    going_on(language, title, text, link, "/")
}

fn code(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::Danish => "da",
    }
}
