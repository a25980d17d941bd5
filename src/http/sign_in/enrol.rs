//! `/enrol/{link}`: the page behind a one-time link, on which a user sets password and second factor. Looking at it does not
//! use the link up, so that programs which only fetch links leave it good.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use super::enrol_page::{Fault, Filled, done, form, gone};
use super::page::language;
use super::{Door, cookie};
use crate::auth::enrolment::{Choice, NotEnrolled};
use crate::auth::user::BadUser;
use crate::auth::{Actor, Role};
use crate::disclosure::sheet::Language;
use crate::http::audited::AuditAction;
use crate::http::recordings::audit;
use crate::metrics::{self, SignInResult};

#[derive(Deserialize)]
pub(super) struct Asked {
    lang: Option<String>,
}

/// What was typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct EnrolForm {
    name: String,
    display_name: String,
    password: String,
    again: String,
    code: String,
    everything: Option<String>,
    lang: Option<String>,
}

/// Shows the form.
pub(super) async fn show(
    State(door): State<Door>,
    Path(link): Path<String>,
    Query(asked): Query<Asked>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let language = language(asked.lang.as_deref(), &headers);
    if door.is_slowed(&extensions, &headers) {
        return told(StatusCode::TOO_MANY_REQUESTS, gone(language, Fault::TooMany));
    }
    match door.services.passwords.invitation(&link).await {
        Ok(invitation) => {
            let name = invitation.user.as_ref().map(|user| user.display_name.clone()).unwrap_or_default();
            let filled = Filled { display_name: name, ..Filled::default() };
            Html(form(language, &link, &invitation, &filled, None)).into_response()
        }
        Err(error) => failed(language, &error),
    }
}

/// Sets what was chosen.
pub(super) async fn take(
    State(door): State<Door>,
    Path(link): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
    Form(typed): Form<EnrolForm>,
) -> Response {
    let language = language(typed.lang.as_deref(), &headers);
    if !cookie::is_of_our_page(&headers) {
        return told(StatusCode::FORBIDDEN, gone(language, Fault::Elsewhere));
    }
    if door.is_slowed(&extensions, &headers) {
        metrics::sign_in(SignInResult::Slowed);
        return told(StatusCode::TOO_MANY_REQUESTS, gone(language, Fault::TooMany));
    }
    let passwords = &door.services.passwords;
    let invitation = match passwords.invitation(&link).await {
        Ok(invitation) => invitation,
        Err(error) => return failed(language, &error),
    };
    let filled = Filled {
        name: typed.name.clone(),
        display_name: typed.display_name.clone(),
        everything: typed.everything.is_some(),
    };
    let again = |fault: Fault| {
        let page = form(language, &link, &invitation, &filled, Some(fault));
        told(StatusCode::UNPROCESSABLE_ENTITY, page)
    };
    if typed.password != typed.again {
        return again(Fault::NotTheSame);
    }
    let choice = Choice {
        everything: filled.everything,
        name: typed.name,
        display_name: typed.display_name,
        password: typed.password,
        code: typed.code,
    };
    let ready = match passwords.ready(&link, &choice).await {
        Ok(ready) => ready,
        Err(error) => return fault_of(&error).map_or_else(|| failed(language, &error), again),
    };
    // Whoever has the link.
    let actor = Actor::with_role(ready.name(), Role::Auditor);
    if audit(&door.services, &actor, AuditAction::Access, None, None, Some(ready.detail())).await.is_err() {
        return told(StatusCode::SERVICE_UNAVAILABLE, gone(language, Fault::Away));
    }
    match passwords.enrol(&ready).await {
        Err(error) => fault_of(&error).map_or_else(|| failed(language, &error), again),
        Ok(()) => {
            metrics::sign_in(SignInResult::LinkUsed);
            Html(done(language, ready.name(), &ready.recovery_codes)).into_response()
        }
    }
}

fn told(status: StatusCode, page: String) -> Response {
    (status, Html(page)).into_response()
}

/// What the user can mend on the page.
fn fault_of(error: &NotEnrolled) -> Option<Fault> {
    Some(match error {
        NotEnrolled::Password(fault) => Fault::Password(*fault),
        NotEnrolled::Code => Fault::Code,
        NotEnrolled::Name(BadUser::DisplayName) => Fault::DisplayName,
        NotEnrolled::Name(_) => Fault::Name,
        NotEnrolled::NameTaken => Fault::NameTaken,
        NotEnrolled::Busy => Fault::Busy,
        NotEnrolled::Gone | NotEnrolled::Index(_) => return None,
    })
}

fn failed(language: Language, error: &NotEnrolled) -> Response {
    match error {
        NotEnrolled::Index(error) => {
            tracing::warn!(%error, "a one-time link cannot be looked up");
            told(StatusCode::SERVICE_UNAVAILABLE, gone(language, Fault::Away))
        }
        _ => {
            metrics::sign_in(SignInResult::LinkWrong);
            told(StatusCode::NOT_FOUND, gone(language, Fault::Gone))
        }
    }
}
